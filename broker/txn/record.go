package txn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions of the keys and values in __transaction_state, as Kafka writes them.
const (
	keyVersion   = 0
	valueVersion = 1 // the first with tagged fields
)

var (
	// ErrUnknownRecord means that a record of __transaction_state is of a kind that
	// this version does not know.
	ErrUnknownRecord = errors.New("txn: record of an unknown kind")

	// ErrCorruptRecord means that a record of __transaction_state does not parse.
	ErrCorruptRecord = errors.New("txn: record does not parse")
)

// Record is a record of __transaction_state. A nil Value is a tombstone.
type Record struct{ Key, Value []byte }

// Record is what the log holds of t: a tombstone if it is Dead.
//
// The format is Kafka's, which has no place for PreviousEpoch. Decode infers it.
func (t Txn) Record() Record {
	k := kmsg.NewTxnMetadataKey()
	k.Version, k.TransactionalID = keyVersion, t.ID
	if t.State == Dead {
		return Record{Key: k.AppendTo(nil)}
	}
	v := kmsg.NewTxnMetadataValue()
	v.Version = valueVersion
	v.ProducerID, v.ProducerEpoch = t.ProducerID, t.Epoch
	v.TimeoutMillis = int32(t.Timeout.Milliseconds())
	v.State = kmsg.TransactionState(t.State)
	v.LastUpdateTimestamp, v.StartTimestamp = millis(t.Updated), millis(t.Start)
	v.PreviousProducerID, v.NextProducerID = t.PreviousID, t.NextID
	v.ClientTransactionVersion = int16(t.Version)
	for _, p := range t.Partitions {
		if n := len(v.Topics); n == 0 || v.Topics[n-1].Topic != p.Topic {
			vt := kmsg.NewTxnMetadataValueTopic()
			vt.Topic = p.Topic
			v.Topics = append(v.Topics, vt)
		}
		vt := &v.Topics[len(v.Topics)-1]
		vt.Partitions = append(vt.Partitions, p.Index)
	}
	return Record{Key: k.AppendTo(nil), Value: v.AppendTo(nil)}
}

// Decode reads a record of __transaction_state. It keeps none of its bytes. The
// state of a tombstone is Dead.
func Decode(key, value []byte) (Txn, error) {
	if len(key) < 2 {
		return Txn{}, fmt.Errorf("%w: key of %d bytes", ErrCorruptRecord, len(key))
	}
	if version := int16(binary.BigEndian.Uint16(key)); version != keyVersion {
		return Txn{}, fmt.Errorf("%w: key version %d", ErrUnknownRecord, version)
	}
	k := kmsg.NewTxnMetadataKey()
	if err := k.ReadFrom(key); err != nil {
		return Txn{}, fmt.Errorf("%w: key: %w", ErrCorruptRecord, err)
	}
	t := New(k.TransactionalID)
	if value == nil {
		t.State = Dead
		return t, nil
	}
	if len(value) < 2 {
		return Txn{}, fmt.Errorf("%w: value of %d bytes for %q", ErrCorruptRecord, len(value), t.ID)
	}
	if version := int16(binary.BigEndian.Uint16(value)); version < 0 || version > valueVersion {
		return Txn{}, fmt.Errorf("%w: value version %d for %q, known are 0 and %d", ErrUnknownRecord, version, t.ID, valueVersion)
	}
	v := kmsg.NewTxnMetadataValue()
	if err := v.ReadFrom(value); err != nil {
		return Txn{}, fmt.Errorf("%w: value for %q: %w", ErrCorruptRecord, t.ID, err)
	}
	if v.State < 0 || State(v.State) >= Dead || v.ProducerID < 0 || v.ProducerEpoch < 0 || v.TimeoutMillis <= 0 {
		return Txn{}, fmt.Errorf("%w: %q in state %d with producer %d, epoch %d, timeout %d ms",
			ErrCorruptRecord, t.ID, v.State, v.ProducerID, v.ProducerEpoch, v.TimeoutMillis)
	}
	t.State, t.Version = State(v.State), Version(v.ClientTransactionVersion)
	t.ProducerID, t.Epoch = v.ProducerID, v.ProducerEpoch
	t.PreviousID, t.NextID = v.PreviousProducerID, v.NextProducerID
	t.Timeout = time.Duration(v.TimeoutMillis) * time.Millisecond
	t.Updated, t.Start = fromMillis(v.LastUpdateTimestamp), fromMillis(v.StartTimestamp)
	for _, vt := range v.Topics {
		for _, index := range vt.Partitions {
			t.Partitions = append(t.Partitions, Partition{vt.Topic, index})
		}
	}
	slices.SortFunc(t.Partitions, comparePartitions)
	t.Partitions = slices.Compact(t.Partitions)
	t.inferPrevious()
	return t, nil
}

// inferPrevious works out the epoch before a request of the producer raised it. A
// fenced producer has no previous id.
func (t *Txn) inferPrevious() {
	switch {
	case t.PreviousID < 0:
		t.PreviousID = NoID
	case t.PreviousID == t.ProducerID && t.Epoch > 0:
		t.PreviousEpoch = t.Epoch - 1
	case t.PreviousID != t.ProducerID && t.Epoch == 0:
		t.PreviousEpoch = lastEpoch
	}
	if t.PreviousEpoch == NoEpoch {
		t.PreviousID = NoID
	}
	if t.NextID < 0 {
		t.NextID = NoID
	}
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms < 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
