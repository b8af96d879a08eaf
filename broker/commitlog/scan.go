package commitlog

import (
	"errors"
	"fmt"
	"io"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

const (
	// scanChunk is how much a scanner reads at once.
	scanChunk = 256 << 10
	// largestBatch bounds what a damaged length can make us read.
	largestBatch = 256 << 20
)

// badBatchError says that there is no valid batch where one should begin. All other
// errors of this file are those of reading.
type badBatchError struct{ err error }

func (e *badBatchError) Error() string { return e.err.Error() }
func (e *badBatchError) Unwrap() error { return e.err }

func bad(format string, args ...any) error {
	return &badBatchError{fmt.Errorf(format, args...)}
}

// checkBatch returns the batch at the start of b, which must have the given base
// offset and the leader epoch of that offset. Everything in a batch is checked: the
// fields before the checksum, which does not cover them, by their values.
//
// If b ends inside the batch, it returns record.ErrShort and no batch.
func checkBatch(b []byte, offset int64, e epochs) (record.Batch, error) {
	batch, _, err := record.Next(b)
	switch {
	case errors.Is(err, record.ErrShort):
		return nil, record.ErrShort
	case err != nil:
		return nil, &badBatchError{err}
	case batch.BaseOffset() != offset:
		return nil, bad("base offset %d, want %d", batch.BaseOffset(), offset)
	case !e.fits(batch.LeaderEpoch(), offset):
		return nil, bad("leader epoch %d at offset %d", batch.LeaderEpoch(), offset)
	case batch.LastOffsetDelta() < 0:
		return nil, bad("last offset delta %d", batch.LastOffsetDelta())
	}
	if err := batch.Check(); err != nil {
		return nil, &badBatchError{err}
	}
	return batch, nil
}

// scanner reads the batches of a segment in order.
type scanner struct {
	file   vfs.File
	epochs epochs
	at     cursor // of the next batch
	end    int64  // where the batches end
	buf    []byte // bytes of the file from bufPos on
	bufPos int64
}

func newScanner(file vfs.File, at cursor, end int64, e epochs) *scanner {
	return &scanner{file: file, at: at, end: end, epochs: e}
}

// next returns the batch at s.at, valid until the next call, and moves behind it.
// At the end it returns io.EOF. If there is no valid batch it returns a
// *badBatchError and stays.
func (s *scanner) next() (record.Batch, error) {
	left := s.end - s.at.position
	if left <= 0 {
		return nil, io.EOF
	}
	if left < record.HeaderLen {
		return nil, bad("%d bytes are left, a batch has at least %d", left, record.HeaderLen)
	}
	b, err := s.bytes(record.HeaderLen)
	if err != nil {
		return nil, err
	}
	size := int64(record.Batch(b).Size())
	if size > left || size > largestBatch {
		return nil, bad("batch of %d bytes, %d are left", size, left)
	}
	if b, err = s.bytes(max(record.HeaderLen, int(size))); err != nil {
		return nil, err
	}
	batch, err := checkBatch(b, s.at.offset, s.epochs)
	if err != nil {
		return nil, err
	}
	s.at = cursor{position: s.at.position + int64(len(batch)), offset: batch.NextOffset()}
	return batch, nil
}

// bytes returns n bytes from s.at.position on, which must lie before the end.
func (s *scanner) bytes(n int) ([]byte, error) {
	from := s.at.position - s.bufPos
	if from < 0 || from+int64(n) > int64(len(s.buf)) {
		want := min(int64(max(n, scanChunk)), s.end-s.at.position)
		if int64(cap(s.buf)) < want {
			s.buf = make([]byte, want)
		}
		s.buf, s.bufPos, from = s.buf[:want], s.at.position, 0
		if err := readFull(s.file, s.buf, s.bufPos); err != nil {
			s.buf = s.buf[:0]
			return nil, err
		}
	}
	return s.buf[from : from+int64(n) : from+int64(n)], nil
}

// readFull fills b from position on. A file that ends before is damaged.
func readFull(f vfs.File, b []byte, position int64) error {
	n, err := f.ReadAt(b, position)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return bad("file ends at position %d", position+int64(n))
	default:
		return fmt.Errorf("commitlog: read at position %d: %w", position, err)
	}
}

// resync finds the first valid batch behind bad bytes at c, with a base offset in
// [c.offset, next). It returns the end of the segment, and next, if there is none.
func resync(f vfs.File, c cursor, end, next int64, e epochs) (cursor, error) {
	// Most damage leaves the length alone.
	header := make([]byte, record.HeaderLen)
	if err := readFull(f, header, c.position); err == nil {
		if size := int64(record.Batch(header).Size()); size >= record.HeaderLen {
			at := cursor{position: c.position + size}
			ok, err := candidate(f, &at, end, c.offset, next, false, e)
			if ok || err != nil {
				return at, err
			}
		}
	}
	buf := make([]byte, scanChunk)
	for from := c.position + 1; from+record.HeaderLen <= end; {
		chunk := buf[:min(int64(len(buf)), end-from)]
		if err := readFull(f, chunk, from); err != nil {
			if isBad(err) {
				break
			}
			return cursor{}, err
		}
		last := len(chunk) - record.HeaderLen
		for i := 0; i <= last; i++ {
			if h := record.Batch(chunk[i:]); !plausible(h, c.offset, next, e) {
				continue
			}
			at := cursor{position: from + int64(i)}
			ok, err := candidate(f, &at, end, c.offset, next, true, e)
			if ok || err != nil {
				return at, err
			}
		}
		from += int64(last + 1)
	}
	return cursor{position: end, offset: next}, nil
}

// plausible looks at a header only.
func plausible(h record.Batch, least, next int64, e epochs) bool {
	return h[16] == 2 && h.BaseOffset() >= least && h.BaseOffset() < next && e.fits(h.LeaderEpoch(), h.BaseOffset()) &&
		h.Size() >= record.HeaderLen && h.Size() <= largestBatch
}

// candidate reports whether a valid batch begins at at.position, and sets at.offset.
// With chained another batch, or the end, must follow it: a value of a record may
// hold a batch, too, which must not be taken for one of the log.
func candidate(f vfs.File, at *cursor, end, least, next int64, chained bool, e epochs) (bool, error) {
	if at.position == end && !chained {
		at.offset = next
		return true, nil
	}
	if end-at.position < record.HeaderLen {
		return false, nil
	}
	header := make([]byte, record.HeaderLen)
	if err := readFull(f, header, at.position); err != nil {
		return false, ignoreBad(err)
	}
	h := record.Batch(header)
	if !plausible(h, least, next, e) || int64(h.Size()) > end-at.position {
		return false, nil
	}
	at.offset = h.BaseOffset()
	s := newScanner(f, *at, end, e)
	if _, err := s.next(); err != nil {
		return false, ignoreBad(err)
	}
	if !chained || s.at.position == end {
		return true, nil
	}
	if end-s.at.position < record.HeaderLen {
		return false, nil
	}
	if err := readFull(f, header, s.at.position); err != nil {
		return false, ignoreBad(err)
	}
	return plausible(h, s.at.offset, s.at.offset+1, e), nil
}

func isBad(err error) bool {
	var bad *badBatchError
	return errors.As(err, &bad)
}

// ignoreBad drops an error that only says that there is no batch.
func ignoreBad(err error) error {
	if isBad(err) {
		return nil
	}
	return err
}
