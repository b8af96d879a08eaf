package state

import "bytes"

// groups finds the entries of a group in a table: an index by group, each a list with the latest time first. Like the order of all
// keys it is built when it is first read, by the goroutine of the task. Ranges that are read for each record lie in one group,
// and near its end; to find them is one lookup, where the order of all keys takes a dozen comparisons with keys
// that are not in the cache.
type groups struct {
	linked int      // entries below this ref are in it
	count  int      // groups
	slots  []slot   // by the hash of a group's prefix: its latest entry
	older  []uint32 // by ref: the next one of its group + 1; 0 is the end
	// far says that entries came too far from the ends of their groups, so the lists would be too long a way: the order of
	// all keys is taken instead.
	far bool
}

// maxSteps is how far from the end of its group an entry, or a range, may be.
const maxSteps = 128

func (g *groups) reset() {
	clear(g.slots)
	*g = groups{slots: g.slots, older: g.older[:0]}
}

// group links the entries that were written since the last call. It is false if the order of all keys is to be taken.
func (t *table) group() bool {
	g := &t.groups
	for ; g.linked < len(t.entries) && !g.far; g.linked++ {
		g.older = append(g.older, 0)
		key := t.key(g.linked)
		if n := t.shape.group(key); n > 0 {
			t.addToGroup(g.linked, key, n)
		}
	}
	return !g.far
}

func (t *table) addToGroup(ref int, key []byte, prefix int) {
	g := &t.groups
	if (g.count+1)*slotsPerKey > len(g.slots) {
		g.slots = grown(g.slots)
	}
	hash := hashOf(key[:prefix])
	i, found := t.findGroup(hash, key[:prefix])
	if !found {
		g.count++
		g.slots[i] = slotOf(hash, ref)
		return
	}
	later, at := -1, g.slots[i].ref()
	for steps := 0; at >= 0 && bytes.Compare(t.key(at), key) > 0; steps++ {
		if steps == maxSteps {
			g.far = true
			return
		}
		later, at = at, int(g.older[at])-1
	}
	g.older[ref] = uint32(at + 1)
	if later < 0 {
		g.slots[i] = slotOf(hash, ref)
	} else {
		g.older[later] = uint32(ref + 1)
	}
}

// findGroup returns the slot of the group with a prefix, or the one where it belongs.
func (t *table) findGroup(hash uint64, prefix []byte) (i uint64, found bool) {
	slots := t.groups.slots
	mask := uint64(len(slots) - 1)
	for i = home(hash, mask); slots[i] != 0; i = (i + 1) & mask {
		if s := slots[i]; s.tag() == slot(hash).tag() && bytes.HasPrefix(t.key(s.ref()), prefix) {
			return i, true
		}
	}
	return i, false
}

// inGroup appends the refs of what the table has of a range of a group, the last one first. It is false if the way is too long.
func (t *table) inGroup(refs []uint32, r *keyRange) ([]uint32, bool) {
	g := &t.groups
	if g.count == 0 {
		return refs, true
	}
	prefix := r.from[:r.group]
	i, found := t.findGroup(hashOf(prefix), prefix)
	if !found {
		return refs, true
	}
	steps := 0
	for at := g.slots[i].ref(); at >= 0; at = int(g.older[at]) - 1 {
		key := t.key(at)
		if bytes.Compare(key, r.from) < 0 {
			break
		}
		if bytes.Compare(key, r.to) < 0 {
			refs = append(refs, uint32(at))
		} else if steps++; steps > maxSteps {
			return refs, false
		}
	}
	return refs, true
}
