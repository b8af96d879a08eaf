package commitlog

import (
	"crypto/sha256"
	"encoding/binary"
)

// keyMap is the last offset of each key, in bounded memory. Keys are told apart by
// the first 128 bits of their SHA-256: two that collide would cost a record, and
// keys are chosen by whoever produces.
type keyMap struct {
	slots []keySlot // a power of two of them, open addressing
	used  int
	most  int // slots
}

type keySlot struct {
	hash [16]byte
	next int64 // offset + 1; 0 is an empty slot
}

const (
	keySlotBytes  = 24
	minKeySlots   = 1 << 10
	minKeyMapSize = minKeySlots * keySlotBytes
)

func newKeyMap(maxBytes int64) *keyMap {
	m := &keyMap{slots: make([]keySlot, minKeySlots), most: minKeySlots}
	// While it grows, the old slots and the new ones are there.
	for int64(m.most)*2*keySlotBytes*3/2 <= maxBytes {
		m.most *= 2
	}
	return m
}

func hashKey(key []byte) (h [16]byte) {
	sum := sha256.Sum256(key)
	copy(h[:], sum[:])
	return h
}

// find returns the slot of a hash, or the empty one where it would go.
func (m *keyMap) find(h [16]byte) *keySlot {
	mask := uint64(len(m.slots) - 1)
	for i := binary.LittleEndian.Uint64(h[:]) & mask; ; i = (i + 1) & mask {
		if s := &m.slots[i]; s.next == 0 || s.hash == h {
			return s
		}
	}
}

// put notes that a key is at an offset, which ascends. It returns false if there is
// no room for one more key.
func (m *keyMap) put(key []byte, offset int64) bool {
	h := hashKey(key)
	s := m.find(h)
	if s.next == 0 {
		if m.used+1 > len(m.slots)/4*3 {
			if len(m.slots) == m.most {
				return false
			}
			m.grow()
			s = m.find(h)
		}
		m.used++
	}
	*s = keySlot{hash: h, next: offset + 1}
	return true
}

func (m *keyMap) grow() {
	old := m.slots
	m.slots = make([]keySlot, 2*len(old))
	for _, s := range old {
		if s.next != 0 {
			*m.find(s.hash) = s
		}
	}
}

// superseded reports whether a key is at a larger offset, too.
func (m *keyMap) superseded(key []byte, offset int64) bool {
	return m.used > 0 && m.find(hashKey(key)).next > offset+1
}
