package task

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/bits"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/state"
)

// scanMax is the number of held-back writes up to which a lookup scans them. Most records write one or two
// entries; only a record that writes many pays for an index.
const scanMax = 8

// writes are the store writes of the present record, in order. They reach the stores when the record has passed,
// so a record that fails half-way leaves no trace. Writes lie in one arena; the last one of a key counts.
type writes struct {
	arena []byte
	list  []write
	index []int32 // open addressing: places in list + 1 of the last write of each key; empty up to scanMax writes
}

// write is a put, or a delete. Its key is arena[start:keyEnd], its value arena[keyEnd:end].
type write struct {
	store              *store
	start, keyEnd, end int
	deleted            bool
}

func (w *writes) add(s *store, key, value []byte, deleted bool) {
	if w.arena == nil {
		w.arena = []byte{} // an empty key or value is a view of it, and not nil
	}
	start := len(w.arena)
	w.arena = append(w.arena, key...)
	keyEnd := len(w.arena)
	w.arena = append(w.arena, value...)
	w.list = append(w.list, write{s, start, keyEnd, len(w.arena), deleted})
	switch n := len(w.list); {
	case n <= scanMax:
	case 2*n <= len(w.index):
		w.index[w.slot(s, w.arena[start:keyEnd])] = int32(n)
	default:
		w.grow(4 * n)
	}
}

// writeSeed is of the hashes of the index. No order depends on it.
var writeSeed = maphash.MakeSeed()

// slot returns where in the index a key is, or belongs.
func (w *writes) slot(s *store, key []byte) int {
	mask := len(w.index) - 1
	for i := int(maphash.Bytes(writeSeed, key)) & mask; ; i = (i + 1) & mask {
		at := w.index[i]
		if at == 0 || w.list[at-1].store == s && bytes.Equal(w.key(w.list[at-1]), key) {
			return i
		}
	}
}

// grow makes an index of size slots or more.
func (w *writes) grow(size int) {
	size = 1 << bits.Len(uint(size-1))
	w.index = slices.Grow(w.index[:0], size)[:size]
	clear(w.index)
	for i, x := range w.list {
		w.index[w.slot(x.store, w.key(x))] = int32(i + 1)
	}
}

func (w *writes) key(x write) []byte   { return w.arena[x.start:x.keyEnd:x.keyEnd] }
func (w *writes) value(x write) []byte { return w.arena[x.keyEnd:x.end:x.end] }

// find returns the last write of key, and whether there is one.
func (w *writes) find(s *store, key []byte) (write, bool) {
	i := w.last(s, key)
	if i < 0 {
		return write{}, false
	}
	return w.list[i], true
}

// last returns the place of the last write of key in the list, -1 if there is none.
func (w *writes) last(s *store, key []byte) int {
	if len(w.index) > 0 {
		return int(w.index[w.slot(s, key)]) - 1
	}
	for i, x := range slices.Backward(w.list) {
		if x.store == s && bytes.Equal(w.key(x), key) {
			return i
		}
	}
	return -1
}

// apply writes everything to the stores, in order.
func (w *writes) apply() error {
	for _, x := range w.list {
		var err error
		op := opPut
		if x.deleted {
			op = opDelete
		}
		var began time.Time
		timed := x.store.observed.due(op)
		if timed {
			began = x.store.observed.begin()
		}
		if x.deleted {
			err = x.store.inner.Delete(w.key(x))
		} else {
			err = x.store.inner.Put(w.key(x), w.value(x))
		}
		if timed {
			x.store.observed.end(op, began)
		}
		if err != nil {
			return fmt.Errorf("store %q: %w", x.store.name, err)
		}
		if q := x.store.timers; q != nil {
			q.written(w.key(x), w.value(x), x.deleted)
		}
	}
	return nil
}

func (w *writes) reset() {
	if cap(w.arena) > arenaKeepBytes {
		w.arena = nil
	}
	if cap(w.list) > arenaKeepBytes/64 {
		w.list = nil
	}
	if cap(w.index) > arenaKeepBytes/4 {
		w.index = nil
	}
	w.arena, w.list, w.index = w.arena[:0], w.list[:0], w.index[:0]
}

// store is a store as the nodes see it: reads look through the record's own writes, and an error of the backend
// stops the task whatever the user function makes of it.
type store struct {
	name  string
	inner state.Store
	frame *Frame
	// changelog is the topic of its changes, which takes entries of so many bytes; 0 is any number.
	changelog string
	limit     int
	scratch   *state.Scratch // of inner, for the typed stores above
	timers    *timerQueue    // nil if the store has no timers that fire
	free      []*scan        // that ended
	observed  observed
}

func newStore(name string, inner state.Store, f *Frame) *store {
	s := &store{name: name, inner: inner, frame: f}
	if owner, ok := inner.(state.Scratcher); ok {
		s.scratch = owner.Scratch()
	} else {
		s.scratch = new(state.Scratch)
	}
	return s
}

// Scratch implements state.Scratcher.
func (s *store) Scratch() *state.Scratch { return s.scratch }

func (s *store) Get(key []byte) ([]byte, bool, error) {
	f := s.frame
	if len(f.writes.list) > 0 {
		if x, ok := f.writes.find(s, key); ok {
			if x.deleted {
				return nil, false, nil
			}
			return f.writes.value(x), true, nil
		}
	}
	var began time.Time
	timed := s.observed.due(opGet)
	if timed {
		began = s.observed.begin()
	}
	f.inStore = true
	value, found, err := s.inner.Get(key)
	f.inStore = false
	if timed {
		s.observed.end(opGet, began)
	}
	return value, found, s.check(err)
}

func (s *store) Put(key, value []byte) error {
	if err := s.fits(key, value); err != nil {
		return err
	}
	s.frame.writes.add(s, key, value, false)
	return nil
}

func (s *store) Delete(key []byte) error {
	if err := s.fits(key, nil); err != nil {
		return err
	}
	s.frame.writes.add(s, key, nil, true)
	return nil
}

// fits refuses what the backend or the changelog would refuse later, when it is no longer the record's fault.
func (s *store) fits(key, value []byte) error {
	if s.limit > 0 && len(key)+len(value) > s.limit {
		return fmt.Errorf("store %q: an entry of %d bytes, key and value, is above the limit of %d: raise max.message.bytes of topic %q",
			s.name, len(key)+len(value), s.limit, s.changelog)
	}
	if len(key) > state.MaxKeyBytes || len(value) > state.MaxValueBytes {
		return fmt.Errorf("store %q: %w: key of %d bytes (at most %d), value of %d (at most %d)",
			s.name, state.ErrTooLarge, len(key), state.MaxKeyBytes, len(value), state.MaxValueBytes)
	}
	return nil
}

// check notes an error of the backend.
func (s *store) check(err error) error {
	if err != nil {
		s.frame.Stop(fmt.Errorf("store %q: %w", s.name, err))
	}
	return err
}
