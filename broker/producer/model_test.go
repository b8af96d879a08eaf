package producer

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model keeps every batch there ever was, and numbers records without wrapping.
type model struct {
	appended []modelBatch
	expired  map[int64]int // id: how many of appended it has forgotten
}

type modelBatch struct {
	Meta
	offset, time int64
}

// of returns the batches of a producer's current epoch.
func (m *model) of(id int64) (batches []modelBatch, known bool) {
	epoch := int16(0)
	for i, b := range m.appended {
		if b.ID != id || i < m.expired[id] {
			continue
		}
		if b.Epoch != epoch {
			batches = nil
		}
		epoch, known = b.Epoch, true
		batches = append(batches, b)
	}
	return batches, known
}

const (
	isNew = iota
	isRepetition
	isOutOfOrder
	isFenced
)

func (m *model) check(meta Meta) (verdict int, offset int64) {
	batches, known := m.of(meta.ID)
	if !known {
		return isNew, 0
	}
	last := batches[len(batches)-1]
	switch {
	case meta.Epoch < last.Epoch:
		return isFenced, 0
	case meta.Epoch > last.Epoch && meta.FirstSeq == 0:
		return isNew, 0
	case meta.Epoch > last.Epoch:
		return isOutOfOrder, 0
	}
	for _, b := range batches[max(0, len(batches)-5):] {
		if b.FirstSeq == meta.FirstSeq && b.LastSeq == meta.LastSeq {
			return isRepetition, b.offset
		}
	}
	if int64(meta.FirstSeq) == (int64(last.LastSeq)+1)%(1<<31) {
		return isNew, 0
	}
	return isOutOfOrder, 0
}

func (m *model) expire(before int64) {
	for _, b := range m.appended {
		batches, known := m.of(b.ID)
		if known && batches[len(batches)-1].time < before {
			m.expired[b.ID] = len(m.appended)
		}
	}
}

// Any sequence of batches, restarts and expiries is judged as the model judges it.
func TestStateAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var (
			s      State
			m      = model{expired: map[int64]int{}}
			offset int64
			now    int64
		)
		// Sequences begin close below the wrap, and a batch is mostly near one
		// that was sent: blind numbers would nearly all be out of order.
		draw := func(t *rapid.T) Meta {
			id := rapid.Int64Range(0, 2).Draw(t, "id")
			count := rapid.Int32Range(1, 3).Draw(t, "count")
			batches, known := m.of(id)
			if !known {
				return NewMeta(id, 1, rapid.Int32Range(math.MaxInt32-6, math.MaxInt32).Draw(t, "first"), count)
			}
			near := batches[max(0, len(batches)-1-rapid.IntRange(0, 6).Draw(t, "back"))]
			switch rapid.SampledFrom([]string{"next", "next", "next", "again", "gap", "epoch"}).Draw(t, "kind") {
			case "again":
				return near.Meta
			case "gap":
				return NewMeta(id, near.Epoch, LastSequence(near.LastSeq, 1+rapid.Int32Range(0, 3).Draw(t, "gap")), count)
			case "epoch":
				first := rapid.SampledFrom([]int32{0, 0, 1, near.LastSeq}).Draw(t, "first")
				return NewMeta(id, near.Epoch+rapid.Int16Range(-1, 1).Draw(t, "epoch"), first, count)
			}
			last := batches[len(batches)-1]
			return NewMeta(id, last.Epoch, LastSequence(last.LastSeq, 2), count)
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				meta := draw(t)
				wantVerdict, wantOffset := m.check(meta)
				dup, isDup, err := s.Check(meta)
				verdict := isNew
				switch {
				case isDup:
					verdict = isRepetition
				case errors.Is(err, ErrOutOfOrderSequence):
					verdict = isOutOfOrder
				case errors.Is(err, ErrInvalidProducerEpoch):
					verdict = isFenced
				}
				if verdict != wantVerdict || dup.BaseOffset != wantOffset {
					t.Fatalf("Check(%+v) = %+v, %v, %v, want verdict %d at offset %d", meta, dup, isDup, err, wantVerdict, wantOffset)
				}
				if verdict != isNew {
					return
				}
				now++
				s.Append(meta, offset, now)
				m.appended = append(m.appended, modelBatch{meta, offset, now})
				offset += 10
			},
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
			"expire": func(t *rapid.T) {
				before := now - rapid.Int64Range(-1, 20).Draw(t, "age")
				s.Expire(before)
				m.expire(before)
			},
		})
	})
}

// A client that has up to five batches under way, and sends all of them again from
// the first unanswered one when an answer is lost, ends with each record in the
// log once and in order, over the wrap and over restarts of the broker.
func TestClientWithFiveRequestsUnderWay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const id = 7
		var (
			s        State
			log      []int64 // the number of each record, not wrapped
			start    = int64(math.MaxInt32) - rapid.Int64Range(0, 40).Draw(t, "start")
			sent     = start
			underWay []modelBatch // offset is where the first record must be
			batches  = rapid.IntRange(1, 40).Draw(t, "batches")
		)
		deliver := func(b modelBatch) {
			dup, isDup, err := s.Check(b.Meta)
			if err != nil {
				t.Fatalf("Check(%+v): %v", b.Meta, err)
			}
			if isDup {
				if dup.BaseOffset != b.offset {
					t.Fatalf("repetition of %+v at offset %d, want %d", b.Meta, dup.BaseOffset, b.offset)
				}
				return
			}
			if int64(len(log)) != b.offset {
				t.Fatalf("%+v appended at offset %d, want %d", b.Meta, len(log), b.offset)
			}
			s.Append(b.Meta, b.offset, 0)
			for n := range int64(LastSequence(0, b.count())) + 1 {
				log = append(log, start+b.offset+n)
			}
		}
		for batches > 0 || len(underWay) > 0 {
			if batches > 0 && len(underWay) < Window {
				count := rapid.Int32Range(1, 10).Draw(t, "count")
				b := modelBatch{Meta: NewMeta(id, 0, int32(sent%(1<<31)), count), offset: sent - start}
				underWay = append(underWay, b)
				sent += int64(count)
				batches--
				deliver(b)
			}
			switch rapid.SampledFrom([]string{"answered", "answered", "lost", "restart", "wait"}).Draw(t, "event") {
			case "answered":
				if len(underWay) > 0 {
					underWay = underWay[1:]
				}
			case "lost":
				for _, b := range underWay {
					deliver(b)
				}
			case "restart":
				snapshot := s.Snapshot()
				s.Reset()
				if err := s.Restore(snapshot); err != nil {
					t.Fatal(err)
				}
			}
			if batches == 0 && len(underWay) > 0 {
				underWay = underWay[1:]
			}
		}
		if int64(len(log)) != sent-start {
			t.Fatalf("%d records in the log, %d were sent", len(log), sent-start)
		}
		for i, n := range log {
			if n != start+int64(i) {
				t.Fatalf("offset %d holds record %d, want %d", i, n, start+int64(i))
			}
		}
	})
}

func (b modelBatch) count() int32 {
	return int32((int64(b.LastSeq)-int64(b.FirstSeq)+1<<31)%(1<<31)) + 1
}
