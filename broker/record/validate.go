package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// ErrInvalid means that a batch is whole and its checksum right, but that it is
// not one a producer may send.
var ErrInvalid = errors.New("record: batch is invalid")

// Validate checks that b is one batch as a produce request may carry it, as
// Kafka's LogValidator does:
//
//   - the length is the header's, the magic byte 2, the checksum right;
//   - there is at least one record, and the offsets are dense: the last offset
//     delta is the count less one, and so is each record's its place;
//   - the codec is known, and the records of an uncompressed batch parse (a
//     compressed one is not opened);
//   - it is no control batch, leaves the timestamp type to the broker and the delete
//     horizon to compaction;
//   - an idempotent producer states its epoch and sequence.
//
// The error matches ErrShort or ErrCorrupt if the bytes are damaged, ErrInvalid
// if they say what they must not.
func (b Batch) Validate() error {
	_, err := b.validate()
	return err
}

// Admit checks b as Validate does and then corrects, in place, the one header
// field that clients get wrong: the largest timestamp. A log that believed one
// that was never filled in would not find the records by time, and would delete
// them before their time. Kafka's broker corrects it, too. The records of a
// compressed batch are not opened: there the largest timestamp is only kept from
// lying before the first.
func (b Batch) Admit() error {
	largest, err := b.validate()
	if err != nil {
		return err
	}
	if b.Attributes().Codec() != None {
		largest = max(b.MaxTimestamp(), b.BaseTimestamp())
	}
	if largest != b.MaxTimestamp() {
		b.setMaxTimestamp(largest)
		b.seal()
	}
	return nil
}

// SetLogAppendTime makes ms, in milliseconds since 1970, the timestamp of all
// records of the batch, and states that it is the broker's. It rewrites the
// header in place, the checksum with it.
func (b Batch) SetLogAppendTime(ms int64) {
	const logAppendTime = 0x8
	binary.BigEndian.PutUint16(b[21:], uint16(b.Attributes())|logAppendTime)
	b.setMaxTimestamp(ms)
	b.seal()
}

func (b Batch) setMaxTimestamp(ms int64) { binary.BigEndian.PutUint64(b[35:], uint64(ms)) }

// seal writes the checksum of what the batch now holds.
func (b Batch) seal() {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[crcStart:], castagnoli))
}

// validate also returns the largest timestamp of the records of an uncompressed
// batch.
func (b Batch) validate() (largest int64, err error) {
	whole, rest, err := Next(b)
	if err != nil {
		return 0, err
	}
	if err := whole.Check(); err != nil {
		return 0, err
	}
	if len(rest) > 0 {
		return 0, fmt.Errorf("%w: %d bytes after the batch; a partition's part of a produce request holds one batch",
			ErrInvalid, len(rest))
	}
	if err := b.validateHeader(); err != nil {
		return 0, err
	}
	if b.Attributes().Codec() != None {
		return 0, nil
	}
	return b.validateRecords()
}

func (b Batch) validateHeader() error {
	attributes := b.Attributes()
	switch count := b.Count(); {
	case count <= 0:
		return fmt.Errorf("%w: %d records, want one at least", ErrInvalid, count)
	case int64(b.LastOffsetDelta())+1 != int64(count):
		return fmt.Errorf("%w: %d records, but the last offset delta is %d", ErrInvalid, count, b.LastOffsetDelta())
	case attributes.Control():
		return fmt.Errorf("%w: a client may not write control records", ErrInvalid)
	case attributes.LogAppendTime():
		return fmt.Errorf("%w: the timestamp type is LogAppendTime, which is the broker's to set", ErrInvalid)
	case attributes.DeleteHorizon():
		return fmt.Errorf("%w: a delete horizon is set, which is for compaction to do", ErrInvalid)
	case attributes.Codec() > Zstd:
		return fmt.Errorf("%w: unknown %v", ErrInvalid, attributes.Codec())
	}
	switch id := b.ProducerID(); {
	case id < 0 && attributes.Transactional():
		return fmt.Errorf("%w: transactional, but without a producer id", ErrInvalid)
	case id >= 0 && b.ProducerEpoch() < 0:
		return fmt.Errorf("%w: producer %d with epoch %d", ErrInvalid, id, b.ProducerEpoch())
	case id >= 0 && b.BaseSequence() < 0:
		return fmt.Errorf("%w: producer %d with sequence %d", ErrInvalid, id, b.BaseSequence())
	}
	return nil
}

func (b Batch) validateRecords() (largest int64, err error) {
	var (
		payload = b.Payload()
		base    = b.BaseTimestamp()
		f       fields
	)
	largest = math.MinInt64
	for i := range b.Count() {
		n := f.parse(payload)
		var err error
		switch {
		case n < 0:
			err = fault(n)
		case f.headerCount > 0:
			err = f.checkHeaders()
		}
		if err == nil && f.offsetDelta != i {
			err = fmt.Errorf("offset delta %d, want %d", f.offsetDelta, i)
		}
		if err != nil {
			return 0, fmt.Errorf("%w: record %d: %w", ErrInvalid, i, err)
		}
		largest = max(largest, base+f.timestampDelta)
		payload = payload[n:]
	}
	if len(payload) > 0 {
		return 0, fmt.Errorf("%w: %d bytes after the last of %d records", ErrInvalid, len(payload), b.Count())
	}
	return largest, nil
}
