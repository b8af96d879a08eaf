package badgerstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/riffle-stream/riffle/state"
)

// Keys begin with their kind. Numbers are big-endian, so that a task's generation,
// and a store in it, is a range.
const (
	kindData       = 'd' // task, generation, store id, key: the value
	kindGeneration = 'g' // task: its generation
	kindPosition   = 'p' // task, generation, store id: layout and position
	kindRing       = 'r' // slot: sequence of a batch
	kindStore      = 's' // store name: its id
	kindWipe       = 'w' // task, generation: to be deleted
)

// castagnoli is the polynomial of CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const checksumBytes = 4

// appendChecksum ends a value that begins at start of dst: CRC-32C over the key and
// the value.
func appendChecksum(dst []byte, start int, key []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, dst[start:])
	return binary.BigEndian.AppendUint32(dst, sum)
}

// verified returns the value without its checksum.
func verified(key, b []byte) ([]byte, error) {
	n := len(b) - checksumBytes
	if n < 0 {
		return nil, fmt.Errorf("%w: value of %d bytes", state.ErrCorrupt, len(b))
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, b[:n])
	if want := binary.BigEndian.Uint32(b[n:]); sum != want {
		return nil, fmt.Errorf("%w: checksum %08x, want %08x", state.ErrCorrupt, sum, want)
	}
	return b[:n:n], nil
}

// appendTaskKey appends kind and task.
func appendTaskKey(dst []byte, kind byte, id state.TaskID) []byte {
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint32(dst, uint32(id.SubTopology))
	return binary.BigEndian.AppendUint32(dst, uint32(id.Partition))
}

// appendGenerationKey appends kind, task and generation.
func appendGenerationKey(dst []byte, kind byte, id state.TaskID, generation uint32) []byte {
	return binary.BigEndian.AppendUint32(appendTaskKey(dst, kind, id), generation)
}

// appendStoreKey appends kind, task, generation and store id: a position's key, and
// the prefix of a store's data.
func appendStoreKey(dst []byte, kind byte, id state.TaskID, generation, store uint32) []byte {
	return binary.BigEndian.AppendUint32(appendGenerationKey(dst, kind, id, generation), store)
}

// positionKeyBytes is the length of a position's key.
const positionKeyBytes = 17

// taskOf returns the task that a key belongs to; false if it is too short for one.
func taskOf(key []byte) (state.TaskID, bool) {
	if len(key) < 9 {
		return state.TaskID{}, false
	}
	return state.TaskID{SubTopology: int(binary.BigEndian.Uint32(key[1:])), Partition: int32(binary.BigEndian.Uint32(key[5:]))}, true
}

// parseGenerationKey is the inverse of appendGenerationKey.
func parseGenerationKey(b []byte) (id state.TaskID, generation uint32, err error) {
	if len(b) != 13 {
		return id, 0, fmt.Errorf("%w: generation key of %d bytes", state.ErrCorrupt, len(b))
	}
	id, _ = taskOf(b)
	return id, binary.BigEndian.Uint32(b[9:]), nil
}

func nameKey(store string) []byte { return append([]byte{kindStore}, store...) }

func ringKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint16([]byte{kindRing}, uint16(seq%ringSlots))
}
