package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// taskSets returns the topics whose equal partitions belong together: those of a sub-topology, and of
// sub-topologies that read the same topic, because a group gives a partition to one member only.
func taskSets(subs []Sub) [][]string {
	var sets [][]string
	for _, sub := range subs {
		set := slices.Clone(sub.Inputs)
		sets = slices.DeleteFunc(sets, func(other []string) bool {
			shared := slices.ContainsFunc(other, func(t string) bool { return slices.Contains(set, t) })
			if shared {
				for _, t := range other {
					if !slices.Contains(set, t) {
						set = append(set, t)
					}
				}
			}
			return shared
		})
		slices.Sort(set)
		sets = append(sets, slices.Compact(set))
	}
	return sets
}

// assigned opens the tasks of the partitions that the group gave us, beside the loop.
func (w *Worker) assigned(_ context.Context, a client.Assignment) {
	w.turn.Lock()
	defer w.turn.Unlock()
	w.cfg.Metrics.rebalanced(a.Took)
	w.joined = true
	if w.closing || w.callbackError() != nil {
		return
	}
	w.wantStandbys(a.Standbys)
	w.want(a.Partitions)
	if err := w.startOpening(); err != nil && w.running.Err() == nil {
		w.fail(err)
	}
}

// checkInputs refuses state that stands for records which its inputs do not have: the task would leave out what is
// written there until the old offsets are reached again.
func (w *Worker) checkInputs(ctx context.Context, restored map[state.TaskID]standing) error {
	var topics []string
	for _, at := range restored {
		for topic := range at.offsets {
			topics = append(topics, topic)
		}
	}
	slices.Sort(topics)
	ends, err := w.client.Admin().EndOffsets(ctx, slices.Compact(topics)...)
	if err != nil {
		return err
	}
	var errs []error
	for id, at := range restored {
		for topic, offset := range at.offsets {
			if end, ok := ends[topic][id.Partition]; ok && offset > end {
				errs = append(errs, fmt.Errorf("worker: the state of task %s stands at offset %d of topic %s partition %d, which ends at %d: the topic was deleted and made again; begin anew, by renaming the application %s or deleting its consumer group and its changelog topics",
					id, offset, topic, id.Partition, end, w.cfg.App))
			}
		}
	}
	return errors.Join(errs...)
}

// resume raises the group's offsets to where the state stands, once that is known. It runs outside the turn.
func (w *Worker) resume(ctx context.Context, committed map[string]map[int32]int64) error {
	for {
		w.mu.Lock()
		known := w.raiseLocked(committed)
		changed := w.mu.changed
		w.mu.Unlock()
		if known {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-w.running.Done():
			return context.Cause(w.running)
		}
	}
}

// raiseLocked raises offsets to the markers, and reports whether there are markers for all of them.
func (w *Worker) raiseLocked(committed map[string]map[int32]int64) bool {
	for topic, offsets := range committed {
		for p, at := range offsets {
			marker, ok := w.mu.markers[partition{topic, p}]
			if !ok {
				return false
			}
			offsets[p] = max(at, marker)
		}
	}
	return true
}

// revoked commits and closes the tasks before the group gives their partitions to others.
func (w *Worker) revoked(_ context.Context, partitions map[string][]int32) {
	w.turn.Lock()
	defer w.turn.Unlock()
	if w.closing {
		return // all is committed that will be
	}
	w.forgo(partitions, w.commit(w.ctx))
}

// lost drops the tasks: the group counts others as the owners of their partitions by now.
func (w *Worker) lost(_ context.Context, partitions map[string][]int32) {
	w.turn.Lock()
	defer w.turn.Unlock()
	if w.closing {
		return
	}
	var err error
	if len(w.order) > 0 {
		err = w.rewind(errors.New("partitions lost: this instance was silent for too long"))
	}
	w.forgo(partitions, err)
}

// forgo closes the tasks of partitions that the group has taken away.
func (w *Worker) forgo(partitions map[string][]int32, err error) {
	err = errors.Join(err, w.stopOpening(), w.release(func(r *running) bool {
		return slices.ContainsFunc(r.inputs, func(in *input) bool { return slices.Contains(partitions[in.topic], r.id.Partition) })
	}))
	w.unwant(partitions)
	if err != nil {
		w.fail(err)
	}
}
