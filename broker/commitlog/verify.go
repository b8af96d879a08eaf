package commitlog

import (
	"errors"
	"fmt"

	"github.com/riffle-stream/riffle/broker/record"
)

// Verify reads and checks the whole log and its indexes, beside appends and reads.
// It returns the damage that it found, joined: a *CorruptError for each hole.
func (l *Log) Verify() error {
	bases, err := l.verifyEnds()
	errs := []error{err}
	for _, base := range bases {
		v, ok, err := l.viewOf(base)
		if err != nil {
			errs = append(errs, err)
		} else if ok {
			errs = append(errs, v.verify(), v.release())
		}
	}
	return errors.Join(errs...)
}

// verifyEnds checks that the segments and the offsets fit together, and returns the
// segments' base offsets.
func (l *Log) verifyEnds() (bases []int64, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.mu.closed {
		return nil, ErrClosed
	}
	next := l.mu.segments[0].base
	var errs []error
	for _, s := range l.mu.segments {
		if s.base != next {
			errs = append(errs, fmt.Errorf("commitlog: %s begins where the segment before has not ended, at offset %d", s.name(), next))
		}
		bases, next = append(bases, s.base), s.next
	}
	if l.mu.start < bases[0] || l.mu.flushed < l.mu.start || l.mu.end < l.mu.flushed || l.mu.flushed < l.mu.synced || next != l.mu.end {
		errs = append(errs, fmt.Errorf("commitlog: start %d, flushed %d and end %d do not fit to segments [%d, %d)",
			l.mu.start, l.mu.flushed, l.mu.end, bases[0], next))
	}
	return bases, errors.Join(errs...)
}

// viewOf returns the segment with a base offset, or false if it was deleted.
func (l *Log) viewOf(base int64) (view, bool, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i := l.segmentLocked(base)
	switch {
	case l.mu.closed:
		return view{}, false, ErrClosed
	case l.mu.segments[i].base != base:
		return view{}, false, nil
	}
	v, err := l.viewLocked(i)
	return v, err == nil, err
}

// verify walks a segment and compares its indexes with it.
func (v *view) verify() error {
	if v.seg.missing {
		return &CorruptError{Segment: v.seg.name(), Offset: v.seg.base, NextOffset: v.next, Err: errMissing}
	}
	x := v.index
	var errs []error
	if !v.active {
		var err error
		if x, err = v.log.loadIndex(v.seg, v.file); err != nil {
			errs = append(errs, err)
		}
		if _, err := v.log.loadTxnIndex(v.seg); err != nil {
			errs = append(errs, err)
		}
	}
	offsets, times := x.offsets, x.times
	maxTimestamp := int64(-1)
	w := walker{name: v.seg.name(), file: v.file, epochs: v.epochs, visit: func(b record.Batch, position int64) {
		maxTimestamp = max(maxTimestamp, b.MaxTimestamp())
		relative := uint32(b.BaseOffset() - v.seg.base)
		if len(offsets) > 0 && be.Uint32(offsets) == relative && int64(be.Uint32(offsets[4:])) == position {
			offsets = offsets[offsetEntryLen:]
		}
		if len(times) > 0 && be.Uint32(times[8:]) == relative && int64(be.Uint64(times)) >= maxTimestamp {
			times = times[timeEntryLen:]
		}
	}}
	_, _, err := w.run(cursor{offset: v.seg.base}, cursor{position: v.size, offset: v.next}, v.size)
	errs = append(errs, err)
	for _, d := range w.damage {
		errs = append(errs, d)
	}
	if len(w.damage) == 0 && err == nil && (len(offsets) > 0 || len(times) > 0) {
		errs = append(errs, fmt.Errorf("%w: %s has %d entries and %d time entries that fit to no batch",
			errBadIndex, v.seg.name(), len(offsets)/offsetEntryLen, len(times)/timeEntryLen))
	}
	return errors.Join(errs...)
}
