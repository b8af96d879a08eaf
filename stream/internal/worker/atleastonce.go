package worker

import (
	"context"
	"time"

	"github.com/riffle-stream/riffle/internal/failpoint"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// atLeastOnce commits in steps, each of which relies on the ones before it being durable:
//
//  1. outputs and changelog data;
//  2. the changelog markers, which carry the input positions: from here on the state counts as moved;
//  3. the group's offsets;
//  4. the stores fold their open writes, in memory.
//
// A crash between 1 and 2 repeats outputs; one between 2 and 3 does not repeat anything in a task with state,
// because it resumes at its markers.
type atLeastOnce struct {
	client *client.Client
	cfg    *Config
}

func (c *atLeastOnce) begin(context.Context) error { return nil }
func (c *atLeastOnce) abort()                      {}
func (c *atLeastOnce) prompt() bool                { return false }

func (c *atLeastOnce) commit(ctx context.Context, tasks []*running, offsets client.Offsets) error {
	now := time.Now().UnixMilli()
	changed := make([][]*changelogStore, len(tasks))
	err := eachTask(c.cfg, tasks, func(i int, r *running) (err error) {
		changed[i], err = sendChanges(ctx, r, now)
		return err
	})
	if err != nil {
		return err
	}
	if err := flush(ctx, c.client, c.cfg, tasks); err != nil {
		return err
	}
	failpoint.Hit("commit-outputs")

	markers := make([][]pendingMarker, len(tasks))
	sent := false
	for i, r := range tasks {
		if len(changed[i]) == 0 {
			continue
		}
		sent = true
		if markers[i], err = sendMarkers(ctx, r, changed[i], now); err != nil {
			return err
		}
	}
	if sent {
		if err := flush(ctx, c.client, c.cfg, tasks); err != nil {
			return err
		}
	}
	failpoint.Hit("commit-markers")
	if err := c.client.Commit(ctx, offsets); err != nil {
		return err
	}
	failpoint.Hit("commit-ended")
	return foldAll(c.cfg, tasks, markers)
}
