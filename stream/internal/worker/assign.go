package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/riffle-stream/riffle/internal/failpoint"
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

// localUnits says of which units of the sets there are local data, and how much: the largest commit of their tasks.
func localUnits(subs []Sub, sets [][]string, local map[state.TaskID]int64) map[client.Unit]int64 {
	units := make(map[client.Unit]int64)
	for _, sub := range subs {
		set := slices.IndexFunc(sets, func(topics []string) bool { return slices.Contains(topics, sub.Inputs[0]) })
		for id, commit := range local {
			if id.SubTopology == sub.ID && len(sub.Stores) > 0 {
				at := client.Unit{Topic: sets[set][0], Partition: id.Partition}
				units[at] = max(units[at], commit)
			}
		}
	}
	return units
}

// assigned opens the tasks of the partitions that the group gave us.
func (w *Worker) assigned(_ context.Context, partitions map[string][]int32) {
	w.turn.Lock()
	defer w.turn.Unlock()
	w.cfg.Metrics.rebalanced()
	w.joined = true
	if w.closing || w.callbackError() != nil {
		return
	}
	// The restore may outlast a transaction.
	if err := w.commit(w.ctx); err != nil {
		w.fail(err)
		return
	}
	tasks, _, err := w.openTasks(w.running, partitions)
	if err != nil && w.running.Err() != nil {
		return // asked to finish during a long restore
	}
	if err != nil {
		w.fail(err)
		return
	}
	opened := len(tasks)
	maps.Copy(tasks, w.tasks)
	w.setTasks(tasks)
	w.cfg.Logger.Info("tasks assigned", "app", w.cfg.App, "tasks", opened)
}

// openTasks opens the tasks whose inputs are among the partitions and that are not open, with their state restored. It
// also returns where their inputs resume.
func (w *Worker) openTasks(ctx context.Context, partitions map[string][]int32) (map[state.TaskID]*running, map[partition]int64, error) {
	tasks := make(map[state.TaskID]*running)
	undo := func(err error) (map[state.TaskID]*running, map[partition]int64, error) {
		for _, r := range tasks {
			err = errors.Join(err, r.close())
		}
		return nil, nil, err
	}
	// From here on an earlier producer of this instance can commit nothing more. Earlier owners of the partitions cannot
	// once the offsets are settled. What the changelogs hold then is all there will be.
	if err := w.committer.begin(ctx); err != nil {
		return undo(err)
	}
	settled, err := w.client.Admin().Settled(ctx, w.cfg.App, partitions)
	if err != nil {
		return undo(err)
	}
	for i := range w.cfg.Subs {
		sub := &w.cfg.Subs[i]
		for _, topic := range sub.Inputs {
			for _, p := range partitions[topic] {
				id := state.TaskID{SubTopology: sub.ID, Partition: p}
				if tasks[id] != nil || w.tasks[id] != nil {
					continue
				}
				r := &running{
					id: id, sub: sub, commit: 1, logger: w.cfg.Logger,
					inputs: newInputs(sub.Inputs),
					sink:   &Sink{to: w.client.NewSink(), ctx: w.ctx},
				}
				if len(sub.Stores) > 0 {
					var err error
					if r.state, err = w.cfg.Backend.OpenTask(id, sub.Stores); err != nil {
						return undo(fmt.Errorf("worker: open the state of task %s: %w", id, err))
					}
				}
				tasks[id] = r
			}
		}
	}
	restored, err := w.restore(ctx, tasks)
	failpoint.Hit("restored")
	if err == nil {
		err = w.checkInputs(ctx, restored)
	}
	if err != nil {
		return undo(err)
	}
	for id, r := range tasks {
		at := restored[id]
		r.task, err = w.cfg.NewTask(Setup{ID: id, State: r.state, Sink: r.sink, Offsets: at.offsets, StreamTime: at.streamTime})
		if err != nil {
			return undo(fmt.Errorf("worker: make task %s: %w", id, err))
		}
	}
	return tasks, w.setMarkers(tasks, restored, settled), nil
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

// setMarkers notes where the tasks resume, and returns it: where their state stands, or at the group's offsets if those
// are further. -1 is the beginning.
func (w *Worker) setMarkers(tasks map[state.TaskID]*running, restored map[state.TaskID]standing, settled client.Offsets) map[partition]int64 {
	markers := make(map[partition]int64)
	for id, r := range tasks {
		for _, in := range r.inputs {
			at := partition{in.topic, id.Partition}
			offset := int64(-1)
			if o, ok := restored[id].offsets[in.topic]; ok {
				offset = o
			}
			if o, ok := settled[in.topic][id.Partition]; ok {
				offset = max(offset, o)
			}
			// Of several tasks that read a partition the one that is furthest behind decides; the others leave
			// out what they have seen.
			if other, ok := markers[at]; !ok || offset < other {
				markers[at] = offset
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.Copy(w.mu.markers, markers)
	return markers
}

// resume raises the group's offsets to where the state stands. It runs outside the turn.
func (w *Worker) resume(committed map[string]map[int32]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for topic, offsets := range committed {
		for p, at := range offsets {
			if marker, ok := w.mu.markers[partition{topic, p}]; ok && marker > at {
				at = marker
				offsets[p] = at
			}
			w.mu.resumed[partition{topic, p}] = at
		}
	}
}

// takeResumed lets the tasks know where their inputs resume.
func (w *Worker) takeResumed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, offset := range w.mu.resumed {
		for _, r := range w.routes[at] {
			if in := r.input(at.topic); in.start < offset {
				in.start = offset
				// Where the marker is ahead of the group's offset, the group learns of it with the next commit.
				r.dirty = true
			}
		}
	}
	clear(w.mu.resumed)
}

// revoked commits and closes the tasks before the group gives their partitions to others.
func (w *Worker) revoked(_ context.Context, partitions map[string][]int32) {
	w.turn.Lock()
	defer w.turn.Unlock()
	w.forgo(partitions, w.commit(w.ctx))
}

// lost drops the tasks: the group counts others as the owners of their partitions by now.
func (w *Worker) lost(_ context.Context, partitions map[string][]int32) {
	w.turn.Lock()
	defer w.turn.Unlock()
	var err error
	if len(w.order) > 0 {
		err = w.rewind(errors.New("partitions lost: this instance was silent for too long"))
	}
	w.forgo(partitions, err)
}

// forgo closes the tasks of partitions that the group has taken away.
func (w *Worker) forgo(partitions map[string][]int32, err error) {
	err = errors.Join(err, w.release(func(r *running) bool {
		return slices.ContainsFunc(r.inputs, func(in *input) bool { return slices.Contains(partitions[in.topic], r.id.Partition) })
	}))
	w.forget(partitions)
	if err != nil {
		w.fail(err)
	}
}
