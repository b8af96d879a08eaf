package commitlog

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/riffle-stream/riffle/internal/vfs"
)

// install puts a cleaned segment, whose files are complete and durable, in the place
// of a group. It returns false if nothing was changed, because a segment of the
// group was deleted meanwhile.
//
// The group is pinned, so that readers who have it go on with the files they hold
// open. If the disk fails half-way, it stays pinned: what the names stand for is then
// known only to the next Open.
func (l *Log) install(group []*segment, cleaned *segment) (installed bool, err error) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.writable(); err != nil {
		return false, err
	}
	l.mu.RLock()
	at := slices.Index(l.mu.segments, group[0])
	there := at >= 0 && at+len(group) < len(l.mu.segments) && slices.Equal(l.mu.segments[at:at+len(group)], group)
	l.mu.RUnlock()
	if !there {
		return false, nil
	}
	if err := l.touch(); err != nil {
		return false, err
	}
	var covered []int64
	for _, s := range group[1:] {
		covered = append(covered, s.base)
	}
	if err := replaceSegments(l.fsys, cleaned.base, covered); err != nil {
		for _, s := range group {
			s.keepOpen()
		}
		return true, l.fence("replace "+cleaned.name(), err)
	}
	l.mu.Lock()
	segments := slices.Clone(l.mu.segments[:at])
	l.mu.segments = append(append(segments, cleaned), l.mu.segments[at+len(group):]...)
	l.swaps.Add(1)
	l.mu.Unlock()
	var errs []error
	for _, s := range group {
		errs = append(errs, s.retire())
	}
	return true, errors.Join(errs...)
}

// keepOpen keeps the file of a sealed segment open until the log is closed.
func (s *segment) keepOpen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.pinned = true
}

// replaceSegments renames the new file to its swap name, which decides: from then on
// the new segment counts, and Open completes what a crash interrupts.
func replaceSegments(fsys vfs.FS, base int64, covered []int64) error {
	name := fileName(base, logSuffix)
	if err := fsys.Rename(name+cleanedSuffix, name+swapSuffix); err != nil {
		return err
	}
	if err := fsys.SyncDir("."); err != nil {
		return err
	}
	return completeSwap(fsys, base, covered)
}

// completeSwap removes the segments that are covered by a new one, and gives the new
// one its name. The order matters: the segments must be gone, and the old indexes
// replaced, for good before the new segment loses the name that tells of it.
func completeSwap(fsys vfs.FS, base int64, covered []int64) error {
	for _, b := range covered {
		for _, name := range segmentFiles(b) {
			if err := fsys.Remove(name); err != nil && !isMissing(err) {
				return err
			}
		}
	}
	for _, suffix := range []string{indexSuffix, timeIndexSuffix, txnIndexSuffix} {
		name := fileName(base, suffix)
		if err := fsys.Rename(name+cleanedSuffix, name); err != nil && !isMissing(err) {
			return err
		}
	}
	if err := fsys.SyncDir("."); err != nil {
		return err
	}
	name := fileName(base, logSuffix)
	if err := fsys.Rename(name+swapSuffix, name); err != nil {
		return err
	}
	return fsys.SyncDir(".")
}

// finishSwaps completes the replacements that a crash interrupted, and removes what
// a cleaning left that never got that far.
func (r *recovery) finishSwaps() error {
	names, err := r.fsys.List(".")
	if err != nil {
		return fmt.Errorf("commitlog: list directory: %w", err)
	}
	var bases, swaps []int64
	for _, name := range names {
		switch base, suffix, ok := parseFileName(name); {
		case ok && suffix == logSuffix:
			bases = append(bases, base)
		case ok && suffix == logSuffix+swapSuffix:
			swaps = append(swaps, base)
		}
	}
	for _, base := range swaps {
		next, err := swapEnd(r.fsys, base)
		if err != nil {
			return fmt.Errorf("commitlog: read %s%s: %w", fileName(base, logSuffix), swapSuffix, err)
		}
		var covered []int64
		for _, b := range bases {
			if b > base && b < next {
				covered = append(covered, b)
			}
		}
		if err := completeSwap(r.fsys, base, covered); err != nil {
			return fmt.Errorf("commitlog: replace %s: %w", fileName(base, logSuffix), err)
		}
		r.logger.Info("replacement of segments is completed", "baseOffset", base, "nextOffset", next)
	}
	for _, name := range names {
		if _, suffix, ok := parseFileName(name); !ok || !strings.HasSuffix(suffix, cleanedSuffix) {
			continue
		}
		if err := r.fsys.Remove(name); err != nil && !isMissing(err) {
			return fmt.Errorf("commitlog: remove %s: %w", name, err)
		}
	}
	return nil
}

// swapEnd returns the offset after the last record of a swapped-in segment: from the
// seal that was written with it, which may have its final name already, or else by
// reading it.
func swapEnd(fsys vfs.FS, base int64) (next int64, err error) {
	f, err := fsys.Open(fileName(base, logSuffix) + swapSuffix)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	for _, suffix := range []string{indexSuffix + cleanedSuffix, indexSuffix} {
		if s, err := readSeal(fsys, base, suffix); err == nil && s.size == size {
			return s.next, nil
		}
	}
	s := newScanner(f, cursor{offset: base}, size, nil)
	for {
		_, err := s.next()
		if errors.Is(err, io.EOF) {
			return s.at.offset, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
