package commitlog

import "fmt"

// DeleteBefore moves the log start offset up to offset, for good, and deletes the
// sealed segments that lie below it as a whole. The records below it cannot be read
// any more; the bytes of those that share a segment with others go with it.
//
// It returns ErrOffsetOutOfRange above the log end offset, and does nothing below the
// log start offset.
func (l *Log) DeleteBefore(offset int64) error {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	l.mu.RLock()
	start, end, flushed := l.mu.start, l.mu.end, l.mu.flushed
	n := 0
	for n < len(l.mu.segments)-1 && l.mu.segments[n].next <= offset {
		n++
	}
	l.mu.RUnlock()
	switch {
	case offset > end:
		return fmt.Errorf("%w: %d, the log ends at %d", ErrOffsetOutOfRange, offset, end)
	case offset <= start:
		return nil
	case offset > flushed: // the checkpoint does not name what a crash may take back
		if err := l.Flush(); err != nil {
			return err
		}
	}
	if err := l.touch(); err != nil {
		return err
	}
	l.mu.Lock()
	l.mu.start = offset
	l.mu.Unlock()
	return l.deleteFirst(n)
}
