package producer

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestLastSequence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ first, count, want int32 }{
		{0, 1, 0},
		{0, 10, 9},
		{math.MaxInt32, 1, math.MaxInt32},
		{math.MaxInt32, 2, 0},
		{math.MaxInt32 - 1, 5, 2},
		{math.MaxInt32, math.MaxInt32, math.MaxInt32 - 2},
	} {
		if got := LastSequence(c.first, c.count); got != c.want {
			t.Errorf("LastSequence(%d, %d) = %d, want %d", c.first, c.count, got, c.want)
		}
	}
}

// appendNew fails the test if the batch is not new.
func appendNew(t *testing.T, s *State, m Meta, offset int64) {
	t.Helper()
	if dup, isDup, err := s.Check(m); isDup || err != nil {
		t.Fatalf("Check(%+v) = %+v, %v, %v, want a new batch", m, dup, isDup, err)
	}
	s.Append(m, offset, 1000+offset)
}

// Assertions 27 and 28 of the protocol notes: each of the last five batches is
// recognised when it comes again, the sixth-last is out of order, and so is a gap,
// after which the right batch is still accepted.
func TestRepetitionsAndGaps(t *testing.T) {
	t.Parallel()
	var s State
	for i := range int32(8) {
		appendNew(t, &s, NewMeta(7, 0, 10*i, 10), int64(100*i))
	}
	for i := range int32(8) {
		dup, isDup, err := s.Check(NewMeta(7, 0, 10*i, 10))
		if i < 3 {
			if isDup || !errors.Is(err, ErrOutOfOrderSequence) {
				t.Errorf("batch %d again: %v, %v, want ErrOutOfOrderSequence", i, isDup, err)
			}
			continue
		}
		want := Duplicate{BaseOffset: int64(100 * i), TimestampMillis: 1000 + int64(100*i)}
		if !isDup || err != nil || dup != want {
			t.Errorf("batch %d again: %+v, %v, %v, want %+v", i, dup, isDup, err, want)
		}
	}
	// One that overlaps earlier batches is neither a repetition nor new.
	for _, m := range []Meta{NewMeta(7, 0, 70, 5), NewMeta(7, 0, 60, 20), NewMeta(7, 0, 75, 10), NewMeta(7, 0, 81, 1)} {
		if _, isDup, err := s.Check(m); isDup || !errors.Is(err, ErrOutOfOrderSequence) {
			t.Errorf("Check(%+v): %v, %v, want ErrOutOfOrderSequence", m, isDup, err)
		}
	}
	_, _, err := s.Check(NewMeta(7, 0, 81, 1))
	if want := "producer 7 epoch 0 sent 81, want 80"; !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %q, want it to say %q", err, want)
	}
	appendNew(t, &s, NewMeta(7, 0, 80, 1), 800)
}

func TestEpochs(t *testing.T) {
	t.Parallel()
	var s State
	appendNew(t, &s, NewMeta(7, 3, 41, 1), 0) // unknown: any sequence will do

	if _, _, err := s.Check(NewMeta(7, 2, 42, 1)); !errors.Is(err, ErrInvalidProducerEpoch) {
		t.Errorf("an older epoch: %v, want ErrInvalidProducerEpoch", err)
	}
	if _, _, err := s.Check(NewMeta(7, 4, 42, 1)); !errors.Is(err, ErrOutOfOrderSequence) {
		t.Errorf("a new epoch that goes on counting: %v, want ErrOutOfOrderSequence", err)
	}
	appendNew(t, &s, NewMeta(7, 4, 0, 1), 1)
	// The sequence of the old epoch is no repetition in the new one.
	if _, isDup, err := s.Check(NewMeta(7, 4, 41, 1)); isDup || !errors.Is(err, ErrOutOfOrderSequence) {
		t.Errorf("a sequence of the old epoch: %v, %v, want ErrOutOfOrderSequence", isDup, err)
	}
	if _, isDup, err := s.Check(NewMeta(7, 4, 0, 1)); !isDup || err != nil {
		t.Errorf("the first batch of the epoch again: %v, %v, want a repetition", isDup, err)
	}
	// Another id is another producer.
	appendNew(t, &s, NewMeta(8, 0, 0, 1), 2)
}

func TestWithoutProducer(t *testing.T) {
	t.Parallel()
	var s State
	none := Meta{ID: -1, Epoch: -1, FirstSeq: -1, LastSeq: -1}
	for offset := range int64(3) {
		appendNew(t, &s, none, offset)
	}
	if s.Len() != 0 {
		t.Errorf("%d producers, want none", s.Len())
	}
}

func TestNegativeSequence(t *testing.T) {
	t.Parallel()
	var s State
	for _, m := range []Meta{{ID: 1, FirstSeq: -1, LastSeq: 3}, {ID: 1, FirstSeq: 0, LastSeq: -1}} {
		if _, _, err := s.Check(m); !errors.Is(err, ErrOutOfOrderSequence) {
			t.Errorf("Check(%+v): %v, want ErrOutOfOrderSequence", m, err)
		}
	}
}

func TestExpire(t *testing.T) {
	t.Parallel()
	var s State
	for id := range int64(4) {
		s.Append(NewMeta(id, 0, 0, 1), id, 100*id)
	}
	s.Append(NewMeta(0, 0, 1, 1), 4, 500) // heard of again
	if got := s.Expire(200); got != 1 || s.Len() != 3 {
		t.Errorf("Expire(200) = %d, %d left, want 1 and 3: only producer 1 is older", got, s.Len())
	}
	// An expired producer may go on anywhere.
	appendNew(t, &s, NewMeta(1, 0, 17, 1), 5)
}

func TestEvictsTheSilent(t *testing.T) {
	t.Parallel()
	s := State{MaxProducers: 16}
	for id := range int64(16) {
		s.Append(NewMeta(id, 0, 0, 1), id, 0)
	}
	s.Append(NewMeta(0, 0, 1, 1), 16, 0)
	s.Append(NewMeta(99, 0, 0, 1), 17, 0) // one too many: an eighth goes
	if s.Len() != 15 || s.Evicted() != 2 {
		t.Fatalf("%d producers, %d evicted, want 15 and 2", s.Len(), s.Evicted())
	}
	for id, known := range map[int64]bool{0: true, 1: false, 2: false, 3: true, 99: true} {
		_, _, err := s.Check(NewMeta(id, 0, 7, 1))
		if (err != nil) != known {
			t.Errorf("producer %d: %v, known should be %v", id, err, known)
		}
	}
}

func TestCheckDoesNotAllocate(t *testing.T) {
	var s State
	s.Append(NewMeta(7, 0, 0, 10), 0, 0)
	next := int32(10)
	if got := testing.AllocsPerRun(100, func() {
		m := NewMeta(7, 0, next, 10)
		if _, _, err := s.Check(m); err != nil {
			t.Fatal(err)
		}
		s.Append(m, int64(next), 0)
		next += 10
	}); got != 0 {
		t.Errorf("%v allocations a batch, want 0", got)
	}
}

func BenchmarkCheckAndAppend(b *testing.B) {
	var s State
	for id := range int64(1000) {
		s.Append(NewMeta(id, 0, 0, 1), id, 0)
	}
	b.ReportAllocs()
	seq, offset := int32(1), int64(1000)
	for b.Loop() {
		m := NewMeta(500, 0, seq, 100)
		if _, _, err := s.Check(m); err != nil {
			b.Fatal(err)
		}
		s.Append(m, offset, 0)
		seq, offset = LastSequence(seq, 101), offset+100
	}
}

func BenchmarkSnapshot(b *testing.B) {
	var s State
	for id := range int64(1000) {
		for i := range int32(Window) {
			s.Append(NewMeta(id, 0, i, 1), id*Window+int64(i), 0)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Restore(s.Snapshot()); err != nil {
			b.Fatal(err)
		}
	}
}
