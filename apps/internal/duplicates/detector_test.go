package duplicates_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/apps/internal/duplicates"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// charge is the payment type of these tests.
type charge struct {
	ID, Terminal string
	Amount       int64
	At           time.Time
}

var fields = duplicates.Fields[charge]{
	ID:       func(c charge) string { return c.ID },
	Terminal: func(c charge) string { return c.Terminal },
	Amount:   func(c charge) int64 { return c.Amount },
	At:       func(c charge) time.Time { return c.At },
}

var (
	charges = stream.NewTopic("charges", serde.String, serde.JSON[charge]())
	checked = stream.NewTopic("checked", serde.String, serde.JSON[duplicates.Checked[charge]]())
)

func newDriver(t streamtest.TB, cfg duplicates.Config) *streamtest.Driver {
	t.Helper()
	d, err := duplicates.New(cfg, fields)
	if err != nil {
		t.Fatalf("%v", err)
	}
	b := stream.NewBuilder("app")
	d.Check(b.From(charges)).To(checked)
	topology, err := b.Build()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return streamtest.New(t, topology)
}

func second(n int) time.Time { return time.Unix(1_500_000_000+int64(n), 0).UTC() }

// verdicts are what came out: the verdict, and the number of the charge that was repeated.
func verdicts(d *streamtest.Driver) []string {
	var got []string
	for _, c := range d.Values(checked) {
		v := string(c.Verdict)
		if c.Verdict != duplicates.Unique {
			v += fmt.Sprintf(" of %d", c.First.Offset)
		}
		got = append(got, v)
	}
	return got
}

// TestVerdicts has a row for each situation; all charges are of one card, in the order in which they arrive.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	at := func(id string, seconds int, cents int64) charge {
		return charge{ID: id, Terminal: "t", Amount: cents, At: second(seconds)}
	}
	elsewhere := at("b", 10, 500)
	elsewhere.Terminal = "u"
	tests := []struct {
		name    string
		cfg     duplicates.Config
		charges []charge
		want    []string
	}{
		{"sent again", duplicates.Config{}, []charge{at("a", 0, 500), at("a", 0, 500), at("a", 0, 500)}, []string{"unique", "exact of 0", "exact of 0"}},
		{"other content", duplicates.Config{}, []charge{at("a", 0, 500), at("a", 0, 501)}, []string{"unique", "conflict of 0"}},
		{"other time is other content", duplicates.Config{}, []charge{at("a", 0, 500), at("a", 1, 500)}, []string{"unique", "conflict of 0"}},
		{"made again", duplicates.Config{}, []charge{at("a", 0, 500), at("b", 300, 500)}, []string{"unique", "double of 0"}},
		{"beyond the window", duplicates.Config{}, []charge{at("a", 0, 500), at("b", 301, 500)}, []string{"unique", "unique"}},
		{"out of order", duplicates.Config{}, []charge{at("a", 300, 500), at("b", 0, 500)}, []string{"unique", "double of 0"}},
		{"another terminal", duplicates.Config{}, []charge{at("a", 0, 500), elsewhere}, []string{"unique", "unique"}},
		{"one percent less", duplicates.Config{}, []charge{at("a", 0, 500), at("b", 10, 495)}, []string{"unique", "near of 0"}},
		{"more than one percent less", duplicates.Config{}, []charge{at("a", 0, 500), at("b", 10, 494)}, []string{"unique", "unique"}},
		{"equal before near", duplicates.Config{}, []charge{at("a", 0, 500), at("b", 10, 495), at("c", 20, 495)}, []string{"unique", "near of 0", "double of 1"}},
		{"equal amounts only", duplicates.Config{NearBasisPoints: -1}, []charge{at("a", 0, 500), at("b", 10, 499)}, []string{"unique", "unique"}},
		{"no window", duplicates.Config{Window: -1}, []charge{at("a", 0, 500), at("b", 1, 500), at("a", 0, 500)}, []string{"unique", "unique", "exact of 0"}},
		{"charged, reversed, charged", duplicates.Config{}, []charge{at("a", 0, 500), at("b", 10, -500), at("c", 20, 500)}, []string{"unique", "unique", "unique"}},
		{"a reversal takes one charge back", duplicates.Config{}, []charge{at("a", 0, 500), at("b", 5, 500), at("c", 10, -500), at("d", 20, 500)}, []string{"unique", "double of 0", "unique", "double of 0"}},
		{"a reversal of another amount", duplicates.Config{}, []charge{at("a", 0, 500), at("b", 10, -499), at("c", 20, 500)}, []string{"unique", "unique", "double of 0"}},
		{"a reversal that is sent again", duplicates.Config{}, []charge{at("a", 0, 500), at("b", 10, -500), at("b", 10, -500)}, []string{"unique", "unique", "exact of 1"}},
		{"what is sent again is no charge", duplicates.Config{}, []charge{at("a", 0, 500), at("b", 5, -500), at("a", 0, 500), at("c", 10, 500)}, []string{"unique", "unique", "exact of 0", "unique"}},
		{"without an id", duplicates.Config{}, []charge{at("", 0, 500), at("", 1, 700)}, []string{"unique", "unique"}},
		{"the oldest charge gives way", duplicates.Config{MaxCharges: 2}, []charge{at("a", 0, 500), at("b", 1, 700), at("c", 2, 900), at("d", 3, 500)}, []string{"unique", "unique", "unique", "unique"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDriver(t, tt.cfg)
			for i, c := range tt.charges {
				if i == 1 {
					d.Restart()
				}
				d.Pipe(charges, "card", c, second(i)) // they arrive a second after each other
			}
			if diff := cmp.Diff(tt.want, verdicts(d)); diff != "" {
				t.Errorf("verdicts (-want +got)\n%s", diff)
			}
		})
	}
}

// Cards have nothing to do with each other.
func TestCards(t *testing.T) {
	t.Parallel()
	d := newDriver(t, duplicates.Config{})
	c := charge{ID: "a", Terminal: "t", Amount: 500, At: second(0)}
	d.Pipe(charges, "1", c, second(0))
	d.Pipe(charges, "2", c, second(0))
	if diff := cmp.Diff([]string{"unique", "unique"}, verdicts(d)); diff != "" {
		t.Errorf("verdicts (-want +got)\n%s", diff)
	}
}

// TestModel compares the detector with lists of everything that came.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := duplicates.Config{TTL: 40 * time.Second, Window: 10 * time.Second, Lateness: 5 * time.Second, NearBasisPoints: 2500, MaxCharges: 1 << 20}
		d := newDriver(t, cfg)
		m := model{cfg: cfg, first: make(map[string]seen)}
		arrival := 0
		var want []string
		for i := range rapid.IntRange(1, 60).Draw(t, "charges") {
			arrival += rapid.IntRange(0, 8).Draw(t, "later")
			c := charge{
				ID:       rapid.StringMatching(`[a-f]?`).Draw(t, "id"),
				Terminal: rapid.StringMatching(`[tu]`).Draw(t, "terminal"),
				Amount:   rapid.SampledFrom([]int64{0, 3, 4, 5, 8, 100, 125, -4, -100}).Draw(t, "amount"),
				At:       second(arrival - rapid.IntRange(0, 6).Draw(t, "delay")),
			}
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				d.Restart()
			}
			d.Pipe(charges, "card", c, second(arrival))
			want = append(want, m.check(seen{c, arrival, i}))
		}
		if diff := cmp.Diff(want, verdicts(d)); diff != "" {
			t.Fatalf("verdicts (-want +got)\n%s", diff)
		}
	})
}

type seen struct {
	charge
	arrival int // second
	number  int
}

type model struct {
	cfg   duplicates.Config
	first map[string]seen // by id
	made  []seen          // charges that are not taken back
}

func (m *model) check(p seen) string {
	if first, ok := m.first[p.ID]; ok && p.ID != "" && time.Duration(p.arrival-first.arrival)*time.Second < m.cfg.TTL {
		if first.charge == p.charge {
			return fmt.Sprintf("exact of %d", first.number)
		}
		return fmt.Sprintf("conflict of %d", first.number)
	}
	m.first[p.ID] = p
	m.made = slices.DeleteFunc(m.made, func(s seen) bool {
		return s.Terminal == p.Terminal && p.At.Sub(s.At) > 2*m.cfg.Window+m.cfg.Lateness+time.Millisecond
	})
	if p.Amount < 0 {
		for i, s := range slices.Backward(m.made) {
			if s.Terminal == p.Terminal && s.Amount == -p.Amount {
				m.made = slices.Delete(m.made, i, i+1)
				break
			}
		}
		return "unique"
	}
	verdict := "unique"
	for _, s := range m.made {
		switch larger := max(s.Amount, p.Amount); {
		case s.Terminal != p.Terminal || s.At.Sub(p.At).Abs() > m.cfg.Window || strings.HasPrefix(verdict, "double"):
		case s.Amount == p.Amount:
			verdict = fmt.Sprintf("double of %d", s.number)
		case (larger-min(s.Amount, p.Amount))*10_000 <= larger*m.cfg.NearBasisPoints:
			verdict = fmt.Sprintf("near of %d", s.number)
		}
	}
	m.made = append(m.made, p)
	return verdict
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	_, err := duplicates.New(duplicates.Config{TTL: -1, Window: 1, NearBasisPoints: 10_001, Lateness: -1, MaxCharges: -1}, duplicates.Fields[charge]{})
	if err == nil {
		t.Fatal("New accepts a configuration in which everything is wrong")
	}
	for _, want := range []string{"TTL", "window", "basis points", "lateness", "charges", "field"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error says nothing of %s: %v", want, err)
		}
	}
}
