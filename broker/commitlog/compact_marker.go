package commitlog

import (
	"fmt"
	"slices"

	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
)

// markers follows the transactions of a log that is cleaned from its start on, to
// tell whose marker is of no use any more (KIP-534).
type markers struct {
	// met says of each producer with batches since its last marker whether one of
	// them stays.
	met  map[int64]bool
	gone []int64 // offsets of the markers that the segment being written lacks
}

func (m *markers) note(b record.Batch, stays bool) {
	if b.Attributes().Transactional() {
		m.met[b.ProducerID()] = m.met[b.ProducerID()] || stays
	}
}

// filterMarker returns what stays of the marker of a transaction: the batch itself, the same
// with a delete horizon, or nil.
//
// A marker whose transaction has a batch left stays as it is, even if the batch is
// without records: whoever replays the log takes the transaction for open until its
// marker comes. The cleaning that leaves no batch notes the horizon. After that the
// marker goes, if this cleaning met no batch: one that it removed itself may still be
// there if its segment is not replaced in the end. The last of its producer stays,
// because the producer's epoch may be nowhere else.
func (c *cleaner) filterMarker(b record.Batch) (record.Batch, error) {
	m, err := b.Marker()
	if err != nil || b.BaseOffset() >= c.plan.end {
		return b, nil
	}
	stays, met := c.markers.met[m.ProducerID]
	delete(c.markers.met, m.ProducerID)
	if stays {
		return b, nil
	}
	horizon := horizonOf(b)
	if !met && horizon > 0 {
		if c.now > horizon && !c.isLast(b) {
			c.markers.gone = append(c.markers.gone, b.BaseOffset())
			c.result.Markers++
			return nil, nil
		}
		c.wait(horizon)
		return b, nil
	}
	horizon = c.now + c.spec.DeleteRetention.Milliseconds()
	c.wait(horizon)
	w := &c.rewriter
	w.Reset(b)
	w.SetDeleteHorizon(horizon)
	for r := range b.Records() {
		w.Append(r)
	}
	return w.Finish(nil)
}

// horizonOf returns the time until which tombstones, or the marker, of a batch are
// kept, ms, or 0 if no cleaning has seen them yet.
func horizonOf(b record.Batch) int64 {
	if b.Attributes().DeleteHorizon() {
		return b.BaseTimestamp()
	}
	return 0
}

// wait notes that something stays until a horizon.
func (c *cleaner) wait(horizon int64) {
	if horizon >= c.now && (c.horizon == 0 || horizon < c.horizon) {
		c.horizon = horizon
	}
}

// dropGone takes from the transaction index of a segment the transactions whose
// markers are gone: readers would skip all that their producers wrote later.
func (m *markers) dropGone(s *segment) {
	x, _ := s.txnIndex()
	x.aborted = slices.DeleteFunc(x.aborted, func(a producer.Aborted) bool {
		_, gone := slices.BinarySearch(m.gone, a.Last)
		return gone
	})
	s.setTxnIndex(x)
}

// dropSnapshots removes the snapshots of the producers up to an offset, for good.
// They may tell of transactions as open whose markers are about to go. The snapshot
// that was written when the segment with the marker was sealed is above it.
func (l *Log) dropSnapshots(upTo int64) error {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	n, _ := slices.BinarySearch(l.marks, upTo+1)
	if n == 0 {
		return nil
	}
	for _, at := range l.marks[:n] {
		name := fileName(at, snapshotSuffix)
		if err := l.fsys.Remove(name); err != nil && !isMissing(err) {
			return fmt.Errorf("commitlog: remove %s: %w", name, err)
		}
	}
	if err := l.fsys.SyncDir("."); err != nil {
		return fmt.Errorf("commitlog: sync directory: %w", err)
	}
	l.marks = slices.Clone(l.marks[n:])
	return nil
}
