package record

import (
	"encoding/binary"
	"math"
)

// Builder builds an uncompressed batch in a buffer that it reuses, without an
// allocation per record. The zero value is ready to use. It must not be used
// concurrently.
//
// A batch holds what one caller appends: the builder has no limit of its own.
// Size and Count tell when to finish.
type Builder struct {
	buf        []byte
	count      int32
	baseTime   int64
	maxTime    int64
	idempotent bool // the three below are set
	producer   int64
	epoch      int16
	sequence   int32
}

// Reset starts an empty batch without a producer. The batch that Finish returned
// is overwritten.
func (w *Builder) Reset() { *w = Builder{buf: w.buf[:0]} }

// SetProducer makes the batch that of an idempotent producer; baseSequence is
// the sequence number of its first record.
func (w *Builder) SetProducer(id int64, epoch int16, baseSequence int32) {
	w.idempotent = true
	w.producer, w.epoch, w.sequence = id, epoch, baseSequence
}

// Append adds a record. The timestamp is in milliseconds since 1970; a nil key,
// value or header value is Kafka's null. The bytes are copied. Record i of a
// batch gets offset i; whoever appends the batch to a log moves the base.
func (w *Builder) Append(timestampMillis int64, key, value []byte, headers ...Header) {
	if w.count == 0 {
		w.buf = append(w.buf[:0], make([]byte, HeaderLen)...)
		w.baseTime, w.maxTime = timestampMillis, timestampMillis
	}
	var (
		timeDelta   = timestampMillis - w.baseTime
		offsetDelta = int64(w.count)
		length      = 1 + varintLen(timeDelta) + varintLen(offsetDelta) +
			nullableLen(key) + nullableLen(value) + varintLen(int64(len(headers)))
	)
	for _, h := range headers {
		length += varintLen(int64(len(h.Key))) + len(h.Key) + nullableLen(h.Value)
	}
	b := appendVarint(w.buf, int64(length))
	b = append(b, 0) // attributes
	b = appendVarint(b, timeDelta)
	b = appendVarint(b, offsetDelta)
	b = appendNullable(b, key)
	b = appendNullable(b, value)
	b = appendVarint(b, int64(len(headers)))
	for _, h := range headers {
		b = appendVarint(b, int64(len(h.Key)))
		b = append(b, h.Key...)
		b = appendNullable(b, h.Value)
	}
	w.buf = b
	w.count++
	w.maxTime = max(w.maxTime, timestampMillis)
}

// Count is the number of records appended since Reset.
func (w *Builder) Count() int { return int(w.count) }

// Size is the number of bytes of the batch as it stands, 0 without records.
func (w *Builder) Size() int { return len(w.buf) }

// Finish writes the header, base offset 0, and returns the batch: a view that
// holds until the next call. It returns nil if there are no records. More records
// may follow; Finish then returns the longer batch.
func (w *Builder) Finish() Batch {
	if w.count == 0 {
		return nil
	}
	b := Batch(w.buf[:len(w.buf):len(w.buf)])
	clear(b[:HeaderLen])
	be := binary.BigEndian
	be.PutUint32(b[8:], uint32(len(b)-lengthEnd))
	b[16] = 2
	be.PutUint32(b[23:], uint32(w.count-1))
	be.PutUint64(b[27:], uint64(w.baseTime))
	be.PutUint64(b[35:], uint64(w.maxTime))
	if w.idempotent {
		be.PutUint64(b[43:], uint64(w.producer))
		be.PutUint16(b[51:], uint16(w.epoch))
		be.PutUint32(b[53:], uint32(w.sequence))
	} else {
		be.PutUint64(b[43:], math.MaxUint64)
		be.PutUint16(b[51:], math.MaxUint16)
		be.PutUint32(b[53:], math.MaxUint32)
	}
	be.PutUint32(b[57:], uint32(w.count))
	b.seal()
	return b
}

func nullableLen(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}

func appendNullable(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // -1 in zigzag
	}
	return append(appendVarint(dst, int64(len(b))), b...)
}
