package txn

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"
)

// State is where a transaction stands. The numbers are those of the records in
// __transaction_state.
type State int8

// The states of a transactional id.
const (
	Empty          State = 0 // there has been no transaction yet
	Ongoing        State = 1
	PrepareCommit  State = 2 // decided, the markers are being written
	PrepareAbort   State = 3
	CompleteCommit State = 4 // the markers are written
	CompleteAbort  State = 5
	Dead           State = 6 // forgotten
)

// String is Kafka's name of the state.
func (s State) String() string {
	if s < Empty || s > Dead {
		return "Unknown"
	}
	return [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead"}[s]
}

// ParseState is the inverse of State.String.
func ParseState(name string) (State, bool) {
	for s := Empty; s <= Dead; s++ {
		if s.String() == name {
			return s, true
		}
	}
	return 0, false
}

// preparing reports whether the outcome is decided and not yet written everywhere.
func (s State) preparing() bool { return s == PrepareCommit || s == PrepareAbort }

var (
	// ErrProducerFenced means that another producer has taken over the transactional
	// id. Kafka's code is PRODUCER_FENCED (90), or INVALID_PRODUCER_EPOCH (47) where
	// a request is older than that.
	ErrProducerFenced = errors.New("txn: a newer producer has this transactional id")

	// ErrProducerIDMapping means that a producer id is not that of the transactional
	// id. Kafka's code is INVALID_PRODUCER_ID_MAPPING (49).
	ErrProducerIDMapping = errors.New("txn: producer id does not belong to the transactional id")

	// ErrConcurrent means that the previous transaction is still being ended, and
	// that the client is to come again. Kafka's code is CONCURRENT_TRANSACTIONS (51).
	ErrConcurrent = errors.New("txn: the previous transaction is still being ended")

	// ErrInvalidState means that a request does not fit to the state of the
	// transaction. Kafka's code is INVALID_TXN_STATE (48).
	ErrInvalidState = errors.New("txn: the transaction is not in a state for this")

	// ErrInvalidTimeout means that a timeout is not positive or too long. Kafka's
	// code is INVALID_TRANSACTION_TIMEOUT (50).
	ErrInvalidTimeout = errors.New("txn: transaction timeout is not allowed")

	// ErrNotAdded means that a partition is not part of an ongoing transaction.
	ErrNotAdded = errors.New("txn: partition is not part of an ongoing transaction")
)

// Version is the protocol that a client speaks.
type Version int16

// The versions of the feature transaction.version that make a difference.
const (
	TV1 Version = 1
	TV2 Version = 2
)

// NoID and NoEpoch stand for none.
const (
	NoID    int64 = -1
	NoEpoch int16 = -1
)

// lastEpoch is the last epoch that a producer gets. The one after it is for the
// markers that fence it.
const lastEpoch = math.MaxInt16 - 1

// Partition is a partition of a topic.
type Partition struct {
	Topic string
	Index int32
}

func comparePartitions(a, b Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Index, b.Index))
}

// Txn is a transactional id with its transaction. It is a value: nothing changes
// it. The zero value is not valid, see New.
type Txn struct {
	ID      string
	State   State
	Version Version // of the client that ended the last transaction

	ProducerID int64 // NoID before the first producer
	Epoch      int16 // NoEpoch before the first producer

	// PreviousID and PreviousEpoch are those that the producer had before they were
	// raised at its own request, so that a repetition of that request is recognised.
	// The epoch is NoEpoch if the producer was fenced.
	PreviousID    int64
	PreviousEpoch int16

	// NextID is the producer id after the transaction, if its epochs are used up;
	// else NoID.
	NextID int64

	Timeout    time.Duration // of a transaction
	Start      time.Time     // of the ongoing or last transaction; zero if there was none
	Updated    time.Time     // when the state last changed
	Partitions []Partition   // of the ongoing transaction, sorted
}

// New is a transactional id that nobody has used.
func New(id string) Txn {
	return Txn{ID: id, ProducerID: NoID, Epoch: NoEpoch, PreviousID: NoID, PreviousEpoch: NoEpoch, NextID: NoID}
}

// Producer is a producer id with its epoch. A client that has none sends NoID.
type Producer struct {
	ID    int64
	Epoch int16
}

// Current is the producer that may use the transactional id.
func (t Txn) Current() Producer { return Producer{t.ProducerID, t.Epoch} }

// Has reports whether a partition is part of the transaction.
func (t Txn) Has(p Partition) bool {
	_, found := slices.BinarySearchFunc(t.Partitions, p, comparePartitions)
	return found
}

// check reports whether p is the producer of the transactional id.
func (t Txn) check(p Producer) error {
	switch {
	case t.NextID != NoID && p == Producer{t.NextID, 0}:
		return ErrConcurrent // it was told its next id, but the markers are outstanding
	case p.ID != t.ProducerID:
		return ErrProducerIDMapping
	case p.Epoch != t.Epoch:
		return ErrProducerFenced
	}
	return nil
}

// Verify reports whether p may write to a partition: it is part of its ongoing
// transaction. The error matches ErrProducerIDMapping, ErrProducerFenced,
// ErrConcurrent or ErrNotAdded.
func (t Txn) Verify(p Producer, at Partition) error {
	if err := t.check(p); err != nil {
		return err
	}
	switch {
	case t.State.preparing():
		return ErrConcurrent
	case t.State != Ongoing || !t.Has(at):
		return ErrNotAdded
	}
	return nil
}

// Add adds partitions to the transaction, and begins one if none is ongoing. If
// changed is false there is nothing to store.
func (t Txn) Add(now time.Time, p Producer, version Version, partitions []Partition) (next Txn, changed bool, err error) {
	if err := t.check(p); err != nil {
		return t, false, err
	}
	if t.State.preparing() {
		return t, false, ErrConcurrent
	}
	next = t
	if t.State != Ongoing {
		next.State, next.Start, next.Partitions, changed = Ongoing, now, nil, true
	}
	next.Partitions = slices.Clone(next.Partitions)
	for _, at := range partitions {
		i, found := slices.BinarySearchFunc(next.Partitions, at, comparePartitions)
		if !found {
			next.Partitions, changed = slices.Insert(next.Partitions, i, at), true
		}
	}
	if !changed {
		return t, false, nil
	}
	next.Version, next.Updated = version, now
	return next, true, nil
}

// InitRequest is what a client asks for when it starts.
type InitRequest struct {
	Timeout    time.Duration
	MaxTimeout time.Duration // the broker's
	// Present is the producer that the client is, to go on after an error
	// (KIP-360), or that with NoID.
	Present Producer
}

// Init gives the transactional id to a producer: that of the request if it has one,
// else a new one, which fences the old. newID is called if a new producer id is
// needed.
//
// If a transaction is ongoing, next is that transaction about to be aborted, and the
// error is ErrConcurrent: the client comes again. If changed is false there is
// nothing to store, and the answer is next.Current().
func (t Txn) Init(now time.Time, r InitRequest, newID func() (int64, error)) (next Txn, changed bool, err error) {
	if r.Timeout <= 0 || r.Timeout > r.MaxTimeout {
		return t, false, ErrInvalidTimeout
	}
	switch kind := t.judge(r.Present); {
	case kind == stranger, kind == again && t.State == Ongoing:
		return t, false, ErrProducerFenced
	case t.State.preparing():
		return t, false, ErrConcurrent
	case kind == again:
		return t, false, nil // the answer to the same request was lost
	case t.State == Ongoing:
		next = t.fence(now)
		if kind == owner { // it gets the epoch when it comes again
			next.PreviousID, next.PreviousEpoch = t.ProducerID, t.Epoch
		}
		return next, true, ErrConcurrent
	}
	next = t
	next.State, next.Partitions, next.Start = Empty, nil, time.Time{}
	next.Timeout, next.Updated, next.NextID = r.Timeout, now, NoID
	next.PreviousID, next.PreviousEpoch = NoID, NoEpoch
	if r.Present.ID != NoID {
		next.PreviousID, next.PreviousEpoch = t.ProducerID, t.Epoch
	}
	if t.ProducerID != NoID && t.Epoch < lastEpoch {
		next.Epoch++
		return next, true, nil
	}
	if next.ProducerID, err = newID(); err != nil {
		return t, false, err
	}
	next.Epoch = 0
	return next, true, nil
}

// claim is what a producer's id and epoch make of it.
type claim int8

const (
	newcomer claim = iota // it says nothing
	owner                 // it has the transactional id
	again                 // it had it before its last request
	stranger              // another one has it
)

func (t Txn) judge(p Producer) claim {
	switch {
	case p.ID == NoID:
		return newcomer
	case t.ProducerID == NoID || p == t.Current() || t.NextID != NoID && p == Producer{t.NextID, 0}:
		return owner // of an id that expired, or of this one
	case t.PreviousEpoch != NoEpoch && p == Producer{t.PreviousID, t.PreviousEpoch}:
		return again
	}
	return stranger
}

// fence takes the transaction from its producer and aborts it. The markers carry an
// epoch that nobody has.
func (t Txn) fence(now time.Time) Txn {
	t.Epoch++
	t.PreviousID, t.PreviousEpoch = NoID, NoEpoch
	t.State, t.Updated = PrepareAbort, now
	return t
}

// End decides the transaction. If changed, store next, write the markers and call
// Complete. If not, and without an error, the same request has been carried out
// before: next.Current() is the answer. newID is called if the epochs of the producer
// id are used up.
//
// The error matches ErrProducerIDMapping, ErrProducerFenced, ErrConcurrent or
// ErrInvalidState.
func (t Txn) End(now time.Time, p Producer, commit bool, version Version, newID func() (int64, error)) (next Txn, changed bool, err error) {
	repeated := version >= TV2 && p.ID != NoID && t.judge(p) == again
	if !repeated {
		if err := t.check(p); err != nil {
			return t, false, err
		}
	}
	prepare, complete := PrepareAbort, CompleteAbort
	if commit {
		prepare, complete = PrepareCommit, CompleteCommit
	}
	switch t.State {
	case Ongoing:
		if repeated {
			return t, false, ErrProducerFenced // it is a transaction after that one
		}
	case complete:
		// A client with TV1 cannot be told from one that repeats its request. One
		// with TV2 and the present epoch ends a transaction without partitions.
		if repeated || version < TV2 {
			return t, false, nil
		}
		if commit {
			return t, false, ErrInvalidState
		}
	case prepare:
		return t, false, ErrConcurrent
	case Empty, CompleteCommit, CompleteAbort:
		if repeated || commit || version < TV2 {
			return t, false, ErrInvalidState
		}
	default:
		return t, false, ErrInvalidState
	}
	next = t
	next.State, next.Version, next.Updated = prepare, version, now
	if t.State != Ongoing {
		next.Start, next.Partitions = now, nil
	}
	next.PreviousID, next.PreviousEpoch, next.NextID = NoID, NoEpoch, NoID
	if version < TV2 {
		return next, true, nil
	}
	next.PreviousID, next.PreviousEpoch = t.ProducerID, t.Epoch
	next.Epoch++
	if t.Epoch >= lastEpoch {
		if next.NextID, err = newID(); err != nil {
			return t, false, err
		}
	}
	return next, true, nil
}

// Complete notes that all markers are written.
func (t Txn) Complete(now time.Time) (Txn, error) {
	switch t.State {
	case PrepareCommit:
		t.State = CompleteCommit
	case PrepareAbort:
		t.State = CompleteAbort
	default:
		return t, ErrInvalidState
	}
	if t.NextID != NoID {
		t.ProducerID, t.Epoch, t.NextID = t.NextID, 0, NoID
	}
	t.Partitions, t.Updated = nil, now
	return t, nil
}

// Marker is the marker that a Prepare state asks for on each of the partitions.
type Marker struct {
	Producer
	Commit bool
	// Raised means that the epoch is above that of the records: TV2, or a producer
	// that was fenced.
	Raised bool
}

// Marker returns what to write to the partitions. The state must be PrepareCommit or
// PrepareAbort.
func (t Txn) Marker() Marker {
	return Marker{Producer: t.Current(), Commit: t.State == PrepareCommit, Raised: t.Version >= TV2}
}

// Preparing reports whether the markers are to be written.
func (t Txn) Preparing() bool { return t.State.preparing() }

// Tick aborts a transaction that has taken longer than its timeout, and forgets a
// transactional id that was not used for expiry: its state is then Dead. If changed
// is false there is nothing to do before Deadline.
func (t Txn) Tick(now time.Time, expiry time.Duration) (next Txn, changed bool) {
	deadline := t.Deadline(expiry)
	switch {
	case deadline.IsZero() || deadline.After(now):
		return t, false
	case t.State == Ongoing:
		return t.fence(now), true
	}
	t.State, t.Updated = Dead, now
	return t, true
}

// Deadline is when Tick has something to do; zero for never.
func (t Txn) Deadline(expiry time.Duration) time.Time {
	switch {
	case t.State == Ongoing:
		return t.Start.Add(t.Timeout)
	case t.State.preparing() || t.State == Dead:
		return time.Time{}
	}
	return t.Updated.Add(expiry)
}
