package record

import (
	"encoding/binary"
	"math"
)

// noTimestamp is the timestamp of a batch that has no records.
const noTimestamp = -1

// Rewriter builds what compaction leaves of a batch: the same header, and some of
// the records with the offsets and timestamps they had. It reuses its buffers. The
// zero value is ready for Reset. It must not be used concurrently.
type Rewriter struct {
	header  [HeaderLen]byte
	payload []byte
	out     []byte
	base    int64 // offset
	time    int64 // that deltas count from
	count   int32
	maxTime int64
	stamped bool // timestamps are the broker's
}

// Reset begins with the header of b and no records.
func (w *Rewriter) Reset(b Batch) {
	copy(w.header[:], b[:HeaderLen])
	w.payload, w.count, w.maxTime = w.payload[:0], 0, noTimestamp
	w.base, w.time = b.BaseOffset(), b.BaseTimestamp()
	w.stamped = b.Attributes().LogAppendTime()
}

// SetDeleteHorizon notes, before the first Append, until when the tombstones of the
// batch are kept, in milliseconds since 1970.
func (w *Rewriter) SetDeleteHorizon(ms int64) {
	h := Batch(w.header[:])
	binary.BigEndian.PutUint16(h[21:], uint16(h.Attributes())|deleteHorizon)
	w.time = ms
}

// Append keeps a record of the batch. The bytes are copied.
func (w *Rewriter) Append(r Record) {
	var (
		timeDelta   = r.Timestamp - w.time
		offsetDelta = r.Offset - w.base
		length      = 1 + varintLen(timeDelta) + varintLen(offsetDelta) +
			nullableLen(r.Key) + nullableLen(r.Value) + varintLen(int64(len(r.Headers)))
	)
	for _, h := range r.Headers {
		length += varintLen(int64(len(h.Key))) + len(h.Key) + nullableLen(h.Value)
	}
	b := appendVarint(w.payload, int64(length))
	b = append(b, 0) // attributes
	b = appendVarint(b, timeDelta)
	b = appendVarint(b, offsetDelta)
	b = appendNullable(b, r.Key)
	b = appendNullable(b, r.Value)
	b = appendVarint(b, int64(len(r.Headers)))
	for _, h := range r.Headers {
		b = appendVarint(b, int64(len(h.Key)))
		b = append(b, h.Key...)
		b = appendNullable(b, h.Value)
	}
	w.payload = b
	w.count++
	w.maxTime = max(w.maxTime, r.Timestamp)
}

// Finish returns the batch: a view that holds until the next Reset. compress, which
// may be nil, appends the payload compressed by the codec of the batch.
func (w *Rewriter) Finish(compress func(dst, payload []byte) ([]byte, error)) (Batch, error) {
	w.out = append(w.out[:0], w.header[:]...)
	if compress == nil {
		w.out = append(w.out, w.payload...)
	} else {
		var err error
		if w.out, err = compress(w.out, w.payload); err != nil {
			return nil, err
		}
	}
	b := Batch(w.out)
	be := binary.BigEndian
	be.PutUint32(b[8:], uint32(len(b)-lengthEnd))
	be.PutUint64(b[27:], uint64(w.time))
	if !w.stamped {
		b.setMaxTimestamp(w.maxTime)
	}
	be.PutUint32(b[57:], uint32(w.count))
	b.seal()
	return b, nil
}

// Hollow returns a batch without records in place of b: what compaction leaves of
// the last batch of an idempotent producer, so that its sequence is not lost.
func Hollow(b Batch) Batch {
	h := make(Batch, HeaderLen)
	copy(h, b[:HeaderLen])
	be := binary.BigEndian
	be.PutUint32(h[8:], HeaderLen-lengthEnd)
	be.PutUint16(h[21:], uint16(b.Attributes())&^uint16(0x7|deleteHorizon))
	be.PutUint64(h[27:], math.MaxUint64) // noTimestamp
	be.PutUint32(h[57:], 0)
	h.setMaxTimestamp(noTimestamp)
	h.seal()
	return h
}

// Gap returns a batch without records and without a producer that stands for the
// offsets [base, next), of which compaction left nothing.
func Gap(base, next int64, leaderEpoch int32) Batch {
	g := make(Batch, HeaderLen)
	g.SetBaseOffset(base)
	g.SetLeaderEpoch(leaderEpoch)
	be := binary.BigEndian
	be.PutUint32(g[8:], HeaderLen-lengthEnd)
	g[16] = 2
	be.PutUint32(g[23:], uint32(next-base-1))
	for at := 27; at < 57; at++ { // timestamps and producer: none
		g[at] = 0xff
	}
	g.seal()
	return g
}

// IsGap reports whether b is one that Gap makes.
func (b Batch) IsGap() bool { return b.Count() == 0 && b.ProducerID() < 0 && !b.Attributes().Control() }
