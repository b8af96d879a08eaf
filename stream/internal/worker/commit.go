package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/state/changelog"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// committer makes permanent what tasks did since their last commit: their outputs, their state and their
// positions. offsets is what the group is to remember.
//
// After an error nothing of the commit counts: the stores have not folded their open writes. An error that wraps
// client.ErrFenced means that the tasks belong to another instance now.
type committer interface {
	commit(ctx context.Context, tasks []*running, offsets client.Offsets) error
}

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

// pendingMarker is a marker on its way to a changelog.
type pendingMarker struct {
	store   *changelogStore
	marker  changelog.Marker
	receipt client.Receipt
}

func (c *atLeastOnce) commit(ctx context.Context, tasks []*running, offsets client.Offsets) error {
	now := time.Now().UnixMilli()
	changed := make([][]*changelogStore, len(tasks))
	var g errgroup.Group
	g.SetLimit(c.cfg.Workers)
	for i, r := range tasks {
		if r.state == nil {
			continue
		}
		g.Go(func() (err error) {
			changed[i], err = sendChanges(ctx, r, now)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := c.flush(ctx, tasks); err != nil {
		return err
	}

	markers := make([][]pendingMarker, len(tasks))
	sent := false
	for i, r := range tasks {
		if len(changed[i]) == 0 {
			continue
		}
		sent = true
		var err error
		if markers[i], err = sendMarkers(ctx, r, changed[i], now); err != nil {
			return err
		}
	}
	if sent {
		if err := c.flush(ctx, tasks); err != nil {
			return err
		}
	}
	if err := c.client.Commit(ctx, offsets); err != nil {
		return err
	}
	for i, r := range tasks {
		if len(changed[i]) > 0 {
			if err := fold(r, markers[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush waits until all that was sent is durable, and says what failed.
func (c *atLeastOnce) flush(ctx context.Context, tasks []*running) error {
	slow := time.AfterFunc(10*time.Second, func() {
		c.cfg.Logger.Warn("the cluster has not acknowledged the outputs for 10 s: waiting, no input is skipped", "app", c.cfg.App)
	})
	defer slow.Stop()
	if err := c.client.Flush(ctx); err != nil {
		return err
	}
	for _, r := range tasks {
		if err := r.sink.to.Err(); err != nil {
			return fmt.Errorf("worker: task %s: %w", r.id, err)
		}
	}
	return nil
}

// sendChanges sends the open writes of a task to its changelogs and returns the stores that have any.
func sendChanges(ctx context.Context, r *running, now int64) ([]*changelogStore, error) {
	var changed []*changelogStore
	for _, s := range r.stores {
		n := 0
		for change := range r.state.Changes(s.spec.Name) {
			n++
			_, err := r.sink.to.Send(ctx, client.Output{
				Topic: s.topic, Partition: r.id.Partition, Key: change.Key, Value: change.Value, Timestamp: now,
			})
			if err != nil {
				return nil, fmt.Errorf("worker: changelog of store %q: %w", s.spec.Name, err)
			}
		}
		if n > 0 {
			changed = append(changed, s)
		}
	}
	return changed, nil
}

// sendMarkers ends the commit in each of the changed stores' changelogs.
func sendMarkers(ctx context.Context, r *running, changed []*changelogStore, now int64) ([]pendingMarker, error) {
	names := make([]string, len(changed))
	for i, s := range changed {
		names[i] = s.spec.Name
	}
	slices.Sort(names)
	inputs := r.inputOffsets()
	markers := make([]pendingMarker, len(changed))
	for i, s := range changed {
		m := changelog.Marker{
			Commit: r.commit, Complete: r.complete, Stores: names, Layout: s.spec.Layout(),
			StreamTimeMillis: r.task.StreamTime(), Inputs: inputs,
		}
		receipt, err := r.sink.to.Send(ctx, client.Output{
			Topic: s.topic, Partition: r.id.Partition, Timestamp: now,
			Key: []byte(changelog.MarkerKey), Value: changelog.AppendMarker(nil, m),
			Headers: []client.Header{{Key: changelog.HeaderMarker}},
		})
		if err != nil {
			return nil, fmt.Errorf("worker: changelog of store %q: %w", s.spec.Name, err)
		}
		markers[i] = pendingMarker{s, m, receipt}
	}
	return markers, nil
}

// fold moves the stores to the commit that has just become durable.
func fold(r *running, markers []pendingMarker) error {
	positions := make(map[string]state.Position, len(markers))
	for _, m := range markers {
		at := m.receipt.Offset()
		if at < 0 {
			return fmt.Errorf("worker: task %s: the cluster did not say where the commit marker in topic %s lies: start the application again, it restores the state", r.id, m.store.topic)
		}
		positions[m.store.spec.Name] = m.marker.Position(m.store.topicID, at)
	}
	r.complete = r.commit
	r.commit++
	if err := r.state.Commit(positions); err != nil {
		return fmt.Errorf("worker: task %s: commit the state: %w", r.id, err)
	}
	return nil
}
