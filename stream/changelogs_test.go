package stream

import (
	"testing"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// Two instances start an application for the first time. The one that has looked for the topics before the other made them, and reads
// the group's notes after the other has committed, does not take the changelogs for lost.
func TestFirstStartOfTwo(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines")
		write(t, c, lines, someLines(10, 2)...)
		b := NewBuilder("counting")
		b.From(lines).Process("count", count, seenStore).To(counts)
		topology := build(t, b)
		err := c.administer(t.Context(), func(admin *client.Admin) error {
			second := &planner{graph: topology.program.Graph, conn: c.conn(), admin: admin}
			if err := second.look(t.Context()); err != nil {
				return err
			}
			runToEnd(t, topology, c, Config{}) // the first
			return second.checkChangelogs(t.Context())
		})
		if err != nil {
			t.Errorf("the second instance does not start: %v", err)
		}
	})
}
