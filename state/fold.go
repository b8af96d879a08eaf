package state

import "bytes"

// foldBatch is how many keys a fold looks up side by side.
const foldBatch = 32

// fold sets all that is in from. It calls added with each key that it did not have before, to learn whether no layer below has it.
//
// A key's slot, entry and bytes are each most likely not in the processor's cache, and each says where the next is. So a fold goes
// through many keys' slots, then through their entries, then through their bytes: the processor then waits for many at
// once, where a look-up of key after key waits three times for each.
func (t *table) fold(from *table, added func(hash uint64, key []byte) (alone bool)) {
	var hashes [foldBatch]uint64
	var refs [foldBatch]int
	for first := 0; first < from.len(); first += foldBatch {
		n := min(foldBatch, from.len()-first)
		for i := range n {
			key, _ := from.at(first + i)
			hashes[i] = hashOf(key)
		}
		for i := range n {
			refs[i] = t.likely(hashes[i])
		}
		t.verify(refs[:n], from, first)
		for i := range n {
			key, value := from.at(first + i)
			if refs[i] < 0 {
				ref := t.set(hashes[i], key, value)
				t.entries[ref].alone = added(hashes[i], key)
				continue
			}
			t.write(refs[i], value)
		}
	}
}

// likely returns the ref of the first key that has as much of the hash as a slot holds, -1 for none.
func (t *table) likely(hash uint64) int {
	if len(t.slots) == 0 {
		return -1
	}
	mask := uint64(len(t.slots) - 1)
	for i := home(hash, mask); ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			return -1
		}
		if s>>32 == slot(hash>>32) {
			return int(s&(1<<32-1)) - 1
		}
	}
}

// verify sets refs to -1 whose keys are not those of the entries of from that begin with first.
func (t *table) verify(refs []int, from *table, first int) {
	var keys [foldBatch]struct {
		at  slabRef
		len uint32
	}
	for i, ref := range refs {
		if ref >= 0 {
			keys[i].at, keys[i].len = t.entries[ref].key, t.entries[ref].keyLen
		}
	}
	for i, ref := range refs {
		if ref < 0 {
			continue
		}
		if key, _ := from.at(first + i); !bytes.Equal(t.slab.at(keys[i].at, keys[i].len), key) {
			refs[i] = -1
		}
	}
}
