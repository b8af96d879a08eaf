package state

import (
	"bytes"
	"slices"
)

// order is the index of a table by key: a skip list over its entries for each class of keys, without pointers. A list is
// built when a range of the class is first read and catches up with new keys at the next one; tables that are only read by
// key pay nothing for it.
//
// Only the goroutine of the task touches it, also after the table itself is no
// longer written: a checkpoint that reads the entries in the background does not
// need their order.
type order struct {
	lists  [classes]skipList
	tower  []uint32 // by ref: where the entry's links begin
	links  []uint32 // refs + 1, level by level; 0 is the end
	random uint64
	fresh  []uint32 // reused
}

// skipList are the entries of a class.
type skipList struct {
	linked int               // entries below this ref are in it, if they are of the class
	head   [maxHeight]uint32 // refs + 1
	tail   [maxHeight]uint32
}

// maxHeight is enough for 4^12 = 16 million entries at full speed.
const maxHeight = 12

func (o *order) reset() {
	*o = order{tower: o.tower[:0], links: o.links[:0], fresh: o.fresh}
}

// next is the link of ref (head if < 0) at the level given: a ref, or < 0 at the
// end.
func (o *order) next(l *skipList, ref, level int) int {
	if ref < 0 {
		return int(l.head[level]) - 1
	}
	return int(o.links[int(o.tower[ref])+level]) - 1
}

func (o *order) link(l *skipList, ref, level, to int) {
	if ref < 0 {
		l.head[level] = uint32(to + 1)
		return
	}
	o.links[int(o.tower[ref])+level] = uint32(to + 1)
}

// index links the entries of a class that were written since the last call: in the order of their keys, so that the search for
// the place of each begins at that of the one before.
func (t *table) index(class int) {
	o, l := &t.order, &t.order.lists[class]
	if l.linked == len(t.entries) {
		return
	}
	fresh, sorted := o.fresh[:0], true
	for ; l.linked < len(t.entries); l.linked++ {
		if int(t.entries[l.linked].class) == class {
			sorted = sorted && (len(fresh) == 0 || bytes.Compare(t.key(int(fresh[len(fresh)-1])), t.key(l.linked)) < 0)
			fresh = append(fresh, uint32(l.linked))
		}
	}
	o.fresh = fresh
	if !sorted {
		slices.SortFunc(fresh, func(a, b uint32) int { return bytes.Compare(t.key(int(a)), t.key(int(b))) })
	}
	if n := len(t.entries); len(o.tower) < n {
		o.tower = append(o.tower, make([]uint32, n-len(o.tower))...)
	}
	var before [maxHeight]int // the entry before the last place, at each level
	for level := range before {
		before[level] = -1
	}
	for _, ref := range fresh {
		t.insertOrdered(l, int(ref), &before)
	}
}

// insertOrdered links an entry whose key is after those of the entries in before, and puts it there.
func (t *table) insertOrdered(l *skipList, ref int, before *[maxHeight]int) {
	o, key := &t.order, t.key(ref)
	if last := int(l.tail[0]) - 1; last >= 0 && bytes.Compare(t.key(last), key) < 0 {
		for level := range before {
			before[level] = int(l.tail[level]) - 1
		}
	} else {
		moved, at := false, -1
		for level := maxHeight - 1; level >= 0; level-- {
			if !moved {
				at = before[level]
			}
			to := t.before(l, at, level, key)
			moved = moved || to != at
			at, before[level] = to, to
		}
	}
	height := o.randomHeight()
	o.tower[ref] = uint32(len(o.links))
	for level := range height {
		next := o.next(l, before[level], level)
		o.links = append(o.links, uint32(next+1))
		if next < 0 {
			l.tail[level] = uint32(ref + 1)
		}
	}
	for level := range height {
		o.link(l, before[level], level, ref)
		before[level] = ref
	}
}

// before walks on from ref at a level to the last entry whose key is less than key.
func (t *table) before(l *skipList, ref, level int, key []byte) int {
	for {
		next := t.order.next(l, ref, level)
		if next < 0 || bytes.Compare(t.key(next), key) >= 0 {
			return ref
		}
		ref = next
	}
}

// seek returns the first indexed entry whose key is at or after key, < 0 if there
// is none.
func (t *table) seek(key []byte) int {
	for class := t.shape.class(key); class < classes; class++ {
		l, at := &t.order.lists[class], -1
		for level := maxHeight - 1; level >= 0; level-- {
			at = t.before(l, at, level, key)
		}
		if at = t.order.next(l, at, 0); at >= 0 {
			return at
		}
	}
	return -1
}

// last returns the last indexed entry of a class, < 0 if there is none.
func (t *table) last(class int) int { return int(t.order.lists[class].tail[0]) - 1 }

// after returns the indexed entry that follows one.
func (t *table) after(ref int) int {
	class := int(t.entries[ref].class)
	next := t.order.next(&t.order.lists[class], ref, 0)
	if next < 0 && class == indexClass {
		next = int(t.order.lists[entryClass].head[0]) - 1
	}
	return next
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
