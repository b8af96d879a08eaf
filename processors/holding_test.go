package processors_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// The processors here hold records back: what comes out depends on the stream time of the task, so the models look at all keys
// together.

var (
	released = stream.NewTopic("released", serde.String, serde.String)
	sessions = stream.NewTopic("sessions", serde.String, serde.JSON[processors.Session[string]]())
)

func driveWith[R any](t streamtest.TB, p stream.Processor[string, string, string, R], store state.Definition, out stream.Topic[string, R]) *streamtest.Driver {
	t.Helper()
	b := stream.NewBuilder("app")
	b.From(in).ProcessWith("process", p, store).To(out)
	topology, err := b.Build()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return streamtest.New(t, topology)
}

func newDelay(t streamtest.TB, by time.Duration) *streamtest.Driver {
	t.Helper()
	store := processors.NewDelayStore("held", serde.String, serde.String)
	until := func(r stream.Record[string, string]) time.Time {
		if r.Value == "now" {
			return r.Time
		}
		return r.Time.Add(by)
	}
	return driveWith(t, processors.Delay(until, store), store, released)
}

func newDedupLast(t streamtest.TB, within time.Duration) *streamtest.Driver {
	t.Helper()
	store := processors.NewLastStore("latest", serde.String, serde.String, within)
	return driveWith(t, processors.DedupLast(word, store), store, released)
}

func newSessions(t streamtest.TB, cfg processors.SessionConfig) *streamtest.Driver {
	t.Helper()
	store := processors.NewSessionStore("open", serde.String, serde.String, cfg)
	return driveWith(t, processors.Sessionize(store), store, sessions)
}

// Arguments: by=DURATION. The value "now" is not held.
func TestDelayScripts(t *testing.T) {
	runScripts(t, "delay", func(t *testing.T, td *datadriven.TestData) *streamtest.Driver {
		var by string
		td.ScanArgs(t, "by", &by)
		return newDelay(t, duration(t, by))
	}, released, func(v string) string { return v })
}

// Arguments: within=DURATION. The id is the value's first word.
func TestDedupLastScripts(t *testing.T) {
	runScripts(t, "deduplast", func(t *testing.T, td *datadriven.TestData) *streamtest.Driver {
		var within string
		td.ScanArgs(t, "within", &within)
		return newDedupLast(t, duration(t, within))
	}, released, func(v string) string { return v })
}

// Arguments: gap=DURATION [lateness=DURATION] [max=N]
func TestSessionScripts(t *testing.T) {
	runScripts(t, "session", func(t *testing.T, td *datadriven.TestData) *streamtest.Driver {
		var cfg processors.SessionConfig
		var gap, lateness string
		td.ScanArgs(t, "gap", &gap)
		td.MaybeScanArgs(t, "lateness", &lateness)
		td.MaybeScanArgs(t, "max", &cfg.MaxRecords)
		cfg.Gap, cfg.Lateness = duration(t, gap), duration(t, lateness)
		return newSessions(t, cfg)
	}, sessions, func(s processors.Session[string]) string {
		text := fmt.Sprintf("%d to %d: %s", s.Start.Unix(), s.End.Unix(), strings.Join(s.Values, " "))
		if s.Cut {
			text += " (cut)"
		}
		return text
	})
}

// waiting is a record that a model holds.
type waiting struct {
	key, value string
	at, due, n int64
}

// pop removes and returns the records that are due, in the order in which they leave.
func pop(held *[]waiting, now int64) (out []waiting) {
	slices.SortStableFunc(*held, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(len(a.key), len(b.key)), cmp.Compare(a.key, b.key), cmp.Compare(a.value, b.value))
	})
	for len(*held) > 0 && (*held)[0].due <= now {
		out, *held = append(out, (*held)[0]), (*held)[1:]
	}
	return out
}

// got are the records that came out, as the models write them.
func got(d *streamtest.Driver) (out []waiting) {
	for _, r := range d.Read(released) {
		out = append(out, waiting{key: r.Key, value: r.Value, at: r.Time.Unix()})
	}
	return out
}

func wantReleased(t *rapid.T, want []waiting, d *streamtest.Driver) {
	t.Helper()
	for i := range want {
		want[i].due, want[i].n = 0, 0
	}
	if diff := gocmp.Diff(want, got(d), gocmp.AllowUnexported(waiting{})); diff != "" {
		t.Fatalf("released (-want +got):\n%s", diff)
	}
}

// TestDelayModel compares with a list of records that are looked through at every step.
func TestDelayModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		by := rapid.Int64Range(0, 10).Draw(t, "by")
		d := newDelay(t, time.Duration(by)*time.Second)
		var held []waiting
		streamTime := int64(0)
		for n := range rapid.Int64Range(1, 60).Draw(t, "records") {
			now := rapid.Int64Range(max(0, streamTime-8), streamTime+5).Draw(t, "time")
			streamTime = max(streamTime, now)
			// The number in the value keeps records of one time in their order.
			w := waiting{key: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), value: fmt.Sprintf("%03d", n), at: now, due: now + by}
			want := pop(&held, streamTime)
			if w.due <= streamTime {
				want = append(want, w)
			} else {
				held = append(held, w)
			}
			d.Pipe(in, w.key, w.value, second(now))
			wantReleased(t, want, d)
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

// A delay of the lateness puts records in order.
func TestDelayOrders(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := newDelay(t, 8*time.Second)
		streamTime, last := int64(0), int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "records") {
			now := rapid.Int64Range(max(0, streamTime-8), streamTime+5).Draw(t, "time")
			streamTime = max(streamTime, now)
			d.Pipe(in, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), "v", second(now))
			for _, r := range got(d) {
				if r.at < last {
					t.Fatalf("a record of second %d after one of %d", r.at, last)
				}
				last = r.at
			}
		}
	})
}

// A record that is held keeps its headers.
func TestDelayHeaders(t *testing.T) {
	t.Parallel()
	d := newDelay(t, time.Second)
	headers := []stream.Header{{Key: "trace", Value: []byte{1, 2}}, {Key: "", Value: []byte{}}}
	d.PipeRecord(in, stream.Record[string, string]{Key: "a", Value: "v", Time: second(1), Headers: headers})
	d.Pipe(in, "a", "now", second(2))
	want := stream.Record[string, string]{Key: "a", Value: "v", Time: second(1), Headers: headers, Topic: "released"}
	if diff := gocmp.Diff(want, d.Read(released)[0]); diff != "" {
		t.Errorf("released (-want +got):\n%s", diff)
	}
}

// TestDedupLastModel compares with a list of the youngest records of each id.
func TestDedupLastModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		within := rapid.Int64Range(1, 8).Draw(t, "within")
		d := newDedupLast(t, time.Duration(within)*time.Second)
		var held []waiting
		streamTime := int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "records") {
			now := rapid.Int64Range(max(0, streamTime-8), streamTime+5).Draw(t, "time")
			streamTime = max(streamTime, now)
			key := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
			id := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "id")
			want := pop(&held, streamTime)
			i := slices.IndexFunc(held, func(w waiting) bool { return w.key == key && w.value == id })
			switch {
			case id == "":
				want = append(want, waiting{key: key, at: now})
			case i < 0:
				held = append(held, waiting{key: key, value: id, at: now, due: now + within})
				want = append(want, pop(&held, streamTime)...)
			case now >= held[i].at:
				held[i].at = now
			}
			d.Pipe(in, key, id, second(now))
			wantReleased(t, want, d)
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

// TestSessionModel compares with all open records, parted anew at every step.
func TestSessionModel(t *testing.T) {
	t.Parallel()
	type ended struct {
		key     string
		due     int64
		session processors.Session[string]
	}
	rapid.Check(t, func(t *rapid.T) {
		gap, lateness := rapid.Int64Range(1, 6).Draw(t, "gap"), rapid.Int64Range(0, 6).Draw(t, "lateness")
		most := rapid.SampledFrom([]int{1, 4, 100}).Draw(t, "max")
		d := newSessions(t, processors.SessionConfig{
			Gap: time.Duration(gap) * time.Second, Lateness: time.Duration(lateness) * time.Second, MaxRecords: most,
		})
		open := map[string][]waiting{}
		// end takes the sessions out that have ended, or all of one key.
		end := func(now int64, all string) (out []processors.Session[string]) {
			var found []ended
			for key, records := range open {
				slices.SortStableFunc(records, func(a, b waiting) int { return cmp.Compare(a.at, b.at) })
				var left []waiting
				for first := 0; first < len(records); {
					next := first + 1
					for next < len(records) && records[next].at-records[next-1].at < gap {
						next++
					}
					due := records[next-1].at + gap + lateness
					if due <= now || key == all {
						s := processors.Session[string]{Start: second(records[first].at), End: second(records[next-1].at), Cut: key == all}
						for _, r := range records[first:next] {
							s.Values = append(s.Values, r.value)
						}
						if key == all {
							due = s.Start.Unix() // in order of time
						}
						found = append(found, ended{key, due, s})
					} else {
						left = append(left, records[first:next]...)
					}
					first = next
				}
				open[key] = left
			}
			slices.SortFunc(found, func(a, b ended) int { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.key, b.key)) })
			for _, e := range found {
				out = append(out, e.session)
			}
			return out
		}
		streamTime := int64(0)
		for n := range rapid.Int64Range(1, 60).Draw(t, "records") {
			now := rapid.Int64Range(max(0, streamTime-12), streamTime+5).Draw(t, "time")
			streamTime = max(streamTime, now)
			key := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
			want := end(streamTime, "")
			open[key] = append(open[key], waiting{value: fmt.Sprint(n), at: now})
			if len(open[key]) >= most {
				want = append(want, end(0, key)...)
			} else {
				want = append(want, end(streamTime, "")...)
			}
			d.Pipe(in, key, fmt.Sprint(n), second(now))
			if diff := gocmp.Diff(want, d.Values(sessions)); diff != "" {
				t.Fatalf("record %d, key %q, second %d of stream time %d (-want +got):\n%s", n, key, now, streamTime, diff)
			}
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

func TestHoldingMistakes(t *testing.T) {
	t.Parallel()
	b := stream.NewBuilder("app")
	latest := processors.NewLastStore("latest", serde.String, serde.String, 0)
	b.From(in).ProcessWith("last", processors.DedupLast(word, latest), latest).To(released)
	open := processors.NewSessionStore("open", serde.String, serde.Serde[string]{Name: "nothing"}, processors.SessionConfig{Lateness: -1, MaxRecords: -1})
	b.From(in).ProcessWith("sessions", processors.Sessionize(open), open).To(sessions)
	_, err := b.Build()
	for _, want := range []string{`"latest": within 0s`, `"open": gap 0s`, "lateness -1ns", "at most -1 records", `serde: "nothing"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Build: %v, want a mention of %s", err, want)
		}
	}
}
