package streamtest

import (
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
	var entries []state.Entry[K, V]
	for e, err := range store.In(d.context(store)).All() {
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
	var all []state.Timer[K]
	for timer, err := range timers.In(d.context(timers)).All() {
		if err != nil {
			d.t.Fatalf("%v", err)
		}
		all = append(all, timer)
	}
	return all
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
