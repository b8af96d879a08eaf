package state

import (
	"encoding/binary"
	"errors"
)

// Position says what the data of a store stand for. The zero Position means an
// empty store that has to be restored from the beginning of its changelog.
type Position struct {
	// TopicID is the id of the changelog topic the data came from. A store whose
	// topic was deleted and made again is foreign.
	TopicID [16]byte
	// Offset is the next offset of the changelog partition to read: one past the
	// marker of Commit.
	Offset int64
	// Commit is the sequence of the last commit that is in the data.
	Commit int64
	// StreamTimeMillis is the task's stream time at that commit.
	StreamTimeMillis int64
	// Stores are the stores of the task that took part in that commit, sorted.
	Stores []string
	// Inputs are the next offsets of the task's input partitions at that commit.
	Inputs []InputOffset
}

// IsZero reports whether p is the position of a new store.
func (p Position) IsZero() bool { return p.Commit == 0 && p.Offset == 0 }

// InputOffset is the next offset to read of an input partition.
type InputOffset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// errFields means stores or inputs that do not parse. Its callers say of what.
var errFields = errors.New("state: fields do not parse")

// AppendStores appends store names as they stand in positions and commit markers: a
// count, then length-prefixed strings.
func AppendStores(dst []byte, stores []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(stores)))
	for _, name := range stores {
		dst = appendString(dst, name)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// ParseStores reads store names from the front of b and returns the rest of it.
func ParseStores(b []byte) (stores []string, rest []byte, err error) {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)-n) { // a name takes at least one byte
		return nil, nil, errFields
	}
	b = b[n:]
	for range count {
		var name string
		if name, b, err = parseString(b); err != nil {
			return nil, nil, err
		}
		stores = append(stores, name)
	}
	return stores, b, nil
}

func parseString(b []byte) (s string, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return "", nil, errFields
	}
	return string(b[n : n+int(size)]), b[n+int(size):], nil
}

// AppendInputs appends input offsets as they stand in positions and commit markers:
// a count, then topic, partition and offset of each, as varints and a
// length-prefixed string.
func AppendInputs(dst []byte, inputs []InputOffset) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(inputs)))
	for _, in := range inputs {
		dst = appendString(dst, in.Topic)
		dst = binary.AppendVarint(dst, int64(in.Partition))
		dst = binary.AppendVarint(dst, in.Offset)
	}
	return dst
}

// ParseInputs reads input offsets from the front of b and returns the rest of it.
func ParseInputs(b []byte) (inputs []InputOffset, rest []byte, err error) {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)-n)/3 { // an input takes at least three bytes
		return nil, nil, errFields
	}
	b = b[n:]
	for range count {
		var in InputOffset
		if in.Topic, b, err = parseString(b); err != nil {
			return nil, nil, err
		}
		partition, n := binary.Varint(b)
		if n <= 0 || partition != int64(int32(partition)) {
			return nil, nil, errFields
		}
		in.Partition, b = int32(partition), b[n:]
		if in.Offset, n = binary.Varint(b); n <= 0 {
			return nil, nil, errFields
		}
		b = b[n:]
		inputs = append(inputs, in)
	}
	return inputs, b, nil
}

// positionVersion is the first byte of an encoded position.
const positionVersion = 1

// AppendPosition appends the encoding of p, without a checksum.
func AppendPosition(dst []byte, p Position) []byte {
	dst = append(dst, positionVersion)
	dst = append(dst, p.TopicID[:]...)
	dst = binary.AppendVarint(dst, p.Offset)
	dst = binary.AppendVarint(dst, p.Commit)
	dst = binary.AppendVarint(dst, p.StreamTimeMillis)
	return AppendInputs(AppendStores(dst, p.Stores), p.Inputs)
}

// ParsePosition reads all of b. Errors match [ErrCorrupt].
func ParsePosition(b []byte) (Position, error) {
	var p Position
	if len(b) < 1+len(p.TopicID) || b[0] != positionVersion {
		return Position{}, corruptf("position of %d bytes is not version %d", len(b), positionVersion)
	}
	b = b[1+copy(p.TopicID[:], b[1:]):]
	for _, field := range []*int64{&p.Offset, &p.Commit, &p.StreamTimeMillis} {
		v, n := binary.Varint(b)
		if n <= 0 {
			return Position{}, corruptf("position is cut short")
		}
		*field, b = v, b[n:]
	}
	var err1, err2 error
	p.Stores, b, err1 = ParseStores(b)
	p.Inputs, b, err2 = ParseInputs(b)
	if err1 != nil || err2 != nil || len(b) > 0 {
		return Position{}, corruptf("position's stores or input offsets do not parse")
	}
	return p, nil
}
