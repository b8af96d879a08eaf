package processors_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

var seenTopic = stream.NewTopic("seen", serde.String, serde.JSON[processors.Seen[string]]())

func newFirstSeen(t streamtest.TB, ttl time.Duration) *streamtest.Driver {
	t.Helper()
	store := processors.NewSeenStore("items", serde.String).TTL(ttl)
	return drive(t, processors.FirstSeen(word, store), store, seenTopic)
}

// Arguments: [ttl=DURATION]. The item is the value's first word.
func TestFirstSeenScripts(t *testing.T) {
	runScripts(t, "firstseen", func(t *testing.T, td *datadriven.TestData) *streamtest.Driver {
		var ttl string
		td.MaybeScanArgs(t, "ttl", &ttl)
		return newFirstSeen(t, duration(t, ttl))
	}, seenTopic, func(s processors.Seen[string]) string {
		if s.FirstSeen() {
			return s.Value + ": new"
		}
		return s.Value + ": last at " + place(s.Last)
	})
}

// TestFirstSeenModel compares with a search through all records.
func TestFirstSeenModel(t *testing.T) {
	t.Parallel()
	type sighting struct {
		key, item string
		at, n     int64
	}
	rapid.Check(t, func(t *rapid.T) {
		ttl := rapid.Int64Range(0, 8).Draw(t, "ttl")
		d := newFirstSeen(t, time.Duration(ttl)*time.Second)
		var all []sighting
		streamTime := int64(0)
		for n := range rapid.Int64Range(1, 60).Draw(t, "records") {
			s := sighting{
				rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "item"),
				rapid.Int64Range(max(0, streamTime-10), streamTime+4).Draw(t, "time"), n,
			}
			streamTime = max(streamTime, s.at)
			var want []processors.Seen[string]
			if s.item != "" {
				var last *sighting
				for i, other := range all {
					alive := ttl == 0 || streamTime < other.at+ttl
					if alive && other.key == s.key && other.item == s.item && (last == nil || other.at >= last.at) {
						last = &all[i]
					}
				}
				seen := processors.Seen[string]{Value: s.item, New: last == nil}
				if last != nil {
					seen.Last = processors.Origin{Topic: "in", Offset: last.n, Time: second(last.at)}
				}
				want = append(want, seen)
				all = append(all, s)
			}
			d.Pipe(in, s.key, s.item, second(s.at))
			if diff := cmp.Diff(want, d.Values(seenTopic)); diff != "" {
				t.Fatalf("record %+v of stream time %d (-want +got):\n%s", s, streamTime, diff)
			}
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}
