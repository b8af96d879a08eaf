package state

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
)

// layerStore is one store of Layers.
type layerStore struct {
	task    *Layers
	index   int
	shape   shape
	open    *table
	writes  uint64   // counts writes, for ranges that run meanwhile
	ranges  []*merge // that run
	free    []*merge // that ran
	base    baseRead // the last one
	looked  lookups
	scratch Scratch

	had     atomic.Pointer[KeyFilter] // the base, when the task was opened; nil if that is not known
	written KeyFilter                 // committed since
}

// Scratch is what typed stores reuse from call to call; it lives with the bytes
// because a typed handle lives for one record only. Its zero value is ready.
type Scratch struct {
	key, value, other, page []byte
	sweep                   sweepState
}

// Forget drops what the typed store remembers of removals: the record that made some has failed, so they did not happen.
func (s *Scratch) Forget() { s.sweep = sweepState{} }

// Scratcher is a Store that keeps scratch space for the typed stores above it. What
// wraps a Store passes its Scratch on, or every call allocates its own.
type Scratcher interface{ Scratch() *Scratch }

// scratchOf is the scratch space of a store, or a new one for a store that has none.
func scratchOf(s Store) *Scratch {
	if owner, ok := s.(Scratcher); ok {
		return owner.Scratch()
	}
	return &Scratch{}
}

func (s *layerStore) Scratch() *Scratch { return &s.scratch }

func (s *layerStore) Get(key []byte) ([]byte, bool, error) {
	if s.task.closed {
		return nil, false, ErrClosed
	}
	hash := hashOf(key)
	layers := s.task.layers.Load()
	l := s.looked.find(s.task.commits, hash, key)
	if l == nil {
		l = s.looked.add(hash, key)
		l.ref, l.value, l.in = s.overlaid(layers, hash, key)
	}
	if l.in != absent {
		return l.value, l.in == present, nil
	}
	if layers.horizons[s.index].hides(s.shape, key) || s.missing(hash, key) {
		return nil, false, nil
	}
	return s.base.get(s.task, s.index, layers.epoch, hash, key)
}

// overlaid looks a key up in the overlays. ref is its place in the open one, -1 if it is not there.
func (s *layerStore) overlaid(layers *layerSet, hash uint64, key []byte) (ref int, value []byte, in lookup) {
	if ref, found := s.open.find(hash, key); found {
		value, in = s.open.value(ref)
		return ref, value, in
	}
	if value, in = layers.committed[s.index].get(hash, key); in == absent && layers.frozen != nil {
		value, in = layers.frozen[s.index].get(hash, key)
	}
	return -1, value, in
}

// note remembers that a key was committed, and reports whether it is known that neither the base has it nor an overlay that goes
// there. Those of the index are not looked up.
func (s *layerStore) note(hash uint64, key []byte) (alone bool) {
	most := s.task.base.FilterBytes()
	if most < 0 || s.shape.class(key) != entryClass {
		return false
	}
	had := s.had.Load()
	alone = had != nil && had.lacks(hash) && s.written.lacks(hash)
	switch {
	case had == nil:
		s.written.add(hash, most/4) // the rest is for what the base had
	case had.lacks(hash):
		s.written.add(hash, most-had.size)
	}
	return alone
}

// missing reports whether it is known that the base does not have a key.
func (s *layerStore) missing(hash uint64, key []byte) bool {
	had := s.had.Load()
	return had != nil && had.lacks(hash) && s.written.lacks(hash) && s.shape.class(key) == entryClass
}

// baseRead is what a read from the base brought. Whoever puts a key has often looked it up just before, and layers above the
// store look again: a key is not looked up in the base twice in a row. What the base has of a key that no overlay has can only
// change by a commit.
type baseRead struct {
	known      bool
	key, value []byte
	found      bool
	commits    uint64     // of the task, before the read
	cache      *readCache // nil for none
}

func (r *baseRead) get(task *Layers, store int, epoch, hash uint64, key []byte) ([]byte, bool, error) {
	if !r.known || r.commits != task.commits || !bytes.Equal(r.key, key) {
		if r.cache != nil {
			if value, found := r.cache.get(epoch, hash, key); found {
				return value, true, nil
			}
		}
		r.known = false // while the bytes change
		value, found, err := task.base.Get(store, key, r.value[:0])
		if err != nil {
			return nil, false, err
		}
		if found {
			r.value = value
			if most := task.base.CacheBytes(); most > 0 && r.cache != nil {
				r.cache.add(hash, key, value, most)
			}
		}
		r.known, r.found, r.commits = true, found, task.commits
		r.key = append(r.key[:0], key...)
	}
	if !r.found {
		return nil, false, nil
	}
	return r.value, true, nil
}

func (s *layerStore) Put(key, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	return s.set(key, value)
}

func (s *layerStore) Delete(key []byte) error { return s.set(key, nil) }

func (s *layerStore) set(key, value []byte) error {
	switch {
	case s.task.closed:
		return ErrClosed
	case len(key) > MaxKeyBytes || len(value) > MaxValueBytes:
		return fmt.Errorf("%w: key of %d bytes (at most %d), value of %d (at most %d)",
			ErrTooLarge, len(key), MaxKeyBytes, len(value), MaxValueBytes)
	}
	s.writes++
	hash := hashOf(key)
	for _, m := range s.ranges {
		m.note(hash, key)
	}
	l := s.looked.find(s.task.commits, hash, key)
	switch {
	case l == nil:
		s.open.set(hash, key, value)
		return nil
	case l.ref < 0:
		l.ref = s.open.insert(hash, key)
	}
	s.open.write(l.ref, value)
	l.value, l.in = s.open.value(l.ref)
	return nil
}

func (s *layerStore) Range(from, to []byte) iter.Seq2[KV, error] {
	return func(yield func(KV, error) bool) {
		it := s.Scan(from, to)
		defer it.Close()
		for {
			kv, ok, err := it.Next()
			if err != nil {
				yield(KV{}, err)
				return
			}
			if !ok || !yield(kv, nil) {
				return
			}
		}
	}
}

// Scan implements [Scanner].
func (s *layerStore) Scan(from, to []byte) Iterator {
	var m *merge
	if n := len(s.free); n > 0 {
		m, s.free = s.free[n-1], s.free[:n-1]
	} else {
		m = &merge{store: s}
	}
	m.open(from, to)
	s.ranges = append(s.ranges, m)
	return m
}

// Close implements Iterator.
func (m *merge) Close() {
	if m.base != nil {
		m.base.Close()
		m.base = nil
	}
	s := m.store
	if i := slices.Index(s.ranges, m); i >= 0 {
		s.ranges = slices.Delete(s.ranges, i, i+1)
		s.free = append(s.free, m)
	}
}

// merge reads the layers of a store side by side in the order of the keys. It is used again and again.
type merge struct {
	store   *layerStore
	from    []byte
	to      []byte    // nil for no end
	bounds  [2][]byte // buffers of from and to
	cursors [3]cursor // open, committed, frozen
	base    Iterator  // nil if there is nothing to read
	head    KV        // next of base
	hasHead bool
	fetch   bool   // base has to be asked for its next
	err     error  // that there is instead of entries
	writes  uint64 // store.writes when the range began
	opened  int    // entries of the open overlay then
	// existed says of the entries of the open overlay that were there when the range
	// began, and were written since, whether they were values then, not deletes.
	existed map[int]bool
}

// open begins at from.
func (m *merge) open(from, to []byte) {
	s := m.store
	clear(m.existed)
	m.head, m.hasHead, m.fetch, m.err = KV{}, false, false, nil
	m.writes, m.opened = s.writes, s.open.len()
	m.from, m.to = append(m.bounds[0][:0], from...), nil
	m.bounds[0] = m.from
	if to != nil {
		m.to = append(m.bounds[1][:0], to...)
		m.bounds[1] = m.to
		if m.to == nil {
			m.to = []byte{}
		}
	}
	for i := range m.cursors {
		m.cursors[i].close()
	}
	switch {
	case s.task.closed:
		m.err = ErrClosed
		return
	case to != nil && bytes.Compare(from, to) >= 0:
		return
	}
	// The overlays are taken before the base: a checkpoint that ends in between is
	// then seen twice, in the order of the layers, and not missed.
	layers := s.task.layers.Load()
	r := s.shape.span(m.from, m.to)
	m.cursors[0].open(s.open, &r)
	m.cursors[1].open(layers.committed[s.index], &r)
	if layers.frozen != nil {
		m.cursors[2].open(layers.frozen[s.index], &r)
	}
	if !layers.horizons[s.index].hidesAll(&r) {
		m.base, m.fetch = s.task.base.Scan(s.index, m.from, m.to), true
	}
}

// Next returns the next entry that still exists, with its present value.
func (m *merge) Next() (KV, bool, error) {
	for {
		kv, ok, err := m.step()
		if err != nil || !ok {
			return KV{}, false, err
		}
		if kv.Value != nil && m.store.writes != m.writes {
			// The loop writes while it reads: whether a write shows must not depend on
			// the layer the old value lies in, so the open overlay is asked again.
			if ref, found := m.store.open.find(hashOf(kv.Key), kv.Key); found {
				_, kv.Value = m.store.open.at(ref)
				if existed, written := m.existed[ref]; written && !existed {
					continue
				}
			}
		}
		if kv.Value != nil {
			return kv, true, nil
		}
	}
}

// note remembers what the open overlay holds of key before the loop writes it for
// the first time.
func (m *merge) note(hash uint64, key []byte) {
	ref, found := m.store.open.find(hash, key)
	if !found || ref >= m.opened {
		return
	}
	if _, written := m.existed[ref]; written {
		return
	}
	if m.existed == nil {
		m.existed = make(map[int]bool)
	}
	m.existed[ref] = !m.store.open.entries[ref].deleted
}

// step returns the smallest key of all layers, with the uppermost layer's value
// (nil for a delete), and moves the layers that have it on.
func (m *merge) step() (kv KV, ok bool, err error) {
	if m.err != nil {
		return KV{}, false, m.err
	}
	if m.fetch {
		m.fetch = false
		if m.head, m.hasHead, err = m.base.Next(); err != nil {
			return KV{}, false, err
		}
	}
	best := -1
	for i := range m.cursors {
		c := &m.cursors[i]
		if c.ref < 0 {
			continue
		}
		key, value := c.table.at(c.ref)
		if m.to != nil && bytes.Compare(key, m.to) >= 0 {
			c.ref = -1
			continue
		}
		if best < 0 || bytes.Compare(key, kv.Key) < 0 {
			best, kv = i, KV{key, value}
		}
	}
	if m.hasHead && (best < 0 || bytes.Compare(m.head.Key, kv.Key) < 0) {
		kv = m.head
		m.hasHead, m.fetch = false, true // at the next step, when kv is no longer used
		return kv, true, nil
	}
	if best < 0 {
		return KV{}, false, nil
	}
	for i := range m.cursors {
		c := &m.cursors[i]
		if c.ref >= 0 && (i == best || bytes.Equal(c.key(), kv.Key)) {
			c.next()
		}
	}
	if m.hasHead && bytes.Equal(m.head.Key, kv.Key) {
		m.hasHead, m.fetch = false, true
	}
	return kv, true, nil
}
