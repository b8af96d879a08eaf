package commitlog

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Retain deletes the segments that the configuration no longer keeps, oldest first,
// and forgets producers that expired. The active segment is deleted only when its
// records are too old, not for its size. It also closes the files of segments that
// nobody has read since the last call.
func (l *Log) Retain(now time.Time) (deletedSegments int, err error) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.writable(); err != nil {
		return 0, err
	}
	l.state.Expire(millis(now.Add(-l.cfg.ProducerExpiry)))
	if l.activeExpired(now) {
		if err := l.roll(); err != nil {
			return 0, err
		}
	}
	n := l.expired(now)
	if n == 0 {
		return 0, l.closeIdle()
	}
	return n, errors.Join(l.deleteFirst(n), l.closeIdle())
}

func (l *Log) tooOld(s *segment, now time.Time) bool {
	return l.cfg.RetentionAge > 0 && s.maxTimestamp >= 0 && millis(now)-s.maxTimestamp > l.cfg.RetentionAge.Milliseconds()
}

// activeExpired reports whether all records of the log are too old.
func (l *Log) activeExpired(now time.Time) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.activeLocked().size == 0 {
		return false
	}
	return !slices.ContainsFunc(l.mu.segments, func(s *segment) bool { return !l.tooOld(s, now) })
}

// expired counts the segments at the start of the log that are to be deleted.
func (l *Log) expired(now time.Time) int {
	size := l.Size()
	l.mu.RLock()
	defer l.mu.RUnlock()
	sealed := l.mu.segments[:len(l.mu.segments)-1]
	for i, s := range sealed {
		tooMuch := l.cfg.RetentionBytes > 0 && size-s.size >= l.cfg.RetentionBytes
		if !tooMuch && !l.tooOld(s, now) {
			return i
		}
		size -= s.size
	}
	return len(sealed)
}

// deleteFirst deletes n segments. The checkpoint says so before the first file goes,
// so that a crash in between cannot make a gap of them.
func (l *Log) deleteFirst(n int) error {
	l.mu.Lock()
	deleted := slices.Clone(l.mu.segments[:n])
	l.mu.segments = slices.Clone(l.mu.segments[n:])
	l.mu.start = max(l.mu.start, l.mu.segments[0].base)
	l.mu.Unlock()
	l.watchers.wake()
	if err := l.saveCheckpoint(false); err != nil {
		return err
	}
	l.touched = true
	var errs []error
	for _, s := range deleted {
		errs = append(errs, s.retire())
		for _, name := range segmentFiles(s.base) {
			if err := l.fsys.Remove(name); err != nil && !isMissing(err) {
				errs = append(errs, fmt.Errorf("commitlog: remove %s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (l *Log) closeIdle() error {
	l.mu.RLock()
	sealed := l.mu.segments[:len(l.mu.segments)-1]
	l.mu.RUnlock()
	var errs []error
	for _, s := range sealed {
		errs = append(errs, s.closeIdle())
	}
	return errors.Join(errs...)
}
