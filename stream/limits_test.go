package stream

import (
	"strings"
	"testing"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// What a record makes can be too large in several ways. Each is the record's fault: it becomes a dead letter, and the
// application goes on.
func TestTooLargeIsADeadLetter(t *testing.T) {
	t.Parallel()
	blobs := state.NewKeyValueStore("blobs", serde.String, serde.String)
	f := func(c *Context[string, string], r Record[string, string]) error {
		switch r.Value {
		case "headers": // with their lengths they are above the limit, without them below
			big := Record[string, string]{Key: r.Key, Time: r.Time, Value: strings.Repeat("x", 1<<20-12-1<<10-3000)}
			for range 500 {
				big.Headers = append(big.Headers, Header{Key: "h"})
			}
			return c.ForwardRecord(big)
		case "value":
			return blobs.In(c).Put(r.Key, strings.Repeat("x", state.MaxValueBytes+1))
		case "key":
			return blobs.In(c).Put(strings.Repeat("x", state.MaxKeyBytes+1), "")
		case "deleted key":
			return blobs.In(c).Delete(strings.Repeat("x", state.MaxKeyBytes+1))
		}
		return c.ForwardRecord(r)
	}
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines", "copies")
		b := NewBuilder("large")
		b.From(lines).Process("make", f, blobs).To(NewTopic("copies", serde.String, serde.String))
		kinds := []string{"headers", "value", "key", "deleted key", "fine"}
		for _, kind := range kinds {
			write(t, c, lines, Record[string, string]{Key: "k", Value: kind})
		}
		stats := runToEnd(t, build(t, b), c, Config{})
		if stats.Processed != 5 || stats.DeadLetters != 4 {
			t.Errorf("the run has %+v, want 5 records and 4 dead letters", stats)
		}
	})
}
