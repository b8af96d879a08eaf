package state

import (
	"bytes"
	"hash/maphash"
)

// table is one overlay of one store: the last write of each key, in the order in
// which the keys were first written. Keys and values lie in slabs and are found
// through open addressing; nothing in it but a handful of slices has pointers, so
// that the garbage collector does not walk it (a map[string]*T of five million
// keys costs a collection 1.8 s, this costs it nothing).
//
// A table is written by one goroutine. One that is no longer written can be read
// by several, indexes aside: see order.
type table struct {
	shape   shape
	times   [classes]times
	entries []tableEntry
	slots   []slot // open addressing, linear probing, a power of two
	slab    slab
	garbage int // slab bytes that no entry uses any more
	deleted int // entries that are deletes
	order   order
	groups  groups
}

// tableEntry is one key. Its place in entries is its ref.
type tableEntry struct {
	key, value       slabRef
	keyLen, valueLen uint32
	valueCap         uint32
	deleted          bool
	alone            bool // no layer below has the key, nor ever had since the task was opened
	class            uint8
}

// slot holds an entry's ref + 1 in its lower half, 0 for none, and the upper 32
// bits of the key's hash in its own upper half. They also say where a key belongs,
// so that a table grows without a look at its keys.
type slot uint64

func (s slot) ref() int  { return int(s&(1<<32-1)) - 1 }
func (s slot) tag() slot { return s >> 32 }

func slotOf(hash uint64, ref int) slot { return slot(hash)&^(1<<32-1) | slot(ref+1) }

// home is where the search for a hash begins, in a table whose slots have the mask.
func home(hash, mask uint64) uint64 { return hash >> 32 & mask }

// lookup is what a table knows of a key.
type lookup byte

const (
	absent lookup = iota // no write of the key
	present
	removed // the last write is a delete
)

const (
	minSlots    = 16
	entryBytes  = 40 + 12 // an entry and its share of the slots
	slotsPerKey = 2       // at least
	maxRoom     = 256     // that a value gets to grow, in bytes
)

func (t *table) len() int { return len(t.entries) }

// meets reports whether the table can have keys of a range.
func (t *table) meets(r *keyRange) bool {
	return len(t.entries) > 0 && (!r.timed || t.times[r.class].meet(r))
}

// key returns the key of the entry with the ref given.
func (t *table) key(ref int) []byte {
	e := &t.entries[ref]
	return t.slab.at(e.key, e.keyLen)
}

// size is about how many bytes the table takes.
func (t *table) size() int64 {
	return t.slab.used + int64(len(t.entries))*entryBytes
}

// find returns the ref of key and whether it is there; hash is its hash.
func (t *table) find(hash uint64, key []byte) (ref int, found bool) {
	if len(t.slots) == 0 {
		return 0, false
	}
	mask := uint64(len(t.slots) - 1)
	tag := slot(hash) &^ (1<<32 - 1)
	for i := home(hash, mask); ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			return 0, false
		}
		if s&^(1<<32-1) != tag {
			continue
		}
		ref = int(s&(1<<32-1)) - 1
		if e := &t.entries[ref]; bytes.Equal(t.slab.at(e.key, e.keyLen), key) {
			return ref, true
		}
	}
}

// get returns the value of key, a view that the next set may change.
func (t *table) get(hash uint64, key []byte) ([]byte, lookup) {
	ref, found := t.find(hash, key)
	if !found {
		return nil, absent
	}
	return t.value(ref)
}

// value returns the value of the entry with the ref given, a view that the next set may change.
func (t *table) value(ref int) ([]byte, lookup) {
	e := &t.entries[ref]
	if e.deleted {
		return nil, removed
	}
	return t.slab.at(e.value, e.valueLen), present
}

// at returns the entry with the ref given; the value of a delete is nil.
func (t *table) at(ref int) (key, value []byte) {
	e := &t.entries[ref]
	key = t.slab.at(e.key, e.keyLen)
	if !e.deleted {
		value = t.slab.at(e.value, e.valueLen)
	}
	return key, value
}

// set writes key; a nil value deletes it. Both are copied. The value may be a view
// into this table.
func (t *table) set(hash uint64, key, value []byte) (ref int) {
	ref, found := t.find(hash, key)
	if !found {
		ref = t.insert(hash, key)
	}
	t.write(ref, value)
	return ref
}

// write gives an entry its value.
func (t *table) write(ref int, value []byte) {
	e := &t.entries[ref]
	if e.deleted {
		t.deleted--
	}
	e.deleted = value == nil
	if e.deleted {
		t.deleted++
		return
	}
	if len(value) > int(e.valueCap) {
		t.garbage += int(e.valueCap)
		size := max(len(value), min(2*int(e.valueCap), len(value)+maxRoom)) // what has grown once may grow again
		e.value = t.slab.alloc(size)
		e.valueCap = uint32(size)
	}
	copy(t.slab.at(e.value, uint32(len(value))), value)
	e.valueLen = uint32(len(value))
}

func (t *table) insert(hash uint64, key []byte) (ref int) {
	if (len(t.entries)+1)*slotsPerKey > len(t.slots) {
		t.slots = grown(t.slots)
	}
	ref = len(t.entries)
	e := tableEntry{key: t.slab.alloc(len(key)), keyLen: uint32(len(key))}
	copy(t.slab.at(e.key, e.keyLen), key)
	if t.shape != plain {
		class, at, known := t.shape.time(key)
		t.times[class].add(at, known)
		e.class = uint8(class)
	} else {
		e.class = entryClass
	}
	t.entries = append(t.entries, e)
	place(t.slots, slotOf(hash, ref))
	return ref
}

// place puts a slot where it belongs.
func place(slots []slot, s slot) {
	mask := uint64(len(slots) - 1)
	i := home(uint64(s), mask)
	for slots[i] != 0 {
		i = (i + 1) & mask
	}
	slots[i] = s
}

// grown returns twice as many slots, with what is in the old ones.
func grown(old []slot) []slot {
	slots := make([]slot, max(minSlots, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			place(slots, s)
		}
	}
	return slots
}

// reset empties the table and keeps its memory, unless it was much more than this
// time was needed.
func (t *table) reset() {
	if len(t.slots) > 8*minSlots && len(t.entries)*16 < len(t.slots) {
		*t = table{shape: t.shape}
		return
	}
	clear(t.slots)
	t.entries = t.entries[:0]
	t.slab.reset()
	t.garbage, t.deleted, t.times = 0, 0, [classes]times{}
	t.order.reset()
	t.groups.reset()
}

// compacted returns the table without its deletes and its garbage, or itself if
// there is little of either.
func (t *table) compacted() *table {
	if t.deleted*2 <= len(t.entries) && int64(t.garbage)*2 <= t.slab.used {
		return t
	}
	c := &table{shape: t.shape}
	for ref := range t.entries {
		if key, value := t.at(ref); value != nil {
			c.set(hashOf(key), key, value)
		}
	}
	return c
}

// hashSeed is the same for all tables, so that a key is hashed once for all
// layers. It differs between processes; no order depends on it.
var hashSeed = maphash.MakeSeed()

func hashOf(key []byte) uint64 { return maphash.Bytes(hashSeed, key) }

// slabRef is a place in a slab: the chunk in the upper half, the position in the
// lower one.
type slabRef uint64

// slab hands out bytes from chunks. They are freed all together.
type slab struct {
	chunks [][]byte // chunks[current] is being filled; those after it are spare
	cur    int
	pos    int
	used   int64 // bytes handed out
}

const (
	minChunkBytes = 4 << 10
	maxChunkBytes = 1 << 20
)

func (s *slab) alloc(n int) slabRef {
	s.used += int64(n)
	for s.cur < len(s.chunks) {
		if s.pos+n <= len(s.chunks[s.cur]) {
			ref := slabRef(s.cur)<<32 | slabRef(s.pos)
			s.pos += n
			return ref
		}
		if s.cur+1 == len(s.chunks) {
			break
		}
		s.cur, s.pos = s.cur+1, 0
	}
	size := min(minChunkBytes<<min(len(s.chunks), 16), maxChunkBytes)
	s.chunks = append(s.chunks, make([]byte, max(size, n)))
	s.cur, s.pos = len(s.chunks)-1, n
	return slabRef(s.cur) << 32
}

// at returns the n bytes at ref, never nil.
func (s *slab) at(ref slabRef, n uint32) []byte {
	if n == 0 {
		return []byte{}
	}
	pos := uint32(ref)
	return s.chunks[ref>>32][pos : pos+n : pos+n]
}

func (s *slab) reset() { s.cur, s.pos, s.used = 0, 0, 0 }
