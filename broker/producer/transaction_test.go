package producer

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// transactional is the Meta of a batch of one record inside a transaction.
func transactional(id int64, epoch int16, seq int32) Meta {
	m := NewMeta(id, epoch, seq, 1)
	m.Transactional = true
	return m
}

func TestTransactions(t *testing.T) {
	t.Parallel()
	var s State
	appendNew(t, &s, transactional(1, 0, 0), 10)
	appendNew(t, &s, transactional(2, 0, 0), 11)
	appendNew(t, &s, transactional(1, 0, 1), 12)
	if got := s.FirstOpen(); got != 10 {
		t.Errorf("FirstOpen() = %d, want 10", got)
	}
	if _, _, err := s.Check(NewMeta(1, 0, 2, 1)); !errors.Is(err, ErrOpenTransaction) {
		t.Errorf("a batch outside of the open transaction: %v, want ErrOpenTransaction", err)
	}
	s.AppendMarker(Marker{ID: 1, Epoch: 0, Commit: true}, 13, 0)
	if got := s.FirstOpen(); got != 11 {
		t.Errorf("FirstOpen() = %d after the first transaction ended, want 11", got)
	}
	s.AppendMarker(Marker{ID: 2, Epoch: 0}, 14, 0)
	if got := s.FirstOpen(); got != math.MaxInt64 {
		t.Errorf("FirstOpen() = %d without transactions", got)
	}
	if diff := cmp.Diff([]Aborted{{ID: 2, First: 11, Last: 14}}, s.Aborted()); diff != "" {
		t.Errorf("aborted (-want +got):\n%s", diff)
	}
	// TV1: the epoch stays, and the sequence goes on.
	if _, _, err := s.Check(transactional(1, 0, 0)); err != nil {
		t.Errorf("a repetition after the end: %v", err)
	}
	appendNew(t, &s, transactional(1, 0, 2), 15)
	// A marker without a transaction aborts nothing.
	s.AppendMarker(Marker{ID: 9, Epoch: 0}, 16, 0)
	if n := len(s.Aborted()); n != 1 {
		t.Errorf("%d aborted transactions, want 1", n)
	}
	if s.Cut(); len(s.Aborted()) != 0 {
		t.Error("aborted transactions are left after Cut")
	}
}

// With TV2 the marker raises the epoch: what the producer sent before cannot come
// after it, and a marker of an earlier transaction cannot end a later one.
func TestMarkersRaiseTheEpoch(t *testing.T) {
	t.Parallel()
	var s State
	check := func(m Marker, wantWritten bool, want error) {
		t.Helper()
		if written, err := s.CheckMarker(m); written != wantWritten || !errors.Is(err, want) {
			t.Errorf("CheckMarker(%+v) = %v, %v, want %v, %v", m, written, err, wantWritten, want)
		}
	}
	appendNew(t, &s, transactional(1, 4, 0), 10)
	check(Marker{ID: 1, Epoch: 4, Raised: true}, false, ErrInvalidProducerEpoch)
	check(Marker{ID: 1, Epoch: 4}, false, nil) // TV1
	check(Marker{ID: 1, Epoch: 3}, false, ErrInvalidProducerEpoch)
	first := Marker{ID: 1, Epoch: 5, Raised: true}
	check(first, false, nil)
	s.AppendMarker(first, 11, 0)
	check(first, true, nil) // again, after a crash

	if _, _, err := s.Check(transactional(1, 4, 1)); !errors.Is(err, ErrInvalidProducerEpoch) {
		t.Errorf("the old epoch: %v, want ErrInvalidProducerEpoch", err)
	}
	if _, _, err := s.Check(transactional(1, 5, 1)); !errors.Is(err, ErrOutOfOrderSequence) {
		t.Errorf("the new epoch at 1: %v, want ErrOutOfOrderSequence", err)
	}
	appendNew(t, &s, transactional(1, 5, 0), 12)
	check(first, false, ErrInvalidProducerEpoch)

	unknown := transactional(2, 0, 5)
	appendNew(t, &s, unknown, 13)
	unknown.ID, unknown.FromStart = 3, true
	if _, _, err := s.Check(unknown); !errors.Is(err, ErrOutOfOrderSequence) {
		t.Errorf("an unknown producer with TV2 at 5: %v, want ErrOutOfOrderSequence", err)
	}
}

// The broker's own records have no sequence numbers, but an epoch.
func TestRecordsOfTheBroker(t *testing.T) {
	t.Parallel()
	var s State
	m := Meta{ID: 1, Epoch: 2, FirstSeq: NoSequence, LastSeq: NoSequence, Transactional: true}
	appendNew(t, &s, m, 5)
	appendNew(t, &s, m, 6)
	if s.FirstOpen() != 5 {
		t.Errorf("FirstOpen() = %d, want 5", s.FirstOpen())
	}
	m.Epoch = 1
	if _, _, err := s.Check(m); !errors.Is(err, ErrInvalidProducerEpoch) {
		t.Errorf("an older epoch: %v, want ErrInvalidProducerEpoch", err)
	}
}

func TestOpenTransactionsAreNotForgotten(t *testing.T) {
	t.Parallel()
	s := State{MaxProducers: 4}
	appendNew(t, &s, transactional(1, 0, 0), 1)
	for id := range int64(20) {
		appendNew(t, &s, NewMeta(100+id, 0, 0, 1), 2+id)
	}
	s.Expire(math.MaxInt64)
	if s.Len() != 1 || s.FirstOpen() != 1 {
		t.Errorf("%d producers, first open %d, want the one with a transaction", s.Len(), s.FirstOpen())
	}
}

// Any history has the same open and aborted transactions before and after a restart,
// and they are those that a list of all events gives.
func TestTransactionsAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var (
			s       State
			open    = map[int64]int64{}
			aborted []Aborted
			epochs  = map[int64]int16{}
			offset  int64
		)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				first := int64(math.MaxInt64)
				for _, o := range open {
					first = min(first, o)
				}
				if got := s.FirstOpen(); got != first {
					t.Fatalf("FirstOpen() = %d, want %d", got, first)
				}
				if !slices.Equal(s.Aborted(), aborted) {
					t.Fatalf("Aborted() = %v, want %v", s.Aborted(), aborted)
				}
			},
			"batch": func(t *rapid.T) {
				id := rapid.Int64Range(0, 3).Draw(t, "id")
				s.Append(Meta{ID: id, Epoch: epochs[id], FirstSeq: NoSequence, Transactional: true}, offset, offset)
				if _, ok := open[id]; !ok {
					open[id] = offset
				}
				offset += 2
			},
			"marker": func(t *rapid.T) {
				id := rapid.Int64Range(0, 3).Draw(t, "id")
				commit := rapid.Bool().Draw(t, "commit")
				epochs[id] += rapid.Int16Range(0, 1).Draw(t, "raise")
				s.AppendMarker(Marker{ID: id, Epoch: epochs[id], Commit: commit}, offset, offset)
				if first, ok := open[id]; ok && !commit {
					aborted = append(aborted, Aborted{id, first, offset})
				}
				delete(open, id)
				offset++
			},
			"roll": func(*rapid.T) { s.Cut(); aborted = nil },
			"restart": func(t *rapid.T) {
				snapshot := s.Snapshot()
				s = State{}
				if err := s.Restore(snapshot); err != nil {
					t.Fatal(err)
				}
				if again := s.Snapshot(); !slices.Equal(snapshot, again) {
					t.Fatalf("the snapshot of a restored state differs:\n%x\n%x", snapshot, again)
				}
			},
		})
	})
}
