package commitlog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

const (
	// cleanedSuffix marks the files of a segment that a cleaning is writing. Those
	// that a crash leaves are removed.
	cleanedSuffix = ".cleaned"
	// swapSuffix marks a complete segment that takes the place of all whose records
	// it holds. Open goes on with the replacement if a crash interrupted it.
	swapSuffix = ".swap"

	cleanBufferBytes = 256 << 10
)

// cleanedSegment is a segment that is being written.
type cleanedSegment struct {
	*segment
	file    vfs.File
	buf     []byte
	written int64
	gap     int64 // offset from which on nothing is left, or -1
	epoch   int32 // of the first batch of the gap
	changed bool
	every   int // bytes between index entries
}

// clean replaces neighbouring segments by one.
func (c *cleaner) clean(group []*segment) (err error) {
	out := &cleanedSegment{segment: newSegment(c.log.fsys, group[0].base), gap: -1, every: c.log.interval}
	out.setTxnIndex(joinTxnIndexes(group))
	c.markers.gone = c.markers.gone[:0]
	out.changed = len(group) > 1
	name := out.name() + cleanedSuffix
	if out.file, err = c.log.fsys.Create(name); err != nil {
		return fmt.Errorf("commitlog: create %s: %w", name, err)
	}
	before := int64(0)
	for _, s := range group {
		before += s.size
		if err == nil {
			err = c.walk(s, func(b batchAt) error { return c.copy(out, b.Batch) })
		}
	}
	if err == nil {
		err = out.closeGap(group[len(group)-1].next)
	}
	if gone := c.markers.gone; err == nil && len(gone) > 0 {
		c.markers.dropGone(out.segment)
		err = c.log.dropSnapshots(gone[len(gone)-1])
	}
	if err == nil && out.changed {
		err = out.finish()
	}
	err = errors.Join(err, out.file.Close())
	if err == nil && out.changed {
		var installed bool
		installed, err = c.log.install(group, out.segment)
		if installed {
			c.result.BytesBefore += before
			c.result.BytesAfter += out.size
			return err
		}
	}
	return errors.Join(err, removeCleaned(c.log.fsys, out.base))
}

// copy writes what stays of a batch.
func (c *cleaner) copy(out *cleanedSegment, b record.Batch) error {
	kept, err := c.filter(b)
	if err != nil {
		return err
	}
	if kept == nil {
		if out.gap < 0 {
			out.gap, out.epoch = b.BaseOffset(), b.LeaderEpoch()
		}
		out.changed = out.changed || !b.IsGap()
		return nil
	}
	if &kept[0] != &b[0] {
		out.changed = true
	}
	if err := c.spend(len(kept)); err != nil {
		return err
	}
	if err := out.closeGap(kept.BaseOffset()); err != nil {
		return err
	}
	return out.append(kept)
}

// closeGap writes a batch that stands for the offsets of which nothing is left: the
// log stays dense, so that a batch that is missing does not go unnoticed.
func (s *cleanedSegment) closeGap(next int64) error {
	if s.gap < 0 {
		return nil
	}
	gap := record.Gap(s.gap, next, s.epoch)
	s.gap = -1
	return s.append(gap)
}

func (s *cleanedSegment) append(b record.Batch) error {
	s.note(b, s.every)
	s.buf = append(s.buf, b...)
	if len(s.buf) < cleanBufferBytes {
		return nil
	}
	return s.drain()
}

func (s *cleanedSegment) drain() error {
	if _, err := s.file.WriteAt(s.buf, s.written); err != nil {
		return fmt.Errorf("commitlog: write %s%s: %w", s.name(), cleanedSuffix, err)
	}
	s.written += int64(len(s.buf))
	s.buf = s.buf[:0]
	return nil
}

// finish makes all files of the segment durable, under their temporary names.
func (s *cleanedSegment) finish() error {
	if err := s.drain(); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("commitlog: sync %s%s: %w", s.name(), cleanedSuffix, err)
	}
	txns, _ := s.txnIndex()
	p := (prefix{}).extend(s.index)
	offsets := s.seal(p).append(slices.Clone(s.index.offsets))
	err := errors.Join(
		writeAt(s.fsys, fileName(s.base, indexSuffix+cleanedSuffix), offsets, 0, true),
		writeAt(s.fsys, fileName(s.base, timeIndexSuffix+cleanedSuffix), s.index.times, 0, true),
		writeAt(s.fsys, fileName(s.base, txnIndexSuffix+cleanedSuffix), txns.encode(s.base, s.next), 0, true),
		s.fsys.SyncDir("."),
	)
	s.index = index{} // loaded when it is needed
	if err != nil {
		return fmt.Errorf("commitlog: write the indexes of %s%s: %w", s.name(), cleanedSuffix, err)
	}
	return nil
}

// joinTxnIndexes returns the transaction index of neighbours as one.
func joinTxnIndexes(group []*segment) txnIndex {
	var joined txnIndex
	for _, s := range group {
		x, _ := s.txnIndex()
		joined.stable = x.stable
		joined.aborted = append(joined.aborted, x.aborted...)
	}
	return joined
}

func removeCleaned(fsys vfs.FS, base int64) error {
	var errs []error
	for _, name := range segmentFiles(base) {
		if err := fsys.Remove(name + cleanedSuffix); err != nil && !isMissing(err) {
			errs = append(errs, fmt.Errorf("commitlog: remove %s: %w", name+cleanedSuffix, err))
		}
	}
	return errors.Join(errs...)
}
