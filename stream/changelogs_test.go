package stream

import (
	"strings"
	"testing"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// A store whose changelog was deleted is not silently empty; a store that is new is.
func TestDeletedChangelog(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, "lines")
		write(t, c, lines, someLines(100, 5)...)
		runToEnd(t, counting(t), c, Config{})

		b := NewBuilder("counting")
		more := state.NewKeyValueStore("more", serde.String, serde.Int64)
		b.From(lines).Process("count", count, seenStore, more).To(counts)
		write(t, c, lines, someLines(10, 5)...)
		if stats := runToEnd(t, build(t, b), c, Config{}); stats.Processed != 10 {
			t.Errorf("with a new store the run has %+v, want 10 records", stats)
		}

		deleteTopic(t, c, "counting-seen-changelog")
		app, err := NewApp(counting(t), c, quiet(Config{StopAtEnd: true, AcceptOrphans: true}))
		if err != nil {
			t.Fatal(err)
		}
		err = app.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), `counting-seen-changelog is gone, and with it store "seen"`) {
			t.Errorf("Run returned %v", err)
		}
	})
}
