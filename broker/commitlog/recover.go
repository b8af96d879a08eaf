package commitlog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// Open opens the log in fsys, which holds nothing else, and recovers it after a
// crash. An empty directory becomes an empty log. The caller makes the directory
// itself durable and keeps others from opening it.
//
// Damage does not keep a log from opening: see Recovery. An error is one of reading
// or writing the disk, or ErrVersion.
func Open(fsys vfs.FS, cfg Config, now time.Time) (*Log, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Log{fsys: fsys, dir: cfg.Dir, cfg: cfg, interval: cfg.IndexIntervalBytes, logger: cfg.Logger}
	r := recovery{Log: l, now: now}
	if err := r.run(); err != nil {
		for _, s := range l.mu.segments {
			err = errors.Join(err, s.retire())
		}
		if l.checkpoint != nil {
			err = errors.Join(err, l.checkpoint.close())
		}
		return nil, err
	}
	r.logResult()
	return l, nil
}

// recovery opens a log. Nobody else sees the log yet, so that it takes no locks.
//
// It works from the checkpoint. Segments that have a successor are complete and were
// fsynced; their seals vouch for their indexes. The last segment is walked from the
// last mark: below the fsynced position bad bytes are damage, above it a torn tail.
type recovery struct {
	*Log
	now       time.Time
	saved     checkpoint
	bases     []int64 // of the .log files, ascending
	strays    []string
	walked    map[int64]bool // bases of the sealed segments that were walked
	producers int64          // offset that the restored state of the producers stands for
	// epochsLost means that the leader epochs were made anew from the batches.
	epochsLost bool
}

func (r *recovery) run() error {
	if err := r.finishSwaps(); err != nil {
		return err
	}
	if err := r.list(); err != nil {
		return err
	}
	fresh, err := r.readCheckpoint()
	if err != nil {
		return err
	}
	if fresh {
		r.mu.recovery.Clean = true
		r.mu.epochs, r.epochsSaved = firstEpoch, true
		r.publishTxnsLocked()
		return r.create(0)
	}
	if err := r.dropDeleted(); err != nil {
		return err
	}
	if err := r.loadEpochs(); err != nil {
		return err
	}
	r.walked = make(map[int64]bool)
	if err := r.openSealed(); err != nil {
		return err
	}
	err = r.openActive()
	r.beginEpoch()
	r.publishTxnsLocked()
	slices.SortFunc(r.mu.recovery.Corrupt, func(a, b *CorruptError) int { return cmp.Compare(a.Offset, b.Offset) })
	return err
}

// list sorts the names in the directory.
func (r *recovery) list() error {
	names, err := r.fsys.List(".")
	if err != nil {
		return fmt.Errorf("commitlog: list directory: %w", err)
	}
	for _, name := range names {
		offset, suffix, ok := parseFileName(name)
		switch {
		case ok && suffix == logSuffix:
			r.bases = append(r.bases, offset)
		case ok && suffix == snapshotSuffix:
			r.marks = append(r.marks, offset)
		case ok && (suffix == indexSuffix || suffix == timeIndexSuffix || suffix == txnIndexSuffix):
			if _, found := slices.BinarySearch(names, fileName(offset, logSuffix)); !found {
				r.strays = append(r.strays, name)
			}
		case name == checkpointTemp, name == compactionTemp, name == epochsTemp:
			r.strays = append(r.strays, name)
		case name != checkpointName && name != compactionName && name != epochsName:
			r.logger.Warn("file is not part of the log", "name", name)
		}
	}
	return nil
}

// readCheckpoint reports whether the log is to be made.
func (r *recovery) readCheckpoint() (fresh bool, err error) {
	r.checkpoint, r.saved, err = openCheckpoint(r.fsys)
	switch {
	case err == nil:
		return false, nil
	case isMissing(err) && len(r.bases) == 0:
		return true, nil
	case !isMissing(err) && !errors.Is(err, errBadCheckpoint):
		return false, err
	case len(r.bases) == 0:
		return false, fmt.Errorf("%w, and no segment is there: restore the directory, or delete it to begin a new log", err)
	}
	r.logger.Error("checkpoint is lost, damage at the end of the log cannot be told from a torn tail", "err", err)
	r.mu.recovery.CheckpointLost = true
	first, last := r.bases[0], r.bases[len(r.bases)-1]
	r.saved = checkpoint{start: first, segment: last, flushed: last, firstAppend: -1, firstTimestamp: -1}
	r.saved.mark = mark{offset: last, maxTimestamp: -1, maxTimestampBase: last}
	return false, nil
}

// create makes the first, empty segment. The checkpoint comes first: records are
// never on disk without one.
func (r *recovery) create(base int64) error {
	s := newSegment(r.fsys, base)
	r.mu.segments = append(r.mu.segments, s)
	r.mu.end, r.mu.flushed, r.mu.synced = base, base, base
	r.mu.firstAppend, r.mu.firstTimestamp = -1, -1
	r.mu.mark = mark{offset: base, maxTimestamp: -1, maxTimestampBase: base}
	r.mu.safeMark = r.mu.mark
	if len(r.mu.segments) == 1 {
		r.mu.start = base
	}
	if r.checkpoint == nil {
		var err error
		if r.checkpoint, err = createCheckpoint(r.fsys, r.currentCheckpoint(false)); err != nil {
			return fmt.Errorf("commitlog: create %s: %w", checkpointName, err)
		}
	}
	r.touched = true
	f, err := r.fsys.Create(s.name())
	if err != nil {
		return fmt.Errorf("commitlog: create %s: %w", s.name(), err)
	}
	s.pin(f)
	if err := r.fsys.SyncDir("."); err != nil {
		return fmt.Errorf("commitlog: sync directory: %w", err)
	}
	return r.saveCheckpoint(false)
}

// dropDeleted removes what retention had not removed yet, and files that belong to
// nothing.
func (r *recovery) dropDeleted() error {
	names := r.strays
	for len(r.bases) > 1 && r.bases[1] <= r.saved.start {
		names = append(names, segmentFiles(r.bases[0])...)
		r.bases = r.bases[1:]
	}
	for _, name := range names {
		if err := r.fsys.Remove(name); err != nil && !isMissing(err) {
			return fmt.Errorf("commitlog: remove %s: %w", name, err)
		}
	}
	return nil
}

func segmentFiles(base int64) []string {
	return []string{fileName(base, logSuffix), fileName(base, indexSuffix), fileName(base, timeIndexSuffix), fileName(base, txnIndexSuffix)}
}

// openSealed opens all segments but the active one.
func (r *recovery) openSealed() error {
	r.mu.start = r.saved.start
	bases := r.bases
	activeBase := r.saved.segment
	if n := len(bases); n > 0 && bases[n-1] >= activeBase {
		activeBase = bases[n-1]
		bases = bases[:n-1]
	}
	if first := append(slices.Clone(bases), activeBase)[0]; r.saved.start < first {
		r.addMissing(r.saved.start, first)
	}
	for i, base := range bases {
		next := activeBase
		if i+1 < len(bases) {
			next = bases[i+1]
		}
		if err := r.openSegment(base, next); err != nil {
			return err
		}
	}
	return nil
}

// addMissing stands in for segments whose files are gone.
func (r *recovery) addMissing(base, next int64) *segment {
	s := newSegment(r.fsys, base)
	s.missing, s.next = true, next
	r.mu.segments = append(r.mu.segments, s)
	r.report(&CorruptError{Segment: s.name(), Offset: base, NextOffset: next, Err: errMissing})
	return s
}

var errMissing = errors.New("commitlog: file is missing")

func (r *recovery) report(damage ...*CorruptError) {
	r.mu.recovery.Corrupt = append(r.mu.recovery.Corrupt, damage...)
}

// openSegment opens a sealed segment: by its seal, or by walking it.
func (r *recovery) openSegment(base, next int64) error {
	s := newSegment(r.fsys, base)
	r.mu.segments = append(r.mu.segments, s)
	f, err := s.acquire()
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return errors.Join(fmt.Errorf("commitlog: size of %s: %w", s.name(), err), s.release())
	}
	sealed, err := readSeal(r.fsys, base, indexSuffix)
	s.size, s.next = size, next
	s.maxTimestamp, s.maxTimestampBase = sealed.maxTimestamp, sealed.maxTimestampBase
	if err == nil && sealed.size == size && sealed.next == next {
		return errors.Join(s.release(), s.suspend())
	}
	written := size
	if err == nil && sealed.next == next {
		written = sealed.size
	}
	s.size = min(size, written)
	damage, walked, err := s.rebuild(f, written, r.interval, r.mu.epochs)
	if err != nil {
		return errors.Join(err, s.release())
	}
	r.walked[base] = true
	r.mu.recovery.WalkedBytes += walked
	r.mu.recovery.RebuiltIndexes++
	r.report(damage...)
	x := s.index
	s.index, s.mu.loaded = index{}, &x
	if len(damage) == 0 {
		if err := writeIndex(s, x); err != nil {
			r.logger.Warn("index is not written", "segment", s.name(), "err", err)
		}
	}
	return s.release()
}

// openActive opens the last segment.
func (r *recovery) openActive() error {
	c := r.saved
	n := len(r.bases)
	if n == 0 || r.bases[n-1] < c.segment {
		return r.openLost()
	}
	s := newSegment(r.fsys, r.bases[n-1])
	r.mu.segments = append(r.mu.segments, s)
	f, err := r.fsys.Open(s.name())
	if err != nil {
		return fmt.Errorf("commitlog: open %s: %w", s.name(), err)
	}
	s.pin(f)
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("commitlog: size of %s: %w", s.name(), err)
	}
	limit := cursor{offset: s.base} // a crash came before the checkpoint that goes with the roll
	r.mu.firstAppend, r.mu.firstTimestamp = -1, -1
	switch {
	case r.mu.recovery.CheckpointLost:
		limit = cursor{position: size, offset: unknownOffset}
	case c.segment == s.base:
		limit = cursor{position: c.position, offset: c.flushed}
		r.mu.firstAppend, r.mu.firstTimestamp = c.firstAppend, c.firstTimestamp
	}
	from, err := r.restore(s)
	if err != nil {
		return err
	}
	if c.clean && c.segment == s.base && size == c.position && from == limit && from.position == size {
		r.mu.recovery.Clean = true
		r.setEnds(s, from, from)
		return nil
	}
	return r.walkActive(s, f, from, limit, size)
}

// openLost deals with an active segment whose file is gone.
func (r *recovery) openLost() error {
	c := r.saved
	if c.flushed == c.segment { // nothing was in it
		return r.create(c.segment)
	}
	s := r.addMissing(c.segment, c.flushed)
	r.mu.recovery.Quarantined = true
	r.setEnds(s, cursor{offset: c.flushed}, cursor{offset: c.flushed})
	return nil
}

// restore takes from disk what need not be walked: the index up to the mark, and the
// producers. It returns where to walk from.
func (r *recovery) restore(s *segment) (cursor, error) {
	from := cursor{offset: s.base}
	m := mark{offset: s.base, maxTimestamp: -1, maxTimestampBase: s.base}
	if r.saved.segment == s.base && r.saved.mark.position > 0 {
		x, err := r.readPrefix(s)
		if err != nil {
			r.logger.Warn("index is rebuilt", "segment", s.name(), "err", err)
			r.mu.recovery.RebuiltIndexes++
		} else {
			m, s.index = r.saved.mark, x
			from = cursor{position: m.position, offset: m.offset}
		}
	}
	r.producers = r.restoreProducers(from.offset)
	if r.producers < from.offset {
		// The producers are older than the mark: walk all of the segment for them.
		from, s.index = cursor{offset: s.base}, index{}
		m = mark{offset: s.base, maxTimestamp: -1, maxTimestampBase: s.base}
		if err := r.replay(r.producers); err != nil {
			return cursor{}, err
		}
	}
	r.state.CutBefore(s.base) // a snapshot of the roll still names those before it
	s.size, s.next = m.position, m.offset
	s.maxTimestamp, s.maxTimestampBase = m.maxTimestamp, m.maxTimestampBase
	r.mu.mark, r.mu.safeMark = m, m
	return from, nil
}

// readPrefix reads the index of the active segment up to the mark.
func (r *recovery) readPrefix(s *segment) (index, error) {
	var files [2][]byte
	for i, suffix := range []string{indexSuffix, timeIndexSuffix} {
		var err error
		if files[i], err = readAll(r.fsys, fileName(s.base, suffix)); err != nil && !isMissing(err) {
			return index{}, err
		}
	}
	return parseIndex(files[0], files[1], r.saved.mark.prefix, r.saved.mark.position)
}

// restoreProducers takes the newest good snapshot that is not above offset, and
// returns what offset it stands for. Without one that is the log start offset.
func (r *recovery) restoreProducers(offset int64) int64 {
	for _, at := range slices.Backward(r.marks) {
		if at > offset {
			continue
		}
		name := fileName(at, snapshotSuffix)
		b, err := readAll(r.fsys, name)
		if err == nil {
			err = r.state.Restore(b)
		}
		if err == nil {
			return at
		}
		r.logger.Warn("snapshot of the producers is not used", "name", name, "err", err)
	}
	return r.mu.start
}

// replay gives the producers the batches of sealed segments from an offset on.
func (r *recovery) replay(from int64) error {
	for _, s := range r.mu.segments {
		if s.next <= from || s.missing || s == r.activeLocked() {
			continue
		}
		f, err := s.acquire()
		if err != nil {
			return err
		}
		w := walker{name: s.name(), file: f, epochs: r.mu.epochs, visit: func(b record.Batch, _ int64) {
			if b.BaseOffset() >= from {
				observe(&r.state, b, millis(r.now))
			}
		}}
		_, _, err = w.run(cursor{offset: s.base}, cursor{position: s.size, offset: s.next}, s.size)
		if err := errors.Join(err, s.release()); err != nil {
			return err
		}
		r.mu.recovery.WalkedBytes += w.bytes
		if !r.walked[s.base] {
			r.report(w.damage...)
		}
	}
	return nil
}

// walkActive reads the last segment from a place on, and cuts its torn tail.
func (r *recovery) walkActive(s *segment, f vfs.File, from, limit cursor, size int64) error {
	w := walker{name: s.name(), file: f, epochs: r.mu.epochs, visit: func(b record.Batch, position int64) {
		s.size = position
		if position == 0 && r.mu.firstAppend < 0 {
			r.mu.firstAppend, r.mu.firstTimestamp = millis(r.now), b.MaxTimestamp()
		}
		s.note(b, r.interval)
		if b.BaseOffset() >= r.producers {
			observe(&r.state, b, millis(r.now))
		}
	}}
	stop, _, err := w.run(from, limit, size)
	if err != nil {
		return err
	}
	damage := w.damage
	if n := len(damage); n > 0 && r.mu.recovery.CheckpointLost && damage[n-1].NextOffset == limit.offset {
		// Nothing valid follows: it looks like a torn tail, and is treated as one.
		stop = cursor{position: damage[n-1].Position, offset: damage[n-1].Offset}
		damage = damage[:n-1]
	}
	r.mu.recovery.WalkedBytes += w.bytes
	r.mu.recovery.Quarantined = len(damage) > 0
	r.report(damage...)
	if r.mu.recovery.Quarantined {
		r.setEnds(s, stop, cursor{position: limit.position, offset: min(limit.offset, stop.offset)})
		return nil // what is there is left as it is, for whoever repairs it
	}
	r.setEnds(s, stop, stop)
	if size > stop.position {
		r.mu.recovery.CutBytes = size - stop.position
		if err := f.Truncate(stop.position); err != nil {
			return fmt.Errorf("commitlog: cut the torn tail of %s: %w", s.name(), err)
		}
	}
	return r.settle(f)
}

func (r *recovery) setEnds(s *segment, end, flushed cursor) {
	s.size, s.next = end.position, end.offset
	r.mu.end = end.offset
	r.mu.flushed, r.mu.position, r.mu.synced = flushed.offset, flushed.position, flushed.offset
}

// settle makes durable what was found: records above the checkpoint may be in the
// page cache only, and so may names.
func (r *recovery) settle(f vfs.File) error {
	r.touched = true
	if err := f.Sync(); err != nil {
		return fmt.Errorf("commitlog: sync %s: %w", r.activeLocked().name(), err)
	}
	i := len(r.marks)
	for ; i > 0 && r.marks[i-1] > r.mu.end; i-- { // they tell of records that were cut
		name := fileName(r.marks[i-1], snapshotSuffix)
		if err := r.fsys.Remove(name); err != nil && !isMissing(err) {
			return fmt.Errorf("commitlog: remove %s: %w", name, err)
		}
	}
	r.marks = r.marks[:i]
	if err := r.fsys.SyncDir("."); err != nil {
		return fmt.Errorf("commitlog: sync directory: %w", err)
	}
	if err := r.writeMark(true); err != nil && !errors.Is(err, ErrNoSpace) {
		return err
	}
	if r.checkpoint == nil {
		var err error
		r.checkpoint, err = createCheckpoint(r.fsys, r.currentCheckpoint(false))
		return err
	}
	return r.saveCheckpoint(false)
}

func (r *recovery) logResult() {
	result := r.mu.recovery
	for _, c := range result.Corrupt {
		r.logger.Error("log is damaged", "segment", c.Segment, "position", c.Position,
			"offset", c.Offset, "nextOffset", c.NextOffset, "err", c.Err)
	}
	if result.Quarantined {
		r.logger.Error("active segment is damaged, appends are refused", "endOffset", r.mu.end)
	}
	if !result.Clean {
		r.logger.Info("log is recovered", "startOffset", r.mu.start, "endOffset", r.mu.end,
			"walkedBytes", result.WalkedBytes, "cutBytes", result.CutBytes, "rebuiltIndexes", result.RebuiltIndexes)
	}
}
