package worker

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// rewind drops what is not committed of all tasks: a transaction is theirs together. They are opened again where the last
// commit left them, unless the group takes their partitions away before.
func (w *Worker) rewind(why error) error {
	w.cfg.Logger.Warn("a commit did not come about, going back to the last one", "app", w.cfg.App, "err", why)
	w.cfg.Metrics.rewound()
	partitions := make(map[string][]int32)
	for _, r := range w.order {
		for _, in := range r.inputs {
			partitions[in.topic] = append(partitions[in.topic], r.id.Partition)
		}
	}
	if w.lapsed == nil {
		w.lapsed = partitions
	} else {
		for topic, ps := range partitions {
			w.lapsed[topic] = append(w.lapsed[topic], ps...)
		}
	}
	w.committer.abort()
	return w.closeTasks()
}

// forget takes partitions off those that are to be opened again.
func (w *Worker) forget(partitions map[string][]int32) {
	for topic, lapsed := range w.lapsed {
		lapsed = slices.DeleteFunc(lapsed, func(p int32) bool { return slices.Contains(partitions[topic], p) })
		if w.lapsed[topic] = lapsed; len(lapsed) == 0 {
			delete(w.lapsed, topic)
		}
	}
}

// reopen opens the tasks again that were dropped, and lets their inputs resume where the state and the group's offsets
// stand.
func (w *Worker) reopen(ctx context.Context) error {
	if len(w.lapsed) == 0 || w.closing {
		return nil
	}
	// A member that the group no longer knows must not end the transactions of who has its place now. It learns its
	// fate from a callback. A cluster that does not answer is asked again after the next poll.
	if err := w.client.Member(ctx); err != nil {
		return nil
	}
	tasks, markers, err := w.openTasks(ctx, w.lapsed)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil
	case errors.Is(err, client.ErrAborted):
		return nil // another time
	case err != nil:
		return err
	}
	w.lapsed = nil
	maps.Copy(tasks, w.tasks)
	w.setTasks(tasks)
	return w.seek(ctx, markers)
}

// seek moves the inputs of opened tasks to where they resume.
func (w *Worker) seek(ctx context.Context, markers map[partition]int64) error {
	w.mu.Lock()
	targets := make(client.Offsets)
	var unknown []string
	for at, offset := range markers {
		w.mu.resumed[at] = offset
		targets.Set(at.topic, at.partition, offset)
		if offset < 0 && !slices.Contains(unknown, at.topic) {
			unknown = append(unknown, at.topic)
		}
	}
	w.mu.Unlock()
	starts, err := w.client.Admin().StartOffsets(ctx, unknown...)
	if err != nil {
		return err
	}
	for topic, partitions := range targets {
		for p, offset := range partitions {
			start, ok := starts[topic][p]
			switch {
			case offset >= 0:
			case ok:
				partitions[p] = start
			default:
				delete(partitions, p) // a shorter topic of a task without state
			}
		}
	}
	w.client.Seek(targets)
	return nil
}
