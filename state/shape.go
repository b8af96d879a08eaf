package state

import (
	"bytes"
	"encoding/binary"
	"math"
)

// shape is what the keys of a store are known to be made of. All but plain ones are parted into two classes: an index by time,
// and entries.
type shape byte

const (
	plain   shape = iota // any bytes
	indexed              // index: 0x00 time ...
	grouped              // and entries: 0x01 length key time ...
	sided                // and entries: 0x01 side length key time ...
)

// Classes of keys. The index is before the entries in the order of the keys.
const (
	indexClass = iota
	entryClass
	classes
)

func (s Spec) shape() shape {
	switch s.Layout() {
	case LayoutPlain:
		return plain
	case LayoutWindows, LayoutSessions:
		return grouped
	case LayoutJoin:
		return sided
	}
	return indexed
}

// LooksUp reports whether a key of the store may be looked up. Those of its index are only gone through, in their order.
func (s Spec) LooksUp(key []byte) bool { return s.shape().class(key) == entryClass }

const timeBytes = 8

func (s shape) class(key []byte) int {
	if s != plain && (len(key) == 0 || key[0] == prefixIndex) {
		return indexClass
	}
	return entryClass
}

// group returns how many bytes of a key it has in common with exactly the entries of its group: those of one key, on one
// side of a join. In the order of the store they lie side by side, in that of time. It is 0 for a key without a group.
func (s shape) group(key []byte) int {
	at := 1
	switch s {
	case grouped:
	case sided:
		at = 2
	default:
		return 0
	}
	if len(key) < at || key[0] != prefixEntry {
		return 0
	}
	size, n := binary.Uvarint(key[at:])
	if n <= 0 || size > uint64(len(key)-at-n) {
		return 0
	}
	return at + n + int(size)
}

// time returns the time in a key, as a number that sorts like it; false if the key has none.
func (s shape) time(key []byte) (class int, at uint64, ok bool) {
	class = s.class(key)
	n := 1
	if class == entryClass {
		n = s.group(key)
	}
	if n == 0 || s == plain || len(key) < n+timeBytes {
		return class, 0, false
	}
	return class, binary.BigEndian.Uint64(key[n:]), true
}

// keyRange is the range from <= key < to, and what the keys in it have in common.
type keyRange struct {
	shape    shape
	from, to []byte // to is nil for no end
	// timed says that the keys are of one class, and that those with a time have one in [first, last].
	timed       bool
	class       int
	first, last uint64
	group       int // bytes of from that all keys begin with, if they are of one group
}

func (s shape) span(from, to []byte) keyRange {
	r := keyRange{shape: s, from: from, to: to}
	switch n := s.group(from); {
	case to == nil || s == plain:
	case n > 0:
		if len(from) >= n+timeBytes && len(to) >= n+timeBytes && bytes.Equal(from[:n], to[:n]) {
			r.timed, r.class, r.group = true, entryClass, n
			r.first, r.last = binary.BigEndian.Uint64(from[n:]), binary.BigEndian.Uint64(to[n:])
		}
	case !r.holds(entryClass):
		r.timed, r.class, r.last = true, indexClass, math.MaxUint64
		if len(from) > timeBytes {
			r.first = binary.BigEndian.Uint64(from[1:])
		}
		if len(to) > timeBytes && to[0] == prefixIndex {
			r.last = binary.BigEndian.Uint64(to[1:])
		}
	}
	return r
}

// holds reports whether keys of a class can be in the range.
func (r *keyRange) holds(class int) bool {
	if class == indexClass {
		return r.shape.class(r.from) == indexClass
	}
	return r.to == nil || r.shape == plain || bytes.Compare(r.to, []byte{prefixEntry}) > 0
}

// times are bounds of the times in the keys of a class.
type times struct {
	some        bool
	first, last uint64
}

func (t *times) add(at uint64, known bool) {
	first, last := at, at
	if !known {
		first, last = 0, math.MaxUint64
	}
	if !t.some {
		*t = times{true, first, last}
		return
	}
	t.first, t.last = min(t.first, first), max(t.last, last)
}

// meet reports whether keys with such times can be in the range.
func (t *times) meet(r *keyRange) bool {
	return !r.timed || t.some && t.first <= r.last && r.first <= t.last
}

// horizon says of each class up to which time there may be keys in the base that are in no overlay. So what is newer than all
// that was ever written to the base need not be looked for there.
type horizon [classes]uint64

// raise moves the horizon to the last of the times.
func (h *horizon) raise(t *[classes]times) {
	for class := range h {
		h[class] = max(h[class], t[class].last)
	}
}

// hides reports whether the base cannot have the key.
func (h *horizon) hides(s shape, key []byte) bool {
	if s == plain {
		return false
	}
	class, at, ok := s.time(key)
	return ok && at > h[class]
}

// hidesAll is hides for all keys of a range.
func (h *horizon) hidesAll(r *keyRange) bool { return r.timed && r.first > h[r.class] }
