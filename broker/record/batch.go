package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Layout of a batch header (all integers big-endian), after
// https://kafka.apache.org/documentation/#recordbatch:
//
//	 0 baseOffset            int64
//	 8 batchLength           int32  bytes that follow this field
//	12 partitionLeaderEpoch  int32
//	16 magic                 int8   always 2
//	17 crc                   uint32 CRC-32C of all that follows this field
//	21 attributes            int16
//	23 lastOffsetDelta       int32
//	27 baseTimestamp         int64  milliseconds
//	35 maxTimestamp          int64  milliseconds
//	43 producerId            int64
//	51 producerEpoch         int16
//	53 baseSequence          int32
//	57 recordCount           int32
const (
	// HeaderLen is the size of a batch header in bytes.
	HeaderLen = 61
	// lengthEnd is where the bytes that batchLength counts begin.
	lengthEnd = 12
	// crcStart is where the bytes that the checksum covers begin.
	crcStart = 21
)

// ErrShort means that the bytes end before the batch does.
var ErrShort = errors.New("record: batch is cut short")

// ErrCorrupt means that bytes do not form a batch: a length, the magic byte or
// the checksum is wrong.
var ErrCorrupt = errors.New("record: batch is corrupt")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is one record batch of version 2, header and records, the same bytes on
// the wire, in the log and in memory. It is a view: methods read in place, and
// copy nothing. The records behind the header may be compressed.
type Batch []byte

// Next splits the first batch from the bytes of one or more batches. It checks
// that the header is whole, the magic byte is 2 and the length fits; it does not
// check the checksum (see Check). It returns ErrShort if b ends inside the
// batch, and ErrCorrupt if the header cannot belong to a batch.
func Next(b []byte) (batch Batch, rest []byte, err error) {
	if len(b) < HeaderLen {
		return nil, b, ErrShort
	}
	size := int64(lengthEnd) + int64(int32(binary.BigEndian.Uint32(b[8:])))
	switch {
	case size < HeaderLen:
		return nil, b, fmt.Errorf("%w: length %d is below the header's %d", ErrCorrupt, size, HeaderLen)
	case b[16] != 2:
		return nil, b, fmt.Errorf("%w: magic byte %d, want 2", ErrCorrupt, b[16])
	case size > int64(len(b)):
		return nil, b, ErrShort
	}
	return Batch(b[:size:size]), b[size:], nil
}

// BaseOffset is the offset of the first record.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b)) }

// SetBaseOffset rewrites the base offset in place. The checksum does not cover it.
func (b Batch) SetBaseOffset(o int64) { binary.BigEndian.PutUint64(b, uint64(o)) }

// Size is the number of bytes of the whole batch as its header states it.
func (b Batch) Size() int { return lengthEnd + int(int32(binary.BigEndian.Uint32(b[8:]))) }

// LeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(b[12:])) }

// SetLeaderEpoch rewrites the leader epoch in place. The checksum does not cover it.
func (b Batch) SetLeaderEpoch(e int32) { binary.BigEndian.PutUint32(b[12:], uint32(e)) }

// Checksum is the CRC-32C that the header states.
func (b Batch) Checksum() uint32 { return binary.BigEndian.Uint32(b[17:]) }

// Attributes are the batch's flags.
func (b Batch) Attributes() Attributes { return Attributes(binary.BigEndian.Uint16(b[21:])) }

// LastOffset is the offset of the last record, or of the last that was there
// before compaction.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset after the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// LastOffsetDelta is the distance from the base offset to the last offset.
func (b Batch) LastOffsetDelta() int32 { return int32(binary.BigEndian.Uint32(b[23:])) }

// BaseTimestamp is the timestamp of the first record, in milliseconds.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[27:])) }

// MaxTimestamp is the largest timestamp of the batch, in milliseconds.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[35:])) }

// ProducerID is the id of the idempotent producer, or -1.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[43:])) }

// ProducerEpoch is the epoch of the idempotent producer, or -1.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[51:])) }

// BaseSequence is the sequence number of the first record, or -1.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[53:])) }

// Count is the number of records that the header states.
func (b Batch) Count() int32 { return int32(binary.BigEndian.Uint32(b[57:])) }

// Payload is what follows the header: the records, compressed by the codec of
// the attributes.
func (b Batch) Payload() []byte { return b[HeaderLen:] }

// Check compares the stated checksum with the bytes. It returns ErrCorrupt,
// with both values, if they differ.
func (b Batch) Check() error {
	if got := crc32.Checksum(b[crcStart:], castagnoli); got != b.Checksum() {
		return fmt.Errorf("%w: checksum %08x, header says %08x", ErrCorrupt, got, b.Checksum())
	}
	return nil
}

// Attributes are the flags of a batch.
type Attributes int16

// Codec names how the records of a batch are compressed.
type Codec int8

// The codecs, with Kafka's numbers.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// String is the codec's name in Kafka's terms.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", int8(c))
}

// Codec is the compression of the records.
func (a Attributes) Codec() Codec { return Codec(a & 0x7) }

// LogAppendTime reports whether the timestamps are the broker's.
func (a Attributes) LogAppendTime() bool { return a&0x8 != 0 }

// Transactional reports whether the batch belongs to a transaction.
func (a Attributes) Transactional() bool { return a&0x10 != 0 }

// Control reports whether the batch holds a transaction marker.
func (a Attributes) Control() bool { return a&0x20 != 0 }

// deleteHorizon is the attribute that DeleteHorizon reads.
const deleteHorizon = 0x40

// DeleteHorizon reports whether compaction has seen tombstones in the batch. Its
// base timestamp then is the time in milliseconds up to which they are kept; the
// timestamps of the records still count from it (KIP-534).
func (a Attributes) DeleteHorizon() bool { return a&deleteHorizon != 0 }
