package state

import "iter"

// Base is the durable bottom of one task, below the overlays: what a backend
// implements and gives to [NewLayers]. Stores are numbered in the order in which
// the task was opened with them.
//
// Get and Scan are called by the task's goroutine while a checkpoint writes in
// another one.
type Base interface {
	// Get appends the value of key to dst, which is empty; found is false if there is none.
	Get(store int, key, dst []byte) (value []byte, found bool, err error)
	// Scan iterates over [from, to) in the order of the keys; nil bounds are open.
	// The bounds stay what they are until the iterator is closed.
	Scan(store int, from, to []byte) Iterator
	// Last returns the last key before to, nil if there is none; a nil to is the end. It may be one that is deleted. It is called
	// before the task is used.
	Last(store int, to []byte) ([]byte, error)
	// CacheBytes is how much of what Get has found may be kept in memory for each store now; 0 is nothing.
	CacheBytes() int64
	// FilterBytes is how much each store may take now to know which keys the base does not have, three
	// quarters of it for what [Layers.Had] tells; below 0 nothing is noted.
	FilterBytes() int64
	// Grew says by how many bytes the task's committed overlay grew (shrank, if
	// negative). It starts a checkpoint when one is due, and waits while there is
	// more than may be; it does neither if the overlay shrank. An error fails the
	// commit.
	Grew(bytes int64) error
	// Wipe empties the task. No checkpoint of it is being written.
	Wipe() error
	// Close writes a last checkpoint and ends the use of the task.
	Close() error
}

// Iterator yields entries in order.
type Iterator interface {
	// Next returns the next entry; false at the end. The slices are valid until
	// the call after.
	Next() (KV, bool, error)
	Close()
}

// Scanner is a Store that is read in order without an allocation for each range.
// What wraps a Store passes its Scan on, or typed stores go by Range.
type Scanner interface {
	// Scan is Range as an iterator. It has to be closed.
	Scan(from, to []byte) Iterator
}

// Scan goes over a range of any store. The iterator has to be closed.
func Scan(s Store, from, to []byte) Iterator {
	if scanner, ok := s.(Scanner); ok {
		return scanner.Scan(from, to)
	}
	next, stop := iter.Pull2(s.Range(from, to))
	return &pulled{next, stop}
}

// pulled is a Range as an Iterator.
type pulled struct {
	next func() (KV, error, bool)
	stop func()
}

func (p *pulled) Next() (KV, bool, error) {
	kv, err, ok := p.next()
	return kv, ok && err == nil, err
}

func (p *pulled) Close() { p.stop() }

// Frozen is a committed overlay that no longer changes: what a checkpoint writes
// to the base.
type Frozen struct {
	tables    []*table
	horizons  []horizon // of what was checkpointed before
	positions []Position
	bytes     int64
}

// Len is the number of changes in all stores.
func (f *Frozen) Len() int {
	n := 0
	for _, t := range f.tables {
		n += t.len()
	}
	return n
}

// Bytes is about the size of the changes in memory.
func (f *Frozen) Bytes() int64 { return f.bytes }

// Changes calls yield for each change of a store, except for deletes of what the base cannot have: what was put and
// deleted between two checkpoints never reaches it. The slices stay valid.
func (f *Frozen) Changes(store int) func(yield func(Change) bool) {
	return func(yield func(Change) bool) {
		t := f.tables[store]
		for ref := range t.len() {
			key, value := t.at(ref)
			if value == nil && (t.entries[ref].alone || f.horizons[store].hides(t.shape, key)) {
				continue
			}
			if !yield(Change{Key: key, Value: value}) {
				return
			}
		}
	}
}

// Position is where a store stands once the changes are in the base.
func (f *Frozen) Position(store int) Position { return f.positions[store] }
