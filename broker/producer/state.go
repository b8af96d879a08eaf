package producer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Window is the number of batches that a producer's state holds. It is the
// protocol's: clients have at most five requests under way per connection.
const Window = 5

// DefaultMaxProducers is how many producers a partition remembers unless
// State.MaxProducers says otherwise. One takes some 250 bytes.
const DefaultMaxProducers = 100_000

// ErrOutOfOrderSequence means that a batch neither repeats one of the last five
// batches of its producer nor continues the last one: something before it is
// missing, or it is too old. Kafka's code is OUT_OF_ORDER_SEQUENCE_NUMBER (45).
var ErrOutOfOrderSequence = errors.New("producer: sequence number is out of order")

// ErrInvalidProducerEpoch means that a newer producer with the same id has
// written to the partition. Kafka's code is INVALID_PRODUCER_EPOCH (47).
var ErrInvalidProducerEpoch = errors.New("producer: epoch is older than the current one")

// NoSequence is the sequence number of records that the broker writes for a
// producer: they are not counted.
const NoSequence int32 = -1

// Meta is what a batch says about its producer.
type Meta struct {
	ID       int64 // negative: the producer is not idempotent
	Epoch    int16
	FirstSeq int32 // sequence number of the first record, or NoSequence
	LastSeq  int32 // sequence number of the last record

	// Transactional means that the batch belongs to a transaction of the producer.
	Transactional bool
	// FromStart means that a producer that is not known must start at 0: with TV2
	// (KIP-890) it is known from the first batch of an epoch on.
	FromStart bool
}

// NewMeta is the Meta of a batch of count records.
func NewMeta(id int64, epoch int16, firstSeq, count int32) Meta {
	return Meta{ID: id, Epoch: epoch, FirstSeq: firstSeq, LastSeq: LastSequence(firstSeq, count)}
}

// LastSequence is the sequence number of the last of count records, the first
// of which has number first. After 2147483647 comes 0.
func LastSequence(first, count int32) int32 {
	return int32((int64(first) + int64(count) - 1) & 0x7fffffff)
}

// Duplicate is where the batch lies that a repetition repeats.
type Duplicate struct {
	BaseOffset      int64
	TimestampMillis int64 // as given to Append
}

// State is what one partition knows about its idempotent producers. The zero
// value is empty and ready to use. It must not be used concurrently.
type State struct {
	// MaxProducers limits the producers that are remembered. When one more
	// comes, those that were silent longest are forgotten, an eighth of them at
	// once. A forgotten producer may go on writing, but a repetition of its
	// earlier batches is no longer recognised. The default is
	// DefaultMaxProducers.
	MaxProducers int

	producers map[int64]*producer
	evicted   int64
	open      map[int64]int64 // first offset of each open transaction, by producer
	aborted   []Aborted       // since Cut, by ascending Last
}

type producer struct {
	epoch   int16
	count   int           // batches that are known, at most Window
	batches [Window]batch // ascending by offset; the last known one is batches[count-1]

	txnFirst         int64 // offset of the first record of the open transaction, or noTxn
	coordinatorEpoch int32 // of the last marker, or -1

	// The last thing that was appended for the producer, a marker too.
	lastOffset          int64
	lastTimestampMillis int64
}

type batch struct {
	firstSeq, lastSeq int32
	baseOffset        int64
	timestampMillis   int64
}

func (p *producer) last() *batch { return &p.batches[p.count-1] }

// Check says what to do with a batch that is about to be appended. If isDup, it
// repeats the batch at dup: answer with that offset and append nothing. The error
// matches ErrInvalidProducerEpoch or ErrOutOfOrderSequence and says what was
// expected. Otherwise append it, then call Append.
//
// A producer that is not known, because it is new, has expired or was evicted, may
// start at any number. A new epoch starts at 0.
func (s *State) Check(m Meta) (dup Duplicate, isDup bool, err error) {
	if m.ID < 0 {
		return Duplicate{}, false, nil
	}
	if m.FirstSeq == NoSequence && m.Transactional {
		return Duplicate{}, false, s.checkEpoch(m)
	}
	if m.FirstSeq < 0 || m.LastSeq < 0 {
		return Duplicate{}, false, fmt.Errorf("%w: producer %d sent sequence [%d, %d]", ErrOutOfOrderSequence, m.ID, m.FirstSeq, m.LastSeq)
	}
	p := s.producers[m.ID]
	if err := s.checkEpoch(m); err != nil {
		return Duplicate{}, false, err
	}
	switch {
	case p != nil && p.txnFirst != noTxn && !m.Transactional:
		return Duplicate{}, false, fmt.Errorf("%w: producer %d has an open transaction since offset %d",
			ErrOpenTransaction, m.ID, p.txnFirst)
	case p == nil && m.FromStart && m.FirstSeq != 0:
		return Duplicate{}, false, fmt.Errorf("%w: producer %d, which is not known, sent %d, want 0",
			ErrOutOfOrderSequence, m.ID, m.FirstSeq)
	case p == nil:
		return Duplicate{}, false, nil
	case m.Epoch > p.epoch || p.count == 0:
		if m.FirstSeq != 0 {
			return Duplicate{}, false, fmt.Errorf("%w: producer %d sent %d as the first of epoch %d, want 0",
				ErrOutOfOrderSequence, m.ID, m.FirstSeq, m.Epoch)
		}
		return Duplicate{}, false, nil
	}
	for _, b := range p.batches[:p.count] {
		if b.firstSeq == m.FirstSeq && b.lastSeq == m.LastSeq {
			return Duplicate{BaseOffset: b.baseOffset, TimestampMillis: b.timestampMillis}, true, nil
		}
	}
	if want := LastSequence(p.last().lastSeq, 2); m.FirstSeq != want {
		return Duplicate{}, false, fmt.Errorf("%w: producer %d epoch %d sent %d, want %d",
			ErrOutOfOrderSequence, m.ID, m.Epoch, m.FirstSeq, want)
	}
	return Duplicate{}, false, nil
}

// Append notes a batch that the log now holds at baseOffset. It checks nothing,
// so it also serves for replaying a log.
//
// The timestamp is the broker's time of the append in milliseconds since 1970,
// not the records': Expire goes by it, and a producer that writes yesterday's
// events today must not expire.
func (s *State) Append(m Meta, baseOffset, timestampMillis int64) {
	if m.ID < 0 {
		return
	}
	p := s.touch(m.ID, m.Epoch, baseOffset, timestampMillis)
	if m.Transactional && p.txnFirst == noTxn {
		s.begin(m.ID, p, baseOffset)
	}
	if m.FirstSeq == NoSequence {
		return
	}
	if p.count == Window {
		copy(p.batches[:], p.batches[1:])
		p.count--
	}
	p.batches[p.count] = batch{
		firstSeq: m.FirstSeq, lastSeq: m.LastSeq,
		baseOffset: baseOffset, timestampMillis: timestampMillis,
	}
	p.count++
}

// touch returns the producer, made if need be, at an epoch.
func (s *State) touch(id int64, epoch int16, offset, timestampMillis int64) *producer {
	p := s.producers[id]
	if p == nil {
		s.makeRoom()
		if s.producers == nil {
			s.producers = make(map[int64]*producer)
		}
		p = &producer{epoch: epoch, txnFirst: noTxn, coordinatorEpoch: -1}
		s.producers[id] = p
	}
	if epoch != p.epoch {
		p.epoch, p.count = epoch, 0
	}
	p.lastOffset, p.lastTimestampMillis = offset, timestampMillis
	return p
}

// Expire forgets the producers whose last append was before beforeMillis, in
// milliseconds since 1970, and returns how many. It looks at each producer: call
// it now and then, not at each append. A producer with an open transaction stays.
func (s *State) Expire(beforeMillis int64) int {
	n := len(s.producers)
	for id, p := range s.producers {
		if p.lastTimestampMillis < beforeMillis && p.txnFirst == noTxn {
			delete(s.producers, id)
		}
	}
	return n - len(s.producers)
}

// Len is the number of producers that are known.
func (s *State) Len() int { return len(s.producers) }

// Evicted is the number of producers that were forgotten because there were
// more than MaxProducers.
func (s *State) Evicted() int64 { return s.evicted }

// Reset forgets all producers and transactions.
func (s *State) Reset() {
	clear(s.producers)
	clear(s.open)
	s.aborted = nil
}

func (s *State) limit() int {
	if s.MaxProducers > 0 {
		return s.MaxProducers
	}
	return DefaultMaxProducers
}

// makeRoom makes room for one more producer. It goes by offsets, not by
// timestamps: those never repeat, so that equal logs give equal states.
func (s *State) makeRoom() {
	if len(s.producers) < s.limit() {
		return
	}
	ids := s.sortedIDs(func(a, b int64) int {
		return cmp.Compare(s.producers[a].lastOffset, s.producers[b].lastOffset)
	})
	// Whoever has an open transaction stays: forgetting it would lose its end.
	ids = slices.DeleteFunc(ids, func(id int64) bool { return s.producers[id].txnFirst != noTxn })
	n := min(max(len(s.producers)/8, len(s.producers)-s.limit()+1), len(ids))
	for _, id := range ids[:n] {
		delete(s.producers, id)
	}
	s.evicted += int64(n)
}

func (s *State) sortedIDs(compare func(a, b int64) int) []int64 {
	ids := make([]int64, 0, len(s.producers))
	for id := range s.producers {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compare)
	return ids
}
