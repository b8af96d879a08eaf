package processors_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

var windows = stream.NewTopic("windows", serde.String, serde.JSON[processors.Aggregated[string]]())

// observe reads "AMOUNT ITEM".
func observe(v string) processors.Observation {
	amount, item, _ := strings.Cut(v, " ")
	n, _ := strconv.ParseInt(amount, 10, 64)
	return processors.Observation{Amount: n, Item: item}
}

func newSliding(t streamtest.TB, cfg processors.SlidingConfig) *streamtest.Driver {
	t.Helper()
	store := processors.NewSlidingStore("recent", serde.String, cfg)
	b := stream.NewBuilder("app")
	b.From(in).Process("recent", processors.Sliding(observe, store), store).To(windows)
	topology, err := b.Build()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return streamtest.New(t, topology)
}

// TestSlidingScripts pipes records and prints the windows that end with each. Commands:
//
//	new windows=(WIDTH[-DELAY],...) [lateness=DURATION] [max=N] [distinct]
//	pipe
//	SECOND KEY AMOUNT [ITEM]
//	restart
func TestSlidingScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/sliding", func(t *testing.T, path string) {
		var d *streamtest.Driver
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			var out strings.Builder
			switch td.Cmd {
			case "new":
				cfg := processors.SlidingConfig{Distinct: td.HasArg("distinct")}
				for _, arg := range td.CmdArgs {
					switch arg.Key {
					case "windows":
						for _, v := range arg.Vals {
							width, delay, _ := strings.Cut(v, "-")
							cfg.Windows = append(cfg.Windows, processors.SlidingWindow{Width: duration(t, width), Delay: duration(t, delay)})
						}
					case "lateness":
						cfg.Lateness = duration(t, arg.Vals[0])
					case "max":
						td.ScanArgs(t, "max", &cfg.MaxObservations)
					}
				}
				d = newSliding(t, cfg)
			case "restart":
				d.Restart()
			case "pipe":
				pipeLines(t, d, td.Input)
				for _, r := range d.Read(windows) {
					fmt.Fprintf(&out, "%s %s:", r.Key, r.Value.Value)
					if r.Value.Late {
						out.WriteString(" late")
					}
					for _, a := range r.Value.Windows {
						fmt.Fprintf(&out, " [n=%d sum=%d mean=%g min=%d max=%d", a.Count, a.Sum, a.Mean(), a.Min, a.Max)
						if a.Distinct > 0 {
							fmt.Fprintf(&out, " distinct=%d", a.Distinct)
						}
						if a.Truncated {
							out.WriteString(" truncated")
						}
						out.WriteString("]")
					}
					out.WriteByte('\n')
				}
			default:
				t.Fatalf("unknown command %q", td.Cmd)
			}
			return out.String()
		})
	})
}

// duration parses a duration; nothing is 0.
func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// pipeLines pipes lines of SECOND KEY VALUE into the topic in.
func pipeLines(t *testing.T, d *streamtest.Driver, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		n, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil || len(f) < 3 {
			t.Fatalf("line %q: want SECOND KEY VALUE", line)
		}
		d.Pipe(in, f[1], f[2], second(n))
	}
}

// observed is an observation as the model remembers it.
type observed struct {
	at     int64
	amount int64
	item   string
}

// windowOf aggregates what lies in (since, until].
func windowOf(all []observed, since, until int64, distinct bool) (a processors.Aggregate) {
	items := make(map[string]bool)
	for _, o := range all {
		if o.at <= since || o.at > until {
			continue
		}
		if a.Count == 0 {
			a.Min, a.Max = o.amount, o.amount
		}
		a.Count++
		a.Sum += o.amount
		a.Min, a.Max = min(a.Min, o.amount), max(a.Max, o.amount)
		items[o.item] = true
	}
	if distinct {
		a.Distinct = len(items)
	}
	return a
}

// TestSlidingModel compares the processor, restarted now and then, with a list of all observations. Times often
// repeat, run back within the lateness and beyond it, and sometimes leap over all windows.
func TestSlidingModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var cfg processors.SlidingConfig
		seconds := rapid.SampledFrom([]int64{1, 2, 5, 40, 300})
		for range rapid.IntRange(1, 3).Draw(t, "windows") {
			w := processors.SlidingWindow{Width: time.Duration(seconds.Draw(t, "width")) * time.Second}
			if rapid.Bool().Draw(t, "delayed") {
				w.Delay = time.Duration(seconds.Draw(t, "delay")) * time.Second
			}
			cfg.Windows = append(cfg.Windows, w)
		}
		lateness := rapid.SampledFrom([]int64{0, 3, 50, 400}).Draw(t, "lateness")
		cfg.Lateness = time.Duration(lateness) * time.Second
		cfg.Distinct = rapid.Bool().Draw(t, "distinct")
		step := rapid.SampledFrom([]int64{1, 3, 20}).Draw(t, "step")
		d := newSliding(t, cfg)
		model := make(map[string][]observed)
		streamTime := int64(1000)
		for i := range rapid.IntRange(1, 300).Draw(t, "records") {
			now := rapid.Int64Range(streamTime-min(lateness+2, 3*step), streamTime+step).Draw(t, "time")
			if rapid.IntRange(0, 99).Draw(t, "leap") == 0 {
				now += 2000
			}
			if streamTime = max(streamTime, now); i == 0 {
				streamTime = now
			}
			key := rapid.SampledFrom([]string{"", "a"}).Draw(t, "key")
			o := observed{now, rapid.Int64Range(-3, 300).Draw(t, "amount"), rapid.SampledFrom([]string{"", "x", "y", "zz"}).Draw(t, "item")}

			value := fmt.Sprintf("%d %s", o.amount, o.item)
			want := processors.Aggregated[string]{Value: value}
			if want.Late = now < streamTime-lateness; !want.Late {
				model[key] = append(model[key], o)
				for _, w := range cfg.Windows {
					until := now - int64(w.Delay/time.Second)
					want.Windows = append(want.Windows, windowOf(model[key], until-int64(w.Width/time.Second), until, cfg.Distinct))
				}
			}
			d.Pipe(in, key, value, second(now))
			if diff := cmp.Diff([]processors.Aggregated[string]{want}, d.Values(windows), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("record %d, key %q, second %d of stream time %d (-want +got):\n%s", i, key, now, streamTime, diff)
			}
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

// TestSlidingBackward compares the times that a key is asked for with a list of all, in blocks and in the head.
func TestSlidingBackward(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const width = 300
		store := processors.NewSlidingStore("recent", serde.String, processors.SlidingConfig{
			Windows: []processors.SlidingWindow{{Width: width * time.Second}}, Lateness: 5 * time.Second,
		})
		times := stream.NewTopic("times", serde.String, serde.JSON[[]int64]())
		since, until, most := int64(0), int64(0), 0 // asked for
		b := stream.NewBuilder("app")
		b.From(in).Process("recent", func(c *stream.Context[string, []int64], r stream.Record[string, string]) error {
			w := store.In(c)
			if _, err := w.Observe(r.Key, processors.Observation{}); err != nil {
				return err
			}
			var found []int64
			for at, err := range w.Backward(r.Key, second(since), second(until)) {
				if err != nil {
					return err
				}
				if found = append(found, at.Unix()); len(found) == most {
					break
				}
			}
			return c.Forward(r.Key, found)
		}, store).To(times)
		topology, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		d := streamtest.New(t, topology)
		var all []int64
		now := int64(1000)
		for range rapid.IntRange(1, 300).Draw(t, "records") {
			now += rapid.SampledFrom([]int64{0, 0, 1, 3, -2}).Draw(t, "step")
			if len(all) > 0 {
				now = max(now, all[len(all)-1]-5)
			}
			all = append(all, now)
			slices.Sort(all)
			since = rapid.Int64Range(now-width+10, now).Draw(t, "since")
			until = rapid.Int64Range(since, now).Draw(t, "until")
			most = rapid.IntRange(1, 200).Draw(t, "most")
			var want []int64
			for _, at := range slices.Backward(all) {
				if at > since && at <= until && len(want) < most {
					want = append(want, at)
				}
			}
			d.Pipe(in, "k", "1", second(now))
			if diff := cmp.Diff([][]int64{want}, d.Values(times), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("the last %d of (%d, %d] at %d (-want +got):\n%s", most, since, until, now, diff)
			}
		}
	})
}

// A key with more observations than the limit counts the youngest, and says so.
func TestSlidingLimit(t *testing.T) {
	t.Parallel()
	const most, records = 500, 3000
	d := newSliding(t, processors.SlidingConfig{
		Windows:         []processors.SlidingWindow{{Width: 10 * time.Second}, {Width: time.Hour}},
		MaxObservations: most,
	})
	for n := range int64(records) {
		d.Pipe(in, "k", "1", second(n))
		got := d.Values(windows)[0].Windows
		if want := (processors.Aggregate{Count: min(n+1, 10), Sum: min(n+1, 10), Min: 1, Max: 1}); got[0] != want {
			t.Fatalf("record %d: the narrow window is %+v, want %+v", n, got[0], want)
		}
		wide := got[1]
		if truncated := n >= most; wide.Truncated != truncated || !truncated && wide.Count != n+1 || wide.Count > most || truncated && wide.Count < most*8/10 {
			t.Fatalf("record %d: the wide window is %+v; the limit is %d", n, wide, most)
		}
	}
}

// A sum that does not fit fails its record alone, and nothing of it is kept.
func TestSlidingOverflow(t *testing.T) {
	t.Parallel()
	d := newSliding(t, processors.SlidingConfig{Windows: []processors.SlidingWindow{{Width: time.Minute}}})
	d.Pipe(in, "k", strconv.FormatInt(math.MaxInt64, 10), second(1))
	d.Pipe(in, "k", "1", second(2))
	letters := d.DeadLetters()
	if len(letters) != 1 || !errors.Is(letters[0].Cause, processors.ErrOverflow) {
		t.Errorf("dead letters %v, want one of ErrOverflow", letters)
	}
	d.Pipe(in, "k", "-1", second(3))
	values := d.Values(windows)
	if got := values[len(values)-1].Windows[0]; got.Sum != math.MaxInt64-1 || got.Count != 2 {
		t.Errorf("after the overflow: %+v, want the sum of 2", got)
	}
}

func TestSlidingMistakes(t *testing.T) {
	t.Parallel()
	store := processors.NewSlidingStore("re cent", serde.Serde[string]{Name: "nothing"}, processors.SlidingConfig{
		Windows: []processors.SlidingWindow{{Width: 0, Delay: -1}}, Lateness: -time.Second, MaxObservations: -1,
	})
	empty := processors.NewSlidingStore("empty", serde.String, processors.SlidingConfig{})
	b := stream.NewBuilder("app")
	b.From(in).Process("recent", processors.Sliding(observe, store), store).To(windows)
	b.From(in).Process("empty", processors.Sliding(observe, empty), empty).To(windows)
	_, err := b.Build()
	for _, want := range []string{`"re cent"`, `serde: "nothing"`, "width 0s", "delay -1ns", "lateness -1s", "at most -1", "no windows"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Build: %v, want a mention of %s", err, want)
		}
	}
}

// BenchmarkSliding adds a record to a key with so many observations in its windows. The time of the test driver, of its
// memory store and of the input's serdes is part of it.
func BenchmarkSliding(b *testing.B) {
	for _, size := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("observations=%d", size), func(b *testing.B) {
			width := time.Duration(size) * time.Second
			store := processors.NewSlidingStore("recent", serde.String, processors.SlidingConfig{
				Windows: []processors.SlidingWindow{{Width: width / 10}, {Width: width / 3}, {Width: width}},
			})
			builder := stream.NewBuilder("app")
			builder.From(in).
				Process("recent", processors.Sliding(observe, store), store).
				Filter(func(a processors.Aggregated[string]) bool { return a.Late }).
				To(windows)
			topology, err := builder.Build()
			if err != nil {
				b.Fatal(err)
			}
			d := streamtest.New(b, topology)
			n := int64(0)
			pipe := func() {
				d.Pipe(in, "k", "1234", second(n))
				n++
			}
			for range size {
				pipe()
			}
			b.ReportAllocs()
			for b.Loop() {
				pipe()
			}
		})
	}
}
