package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/worker"
)

// ErrNotRunning means that an App is asked for its stores before Run has opened them, or after.
var ErrNotRunning = errors.New("stream: the application is not running")

// NotOwnerError means that what is asked for lies in a task that another instance runs, or none at the moment.
type NotOwnerError struct {
	Store     string
	Partition int32
	// Address is Config.Address of the instance that runs the task; empty if it has none, or the tasks are just being
	// dealt out.
	Address string
}

func (e *NotOwnerError) Error() string {
	if e.Address == "" {
		return fmt.Sprintf("stream: partition %d of store %q is with another instance of no known address, or with none at the moment: set Config.Address, or ask again later", e.Partition, e.Store)
	}
	return fmt.Sprintf("stream: partition %d of store %q is with the instance at %s", e.Partition, e.Store, e.Address)
}

// served is what queries need of a run.
type served struct {
	worker *worker.Worker
	tasks  map[int]int32 // number of tasks by sub-topology
}

// Keyed is a store with keys of a type: [state.KeyValueStore], [state.WindowStore], [state.SessionStore].
type Keyed[K any] interface {
	state.Definition
	KeySerde() serde.Serde[K]
}

// View is a look at one task's stores from outside, while the App runs. It is the [state.Context] that stores are opened
// with, so it reads whatever a processor can read:
//
//	view, err := app.View(ctx, spend5m, "card-1")
//	for w, err := range spend5m.In(view).Fetch("card-1", from, to) { … }
//
// It shows what is committed, and nothing else; a long loop shows in steps what is committed meanwhile. Reading happens
// between two rounds of the App, so each step waits for the one that runs. A View belongs to one goroutine, must not be
// used in functions of the topology, and cannot write. If the task goes to another instance, reads fail.
type View struct {
	ctx        context.Context
	worker     *worker.Worker
	id         state.TaskID
	streamTime int64 // at the last read, in milliseconds
}

// Partition is the number of the task among those of its sub-topology.
func (v *View) Partition() int32 { return v.id.Partition }

// StreamTime is the stream time of the commit that was read last.
func (v *View) StreamTime() time.Time { return time.UnixMilli(v.streamTime).UTC() }

// RecordTime is StreamTime: there is no record.
func (v *View) RecordTime() time.Time { return v.StreamTime() }

// Store implements [state.Context]. Use the typed store instead.
func (v *View) Store(name string) state.Store { return viewStore{v, name} }

// View returns a look at the task that has a key. It fails with a [NotOwnerError] if that is not here.
func (a *App) View[K any](ctx context.Context, store Keyed[K], key K) (*View, error) {
	b, err := store.KeySerde().Encode([]byte{}, key)
	if err != nil {
		return nil, fmt.Errorf("stream: query of store %q: key: %w", store.Spec().Name, err)
	}
	return a.viewKey(ctx, store.Spec().Name, b)
}

// viewKey is View for an encoded key.
func (a *App) viewKey(ctx context.Context, store string, key []byte) (*View, error) {
	run, sub, err := a.find(store)
	if err != nil {
		return nil, err
	}
	id := state.TaskID{SubTopology: sub.ID, Partition: client.PartitionOf(key, run.tasks[sub.ID])}
	v, err := openView(ctx, run, id, store)
	if errors.Is(err, worker.ErrNotHere) {
		return nil, a.notOwner(ctx, sub, store, id.Partition)
	}
	return v, err
}

// Views returns a look at each task with a store that this instance runs, in the order of the partitions. Together those
// of all instances have everything.
func (a *App) Views(ctx context.Context, store state.Definition) ([]*View, error) {
	run, sub, err := a.find(store.Spec().Name)
	if err != nil {
		return nil, err
	}
	var views []*View
	for _, p := range run.worker.Tasks(sub.ID) {
		v, err := openView(ctx, run, state.TaskID{SubTopology: sub.ID, Partition: p}, store.Spec().Name)
		if errors.Is(err, worker.ErrNotHere) {
			continue // given away since
		}
		if err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, nil
}

// Get returns the value that a store has committed for a key. It fails with a [NotOwnerError] if that is not here.
func (a *App) Get[K, V any](ctx context.Context, store state.KeyValueStore[K, V], key K) (v V, found bool, err error) {
	view, err := a.View(ctx, store, key)
	if err != nil {
		return v, false, err
	}
	return store.In(view).Get(key)
}

// All yields what a store has committed in the tasks that this instance runs, one after the other, each in the order of
// the encoded keys.
func (a *App) All[K, V any](ctx context.Context, store state.KeyValueStore[K, V]) iter.Seq2[state.Entry[K, V], error] {
	return a.entries(ctx, store, func(v *View) iter.Seq2[state.Entry[K, V], error] { return store.In(v).All() })
}

// Range is All for the entries whose encoded keys are in [from, to).
func (a *App) Range[K, V any](ctx context.Context, store state.KeyValueStore[K, V], from, to K) iter.Seq2[state.Entry[K, V], error] {
	return a.entries(ctx, store, func(v *View) iter.Seq2[state.Entry[K, V], error] { return store.In(v).Range(from, to) })
}

func (a *App) entries[K, V any](ctx context.Context, store state.KeyValueStore[K, V], of func(*View) iter.Seq2[state.Entry[K, V], error]) iter.Seq2[state.Entry[K, V], error] {
	return func(yield func(state.Entry[K, V], error) bool) {
		views, err := a.Views(ctx, store)
		if err != nil {
			yield(state.Entry[K, V]{}, err)
			return
		}
		for _, v := range views {
			for e, err := range of(v) {
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// find returns the sub-topology that has a store.
func (a *App) find(store string) (*served, *graph.SubTopology, error) {
	run := a.running.Load()
	if run == nil {
		return nil, nil, ErrNotRunning
	}
	for _, sub := range a.topology.program.Graph.Subs {
		for _, s := range sub.Stores {
			if s.Name == store {
				return run, sub, nil
			}
		}
	}
	return nil, nil, fmt.Errorf("stream: the topology %s has no store %q", a.topology.Name(), store)
}

// notOwner finds out who owns a task that is not here.
func (a *App) notOwner(ctx context.Context, sub *graph.SubTopology, store string, partition int32) error {
	notHere := &NotOwnerError{Store: store, Partition: partition}
	err := a.cluster.administer(ctx, func(admin *client.Admin) error {
		owner, _, err := admin.Owner(ctx, a.topology.Name(), sub.Inputs[0].Topic, partition)
		if owner.Address != a.cfg.Address {
			notHere.Address = owner.Address
		}
		return err
	})
	return errors.Join(notHere, err)
}

func openView(ctx context.Context, run *served, id state.TaskID, store string) (*View, error) {
	v := &View{ctx: ctx, worker: run.worker, id: id}
	return v, v.read(store, func(state.Store) error { return nil })
}

// read calls f with what a store has committed.
func (v *View) read(store string, f func(state.Store) error) error {
	var at int64
	err := v.worker.View(v.ctx, v.id, store, func(s state.Store, p state.Position) error {
		at = p.StreamTimeMillis
		return f(s)
	})
	if err == nil {
		v.streamTime = at
	}
	return err
}

// viewStore reads a store in steps, each between two rounds of the App.
type viewStore struct {
	view *View
	name string
}

// viewStep is how many entries a step reads.
const viewStep = 500

// Get implements state.Store.
func (s viewStore) Get(key []byte) (value []byte, found bool, err error) {
	key = bytes.Clone(key)
	type result struct {
		value []byte
		found bool
	}
	got := new(result) // of its own: the read may go on when ctx has ended
	err = s.view.read(s.name, func(store state.Store) error {
		value, found, err := store.Get(key)
		*got = result{append([]byte{}, value...), found}
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return got.value, got.found, nil
}

// Range implements state.Store.
func (s viewStore) Range(from, to []byte) iter.Seq2[state.KV, error] {
	return func(yield func(state.KV, error) bool) {
		from, to := bytes.Clone(from), bytes.Clone(to)
		for {
			step := new([]state.KV)
			err := s.view.read(s.name, func(store state.Store) error {
				for kv, err := range store.Range(from, to) {
					if err != nil {
						return err
					}
					*step = append(*step, state.KV{Key: append([]byte{}, kv.Key...), Value: append([]byte{}, kv.Value...)})
					if len(*step) == viewStep {
						break
					}
				}
				return nil
			})
			if err != nil {
				yield(state.KV{}, err)
				return
			}
			for _, kv := range *step {
				if !yield(kv, nil) {
					return
				}
			}
			if len(*step) < viewStep {
				return
			}
			from = append(bytes.Clone((*step)[viewStep-1].Key), 0)
		}
	}
}

// Put implements state.Store.
func (viewStore) Put(_, _ []byte) error { return state.ErrReadOnly }

// Delete implements state.Store.
func (viewStore) Delete([]byte) error { return state.ErrReadOnly }
