package desk

import (
	"encoding/json/jsontext"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/duplicates"
)

// A key for each partition, whatever their number: the partitioner of the clients is the judge.
func TestPartitionKeys(t *testing.T) {
	t.Parallel()
	partition := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for _, n := range []int{1, 2, 3, 4, 12, 64} {
		keys := PartitionKeys(n)
		for p, key := range keys {
			if got := partition.Partition(&kgo.Record{Key: []byte(key)}, n); got != p {
				t.Errorf("of %d partitions, key %q goes to %d, want %d", n, key, got, p)
			}
		}
	}
}

func drawPrepared(t *rapid.T) *Prepared {
	at := func(label string) time.Time { return time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, label)).UTC() }
	p := &Prepared{
		Row: features.Row{
			Transaction: payment.Transaction{ID: rapid.Int64().Draw(t, "id"), Time: at("time"), Card: rapid.String().Draw(t, "card")},
			Counts:      features.Counts{CardPayments: [3]int64{1, 2, 3}},
		},
		Partition: rapid.Int32().Draw(t, "partition"), Offset: rapid.Int64().Draw(t, "offset"),
		Verdict: rapid.SampledFrom(verdicts[:]).Draw(t, "verdict"), First: rapid.Int64().Draw(t, "first"),
	}
	p.Velocity = Velocity{1, 2, rapid.Int64().Draw(t, "cents"), 3}
	for range rapid.IntRange(0, MaxRecent).Draw(t, "recent") {
		p.Recent = append(p.Recent, Recent{rapid.Int64().Draw(t, "offset"), at("time"), payment.Cents(rapid.Int64().Draw(t, "amount"))})
	}
	for range rapid.IntRange(0, MaxRecent).Draw(t, "frauds") {
		p.Frauds = append(p.Frauds, LabelPlace{rapid.Int32().Draw(t, "partition"), rapid.Int64().Draw(t, "offset")})
	}
	return p
}

func TestInputEncoding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := Input{Payment: drawPrepared(t)}
		b, err := Inputs.Value.Encode(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Inputs.Value.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("a payment is read again (-want +got):\n%s", diff)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, err := Inputs.Value.Decode(b[:cut]); err == nil {
			t.Fatalf("the first %d of %d bytes are an input", cut, len(b))
		}
		if _, err := Inputs.Value.Decode(append(b, 0)); !errors.Is(err, ErrInput) {
			t.Fatalf("a byte more: %v, want ErrInput", err)
		}
	})
}

func TestLabelAndChangeEncoding(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	rule := rulebook.Rule{Name: "large", Version: 1, Condition: "amount > 220", Action: rulebook.Block, Mode: rulebook.Live}
	for _, want := range []Input{
		{Label: &Label{payment.Label{Transaction: payment.Transaction{ID: 7, Card: "a", Time: at}, Genuine: true, Known: at.Add(time.Hour)}, LabelPlace{3, 1 << 40}}},
		{Change: &Change{ID: "1", Change: rulebook.Change{Rule: &rule, Who: "ann", At: at, Why: "a wave"}}},
		{Change: &Change{ID: "2", Change: rulebook.Change{Who: "ann", At: at}, Model: &Model{Name: "m", Version: 1, Mode: rulebook.Shadow, File: jsontext.Value(`{"bias":1}`)}}},
	} {
		b, err := Inputs.Value.Encode(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Inputs.Value.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if want.Change != nil && !got.At().Equal(time.UnixMilli(0)) {
			t.Errorf("a change has the event time %v: it would move the time of payments", got.At())
		}
	}
	if _, err := Inputs.Value.Encode(nil, Input{Payment: &Prepared{Verdict: duplicates.Conflict}}); err == nil {
		t.Error("a conflict is encoded as something to decide")
	}
}

func FuzzInput(f *testing.F) {
	b, err := Inputs.Value.Encode(nil, Input{Payment: &Prepared{Verdict: duplicates.Unique, Recent: []Recent{{Offset: 3}}, Frauds: []LabelPlace{{1, 2}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := Inputs.Value.Decode(b)
		if err != nil || in.Payment == nil {
			return
		}
		b2, err := Inputs.Value.Encode(nil, in)
		if err != nil {
			t.Fatalf("%+v cannot be written again: %v", in.Payment, err)
		}
		again, err := Inputs.Value.Decode(b2)
		if diff := cmp.Diff(in, again); err != nil || diff != "" {
			t.Errorf("read again (%v, -want +got):\n%s", err, diff)
		}
	})
}

// What others read is JSON with everything on one level: an alert is a decision with an id, a case an alert with a status.
func TestCaseJSON(t *testing.T) {
	t.Parallel()
	d := Decision{
		Payment: 7, Card: "a", Terminal: "t", Amount: 300_50, Time: time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC), Action: rulebook.Block,
		Score: 0.5, At: Place{Inputs.Name, 3, 17}, Revision: 2,
	}
	b, err := Cases.Value.Encode(nil, Case{Alert: NewAlert(d), Status: Open, Version: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"3-17","payment":7,"card":"a","terminal":"t","amount":300.50,"time":"2026-01-15T12:00:00Z","action":"block","score":0.5,` +
		`"at":{"topic":"decision-inputs","partition":3,"offset":17},"revision":2,"status":"open","version":1}`
	if got := string(b); got != want {
		t.Errorf("a case is\n%s\nwant\n%s", got, want)
	}
}

func TestChangeKey(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Change{
		"rule/r":     {Change: rulebook.Change{Rule: &rulebook.Rule{Name: "r"}}},
		"rule/s":     {Change: rulebook.Change{RemoveRule: "s"}},
		"list/l":     {Change: rulebook.Change{List: &rulebook.List{Name: "l"}}},
		"list/m":     {Change: rulebook.Change{RemoveList: "m"}},
		"snooze/r/c": {Change: rulebook.Change{Snooze: &rulebook.Snooze{Rule: "r", Card: "c"}}},
		"model/m":    {Model: &Model{Name: "m"}},
		"model/n":    {RemoveModel: "n"},
	} {
		if got := c.Key(); got != want {
			t.Errorf("Key() = %q, want %q", got, want)
		}
	}
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	var names []string
	for _, d := range Definitions(4) {
		names = append(names, d.Name)
		if d.Partitions != 4 && d.Partitions != 1 {
			t.Errorf("topic %s has %d partitions", d.Name, d.Partitions)
		}
	}
	want := "transactions labels desk-changes desk-applied desk-in-force decision-inputs decisions conflicts desk-alerts desk-alert-changes desk-cases"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("topics %s, want %s", got, want)
	}
}
