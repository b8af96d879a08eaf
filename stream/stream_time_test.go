package stream

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// Stream time goes on where it stood when an application starts again, also if what moved it changed no store: else
// records that were late would not be any more, and a replay would differ.
func TestStreamTimeAcrossRuns(t *testing.T) {
	t.Parallel()
	for _, guarantee := range []Guarantee{ExactlyOnce, AtLeastOnce} {
		t.Run(fmt.Sprint("guarantee=", guarantee), func(t *testing.T) {
			t.Parallel()
			eachBroker(t, func(t *testing.T, c *Cluster) {
				createTopics(t, c, 1, "lines")
				kept := state.NewKeyValueStore("kept", serde.String, serde.String)
				tell := func(c *Context[string, string], r Record[string, string]) error {
					if r.Value == "keep" {
						return kept.In(c).Put(r.Key, r.Value)
					}
					return c.Forward(r.Key, fmt.Sprint(c.StreamTime().Unix()))
				}
				b := NewBuilder("clock")
				b.From(lines).Process("tell", tell, kept).To(shouts)
				topology := build(t, b)
				line := func(key, value string, second int64) Record[string, string] {
					return Record[string, string]{Key: key, Value: value, Time: time.Unix(second, 0).UTC()}
				}
				for _, r := range []Record[string, string]{line("a", "keep", 100), line("b", "tell", 300), line("c", "tell", 200), line("d", "tell", 250)} {
					write(t, c, lines, r)
					runToEnd(t, topology, c, Config{Guarantee: guarantee})
				}
				got := make(map[string]string)
				for _, r := range read(t, c, shouts) {
					got[r.Key] = r.Value
				}
				if diff := cmp.Diff(map[string]string{"b": "300", "c": "300", "d": "300"}, got); diff != "" {
					t.Errorf("stream time at each record (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// So it is without a store: then stream time lies beside the offsets of the group, of either of a task's inputs.
func TestStreamTimeWithoutStores(t *testing.T) {
	t.Parallel()
	for _, guarantee := range []Guarantee{ExactlyOnce, AtLeastOnce} {
		t.Run(fmt.Sprint("guarantee=", guarantee), func(t *testing.T) {
			t.Parallel()
			eachBroker(t, func(t *testing.T, c *Cluster) {
				createTopics(t, c, 1, "lines", "shouts")
				told := NewTopic("told", serde.String, serde.String)
				tell := func(c *Context[string, string], r Record[string, string]) error {
					return c.Forward(r.Key, fmt.Sprint(c.StreamTime().Unix()))
				}
				b := NewBuilder("clock")
				b.From(lines).Merge(b.From(shouts)).Process("tell", tell).To(told)
				topology := build(t, b)
				line := func(key string, second int64) Record[string, string] {
					return Record[string, string]{Key: key, Value: "tell", Time: time.Unix(second, 0).UTC()}
				}
				for i, r := range []Record[string, string]{line("a", 100), line("b", 300), line("c", 200), line("d", 250), line("e", 400), line("f", 350)} {
					write(t, c, []Topic[string, string]{lines, shouts}[i/2%2], r)
					runToEnd(t, topology, c, Config{Guarantee: guarantee})
				}
				got := make(map[string]string)
				for _, r := range read(t, c, told) {
					got[r.Key] = r.Value
				}
				if diff := cmp.Diff(map[string]string{"a": "100", "b": "300", "c": "300", "d": "300", "e": "400", "f": "400"}, got); diff != "" {
					t.Errorf("stream time at each record (-want +got):\n%s", diff)
				}
			})
		})
	}
}
