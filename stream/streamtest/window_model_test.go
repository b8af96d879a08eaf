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

// TestSessionModel compares sessions with a model that keeps the records of every session in a list, and looks for gaps in
// it.
func TestSessionModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		gap := rapid.Int64Range(1, 15).Draw(t, "gap")
		grace := rapid.Int64Range(0, 15).Draw(t, "grace")
		parts := drawParts(t)

		var want []string
		var sessions []*modelWindow
		streamTime := int64(0)
		closeSessions := func(until int64) {
			slices.SortFunc(sessions, func(a, b *modelWindow) int {
				return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.start, b.start), cmp.Compare(a.key, b.key))
			})
			for _, s := range sessions {
				if !s.sent && s.end+gap+grace <= until {
					s.sent = true
					want = append(want, "closed "+s.String())
				}
			}
		}
		for _, p := range parts {
			streamTime = max(streamTime, p.at)
			closeSessions(streamTime)
			merged := &modelWindow{key: p.key, start: p.at, end: p.at + 1}
			var joined []*modelWindow
			for _, s := range sessions { // in the order of time
				if !s.sent && s.key == p.key && s.start <= p.at+gap && p.at <= s.end-1+gap {
					joined = append(joined, s)
					merged.start, merged.end = min(merged.start, s.start), max(merged.end, s.end)
					merged.values = append(merged.values, s.values...)
				}
			}
			if merged.end+gap+grace <= streamTime {
				want = append(want, fmt.Sprintf("late %s [%d,%d)", p.value, p.at, p.at+1))
				continue
			}
			merged.values = append(merged.values, p.value)
			for _, s := range joined {
				if s.start != merged.start || s.end != merged.end {
					want = append(want, fmt.Sprintf("row %s[%d,%d) none", s.key, s.start, s.end))
				}
			}
			sessions = slices.DeleteFunc(sessions, func(s *modelWindow) bool { return slices.Contains(joined, s) })
			sessions = append(sessions, merged)
			want = append(want, "row "+merged.String())
			closeSessions(-1) // sorts them
		}
		closeSessions(1000)

		store := state.NewSessionStore("s", serde.String, serde.String)
		got := runWindows(t, parts, func(s stream.Stream[string, string]) joinedWindows {
			return s.Sessions(window.Session(ms(gap)).Grace(ms(grace))).Aggregate(store, join, join)
		})
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("outputs (-model +stream):\n%s", diff)
		}
	})
}

// TestSlidingModel compares sliding windows with a model that keeps the records in a list, and looks through all of them for
// each window.
func TestSlidingModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		widths := rapid.SliceOfNDistinct(rapid.Int64Range(1, 40), 1, 3, rapid.ID).Draw(t, "widths")
		grace := rapid.Int64Range(0, 20).Draw(t, "grace")
		parts := drawParts(t)

		var want []string
		var taken []part // in time
		streamTime, sent := int64(0), int64(-1)
		inWindow := func(key string, end, width int64) string {
			var values []string
			for _, p := range taken {
				if p.key == key && end-width < p.at && p.at <= end {
					values = append(values, p.value)
				}
			}
			return fmt.Sprintf("%s[%d,%d) %s", key, end-width+1, end+1, strings.Join(values, "+"))
		}
		ends := func() []part { // one for each key and time
			slices.SortStableFunc(taken, func(a, b part) int { return cmp.Compare(a.at, b.at) })
			all := slices.Clone(taken)
			slices.SortStableFunc(all, func(a, b part) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key)) })
			return slices.CompactFunc(all, func(a, b part) bool { return a.at == b.at && a.key == b.key })
		}
		closeWindows := func(until int64) {
			for _, e := range ends() {
				if e.at > sent && e.at+1+grace <= until {
					for _, width := range widths {
						want = append(want, "closed "+inWindow(e.key, e.at, width))
					}
				}
			}
			sent = max(sent, until-grace-1)
		}
		for _, p := range parts {
			streamTime = max(streamTime, p.at)
			closeWindows(streamTime)
			if p.at+1+grace <= streamTime {
				missed := make([]window.Window, len(widths))
				for i, width := range widths {
					missed[i] = window.Millis(p.at-width+1, p.at+1)
				}
				slices.SortStableFunc(missed, func(a, b window.Window) int { return a.Start.Compare(b.Start) })
				want = append(want, "late "+p.value+" "+spans(missed...))
				continue
			}
			taken = append(taken, p)
			for _, e := range ends() {
				for _, width := range widths {
					if e.key == p.key && e.at-width < p.at && p.at <= e.at {
						want = append(want, "row "+inWindow(e.key, e.at, width))
					}
				}
			}
		}
		closeWindows(1000)

		sliding := make([]time.Duration, len(widths))
		for i, width := range widths {
			sliding[i] = ms(width)
		}
		store := state.NewWindowStore("w", serde.String, serde.String)
		got := runWindows(t, parts, func(s stream.Stream[string, string]) joinedWindows {
			return s.Sliding(window.Sliding(sliding...).Grace(ms(grace))).Aggregate(store, join, join)
		})
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("outputs (-model +stream):\n%s", diff)
		}
	})
}
