package worker

import (
	"context"
	"errors"
	"slices"

	"github.com/riffle-stream/riffle/state"
)

// ErrNotHere means that this instance does not run a task, or not yet.
var ErrNotHere = errors.New("worker: the task is not here")

// View calls f with what a store of a task has committed, and with where it stands. f runs between rounds, so it must be
// short; it may still run when View has returned because ctx has ended. View must not be called from a task.
func (w *Worker) View(ctx context.Context, id state.TaskID, store string, f func(state.Store, state.Position) error) error {
	done := make(chan error, 1)
	go func() { done <- w.view(id, store, f) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *Worker) view(id state.TaskID, store string, f func(state.Store, state.Position) error) error {
	w.turn.Lock()
	defer w.turn.Unlock()
	r := w.tasks[id]
	if r == nil || r.state == nil {
		return ErrNotHere
	}
	s, ok := r.state.Committed(store)
	if !ok {
		return &state.UnknownStoreError{Store: store}
	}
	return f(s, r.state.Position(store))
}

// Tasks returns the partitions of a sub-topology whose tasks this instance runs, in order.
func (w *Worker) Tasks(sub int) []int32 {
	w.turn.Lock()
	defer w.turn.Unlock()
	var partitions []int32
	for id := range w.tasks {
		if id.SubTopology == sub {
			partitions = append(partitions, id.Partition)
		}
	}
	slices.Sort(partitions)
	return partitions
}
