package commitlog

import (
	"errors"
	"io"
	"slices"

	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
)

// batchAt is a batch and where it lies in its segment.
type batchAt struct {
	record.Batch
	position int64
}

// errStopWalk ends a walk early.
var errStopWalk = errors.New("commitlog: stop")

// walk visits the batches of a segment. A bad one ends it with a *CorruptError.
func (c *cleaner) walk(s *segment, visit func(batchAt) error) error {
	f, err := s.acquire()
	if err != nil {
		return err
	}
	err = c.walkFile(s, newScanner(f, cursor{offset: s.base}, s.size, c.log.epochs()), visit)
	return errors.Join(err, s.release())
}

func (c *cleaner) walkFile(s *segment, scan *scanner, visit func(batchAt) error) error {
	for {
		at := scan.at
		b, err := scan.next()
		switch {
		case errors.Is(err, io.EOF) && at.offset == s.next:
			return nil
		case errors.Is(err, io.EOF), isBad(err):
			return &CorruptError{Segment: s.name(), Position: at.position, Offset: at.offset, NextOffset: s.next, Err: err}
		case err != nil:
			return err
		}
		if err := c.spend(len(b)); err != nil {
			return err
		}
		c.result.BytesRead += int64(len(b))
		if err := visit(batchAt{b, at.position}); err != nil {
			if errors.Is(err, errStopWalk) {
				return nil
			}
			return err
		}
	}
}

// spend waits for the throttle, and ends the cleaning of a log that is being closed.
func (c *cleaner) spend(bytes int) error {
	if c.log.closing.Load() {
		return ErrClosed
	}
	if c.spec.Throttle == nil {
		return nil
	}
	return c.spec.Throttle(bytes)
}

// counts reports whether the records of a batch count: the value of an aborted
// transaction must not stand in for one that was committed.
func (c *cleaner) counts(b record.Batch) bool {
	return !b.Attributes().Control() && !c.wasAborted(b)
}

func (c *cleaner) wasAborted(b record.Batch) bool {
	if !b.Attributes().Transactional() {
		return false
	}
	return slices.ContainsFunc(c.aborted[b.ProducerID()], func(a producer.Aborted) bool {
		return a.First <= b.BaseOffset() && b.BaseOffset() <= a.Last
	})
}

// findAborted looks up the aborted transactions of all that is to be cleaned. They
// are all decided: nothing at or above the last stable offset is cleaned.
func (c *cleaner) findAborted() error {
	c.aborted = make(map[int64][]producer.Aborted)
	aborted, err := c.log.Aborted(c.segments[0].base, c.plan.end)
	for _, a := range aborted {
		c.aborted[a.ID] = append(c.aborted[a.ID], a)
	}
	return err
}

// parses reports whether the payload of a batch is what its header says.
func parses(b record.Batch, payload []byte) bool {
	for _, err := range b.RecordsIn(payload) {
		if err != nil {
			return false
		}
	}
	return true
}

// filter returns what stays of a batch: the batch itself, another one, valid until
// the next call, or nil.
func (c *cleaner) filter(b record.Batch) (record.Batch, error) {
	if b.Attributes().Control() {
		return c.filterMarker(b)
	}
	kept, err := c.filterRecords(b)
	c.markers.note(b, kept != nil)
	return kept, err
}

func (c *cleaner) filterRecords(b record.Batch) (record.Batch, error) {
	switch {
	case b.IsGap():
		return nil, nil
	case b.Count() == 0:
		return c.orHollow(b, b), nil
	case b.BaseOffset() >= c.plan.end:
		return b, nil
	case c.wasAborted(b):
		c.result.Records += int64(b.Count())
		return c.orHollow(b, nil), nil
	}
	payload, err := c.codecs.unpack(b)
	if err != nil || !parses(b, payload) {
		c.log.logger.Warn("batch is not compacted, its records cannot be read", "offset", b.BaseOffset(), "err", err)
		c.result.Opaque++
		c.opaque = true
		return b, nil
	}
	return c.rewrite(b, payload)
}

// rewrite drops the records of a batch that are not needed.
func (c *cleaner) rewrite(b record.Batch, payload []byte) (record.Batch, error) {
	horizon := horizonOf(b)
	c.stays = c.stays[:0]
	kept, tombstones := 0, 0
	for r := range b.RecordsIn(payload) {
		stays := c.keep(r, horizon)
		c.stays = append(c.stays, stays)
		if stays {
			kept++
			if r.Value == nil && r.Offset < c.plan.end {
				tombstones++
			}
		}
	}
	c.result.Records += int64(len(c.stays) - kept)
	fresh := tombstones > 0 && horizon == 0
	if fresh {
		horizon = c.now + c.spec.DeleteRetention.Milliseconds()
	}
	if tombstones > 0 {
		c.wait(horizon)
	}
	switch {
	case kept == 0:
		return c.orHollow(b, nil), nil
	case kept == len(c.stays) && !fresh:
		return b, nil
	}
	w := &c.rewriter
	w.Reset(b)
	if fresh {
		w.SetDeleteHorizon(horizon)
	}
	i := 0
	for r := range b.RecordsIn(payload) {
		if c.stays[i] {
			w.Append(r)
		}
		i++
	}
	return w.Finish(c.codecs.packer(b.Attributes().Codec()))
}

// keep decides on one record. A tombstone may only go if nothing below it that was
// left as it is could hold a value of its key, which would come back to life.
func (c *cleaner) keep(r record.Record, horizon int64) bool {
	switch {
	case r.Offset >= c.plan.end:
		return true
	case r.Key == nil:
		c.result.Keyless++
		return false
	case c.keys.superseded(r.Key, r.Offset):
		return false
	case r.Value == nil && horizon > 0 && c.now > horizon:
		return c.opaque
	}
	return true
}

// orHollow returns a batch without records if b is the last one of its producer,
// whose sequence must not be lost, else nil. hollow is that batch if there is one.
func (c *cleaner) orHollow(b, hollow record.Batch) record.Batch {
	if !c.isLast(b) {
		return nil
	}
	if hollow != nil {
		return hollow
	}
	return record.Hollow(b)
}

// isLast reports whether what is known of the batch's producer is in this batch only.
func (c *cleaner) isLast(b record.Batch) bool {
	last, known := c.last[b.ProducerID()]
	return b.ProducerID() >= 0 && known && last == b.BaseOffset()
}
