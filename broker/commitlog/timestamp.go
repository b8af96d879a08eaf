package commitlog

import (
	"errors"
	"io"

	"github.com/riffle-stream/riffle/broker/record"
)

// OffsetForTime finds the first record whose timestamp is at least ms, in
// milliseconds. In a compressed batch, which is not unpacked, that is the batch's
// first record. The offset may lie above the high watermark.
func (l *Log) OffsetForTime(ms int64) (offset, timestamp int64, found bool, err error) {
	after := int64(-1)
	for {
		v, ok, err := l.viewForTime(ms, after)
		if err != nil || !ok {
			return 0, 0, false, err
		}
		offset, timestamp, found, err = v.offsetForTime(ms, l.StartOffset())
		if err := errors.Join(err, v.release()); err != nil || found {
			return offset, timestamp, found, err
		}
		after = v.seg.base // the header of a batch promised what no record holds
	}
}

// viewForTime returns the first segment behind a base offset that has a record with
// a timestamp of at least ms.
func (l *Log) viewForTime(ms, after int64) (view, bool, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.mu.closed {
		return view{}, false, ErrClosed
	}
	for i, s := range l.mu.segments {
		if s.base > after && s.maxTimestamp >= 0 && s.maxTimestamp >= ms {
			v, err := l.viewLocked(i)
			return v, err == nil, err
		}
	}
	return view{}, false, nil
}

func (v *view) offsetForTime(ms, start int64) (offset, timestamp int64, found bool, err error) {
	at, err := v.seekTime(ms)
	if err != nil {
		return 0, 0, false, err
	}
	s := newScanner(v.file, at, v.size, v.epochs)
	for {
		b, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			return 0, 0, false, nil
		case isBad(err):
			d, derr := v.damageAt(s.at, err)
			return 0, 0, false, errors.Join(derr, d.orNil())
		case err != nil:
			return 0, 0, false, err
		case b.MaxTimestamp() < ms || b.NextOffset() <= start:
			continue
		}
		offset, timestamp, found, err := firstInBatch(b, ms, start)
		if found || err != nil {
			return offset, timestamp, found, err
		}
	}
}

func (d damage) orNil() error {
	if d.err == nil {
		return nil
	}
	return d.err
}

// seekTime returns a place at or before the first batch with a timestamp of at least
// ms, and close to it.
func (v *view) seekTime(ms int64) (cursor, error) {
	x := v.index
	if !v.active {
		var err error
		if x, err = v.log.loadIndex(v.seg, v.file); err != nil {
			return cursor{}, err
		}
	}
	return x.before(v.seg.base, x.beforeTime(v.seg.base, ms)), nil
}

// firstInBatch finds the first record from start on with a timestamp of at least ms.
func firstInBatch(b record.Batch, ms, start int64) (offset, timestamp int64, found bool, err error) {
	first := max(b.BaseOffset(), start)
	switch a := b.Attributes(); {
	case a.LogAppendTime():
		return first, b.MaxTimestamp(), true, nil
	case a.Codec() != record.None:
		timestamp := b.BaseTimestamp()
		if timestamp < ms {
			timestamp = b.MaxTimestamp()
		}
		return first, timestamp, true, nil
	}
	for r, err := range b.Records() {
		if err != nil {
			return 0, 0, false, err
		}
		if r.Offset >= start && r.Timestamp >= ms {
			return r.Offset, r.Timestamp, true, nil
		}
	}
	return 0, 0, false, nil
}

// MaxTimestamp finds the record with the largest timestamp, the first one if there
// are several. In a compressed batch that is the batch's first record.
func (l *Log) MaxTimestamp() (offset, timestamp int64, found bool, err error) {
	l.mu.RLock()
	best := -1
	for i, s := range l.mu.segments {
		if s.maxTimestamp >= 0 && (best < 0 || s.maxTimestamp > l.mu.segments[best].maxTimestamp) {
			best = i
		}
	}
	if best < 0 {
		defer l.mu.RUnlock()
		if l.mu.closed {
			return 0, 0, false, ErrClosed
		}
		return 0, 0, false, nil
	}
	timestamp = l.mu.segments[best].maxTimestamp
	l.mu.RUnlock()
	return l.OffsetForTime(timestamp)
}
