package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/state/changelog"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// committer makes permanent what tasks did since their last commit: their outputs, their state and their
// positions. offsets is what the group is to remember.
type committer interface {
	// begin readies the sinks. It is called before tasks are made or run; where nothing has been committed since the last
	// call it does nothing.
	begin(ctx context.Context) error
	// commit returns an error that wraps client.ErrFenced or client.ErrAborted if the tasks have to go back to their last
	// commit. After any error the stores have not folded their open writes.
	commit(ctx context.Context, tasks []*running, offsets client.Offsets) error
	// abort gives up what was sent since begin.
	abort()
	// prompt reports whether nobody sees outputs before they are committed, so that a commit should not wait.
	prompt() bool
}

// pendingMarker is a marker on its way to a changelog.
type pendingMarker struct {
	store   *changelogStore
	marker  changelog.Marker
	receipt client.Receipt
}

// flush waits until all that was sent is durable, and says what failed.
func flush(ctx context.Context, cl *client.Client, cfg *Config, tasks []*running) error {
	slow := time.AfterFunc(10*time.Second, func() {
		cfg.Logger.Warn("the cluster has not acknowledged the outputs for 10 s: waiting, no input is skipped", "app", cfg.App)
	})
	defer slow.Stop()
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	for _, r := range tasks {
		if err := r.sink.to.Err(); err != nil {
			return fmt.Errorf("worker: task %s: %w", r.id, err)
		}
	}
	return nil
}

// eachTask calls f for the tasks that have state, up to Workers at a time, unless there is little to write.
func eachTask(cfg *Config, tasks []*running, f func(i int, r *running) error) error {
	bytes, limit := int64(0), cfg.Workers
	for _, r := range tasks {
		bytes += r.uncommittedBytes()
	}
	if bytes < littleBytes {
		limit = 1
	}
	return parallel(len(tasks), limit, func(i int) error {
		if tasks[i].state == nil {
			return nil
		}
		return f(i, tasks[i])
	})
}

// sendChanges sends the open writes of a task to its changelogs and returns the stores that need a marker: those with
// writes. Where there are none but stream time has moved, the first store's marker tells of it: what is late, due or
// expired depends on it, after a restart too.
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
	if len(changed) == 0 && len(r.stores) > 0 && r.task.StreamTime() != r.streamTime {
		changed = append(changed, r.stores[0])
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

// foldAll moves the stores of all tasks that have changed.
func foldAll(cfg *Config, tasks []*running, markers [][]pendingMarker) error {
	return eachTask(cfg, tasks, func(i int, r *running) error {
		if len(markers[i]) == 0 {
			return nil
		}
		return fold(r, markers[i])
	})
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
	r.streamTime = r.task.StreamTime()
	if err := r.state.Commit(positions); err != nil {
		return fmt.Errorf("worker: task %s: commit the state: %w", r.id, err)
	}
	return nil
}
