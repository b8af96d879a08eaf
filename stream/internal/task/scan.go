package task

import (
	"bytes"
	"iter"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/state"
)

// scan merges a record's own writes into what a backend holds of a range. As the contract of state.Store says, keys put
// while it runs are not yielded, and keys deleted meanwhile are skipped. It is used again and again.
type scan struct {
	s     *store
	inner state.Iterator
	head  state.KV  // of inner
	begun bool      // head was asked for
	held  bool      // head is there
	since time.Time // zero if it is not timed

	// own are the writes held back when the scan began, the last one of each key, in the order of the keys; with copies of
	// the keys, because the arena moves. The deleted ones are gone also if they are put again meanwhile.
	own  []ownKey
	next int // in own
	buf  []byte
}

// ownKey is the key buf[start:end].
type ownKey struct {
	start, end int
	deleted    bool
}

// Range implements state.Store.
func (s *store) Range(from, to []byte) iter.Seq2[state.KV, error] {
	return func(yield func(state.KV, error) bool) {
		it := s.Scan(from, to)
		defer it.Close()
		for {
			kv, ok, err := it.Next()
			if err != nil {
				yield(state.KV{}, err)
				return
			}
			if !ok || !yield(kv, nil) {
				return
			}
		}
	}
}

// Scan implements state.Scanner.
func (s *store) Scan(from, to []byte) state.Iterator {
	var c *scan
	if n := len(s.free); n > 0 {
		c, s.free = s.free[n-1], s.free[:n-1]
	} else {
		c = &scan{s: s}
	}
	c.begun, c.held, c.head = false, false, state.KV{}
	if c.since = (time.Time{}); s.observed.due(opRange) {
		c.since = s.observed.begin()
	}
	s.observed.open(1)
	c.collect(from, to)
	// inStore is true while the backend runs. It is not restored by a defer: a panic of the backend has to leave it true.
	s.frame.inStore = true
	c.inner = state.Scan(s.inner, from, to)
	s.frame.inStore = false
	return c
}

// collect notes the record's own writes in the range.
func (c *scan) collect(from, to []byte) {
	if c.buf == nil {
		c.buf = []byte{} // an empty key is a view of it, and not nil
	}
	c.own, c.next, c.buf = c.own[:0], 0, c.buf[:0]
	w := &c.s.frame.writes
	for i, x := range w.list {
		key := w.key(x)
		if x.store != c.s || bytes.Compare(key, from) < 0 || to != nil && bytes.Compare(key, to) >= 0 || w.last(c.s, key) != i {
			continue
		}
		start := len(c.buf)
		c.buf = append(c.buf, key...)
		c.own = append(c.own, ownKey{start, len(c.buf), x.deleted})
	}
	if len(c.own) > 1 {
		slices.SortFunc(c.own, func(a, b ownKey) int { return bytes.Compare(c.key(a), c.key(b)) })
	}
}

func (c *scan) key(o ownKey) []byte { return c.buf[o.start:o.end:o.end] }

// Next implements state.Iterator.
func (c *scan) Next() (state.KV, bool, error) {
	for {
		if !c.begun {
			if err := c.ask(); err != nil {
				return state.KV{}, false, err
			}
		}
		kv := c.head
		switch {
		case c.next < len(c.own) && (!c.held || bytes.Compare(c.key(c.own[c.next]), c.head.Key) <= 0):
			first := c.own[c.next]
			c.next++
			key := c.key(first)
			if c.held && bytes.Equal(key, c.head.Key) {
				c.begun = false // what the backend has of the key is old
			}
			if first.deleted {
				continue
			}
			kv = state.KV{Key: key}
		case c.held:
			c.begun = false
		default:
			return state.KV{}, false, nil
		}
		if w := &c.s.frame.writes; len(w.list) > 0 {
			if x, ok := w.find(c.s, kv.Key); ok {
				if x.deleted {
					continue
				}
				kv.Value = w.value(x)
			}
		}
		return kv, true, nil
	}
}

// ask asks the backend for its next entry.
func (c *scan) ask() (err error) {
	f := c.s.frame
	f.inStore = true
	c.head, c.held, err = c.inner.Next()
	f.inStore = false
	c.begun = true
	return c.s.check(err)
}

// Close implements state.Iterator.
func (c *scan) Close() {
	if c.inner == nil {
		return
	}
	c.inner.Close()
	c.inner = nil
	c.s.observed.end(opRange, c.since)
	c.s.observed.open(-1)
	if cap(c.buf) <= arenaKeepBytes {
		c.s.free = append(c.s.free, c)
	}
}
