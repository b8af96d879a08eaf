package stream

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// Parked keys are state: another run, on another machine, knows them. Once the letters are put back, each key has its records
// in order, the others went on meanwhile, and nothing is lost or doubled.
func TestParkedKeys(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 3, "lines")
		define := func(bad string) *Topology {
			b := NewBuilder("parking")
			b.OnError(Errors{ParkKeys: true})
			b.From(lines).TryMap(func(v string) (string, error) {
				if v == bad {
					return "", errors.New("bad")
				}
				return v, nil
			}).Rekey("again", serde.String, serde.String, func(k, _ string) string { return k }).
				Process("count", count, seenStore).To(counts)
			return build(t, b)
		}
		write(t, c, lines, someLines(50, 5)...)
		if stats := runToEnd(t, define("line 12"), c, Config{}); stats.DeadLetters != 8 {
			t.Errorf("the first run has %+v, want 8 dead letters: line 12, and those of its key behind it", stats)
		}
		write(t, c, lines, someLines(50, 5)...)
		if stats := runToEnd(t, define("line 12"), c, Config{Backend: state.NewMemory()}); stats.DeadLetters != 10 {
			t.Errorf("the second run has %+v, want 10 dead letters: all of the key", stats)
		}
		dead := read(t, c, NewTopic("parking-dead-letters", serde.String, serde.String))
		for i, r := range dead { // as riffle dlq replay does
			var kept []Header
			for _, h := range r.Headers {
				if !IsDeadLetterHeader(h.Key) {
					kept = append(kept, h)
				}
				if h.Key == HeaderParked {
					if want := fmt.Sprint(i); string(h.Value) != want {
						t.Errorf("dead letter %d says that it is number %s", i, h.Value)
					}
					kept = append(kept, Header{Key: HeaderReplayed, Value: h.Value})
				}
			}
			r.Headers = kept
			write(t, c, lines, r)
		}
		write(t, c, lines, someLines(50, 5)...)
		if stats := runToEnd(t, define(""), c, Config{}); stats.DeadLetters != 0 {
			t.Errorf("the last run has %+v, want no dead letter", stats)
		}
		want := make(map[string][]int64)
		for i := range 5 {
			for n := range 30 {
				key := fmt.Sprintf("key-%d", i)
				want[key] = append(want[key], int64(n+1))
			}
		}
		if diff := cmp.Diff(want, byKey(read(t, c, counts))); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})
}

// A topology that parks keys no more would leave them behind, and the diff says so.
func TestParkedKeysAreNotOrphanedSilently(t *testing.T) {
	t.Parallel()
	define := func(e Errors) string {
		b := NewBuilder("parking")
		b.OnError(e)
		b.From(lines).To(shouts)
		return build(t, b).String()
	}
	d, err := DiffTopologies(define(Errors{ParkKeys: true}), define(Errors{}))
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Of(Orphaned); len(got) != 1 || got[0].Name != "parked-lines" {
		t.Errorf("orphaned are %v, want the store parked-lines", got)
	}
}
