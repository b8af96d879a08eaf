package streamtest

import (
	"iter"
	"math"
	"time"

	"github.com/riffle-stream/riffle/state"
)

// Get returns what a store of the topology holds for a key.
func (d *Driver) Get[K, V any](store state.KeyValueStore[K, V], key K) (V, bool) {
	d.t.Helper()
	v, found, err := store.In(d.context(store)).Get(key)
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	return v, found
}

// Entries returns everything that a store of the topology holds, in the order of the encoded keys.
func (d *Driver) Entries[K, V any](store state.KeyValueStore[K, V]) []state.Entry[K, V] {
	d.t.Helper()
	return all(d, store.In(d.context(store)).All())
}

// Windows returns everything that a window store of the topology holds, in the order of time, then of the encoded keys.
func (d *Driver) Windows[K, V any](store state.WindowStore[K, V]) []state.WindowEntry[K, V] {
	d.t.Helper()
	return all(d, store.In(d.context(store)).All(time.UnixMilli(0), endOfTime))
}

// Sessions returns everything that a session store of the topology holds, in the order of the sessions' ends.
func (d *Driver) Sessions[K, V any](store state.SessionStore[K, V]) []state.SessionEntry[K, V] {
	d.t.Helper()
	return all(d, store.In(d.context(store)).All(time.UnixMilli(0), endOfTime))
}

var endOfTime = time.UnixMilli(math.MaxInt64)

// all collects what a store yields.
func all[E any](d *Driver, seq iter.Seq2[E, error]) (entries []E) {
	d.t.Helper()
	for e, err := range seq {
		if err != nil {
			d.t.Fatalf("%v", err)
		}
		entries = append(entries, e)
	}
	return entries
}

// Timers returns the timers of a store, in the order in which they are due.
func (d *Driver) Timers[K any](timers state.Timers[K]) []state.Timer[K] {
	d.t.Helper()
	return all(d, timers.In(d.context(timers)).All())
}

// context is what a store is opened with, at the stream time of its task.
func (d *Driver) context(def state.Definition) storeContext {
	for _, r := range d.subs {
		if r.state == nil {
			continue
		}
		if s, ok := r.state.Store(def.Spec().Name); ok {
			return storeContext{s, time.UnixMilli(r.task.StreamTime()).UTC()}
		}
	}
	return storeContext{}
}

// storeContext is a state.Context outside a record. Its store is nil if the topology has none of that name.
type storeContext struct {
	store state.Store
	now   time.Time
}

func (c storeContext) Store(string) state.Store { return c.store }
func (c storeContext) StreamTime() time.Time    { return c.now }
func (c storeContext) RecordTime() time.Time    { return c.now }

// Size returns how many entries a store of the topology has as bytes, indexes included: what a test looks at that a
// store does not grow without end.
func (d *Driver) Size(store string) int {
	d.t.Helper()
	for _, r := range d.subs {
		if r.state == nil {
			continue
		}
		s, ok := r.state.Store(store)
		if !ok {
			continue
		}
		n := 0
		for _, err := range s.Range(nil, nil) {
			if err != nil {
				d.t.Fatalf("%v", err)
			}
			n++
		}
		return n
	}
	d.t.Fatalf("no store %q", store)
	return 0
}
