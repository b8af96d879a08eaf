package producer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A snapshot, all integers big-endian (docs/format/producer-snapshot.md):
//
//	0  magic      4 bytes "RfPr"
//	4  version    uint16  1 or 2
//	6  producers  uint32
//	   each, ascending by id:
//	     id       int64   not negative
//	     epoch    int16
//	     batches  uint8   1 to 5; version 2: 0 to 5
//	     version 2:
//	       txnFirst         int64  first offset of the open transaction, or -1
//	       coordinatorEpoch int32  of the last marker, or -1
//	       lastOffset       int64  of the last batch or marker
//	       lastTimestamp    int64  of it, milliseconds
//	     each, oldest first:
//	       firstSeq         int32
//	       lastSeq          int32
//	       baseOffset       int64
//	       timestampMillis  int64
//	   version 2:
//	     aborted  uint32  transactions whose markers lie in the segment
//	     each, ascending by last:
//	       id, first, last  int64
//	   checksum   uint32  CRC-32C of all before it
//
// Version 2 is written only where there is something that version 1 cannot say, so
// that equal states give equal bytes.
const (
	snapshotMagic     = "RfPr"
	snapshotVersion   = 1
	snapshotVersion2  = 2
	snapshotHeaderLen = 10
	producerLen       = 11
	producerTxnLen    = 28
	batchLen          = 24
	abortedLen        = 24
	checksumLen       = 4
)

// ErrCorruptSnapshot means that bytes are not a snapshot, or a damaged one. The
// log holds all that a snapshot holds: replay it from its start instead.
var ErrCorruptSnapshot = errors.New("producer: snapshot is corrupt")

// ErrSnapshotVersion means that a later release wrote the snapshot.
var ErrSnapshotVersion = errors.New("producer: snapshot has an unknown version")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot encodes the state.
func (s *State) Snapshot() []byte {
	be := binary.BigEndian
	version := s.snapshotVersion()
	b := make([]byte, 0, snapshotHeaderLen+len(s.producers)*(producerLen+producerTxnLen+Window*batchLen)+len(s.aborted)*abortedLen+2*checksumLen)
	b = append(b, snapshotMagic...)
	b = be.AppendUint16(b, version)
	b = be.AppendUint32(b, uint32(len(s.producers)))
	for _, id := range s.sortedIDs(cmp.Compare[int64]) {
		p := s.producers[id]
		b = be.AppendUint64(b, uint64(id))
		b = be.AppendUint16(b, uint16(p.epoch))
		b = append(b, byte(p.count))
		if version == snapshotVersion2 {
			b = be.AppendUint64(b, uint64(p.txnFirst))
			b = be.AppendUint32(b, uint32(p.coordinatorEpoch))
			b = be.AppendUint64(b, uint64(p.lastOffset))
			b = be.AppendUint64(b, uint64(p.lastTimestampMillis))
		}
		for _, e := range p.batches[:p.count] {
			b = be.AppendUint32(b, uint32(e.firstSeq))
			b = be.AppendUint32(b, uint32(e.lastSeq))
			b = be.AppendUint64(b, uint64(e.baseOffset))
			b = be.AppendUint64(b, uint64(e.timestampMillis))
		}
	}
	if version == snapshotVersion2 {
		b = be.AppendUint32(b, uint32(len(s.aborted)))
		for _, a := range s.aborted {
			b = be.AppendUint64(b, uint64(a.ID))
			b = be.AppendUint64(b, uint64(a.First))
			b = be.AppendUint64(b, uint64(a.Last))
		}
	}
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func (s *State) snapshotVersion() uint16 {
	if len(s.aborted) > 0 {
		return snapshotVersion2
	}
	for _, p := range s.producers {
		if !p.plain() {
			return snapshotVersion2
		}
	}
	return snapshotVersion
}

// plain reports whether version 1 of a snapshot can say all about a producer.
func (p *producer) plain() bool {
	return p.count > 0 && p.txnFirst == noTxn && p.coordinatorEpoch == -1 &&
		p.lastOffset == p.last().baseOffset && p.lastTimestampMillis == p.last().timestampMillis
}

// Restore replaces the state by that of a snapshot. The error matches
// ErrCorruptSnapshot or ErrSnapshotVersion; the state is then unchanged.
func (s *State) Restore(snapshot []byte) error {
	be := binary.BigEndian
	if len(snapshot) < snapshotHeaderLen+checksumLen {
		return fmt.Errorf("%w: %d bytes are too few", ErrCorruptSnapshot, len(snapshot))
	}
	b, sum := snapshot[:len(snapshot)-checksumLen], be.Uint32(snapshot[len(snapshot)-checksumLen:])
	if string(b[:4]) != snapshotMagic {
		return fmt.Errorf("%w: it starts with %q, want %q", ErrCorruptSnapshot, b[:4], snapshotMagic)
	}
	if got := crc32.Checksum(b, castagnoli); got != sum {
		return fmt.Errorf("%w: checksum %08x, it says %08x", ErrCorruptSnapshot, got, sum)
	}
	version := be.Uint16(b[4:])
	if version != snapshotVersion && version != snapshotVersion2 {
		return fmt.Errorf("%w: %d, want %d or %d", ErrSnapshotVersion, version, snapshotVersion, snapshotVersion2)
	}
	count := be.Uint32(b[6:])
	b = b[snapshotHeaderLen:]
	if int64(count)*producerLen > int64(len(b)) {
		return fmt.Errorf("%w: %d producers in %d bytes", ErrCorruptSnapshot, count, len(b))
	}
	restored := State{MaxProducers: s.MaxProducers, producers: make(map[int64]*producer, count)}
	previous := int64(-1)
	for range count {
		id, p, rest, err := restoreProducer(b, version)
		if err != nil {
			return err
		}
		if p.txnFirst != noTxn {
			restored.begin(id, p, p.txnFirst)
		}
		if id <= previous {
			return fmt.Errorf("%w: producer %d after %d", ErrCorruptSnapshot, id, previous)
		}
		restored.producers[id], previous, b = p, id, rest
	}
	if version == snapshotVersion2 {
		var err error
		if restored.aborted, b, err = restoreAborted(b); err != nil {
			return err
		}
	}
	if len(b) > 0 {
		return fmt.Errorf("%w: %d bytes too many", ErrCorruptSnapshot, len(b))
	}
	if want := restored.snapshotVersion(); want != version {
		return fmt.Errorf("%w: version %d says no more than version %d", ErrCorruptSnapshot, version, want)
	}
	s.producers, s.open, s.aborted = restored.producers, restored.open, restored.aborted
	return nil
}

func restoreAborted(b []byte) (aborted []Aborted, rest []byte, err error) {
	be := binary.BigEndian
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("%w: it ends before the aborted transactions", ErrCorruptSnapshot)
	}
	count := int64(be.Uint32(b))
	if b = b[4:]; count*abortedLen > int64(len(b)) {
		return nil, nil, fmt.Errorf("%w: %d aborted transactions in %d bytes", ErrCorruptSnapshot, count, len(b))
	}
	previous := int64(-1)
	for range count {
		a := Aborted{ID: int64(be.Uint64(b)), First: int64(be.Uint64(b[8:])), Last: int64(be.Uint64(b[16:]))}
		if a.ID < 0 || a.First < 0 || a.Last < a.First || a.Last <= previous {
			return nil, nil, fmt.Errorf("%w: aborted transaction %+v", ErrCorruptSnapshot, a)
		}
		aborted, previous, b = append(aborted, a), a.Last, b[abortedLen:]
	}
	return aborted, b, nil
}

func restoreProducer(b []byte, version uint16) (id int64, p *producer, rest []byte, err error) {
	be := binary.BigEndian
	if len(b) < producerLen {
		return 0, nil, nil, fmt.Errorf("%w: it ends inside a producer", ErrCorruptSnapshot)
	}
	id = int64(be.Uint64(b))
	p = &producer{epoch: int16(be.Uint16(b[8:])), count: int(b[10])}
	p.txnFirst, p.coordinatorEpoch = noTxn, -1
	b = b[producerLen:]
	least := 1
	if version == snapshotVersion2 {
		if len(b) < producerTxnLen {
			return 0, nil, nil, fmt.Errorf("%w: it ends inside producer %d", ErrCorruptSnapshot, id)
		}
		p.txnFirst, p.coordinatorEpoch = int64(be.Uint64(b)), int32(be.Uint32(b[8:]))
		p.lastOffset, p.lastTimestampMillis = int64(be.Uint64(b[12:])), int64(be.Uint64(b[20:]))
		if p.txnFirst < noTxn {
			return 0, nil, nil, fmt.Errorf("%w: producer %d with a transaction since %d", ErrCorruptSnapshot, id, p.txnFirst)
		}
		b, least = b[producerTxnLen:], 0
	}
	if p.count < least || p.count > Window {
		return 0, nil, nil, fmt.Errorf("%w: producer %d with %d batches, want %d to %d", ErrCorruptSnapshot, id, p.count, least, Window)
	}
	if len(b) < p.count*batchLen {
		return 0, nil, nil, fmt.Errorf("%w: it ends inside producer %d", ErrCorruptSnapshot, id)
	}
	for i := range p.count {
		p.batches[i] = batch{
			firstSeq:        int32(be.Uint32(b)),
			lastSeq:         int32(be.Uint32(b[4:])),
			baseOffset:      int64(be.Uint64(b[8:])),
			timestampMillis: int64(be.Uint64(b[16:])),
		}
		b = b[batchLen:]
	}
	if version == snapshotVersion {
		p.lastOffset, p.lastTimestampMillis = p.last().baseOffset, p.last().timestampMillis
	}
	return id, p, b, nil
}
