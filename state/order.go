package state

import "bytes"

// order is the index of a table by key: a skip list over its entries, without
// pointers. It is built when a range is first read and catches up with new keys at
// the next one; tables that are only read by key pay nothing for it.
//
// Only the goroutine of the task touches it, also after the table itself is no
// longer written: a checkpoint that reads the entries in the background does not
// need their order.
type order struct {
	indexed int      // entries below this ref are linked
	tower   []uint32 // by ref: where the entry's links begin
	height  []uint8  // by ref
	links   []uint32 // refs + 1, level by level; 0 is the end
	head    [maxHeight]uint32
	random  uint64
}

// maxHeight is enough for 4^12 = 16 million entries at full speed.
const maxHeight = 12

func (o *order) reset() {
	*o = order{tower: o.tower[:0], height: o.height[:0], links: o.links[:0]}
}

// next is the link of ref (head if < 0) at the level given: a ref, or < 0 at the
// end.
func (o *order) next(ref, level int) int {
	if ref < 0 {
		return int(o.head[level]) - 1
	}
	return int(o.links[int(o.tower[ref])+level]) - 1
}

func (o *order) link(ref, level, to int) {
	if ref < 0 {
		o.head[level] = uint32(to + 1)
		return
	}
	o.links[int(o.tower[ref])+level] = uint32(to + 1)
}

// index links the entries that were written since the last call.
func (t *table) index() {
	o := &t.order
	for ; o.indexed < len(t.entries); o.indexed++ {
		ref := o.indexed
		key, _ := t.at(ref)
		height := o.randomHeight()
		o.tower = append(o.tower, uint32(len(o.links)))
		o.height = append(o.height, uint8(height))
		for range height {
			o.links = append(o.links, 0)
		}
		at := -1
		for level := maxHeight - 1; level >= 0; level-- {
			at = t.before(at, level, key)
			if level < height {
				o.link(ref, level, o.next(at, level))
				o.link(at, level, ref)
			}
		}
	}
}

// before walks on from ref at a level to the last entry whose key is less than key.
func (t *table) before(ref, level int, key []byte) int {
	for {
		next := t.order.next(ref, level)
		if next < 0 {
			return ref
		}
		e := &t.entries[next]
		if bytes.Compare(t.slab.at(e.key, e.keyLen), key) >= 0 {
			return ref
		}
		ref = next
	}
}

// seek returns the first indexed entry whose key is at or after key, < 0 if there
// is none.
func (t *table) seek(key []byte) int {
	at := -1
	for level := maxHeight - 1; level >= 0; level-- {
		at = t.before(at, level, key)
	}
	return t.order.next(at, 0)
}

// randomHeight draws a height, each one four times less likely than the one below.
// The sequence is the same for every table: equal writes give equal lists.
func (o *order) randomHeight() int {
	o.random += 0x9e3779b97f4a7c15 // splitmix64
	z := o.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	height := 1
	for z&3 == 0 && height < maxHeight {
		height++
		z >>= 2
	}
	return height
}
