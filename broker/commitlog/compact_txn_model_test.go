package commitlog

import (
	"errors"
	"fmt"

	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
)

// txnProducer is what the model knows of a transactional producer.
type txnProducer struct {
	epoch    int16
	sequence int32
	open     []int64 // offsets of the records of the open transaction
	last     int64   // offset of its last record or marker
}

// endedTxn is a transaction and its marker.
type endedTxn struct {
	id, first, marker int64
	emptied           int64 // when a cleaning first left no batch of it, ms, or 0
	gone              bool  // the marker
}

// writeTxn appends records to the transaction of a producer, which may begin with it.
func (m *compactModel) writeTxn(t *rapid.T) {
	m.now = m.now.Add(time600(t))
	id := rapid.Int64Range(10, 12).Draw(t, "producer")
	p := m.producers[id]
	if p == nil {
		p = &txnProducer{}
		m.producers[id] = p
	}
	var b record.Builder
	base := m.log.EndOffset()
	m.records(t, &b, false)
	b.SetProducer(id, p.epoch, p.sequence)
	n := b.Count()
	batch := b.Finish()
	batch.SetTransactional()
	if _, err := m.log.Append(batch, m.now); err != nil {
		t.Fatalf("Append: %v", err)
	}
	p.sequence += int32(n)
	for o := base; o < m.log.EndOffset(); o++ {
		p.open, p.last = append(p.open, o), o
	}
}

// endTxn appends the marker of an open transaction, by either of Kafka's protocols.
func (m *compactModel) endTxn(t *rapid.T) {
	id := rapid.Int64Range(10, 12).Draw(t, "producer")
	p := m.producers[id]
	if p == nil || len(p.open) == 0 {
		return
	}
	marker := producer.Marker{ID: id, Epoch: p.epoch, Commit: rapid.Bool().Draw(t, "commit"), Raised: rapid.Bool().Draw(t, "raised")}
	if marker.Raised {
		marker.Epoch++
		p.epoch, p.sequence = marker.Epoch, 0
	}
	a, err := m.log.AppendMarker(marker, m.now)
	if err != nil || a.Duplicate {
		t.Fatalf("AppendMarker = %+v, %v", a, err)
	}
	for _, o := range p.open {
		m.all[o].aborted = !marker.Commit
	}
	m.all = append(m.all, keyed{offset: a.BaseOffset, key: -1})
	m.ended = append(m.ended, endedTxn{id: id, first: p.open[0], marker: a.BaseOffset})
	p.open, p.last = nil, a.BaseOffset
}

// stable is the last stable offset.
func (m *compactModel) stable() int64 {
	stable := m.log.EndOffset()
	for _, p := range m.producers {
		if len(p.open) > 0 {
			stable = min(stable, p.open[0])
		}
	}
	return stable
}

// cleanedTxns checks, after a cleaning up to an offset, that the markers are gone that
// may go, and no others.
func (m *compactModel) cleanedTxns(t *rapid.T, upTo int64) {
	left, markers := m.batchesOfTxns(t)
	if err := eachBatch(m.log, func(b record.Batch) error {
		if left[b.BaseOffset()] > 0 && b.Attributes().DeleteHorizon() {
			return fmt.Errorf("marker at %d has a delete horizon, %d batches are left", b.BaseOffset(), left[b.BaseOffset()])
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range m.ended {
		e := &m.ended[i]
		there := markers[e.marker]
		kept := m.now.UnixMilli()-e.emptied <= tombstonesKept.Milliseconds()
		last := m.producers[e.id].last == e.marker
		switch {
		case e.gone && there:
			t.Fatalf("marker %+v is back", *e)
		case e.gone:
		case !there && (left[e.marker] > 0 || e.marker >= upTo || e.emptied == 0 || kept || last):
			t.Fatalf("marker %+v is gone, %d batches of its transaction are left, clean up to %d, last of its producer %v",
				*e, left[e.marker], upTo, last)
		case there && e.marker < upTo && e.emptied > 0 && !kept && !last:
			t.Fatalf("marker %+v is still there at %d", *e, m.now.UnixMilli())
		case there && e.marker < upTo && e.emptied == 0 && left[e.marker] == 0:
			e.emptied = m.now.UnixMilli()
		}
		e.gone = !there
	}
}

// batchesOfTxns counts what is left of each ended transaction, by the offset of its
// marker, and returns the markers that are there.
func (m *compactModel) batchesOfTxns(t *rapid.T) (left map[int64]int, markers map[int64]bool) {
	left, markers = map[int64]int{}, map[int64]bool{}
	err := eachBatch(m.log, func(b record.Batch) error {
		switch {
		case b.Attributes().Control():
			markers[b.BaseOffset()] = true
		case b.Attributes().Transactional():
			for _, e := range m.ended {
				if e.id == b.ProducerID() && e.first <= b.BaseOffset() && b.BaseOffset() < e.marker {
					left[e.marker]++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return left, markers
}

// checkTxns checks what the log knows of transactions and their producers.
func (m *compactModel) checkTxns(t *rapid.T) {
	if got, want := m.log.LastStableOffset(), m.stable(); got != want {
		t.Fatalf("LastStableOffset() = %d, want %d", got, want)
	}
	for id, p := range m.producers {
		if err := m.log.wantsTxn(id, p.epoch, p.sequence); err != nil {
			t.Fatal(err)
		}
	}
	left, markers := m.batchesOfTxns(t)
	for _, e := range m.ended {
		if left[e.marker] > 0 && !markers[e.marker] {
			t.Fatalf("the marker of %+v is gone, %d batches are left", e, left[e.marker])
		}
	}
}

// wantsTxn checks that the log takes the next batch of a transactional producer, and
// neither one behind it nor one of an older epoch.
func (l *Log) wantsTxn(id int64, epoch int16, next int32) error {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	check := func(epoch int16, sequence int32) error {
		meta := producer.NewMeta(id, epoch, sequence, 1)
		meta.Transactional = true
		_, _, err := l.state.Check(meta)
		return err
	}
	if err := check(epoch, next); err != nil {
		return err
	}
	if err := check(epoch, next+1); !errors.Is(err, producer.ErrOutOfOrderSequence) {
		return fmt.Errorf("producer %d may leave out sequence %d: %w", id, next, err)
	}
	if err := check(epoch-1, 0); epoch > 0 && !errors.Is(err, producer.ErrInvalidProducerEpoch) {
		return fmt.Errorf("producer %d may write with epoch %d, the current one is %d: %w", id, epoch-1, epoch, err)
	}
	return nil
}

// eachBatch visits the batches of a log as they lie in it.
func eachBatch(l *Log, visit func(record.Batch) error) error {
	for at := l.StartOffset(); at < l.EndOffset(); {
		b, err := l.Read(ReadSpec{From: at, UpTo: l.EndOffset(), MaxBytes: 3000, WholeFirst: true}, nil)
		if err != nil {
			return err
		}
		for len(b) > 0 {
			batch, rest, err := record.Next(b)
			if err != nil {
				return err
			}
			at, b = batch.NextOffset(), rest
			if err := visit(batch); err != nil {
				return err
			}
		}
	}
	return nil
}

// abortedReader tells aborted batches as clients do, in what one read returned.
type abortedReader struct {
	list []producer.Aborted // of the read, by first offset
	ids  map[int64]bool
}

func readAborted(l *Log, from, upTo int64) (*abortedReader, error) {
	list := []producer.Aborted(nil)
	var err error
	if stable := l.LastStableOffset(); from < stable {
		list, err = l.Aborted(from, min(upTo, stable))
	}
	return &abortedReader{list: list, ids: map[int64]bool{}}, err
}

func (r *abortedReader) aborted(b record.Batch) bool {
	for len(r.list) > 0 && r.list[0].First <= b.LastOffset() {
		r.ids[r.list[0].ID] = true
		r.list = r.list[1:]
	}
	if m, err := b.Marker(); err == nil {
		if !m.Commit {
			delete(r.ids, m.ProducerID)
		}
		return false
	}
	return b.Attributes().Transactional() && r.ids[b.ProducerID()]
}
