package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"

	"github.com/riffle-stream/riffle/broker/record"
)

const (
	offsetEntryLen = 8
	timeEntryLen   = 12
)

var (
	be         = binary.BigEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errBadIndex = errors.New("commitlog: index is damaged")
)

// index is the offset index and the time index of one segment, as bytes of their
// files. Bytes that are there never change, so that a copy of the struct is a
// snapshot.
//
// An entry of the offset index says that the batch with a base offset begins at a
// position:
//
//	0  relativeOffset  uint32  base offset minus the segment's
//	4  position        uint32
//
// An entry of the time index says that no record up to and including the batch with
// a base offset has a timestamp above another:
//
//	0  timestamp       int64   milliseconds
//	8  relativeOffset  uint32
//
// In both, each column ascends, without repetition.
type index struct {
	offsets []byte
	times   []byte
}

// cursor is a place in a segment where a batch begins.
type cursor struct {
	position int64
	offset   int64
}

// note indexes the batch at position if the last entry is far enough away.
// maxTimestamp is the largest timestamp up to and including the batch.
func (x *index) note(b record.Batch, base, position, maxTimestamp int64, interval int) {
	if position-x.lastPosition() < int64(interval) {
		return
	}
	relative := uint32(b.BaseOffset() - base)
	x.offsets = be.AppendUint32(x.offsets, relative)
	x.offsets = be.AppendUint32(x.offsets, uint32(position))
	if n := len(x.times); n > 0 && maxTimestamp <= int64(be.Uint64(x.times[n-timeEntryLen:])) {
		return
	}
	x.times = be.AppendUint64(x.times, uint64(maxTimestamp))
	x.times = be.AppendUint32(x.times, relative)
}

func (x *index) lastPosition() int64 {
	if len(x.offsets) == 0 {
		return 0
	}
	return int64(be.Uint32(x.offsets[len(x.offsets)-4:]))
}

// before returns the last indexed batch whose base offset is not above offset, or
// the segment's first batch.
func (x index) before(base, offset int64) cursor {
	n := sort.Search(len(x.offsets)/offsetEntryLen, func(i int) bool {
		return base+int64(be.Uint32(x.offsets[i*offsetEntryLen:])) > offset
	})
	if n == 0 {
		return cursor{position: 0, offset: base}
	}
	e := x.offsets[(n-1)*offsetEntryLen:]
	return cursor{position: int64(be.Uint32(e[4:])), offset: base + int64(be.Uint32(e))}
}

// beforeTime returns an offset so that all records of earlier batches have
// timestamps below ms.
func (x index) beforeTime(base, ms int64) int64 {
	n := sort.Search(len(x.times)/timeEntryLen, func(i int) bool {
		return int64(be.Uint64(x.times[i*timeEntryLen:])) >= ms
	})
	if n == 0 {
		return base
	}
	return base + int64(be.Uint32(x.times[(n-1)*timeEntryLen+8:]))
}

// check looks at the form of the entries: whole, ascending, inside the segment.
func (x index) check(size int64) error {
	if len(x.offsets)%offsetEntryLen != 0 || len(x.times)%timeEntryLen != 0 {
		return fmt.Errorf("%w: an entry is cut short", errBadIndex)
	}
	for i := 0; i < len(x.offsets); i += offsetEntryLen {
		e := x.offsets[i:]
		if int64(be.Uint32(e[4:])) >= size {
			return fmt.Errorf("%w: entry %d points past the segment's end", errBadIndex, i/offsetEntryLen)
		}
		if i > 0 && (be.Uint32(e) <= be.Uint32(x.offsets[i-offsetEntryLen:]) ||
			be.Uint32(e[4:]) <= be.Uint32(x.offsets[i-offsetEntryLen+4:])) {
			return fmt.Errorf("%w: entry %d does not ascend", errBadIndex, i/offsetEntryLen)
		}
	}
	for i := timeEntryLen; i < len(x.times); i += timeEntryLen {
		e, previous := x.times[i:], x.times[i-timeEntryLen:]
		if int64(be.Uint64(e)) <= int64(be.Uint64(previous)) || be.Uint32(e[8:]) <= be.Uint32(previous[8:]) {
			return fmt.Errorf("%w: time entry %d does not ascend", errBadIndex, i/timeEntryLen)
		}
	}
	return nil
}

// prefix says how much of the index files is known to be written, and its checksums.
type prefix struct {
	offsets, times       uint32 // entries
	offsetsCRC, timesCRC uint32
}

// extend returns the prefix that covers all of x, given the prefix p of it.
func (p prefix) extend(x index) prefix {
	return prefix{
		offsets:    uint32(len(x.offsets) / offsetEntryLen),
		times:      uint32(len(x.times) / timeEntryLen),
		offsetsCRC: crc32.Update(p.offsetsCRC, castagnoli, x.offsets[p.offsets*offsetEntryLen:]),
		timesCRC:   crc32.Update(p.timesCRC, castagnoli, x.times[p.times*timeEntryLen:]),
	}
}

// parseIndex takes the entries of a prefix from the bytes of the two files.
func parseIndex(offsets, times []byte, p prefix, size int64) (index, error) {
	if int64(len(offsets)) < int64(p.offsets)*offsetEntryLen || int64(len(times)) < int64(p.times)*timeEntryLen {
		return index{}, fmt.Errorf("%w: too short", errBadIndex)
	}
	n, m := p.offsets*offsetEntryLen, p.times*timeEntryLen
	x := index{offsets: offsets[:n:n], times: times[:m:m]}
	if (prefix{}).extend(x) != p {
		return index{}, fmt.Errorf("%w: checksum differs", errBadIndex)
	}
	return x, x.check(size)
}

// seal is the last thing written into an offset index, behind its entries, when its
// segment is complete. With it the segment can be served without a walk.
//
//	 0  magic             4 bytes "RfSe"
//	 4  version           uint16  1
//	 6  reserved          uint16  0
//	 8  baseOffset        int64
//	16  size              int64   bytes of the .log file
//	24  nextOffset        int64   after the last record
//	32  maxTimestamp      int64   -1 if no record has one
//	40  maxTimestampBase  int64   base offset of the first batch that has it
//	48  offset entries    uint32
//	52  their CRC-32C     uint32
//	56  time entries      uint32
//	60  their CRC-32C     uint32
//	64  reserved          uint32  0
//	68  checksum          uint32  CRC-32C of the 68 bytes before
type seal struct {
	base, size, next int64
	maxTimestamp     int64
	maxTimestampBase int64
	prefix           prefix
}

const (
	sealLen     = 72
	sealMagic   = "RfSe"
	sealVersion = 1
)

func (s seal) append(b []byte) []byte {
	start := len(b)
	b = append(b, sealMagic...)
	b = be.AppendUint32(b, sealVersion<<16)
	for _, v := range []int64{s.base, s.size, s.next, s.maxTimestamp, s.maxTimestampBase} {
		b = be.AppendUint64(b, uint64(v))
	}
	for _, v := range []uint32{s.prefix.offsets, s.prefix.offsetsCRC, s.prefix.times, s.prefix.timesCRC, 0} {
		b = be.AppendUint32(b, v)
	}
	return be.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseSeal reads the seal at the end of an offset index.
func parseSeal(b []byte) (seal, error) {
	if len(b) < sealLen {
		return seal{}, fmt.Errorf("%w: no seal", errBadIndex)
	}
	entries := len(b) - sealLen
	b = b[entries:]
	if string(b[:4]) != sealMagic || be.Uint32(b[68:]) != crc32.Checksum(b[:68], castagnoli) {
		return seal{}, fmt.Errorf("%w: its seal is damaged or missing", errBadIndex)
	}
	if v := be.Uint16(b[4:]); v != sealVersion {
		return seal{}, fmt.Errorf("%w: its seal has the unknown version %d", errBadIndex, v)
	}
	i64 := func(at int) int64 { return int64(be.Uint64(b[at:])) }
	s := seal{
		base: i64(8), size: i64(16), next: i64(24), maxTimestamp: i64(32), maxTimestampBase: i64(40),
		prefix: prefix{
			offsets: be.Uint32(b[48:]), offsetsCRC: be.Uint32(b[52:]),
			times: be.Uint32(b[56:]), timesCRC: be.Uint32(b[60:]),
		},
	}
	if s.size < 0 || s.base < 0 || s.next < s.base {
		return seal{}, fmt.Errorf("%w: its seal makes no sense", errBadIndex)
	}
	return s, nil
}
