package worker

import (
	"context"
	"time"

	"github.com/riffle-stream/riffle/internal/failpoint"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// exactlyOnce commits with one transaction for all tasks of the instance:
//
//  1. outputs, dead letters, changelog data and markers are flushed, and lie where they were foretold to lie if tasks have
//     processed them already; meanwhile the input offsets are added, which the group refuses if the partitions have other owners;
//  2. the transaction ends;
//  3. the stores fold their open writes, in memory.
//
// Readers see all of it after 2, or nothing. A store is never ahead of the cluster: its writes are folded only after a
// commit that is certain. Where it is not, the worker rewinds: a new producer ends what is open in the cluster, the
// overlays are dropped, and the changelogs say how it went.
type exactlyOnce struct {
	client   *client.Client
	cfg      *Config
	loopback *loopback
}

func (c *exactlyOnce) begin(ctx context.Context) error { return c.client.Begin(ctx) }
func (c *exactlyOnce) abort()                          { c.client.Abort() }
func (c *exactlyOnce) prompt() bool                    { return true }

func (c *exactlyOnce) commit(ctx context.Context, tasks []*running, offsets client.Offsets) error {
	failpoint.Hit("commit-begun")
	if err := c.begin(ctx); err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	markers := make([][]pendingMarker, len(tasks))
	err := eachTask(c.cfg, tasks, func(i int, r *running) error {
		changed, err := sendChanges(ctx, r, now)
		if err != nil || len(changed) == 0 {
			return err
		}
		markers[i], err = sendMarkers(ctx, r, changed, now)
		return err
	})
	if err != nil {
		return err
	}
	added := c.client.AddOffsets(ctx, offsets)
	if err := added(flush(ctx, c.client, c.cfg, tasks)); err != nil {
		return err
	}
	if err := c.loopback.check(); err != nil {
		return err
	}
	failpoint.Hit("commit-outputs")
	if err := c.client.CommitTransaction(ctx, offsets); err != nil {
		return err
	}
	failpoint.Hit("commit-ended")
	c.loopback.committed()
	if err := foldAll(c.cfg, tasks, markers); err != nil {
		return err
	}
	failpoint.Hit("commit-folded")
	return nil
}
