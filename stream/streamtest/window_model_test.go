package streamtest_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
	"github.com/riffle-stream/riffle/stream/window"
)

// part is an input record of the model tests.
type part struct {
	key   string
	at    int64
	value string
}

// drawParts draws records that come late and at equal times.
func drawParts(t *rapid.T) []part {
	n := rapid.IntRange(1, 40).Draw(t, "records")
	parts := make([]part, n)
	for i := range parts {
		parts[i] = part{
			rapid.SampledFrom([]string{"", "a", "b", "ab"}).Draw(t, "key"),
			rapid.Int64Range(0, 80).Draw(t, "time"),
			fmt.Sprint(i),
		}
	}
	return parts
}

// modelWindow is a window of the models: the values that count in it.
type modelWindow struct {
	key        string
	start, end int64
	values     []string
	sent       bool
}

func (w *modelWindow) String() string {
	return fmt.Sprintf("%s[%d,%d) %s", w.key, w.start, w.end, strings.Join(w.values, "+"))
}

// TestWindowModel compares hopping windows with a model that keeps every window in a list, and asks of each record all the
// windows there could be.
func TestWindowModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 30).Draw(t, "size")
		advance := rapid.Int64Range(1, size).Draw(t, "advance")
		grace := rapid.Int64Range(0, 20).Draw(t, "grace")
		parts := drawParts(t)

		var want []string
		var windows []*modelWindow
		streamTime := int64(0)
		closeWindows := func(until int64) {
			slices.SortFunc(windows, func(a, b *modelWindow) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.key, b.key)) })
			for _, w := range windows {
				if !w.sent && w.end+grace <= until {
					w.sent = true
					want = append(want, "closed "+w.String())
				}
			}
		}
		for _, p := range parts {
			streamTime = max(streamTime, p.at)
			closeWindows(streamTime)
			missed, changed := "", []string(nil)
			for start := int64(0); start <= p.at; start += advance {
				if p.at >= start+size {
					continue
				}
				if start+size+grace <= streamTime {
					missed += fmt.Sprintf(" [%d,%d)", start, start+size)
					continue
				}
				i := slices.IndexFunc(windows, func(w *modelWindow) bool { return w.key == p.key && w.start == start })
				if i < 0 {
					i = len(windows)
					windows = append(windows, &modelWindow{key: p.key, start: start, end: start + size})
				}
				windows[i].values = append(windows[i].values, p.value)
				changed = append(changed, "row "+windows[i].String())
			}
			if missed != "" {
				want = append(want, "late "+p.value+missed)
			}
			want = append(want, changed...)
		}
		closeWindows(1000)

		store := state.NewWindowStore("w", serde.String, serde.String)
		got := runWindows(t, parts, func(s stream.Stream[string, string]) joinedWindows {
			return s.Window(window.Hopping(ms(size), ms(advance)).Grace(ms(grace))).Aggregate(store, join)
		})
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("outputs (-model +stream):\n%s", diff)
		}
	})
}

// runWindows runs a windowed step on records, with restarts, and returns its outputs as text, in the order in which they came.
func runWindows(t *rapid.T, parts []part, define func(stream.Stream[string, string]) joinedWindows) []string {
	out := stream.NewTopic("out", serde.String, serde.String)
	in := stream.NewTopic("in", serde.String, serde.String)
	b := stream.NewBuilder("app")
	table := define(b.From(in))
	describe := func(what string) func(k window.Key[string], v string) string {
		return func(k window.Key[string], v string) string {
			return fmt.Sprintf("%s %s%s %s", what, k.Key, spans(k.Window), v)
		}
	}
	text := func(s stream.Stream[window.Key[string], string], what string) stream.Stream[string, string] {
		line := describe(what)
		return s.MapRecord(func(r stream.Record[window.Key[string], string]) string { return line(r.Key, r.Value) }).
			Rekey(what, serde.String, serde.String, func(window.Key[string], string) string { return "" })
	}
	lateText := table.LateWith(func(v string, missed []window.Window) string { return "late " + v + " " + spans(missed...) })
	rows := table.Changes(func(c stream.Change[string]) string {
		if !c.New.Present {
			return "none"
		}
		return c.New.Value
	})
	text(table.OnClose(), "closed").To(out)
	lateText.To(out)
	text(rows, "row").To(out)
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	d := streamtest.New(t, topology)
	for _, p := range parts {
		d.Pipe(in, p.key, p.value, time.UnixMilli(p.at))
		if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
			d.Restart()
		}
	}
	d.Advance(time.UnixMilli(1000))
	return d.Values(out)
}
