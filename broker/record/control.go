package record

import (
	"encoding/binary"
	"fmt"
)

// Marker is what a control batch says: a transaction ended. After
// https://kafka.apache.org/documentation/#controlbatch.
type Marker struct {
	ProducerID       int64
	Epoch            int16
	Commit           bool // else the records of the transaction do not count
	CoordinatorEpoch int32
}

// The key of a control record is its version and its type, its value the version
// and the coordinator's epoch.
const (
	markerKeyLen   = 4
	markerValueLen = 6
	typeAbort      = 0
	typeCommit     = 1
)

// transactional and control are bits of a batch's attributes.
const (
	transactionalBit = 0x10
	controlBit       = 0x20
)

// ControlBatch makes the batch that ends a transaction, at base offset 0.
func ControlBatch(m Marker, timestampMillis int64) Batch {
	be := binary.BigEndian
	kind := uint16(typeAbort)
	if m.Commit {
		kind = typeCommit
	}
	key := be.AppendUint16(be.AppendUint16(make([]byte, 0, markerKeyLen), 0), kind)
	value := be.AppendUint32(be.AppendUint16(make([]byte, 0, markerValueLen), 0), uint32(m.CoordinatorEpoch))
	var w Builder
	w.SetProducer(m.ProducerID, m.Epoch, -1)
	w.Append(timestampMillis, key, value)
	b := w.Finish()
	b.setAttributes(transactionalBit | controlBit)
	return b
}

// Marker reads a control batch. The error matches ErrInvalid if b is none, or holds
// something else than the end of a transaction.
func (b Batch) Marker() (Marker, error) {
	if !b.Attributes().Control() {
		return Marker{}, fmt.Errorf("%w: not a control batch", ErrInvalid)
	}
	m := Marker{ProducerID: b.ProducerID(), Epoch: b.ProducerEpoch()}
	for r, err := range b.Records() {
		switch {
		case err != nil:
			return Marker{}, err
		case len(r.Key) < markerKeyLen || len(r.Value) < markerValueLen:
			return Marker{}, fmt.Errorf("%w: control record with a key of %d and a value of %d bytes", ErrInvalid, len(r.Key), len(r.Value))
		}
		kind := binary.BigEndian.Uint16(r.Key[2:])
		if kind > typeCommit {
			return Marker{}, fmt.Errorf("%w: control record of type %d", ErrInvalid, kind)
		}
		m.Commit = kind == typeCommit
		m.CoordinatorEpoch = int32(binary.BigEndian.Uint32(r.Value[2:]))
		return m, nil
	}
	return Marker{}, fmt.Errorf("%w: control batch without a record", ErrInvalid)
}

// SetTransactional makes the batch part of a transaction of its producer. It rewrites
// the header in place, the checksum with it.
func (b Batch) SetTransactional() { b.setAttributes(b.Attributes() | transactionalBit) }

func (b Batch) setAttributes(a Attributes) {
	binary.BigEndian.PutUint16(b[21:], uint16(a))
	b.seal()
}
