package commitlog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// ReadSpec says what to read.
type ReadSpec struct {
	From       int64 // offset of the first record wanted
	UpTo       int64 // batches at or after it are hidden (the high watermark)
	MaxBytes   int   // at most so many bytes
	WholeFirst bool  // but the first batch even if it alone exceeds MaxBytes (KIP-74)
}

// Read returns whole batches, as they lie in the log, the first of which contains
// spec.From. It uses buf's capacity where it suffices, and the result is valid as
// long as the caller leaves the buffer alone; cap of the result is what is left of
// the buffer it used. Where From is the log end offset, or not below UpTo, there is
// nothing to read, and the result is empty. A read ends with the segment, even if
// more would fit.
//
// Every batch is checked, checksum included, before it is returned. A bad one ends
// the result; a read that begins with it returns a *CorruptError, which says where
// to go on. Other errors are ErrOffsetOutOfRange, ErrExceedsMaxBytes and ErrClosed.
func (l *Log) Read(spec ReadSpec, buf []byte) ([]byte, error) {
	v, ok, err := l.view(spec.From, spec.UpTo)
	if err != nil || !ok {
		return buf[:0], err
	}
	b, err := v.read(spec, buf)
	return b, errors.Join(err, v.release())
}

// view is a segment as it was at one moment. It must be released.
type view struct {
	log        *Log
	seg        *segment
	file       vfs.File // nil if the segment is missing
	active     bool
	size, next int64
	index      index // of the active segment
	maxBase    int64 // base offset of the batch with the largest timestamp
	epochs     epochs
}

// view returns the segment that holds offset, or false if offset is the end or not
// below upTo.
func (l *Log) view(offset, upTo int64) (view, bool, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.mu.closed:
		return view{}, false, ErrClosed
	case offset < l.mu.start || offset > l.mu.end:
		return view{}, false, fmt.Errorf("%w: %d, the log holds [%d, %d)", ErrOffsetOutOfRange, offset, l.mu.start, l.mu.end)
	case offset >= min(upTo, l.mu.end):
		return view{}, false, nil
	}
	v, err := l.viewLocked(l.segmentLocked(offset))
	return v, true, err
}

func (l *Log) viewLocked(i int) (view, error) {
	s := l.mu.segments[i]
	v := view{log: l, seg: s, active: i == len(l.mu.segments)-1, size: s.size, next: s.next, maxBase: s.maxTimestampBase, epochs: l.mu.epochs}
	if v.active {
		v.index = s.index
	}
	var err error
	v.file, err = s.acquire()
	return v, err
}

func (v *view) release() error { return v.seg.release() }

// seek returns a place at or before the batch that holds offset, and close to it.
func (v *view) seek(offset int64) (cursor, error) {
	x := v.index
	if !v.active {
		var err error
		if x, err = v.log.loadIndex(v.seg, v.file); err != nil {
			return cursor{}, err
		}
	}
	return x.before(v.seg.base, offset), nil
}

func (v *view) read(spec ReadSpec, buf []byte) ([]byte, error) {
	at, err := v.seek(spec.From)
	if err != nil {
		return buf[:0], err
	}
	w := window{view: *v, at: at, buf: buf, want: max(0, spec.MaxBytes) + readSlack}
	first, err := w.find(spec.From)
	if err != nil {
		return buf[:0], err
	}
	switch {
	case first.NextOffset() > spec.UpTo:
		return buf[:0], nil
	case len(first) > spec.MaxBytes && !spec.WholeFirst:
		return buf[:0], fmt.Errorf("%w: batch of %d bytes at offset %d", ErrExceedsMaxBytes, len(first), first.BaseOffset())
	}
	from := w.done
	for {
		batch, err := w.peek()
		if err != nil || batch.NextOffset() > spec.UpTo {
			break // what ends the window, or is damaged, is for the next read
		}
		if end := w.done + len(batch); end-from > spec.MaxBytes && w.done > from {
			break
		}
		w.advance(batch)
	}
	return w.buf[from:w.done], nil
}

// readSlack is how much a read reads beyond what it may return, because it has to
// begin at an indexed batch.
const readSlack = 4096 + record.HeaderLen

// window reads batches of a view into a buffer and walks over them.
type window struct {
	view view
	at   cursor // of the batch at buf[done]
	buf  []byte
	done int
	fill bool // buf holds the bytes around at
	want int  // how much to read at once
}

// find walks to the batch that holds offset and leaves it at w.done.
func (w *window) find(offset int64) (record.Batch, error) {
	for {
		batch, err := w.batch()
		switch {
		case err == nil && batch.NextOffset() > offset:
			return batch, nil
		case err == nil:
			w.advance(batch)
		case !isBad(err):
			return nil, err
		default:
			damage, err := w.view.damageAt(w.at, err)
			if err != nil {
				return nil, err
			}
			if offset < damage.resume.offset {
				return nil, damage.err
			}
			w.at, w.fill = damage.resume, false
		}
	}
}

// peek returns the batch at w.done if the buffer holds all of it and it is valid.
func (w *window) peek() (record.Batch, error) {
	return checkBatch(w.buf[w.done:], w.at.offset, w.view.epochs)
}

// batch is peek, but reads what the buffer lacks.
func (w *window) batch() (record.Batch, error) {
	left := w.view.size - w.at.position
	if left < record.HeaderLen {
		return nil, bad("%d bytes are left, a batch has at least %d", left, record.HeaderLen)
	}
	if !w.fill || len(w.buf)-w.done < record.HeaderLen {
		if err := w.read(min(left, int64(w.want))); err != nil {
			return nil, err
		}
	}
	batch, err := w.peek()
	if !errors.Is(err, record.ErrShort) {
		return batch, err
	}
	size := int64(record.Batch(w.buf[w.done:]).Size())
	if size > left || size > largestBatch {
		return nil, bad("batch of %d bytes, %d are left", size, left)
	}
	if err := w.read(max(size, min(left, int64(w.want)))); err != nil {
		return nil, err
	}
	return w.peek()
}

// read fills the buffer with n bytes from w.at on.
func (w *window) read(n int64) error {
	w.done, w.fill = 0, true
	if int64(cap(w.buf)) < n {
		w.buf = slices.Grow(w.buf[:0], int(n))
	}
	w.buf = w.buf[:n]
	return readFull(w.view.file, w.buf, w.at.position)
}

func (w *window) advance(b record.Batch) {
	w.done += len(b)
	w.at = cursor{position: w.at.position + int64(len(b)), offset: b.NextOffset()}
}

// damage is a hole in a segment.
type damage struct {
	err    *CorruptError
	resume cursor // where the next valid batch begins, or the segment ends
}

// damageAt measures the damage whose first bytes are at c.
func (v *view) damageAt(c cursor, cause error) (damage, error) {
	resume := cursor{position: v.size, offset: v.next}
	if v.seg.missing {
		cause = errMissing
	} else {
		var err error
		if resume, err = resync(v.file, c, v.size, v.next, v.epochs); err != nil {
			return damage{}, err
		}
	}
	return newDamage(v.seg.name(), c, resume, cause), nil
}

func newDamage(name string, from, resume cursor, cause error) damage {
	return damage{
		err:    &CorruptError{Segment: name, Position: from.position, Offset: from.offset, NextOffset: resume.offset, Err: cause},
		resume: resume,
	}
}
