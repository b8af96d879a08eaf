package streamtest_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// eachCrash runs a test for each point at which both of two instances die. crash has them die while they commit what is written
// meanwhile, and brings them back, with or without their state.
func eachCrash(t *testing.T, test func(t *testing.T, crash func(c *streamtest.Cluster, meanwhile func()))) {
	t.Parallel()
	for _, p := range streamtest.Points {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/lost=%v", p, lost), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					test(t, func(c *streamtest.Cluster, meanwhile func()) {
						t.Helper()
						for i := range 2 {
							c.CrashAt(i, p)
						}
						meanwhile()
						for i := range 2 {
							c.AwaitCrash(i)
							if lost {
								c.Lose(i)
							} else {
								c.Restart(i)
							}
						}
						c.Settle()
					})
				})
			})
		}
	}
}

var (
	asks    = stream.NewTopic("asks", serde.String, serde.Int64)
	answers = stream.NewTopic("answers", serde.String, serde.String)
	asked   = state.NewTableStore("asked", serde.String, serde.Int64)
	tallies = stream.NewTopic("tallies", serde.String, serde.Int64)

	errOdd = errors.New("an odd one")
)

// asker asks a service whose answers take differently long, and counts them by key. Each seventh question fails for good.
func asker(t testing.TB) *stream.Topology {
	t.Helper()
	b := stream.NewBuilder("asker")
	replies := b.From(asks).AsyncMap("ask", func(ctx context.Context, n int64) (string, error) {
		select {
		case <-time.After(time.Duration(n*37%11) * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if n%7 == 0 {
			return "", stream.Permanent(errOdd)
		}
		return fmt.Sprint("answer ", n), nil
	}, stream.Async{MaxInFlight: 8})
	replies.To(answers)
	replies.Count(asked).To(tallies)
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

// Instances that die in a commit while calls are under way repeat the calls and nothing else: answers, what is counted of them and
// dead letters are those of a run that nothing disturbed, once each and in the order of the questions of a key.
func TestAsyncMapCrashes(t *testing.T) {
	eachCrash(t, func(t *testing.T, crash func(*streamtest.Cluster, func())) {
		c := streamtest.NewCluster(t, asker(t), streamtest.ClusterConfig{Instances: 2, Partitions: 2})
		want, dead := make(map[string][]string), make(map[string]int)
		n := int64(0)
		ask := func() {
			var records []stream.Record[string, int64]
			for range 40 {
				n++
				key := fmt.Sprint("key-", n%5)
				records = append(records, stream.Record[string, int64]{Key: key, Value: n, Time: at(n)})
				if n%7 == 0 {
					dead[key]++
					continue
				}
				want[key] = append(want[key], fmt.Sprint("answer ", n))
			}
			c.Write(asks, records...)
		}
		ask()
		c.Settle()
		crash(c, ask)
		// And at a moment of no importance, with calls under way.
		ask()
		c.Advance(5 * time.Millisecond)
		c.Crash(1)
		c.Restart(1)
		c.Settle()

		got := make(map[string][]string)
		for _, r := range c.Read(answers) {
			got[r.Key] = append(got[r.Key], r.Value)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("answers by key (-want +got):\n%s", diff)
		}
		counted := make(map[string][]int64)
		byPage(c.Read(tallies), counted)
		for key, values := range counted {
			for i, v := range values {
				if v != int64(i+1) {
					t.Fatalf("the counts of %s are %v: want each number once, in order", key, values)
				}
			}
			if len(values) != len(want[key]) {
				t.Errorf("%s has %d counts, want %d", key, len(values), len(want[key]))
			}
		}
		letters := make(map[string]int)
		for _, l := range c.DeadLetters() {
			letters[string(l.Key)]++
			if !strings.Contains(l.Cause.Error(), errOdd.Error()) {
				t.Errorf("dead letter of %s: %v, want %v", l.Key, l.Cause, errOdd)
			}
		}
		if diff := cmp.Diff(dead, letters); diff != "" {
			t.Errorf("dead letters by key (-want +got):\n%s", diff)
		}
	})
}

// parker passes on the numbers of visits and parks the keys of those that fail, which is what ends in "!" as long as broken says so.
func parker(t testing.TB, broken *atomic.Bool) *stream.Topology {
	t.Helper()
	b := stream.NewBuilder("parker")
	b.OnError(stream.Errors{ParkKeys: true})
	b.From(visits).TryMap(func(v string) (int64, error) {
		if strings.HasSuffix(v, "!") && broken.Load() {
			return 0, errOdd
		}
		return strconv.ParseInt(strings.TrimSuffix(v, "!"), 10, 64)
	}).To(pages)
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

// putBack writes dead letters to where they were read, as riffle dlq replay does.
func putBack(c *streamtest.Cluster) {
	raw := stream.NewTopic(visits.Name, serde.Bytes, serde.Bytes)
	for _, r := range c.ReadBytes("parker-dead-letters") {
		var kept []stream.Header
		for _, h := range r.Headers {
			switch {
			case h.Key == stream.HeaderParked:
				kept = append(kept, stream.Header{Key: stream.HeaderReplayed, Value: h.Value})
			case !stream.IsDeadLetterHeader(h.Key):
				kept = append(kept, h)
			}
		}
		r.Headers = kept
		c.Write(raw, r)
	}
}

// Instances that die in a commit that parks keys, and in one that takes back what was put back, park and release each record once:
// what passes in the end is what passes where nothing fails, in the order of each key.
func TestParkingCrashes(t *testing.T) {
	eachCrash(t, func(t *testing.T, crash func(*streamtest.Cluster, func())) {
		var broken atomic.Bool
		broken.Store(true)
		c := streamtest.NewCluster(t, parker(t, &broken), streamtest.ClusterConfig{Instances: 2, Partitions: 2})
		want, got := make(map[string][]int64), make(map[string][]int64)
		n := int64(0)
		write := func() {
			var records []stream.Record[string, string]
			for range 30 {
				key, value := fmt.Sprint("key-", n%6), fmt.Sprint(n)
				if n == 10 || n == 31 || n == 47 {
					value += "!"
				}
				records = append(records, stream.Record[string, string]{Key: key, Value: value, Time: at(n)})
				want[key] = append(want[key], n)
				n++
			}
			c.Write(visits, records...)
		}
		write()
		c.Settle()
		crash(c, write)
		byPage(c.Read(pages), got)
		for key, passed := range map[string]int{"key-0": 10, "key-1": 5, "key-2": 10, "key-3": 10, "key-4": 1, "key-5": 7} {
			if diff := cmp.Diff(want[key][:passed], got[key]); diff != "" {
				t.Errorf("of %s passed before anything was mended (-want +got):\n%s", key, diff)
			}
		}
		broken.Store(false)
		crash(c, func() { putBack(c); write() })
		byPage(c.Read(pages), got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what passed in the end, by key (-want +got):\n%s", diff)
		}
	})
}
