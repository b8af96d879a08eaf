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

// noKey is the key of a part that has none: it counts nowhere, but time goes on with it.
const noKey = "null"

// drawParts draws records that come late and at equal times: each is up to 20 ms behind the latest one, or up to 8 ms ahead.
func drawParts(t *rapid.T) []part {
	parts := make([]part, rapid.IntRange(10, 60).Draw(t, "records"))
	now := int64(0)
	for i := range parts {
		at := max(now+rapid.Int64Range(-20, 8).Draw(t, "time"), 0)
		now = max(now, at)
		parts[i] = part{rapid.SampledFrom([]string{"", "a", "ab", "a", "ab", noKey}).Draw(t, "key"), at, fmt.Sprint(i)}
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

func (w *modelWindow) span() string { return fmt.Sprintf("%s[%d,%d)", w.key, w.start, w.end) }

// show is what an aggregation makes of the values of a window; of none there is no window.
func (a aggregation) show(values []string) string {
	switch {
	case len(values) == 0:
		return "none"
	case a == byCount:
		return fmt.Sprint(len(values))
	}
	return strings.Join(values, "+")
}

// aggregation is a way to aggregate windows.
type aggregation string

const (
	byAggregate aggregation = "aggregate"
	byReduce    aggregation = "reduce"
	byCount     aggregation = "count"
	inPlace     aggregation = "aggregate in place" // the functions change the row before: what is sent of it must not change with it
)

func drawAggregation(t *rapid.T) aggregation {
	return rapid.SampledFrom([]aggregation{byAggregate, byReduce, byCount, inPlace}).Draw(t, "aggregation")
}

// bag is an aggregate that is changed in place.
type bag struct{ Values []string }

func (b *bag) add(v string) *bag {
	if b == nil {
		b = new(bag)
	}
	b.Values = append(b.Values, v)
	return b
}

func (b *bag) merge(other *bag) *bag {
	b.Values = append(b.Values, other.Values...)
	return b
}

func (b *bag) text() string { return strings.Join(b.Values, "+") }

func itself(v string) string { return v }

// plus is join for functions that are never given the zero row.
func plus(row, v string) string { return row + "+" + v }

func decimalText(n int64) string { return fmt.Sprint(n) }

// TestWindowModel compares hopping windows with a model that keeps every window in a list, and asks of each record all the
// windows there could be.
func TestWindowModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 30).Draw(t, "size")
		advance := rapid.Int64Range(1, size).Draw(t, "advance")
		grace := rapid.Int64Range(0, 20).Draw(t, "grace")
		by, parts := drawAggregation(t), drawParts(t)

		var want []string
		var windows []*modelWindow
		streamTime := int64(0)
		closeWindows := func(until int64) {
			slices.SortFunc(windows, func(a, b *modelWindow) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.key, b.key)) })
			for _, w := range windows {
				if !w.sent && w.end+grace <= until {
					w.sent = true
					want = append(want, "closed "+w.span()+" "+by.show(w.values))
				}
			}
		}
		for _, p := range parts {
			streamTime = max(streamTime, p.at)
			closeWindows(streamTime)
			if p.key == noKey {
				continue
			}
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
				w := windows[i]
				old := by.show(w.values)
				w.values = append(w.values, p.value)
				changed = append(changed, "row "+w.span()+" "+old+" => "+by.show(w.values))
			}
			if missed != "" {
				want = append(want, "late "+p.value+missed)
			}
			want = append(want, changed...)
		}
		closeWindows(1000)

		windowed := func(s stream.Stream[string, string]) stream.Windowed[string, string] {
			return s.Window(window.Hopping(ms(size), ms(advance)).Grace(ms(grace)))
		}
		var got []string
		switch by {
		case byAggregate:
			got = runWindows(t, parts, itself, func(s stream.Stream[string, string]) windowsOf[string] {
				return windowed(s).Aggregate(textWindows, join)
			})
		case byReduce:
			got = runWindows(t, parts, itself, func(s stream.Stream[string, string]) windowsOf[string] { return windowed(s).Reduce(textWindows, plus) })
		case byCount:
			got = runWindows(t, parts, decimalText, func(s stream.Stream[string, string]) windowsOf[int64] { return windowed(s).Count(countWindows) })
		case inPlace:
			got = runWindows(t, parts, (*bag).text, func(s stream.Stream[string, string]) windowsOf[*bag] {
				return windowed(s).Aggregate(bagWindows, (*bag).add)
			})
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("outputs (-model +stream):\n%s", diff)
		}
	})
}

// Stores of the models.
var (
	textWindows   = state.NewWindowStore("w", serde.String, serde.String)
	countWindows  = state.NewWindowStore("w", serde.String, serde.Int64)
	bagWindows    = state.NewWindowStore("w", serde.String, serde.JSON[*bag]())
	textSessions  = state.NewSessionStore("s", serde.String, serde.String)
	countSessions = state.NewSessionStore("s", serde.String, serde.Int64)
	bagSessions   = state.NewSessionStore("s", serde.String, serde.JSON[*bag]())
)

// windowsOf is a table of windows of a stream of text.
type windowsOf[A any] = stream.WindowTable[string, string, A, window.Key[string]]

// runWindows runs a windowed step on records, with restarts, and returns its outputs as text, in the order in which they came.
func runWindows[A any](t *rapid.T, parts []part, show func(A) string, define func(stream.Stream[string, string]) windowsOf[A]) []string {
	out := stream.NewTopic("out", serde.String, serde.String)
	lateOut := stream.NewTopic("late", serde.String, serde.String)
	in := stream.NewTopic("in", serde.String, serde.String)
	b := stream.NewBuilder("app")
	table := define(b.From(in))
	text := func(s stream.Stream[window.Key[string], string], what string) stream.Stream[string, string] {
		return s.MapRecord(func(r stream.Record[window.Key[string], string]) string {
			return fmt.Sprintf("%s %s%s %s", what, r.Key.Key, spans(r.Key.Window), r.Value)
		}).Rekey(what, serde.String, serde.String, func(window.Key[string], string) string { return "" })
	}
	shown := func(v stream.Optional[A]) string {
		if !v.Present {
			return "none"
		}
		return show(v.Value)
	}
	lateText := table.LateWith(func(v string, missed []window.Window) string { return "late " + v + " " + spans(missed...) })
	rows := table.Changes(func(c stream.Change[A]) string { return shown(c.Old) + " => " + shown(c.New) })
	text(table.OnClose().Map(show), "closed").To(out)
	lateText.To(out)
	table.Late().To(lateOut)
	text(rows, "row").To(out)
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	d := streamtest.New(t, topology)
	for _, p := range parts {
		if p.key == noKey {
			d.PipeBytes("in", nil, []byte(p.value), time.UnixMilli(p.at))
			if n := len(d.DeadLetters()); n != 1 {
				t.Fatalf("%d dead letters of a record without a key, want 1", n)
			}
			continue
		}
		d.Pipe(in, p.key, p.value, time.UnixMilli(p.at))
		if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
			d.Restart()
		}
	}
	d.Advance(time.UnixMilli(1000))
	got := d.Values(out)
	var late []string
	for _, line := range got {
		if fields := strings.Fields(line); fields[0] == "late" {
			late = append(late, fields[1])
		}
	}
	if diff := gocmp.Diff(late, d.Values(lateOut)); diff != "" {
		t.Fatalf("Late (-LateWith +Late):\n%s", diff)
	}
	return got
}

// TestSessionModel compares sessions with a model that keeps the records of every session in a list, and looks for gaps in
// it.
func TestSessionModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		gap := rapid.Int64Range(1, 15).Draw(t, "gap")
		grace := rapid.Int64Range(0, 15).Draw(t, "grace")
		by, parts := drawAggregation(t), drawParts(t)

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
					want = append(want, "closed "+s.span()+" "+by.show(s.values))
				}
			}
		}
		for _, p := range parts {
			streamTime = max(streamTime, p.at)
			closeSessions(streamTime)
			if p.key == noKey {
				continue
			}
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
			old := "none"
			for _, s := range joined {
				if s.start == merged.start && s.end == merged.end {
					old = by.show(s.values)
				} else {
					want = append(want, "row "+s.span()+" "+by.show(s.values)+" => none")
				}
			}
			sessions = slices.DeleteFunc(sessions, func(s *modelWindow) bool { return slices.Contains(joined, s) })
			sessions = append(sessions, merged)
			want = append(want, "row "+merged.span()+" "+old+" => "+by.show(merged.values))
			closeSessions(-1) // sorts them
		}
		closeSessions(1000)

		windowed := func(s stream.Stream[string, string]) stream.SessionWindowed[string, string] {
			return s.Sessions(window.Session(ms(gap)).Grace(ms(grace)))
		}
		var got []string
		switch by {
		case byAggregate:
			got = runWindows(t, parts, itself, func(s stream.Stream[string, string]) windowsOf[string] {
				return windowed(s).Aggregate(textSessions, join, join)
			})
		case byReduce:
			got = runWindows(t, parts, itself, func(s stream.Stream[string, string]) windowsOf[string] { return windowed(s).Reduce(textSessions, plus) })
		case byCount:
			got = runWindows(t, parts, decimalText, func(s stream.Stream[string, string]) windowsOf[int64] { return windowed(s).Count(countSessions) })
		case inPlace:
			got = runWindows(t, parts, (*bag).text, func(s stream.Stream[string, string]) windowsOf[*bag] {
				return windowed(s).Aggregate(bagSessions, (*bag).add, (*bag).merge)
			})
		}
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
		by, parts := drawAggregation(t), drawParts(t)

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
			return by.show(values)
		}
		span := func(key string, end, width int64) string { return fmt.Sprintf("%s[%d,%d) ", key, end-width+1, end+1) }
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
						want = append(want, "closed "+span(e.key, e.at, width)+inWindow(e.key, e.at, width))
					}
				}
			}
			sent = max(sent, until-grace-1)
		}
		for _, p := range parts {
			streamTime = max(streamTime, p.at)
			closeWindows(streamTime)
			if p.key == noKey {
				continue
			}
			if p.at+1+grace <= streamTime {
				missed := make([]window.Window, len(widths))
				for i, width := range widths {
					missed[i] = window.Millis(p.at-width+1, p.at+1)
				}
				slices.SortStableFunc(missed, func(a, b window.Window) int { return a.Start.Compare(b.Start) })
				want = append(want, "late "+p.value+" "+spans(missed...))
				continue
			}
			old := make(map[string]string) // of the windows that are there
			for _, e := range ends() {
				for _, width := range widths {
					old[span(e.key, e.at, width)] = inWindow(e.key, e.at, width)
				}
			}
			taken = append(taken, p)
			for _, e := range ends() {
				for _, width := range widths {
					if e.key == p.key && e.at-width < p.at && p.at <= e.at {
						at := span(e.key, e.at, width)
						want = append(want, "row "+at+cmp.Or(old[at], "none")+" => "+inWindow(e.key, e.at, width))
					}
				}
			}
		}
		closeWindows(1000)

		sliding := make([]time.Duration, len(widths))
		for i, width := range widths {
			sliding[i] = ms(width)
		}
		windowed := func(s stream.Stream[string, string]) stream.SlidingWindowed[string, string] {
			return s.Sliding(window.Sliding(sliding...).Grace(ms(grace)))
		}
		var got []string
		switch by {
		case byAggregate:
			got = runWindows(t, parts, itself, func(s stream.Stream[string, string]) windowsOf[string] {
				return windowed(s).Aggregate(textWindows, join, join)
			})
		case byReduce:
			got = runWindows(t, parts, itself, func(s stream.Stream[string, string]) windowsOf[string] { return windowed(s).Reduce(textWindows, plus) })
		case byCount:
			got = runWindows(t, parts, decimalText, func(s stream.Stream[string, string]) windowsOf[int64] { return windowed(s).Count(countWindows) })
		case inPlace:
			got = runWindows(t, parts, (*bag).text, func(s stream.Stream[string, string]) windowsOf[*bag] {
				return windowed(s).Aggregate(bagWindows, (*bag).add, (*bag).merge)
			})
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("outputs (-model +stream):\n%s", diff)
		}
	})
}
