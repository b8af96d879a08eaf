package producer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// noTxn is the first offset of a producer without an open transaction.
const noTxn = -1

// ErrOpenTransaction means that a producer with an open transaction sent a batch
// that does not belong to it. Kafka's code is INVALID_TXN_STATE (48).
var ErrOpenTransaction = errors.New("producer: batch is not part of the open transaction")

// Aborted is a transaction whose records do not count.
type Aborted struct {
	ID    int64 // of the producer
	First int64 // offset of its first record
	Last  int64 // offset of its marker
}

// Marker is the end of a producer's transaction.
type Marker struct {
	ID               int64
	Epoch            int16
	CoordinatorEpoch int32
	Commit           bool
	// Raised means that the epoch must be above that of the producer's records, so
	// that a marker that was delayed cannot end a later transaction (KIP-890).
	Raised bool
}

// CheckMarker says whether a marker may be appended. If written, it repeats one that
// is there already: append nothing. The error matches ErrInvalidProducerEpoch.
func (s *State) CheckMarker(m Marker) (written bool, err error) {
	p := s.producers[m.ID]
	switch {
	case p == nil:
		return false, nil
	case m.Epoch < p.epoch || m.Raised && m.Epoch == p.epoch && p.txnFirst != noTxn:
		return false, fmt.Errorf("%w: marker of producer %d has epoch %d, current is %d",
			ErrInvalidProducerEpoch, m.ID, m.Epoch, p.epoch)
	}
	return m.Raised && m.Epoch == p.epoch, nil
}

// AppendMarker notes a marker that the log now holds at offset. Like Append it
// checks nothing, and goes by the broker's time.
func (s *State) AppendMarker(m Marker, offset, timestampMillis int64) {
	if m.ID < 0 {
		return
	}
	p := s.touch(m.ID, m.Epoch, offset, timestampMillis)
	p.coordinatorEpoch = m.CoordinatorEpoch
	if p.txnFirst == noTxn {
		return
	}
	if !m.Commit {
		s.aborted = append(s.aborted, Aborted{ID: m.ID, First: p.txnFirst, Last: offset})
	}
	p.txnFirst = noTxn
	delete(s.open, m.ID)
}

// begin opens a transaction of a producer.
func (s *State) begin(id int64, p *producer, first int64) {
	if s.open == nil {
		s.open = make(map[int64]int64)
	}
	p.txnFirst, s.open[id] = first, first
}

// FirstOpen is the first offset of all open transactions, or math.MaxInt64.
func (s *State) FirstOpen() int64 {
	first := int64(math.MaxInt64)
	for _, offset := range s.open {
		first = min(first, offset)
	}
	return first
}

// Aborted are the transactions that were aborted since Cut, in the order of their
// markers. The slice is only ever appended to: it may be kept, not changed.
func (s *State) Aborted() []Aborted { return slices.Clip(s.aborted) }

// Cut forgets the aborted transactions: the log keeps them from now on.
func (s *State) Cut() { s.aborted = nil }

// CutBefore forgets the aborted transactions whose markers lie before an offset.
func (s *State) CutBefore(offset int64) {
	s.aborted = slices.DeleteFunc(slices.Clone(s.aborted), func(a Aborted) bool { return a.Last < offset })
}

// Info describes a producer.
type Info struct {
	ID                  int64
	Epoch               int16
	LastSeq             int32 // or NoSequence
	LastTimestampMillis int64
	CoordinatorEpoch    int32 // of its last marker, or -1
	TxnFirst            int64 // first offset of its open transaction, or -1
}

// Producers describes the producers that are known, by ascending id.
func (s *State) Producers() []Info {
	infos := make([]Info, 0, len(s.producers))
	for _, id := range s.sortedIDs(cmp.Compare[int64]) {
		p := s.producers[id]
		info := Info{
			ID: id, Epoch: p.epoch, LastSeq: NoSequence, LastTimestampMillis: p.lastTimestampMillis,
			CoordinatorEpoch: p.coordinatorEpoch, TxnFirst: p.txnFirst,
		}
		if p.count > 0 {
			info.LastSeq = p.last().lastSeq
		}
		infos = append(infos, info)
	}
	return infos
}

// checkEpoch refuses the epochs before the current one.
func (s *State) checkEpoch(m Meta) error {
	if p := s.producers[m.ID]; p != nil && m.Epoch < p.epoch {
		return fmt.Errorf("%w: producer %d sent epoch %d, current is %d", ErrInvalidProducerEpoch, m.ID, m.Epoch, p.epoch)
	}
	return nil
}
