package commitlog

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// Append writes b, which must be valid (record.Batch.Validate), at the end of the
// log. It rewrites the base offset and the leader epoch in place, and with
// Config.LogAppendTime the timestamps too; it keeps no reference to b. A batch of an
// idempotent producer that is in the log already is not written again.
//
// The records can be read at once but survive a crash only after Flush. That holds
// for a duplicate, too: it may repeat a batch that is not flushed yet.
//
// It returns ErrBatchTooLarge, ErrNoSpace, ErrFenced, ErrQuarantined, ErrClosed or
// an error of package producer; then the log is unchanged. Only with ErrFenced may the
// batch be there after the next Open.
func (l *Log) Append(b record.Batch, now time.Time) (Appended, error) {
	return l.appendRecords(b, false, now)
}

// AppendFromStart is Append for a producer whose first batch has sequence number 0
// where the log does not know it (see producer.Meta.FromStart).
func (l *Log) AppendFromStart(b record.Batch, now time.Time) (Appended, error) {
	return l.appendRecords(b, true, now)
}

func (l *Log) appendRecords(b record.Batch, fromStart bool, now time.Time) (Appended, error) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.writable(); err != nil {
		return Appended{}, err
	}
	if err := l.admit(b); err != nil {
		return Appended{}, err
	}
	meta := metaOf(b)
	meta.FromStart = fromStart
	dup, isDup, err := l.state.Check(meta)
	switch {
	case err != nil:
		return Appended{}, err
	case isDup:
		return l.repeated(b, dup), nil
	}
	return l.append(b, now)
}

// append writes a batch that was admitted.
func (l *Log) append(b record.Batch, now time.Time) (Appended, error) {
	if err := l.touch(); err != nil {
		return Appended{}, err
	}
	stamped := int64(-1)
	if l.cfg.LogAppendTime {
		stamped = millis(now)
		b.SetLogAppendTime(stamped)
	}
	if l.mustRoll(b, now) {
		if err := l.roll(); err != nil {
			return Appended{}, err
		}
	}
	if err := l.write(b, now); err != nil {
		return Appended{}, err
	}
	if err := l.markIfDue(); err != nil {
		// The batch is in the log, but a log whose disk fails acknowledges nothing.
		return Appended{}, err
	}
	return Appended{BaseOffset: b.BaseOffset(), NextOffset: b.NextOffset(), LogAppendTime: stamped}, nil
}

// admit checks what the log itself relies on.
func (l *Log) admit(b record.Batch) error {
	if len(b) > l.cfg.MaxBatchBytes {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrBatchTooLarge, len(b), l.cfg.MaxBatchBytes)
	}
	if len(b) < record.HeaderLen || b.Size() != len(b) || b.LastOffsetDelta() < 0 {
		return fmt.Errorf("commitlog: %d bytes given to Append are not one batch", len(b))
	}
	return nil
}

// metaOf counts by offsets, not by records: compaction may have removed some, and the
// producer goes on behind those.
func metaOf(b record.Batch) producer.Meta {
	m := producer.NewMeta(b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.LastOffsetDelta()+1)
	m.Transactional = b.Attributes().Transactional()
	return m
}

func (l *Log) repeated(b record.Batch, dup producer.Duplicate) Appended {
	a := Appended{
		BaseOffset:    dup.BaseOffset,
		NextOffset:    dup.BaseOffset + int64(b.LastOffsetDelta()) + 1,
		LogAppendTime: -1,
		Duplicate:     true,
	}
	if l.cfg.LogAppendTime {
		a.LogAppendTime = dup.TimestampMillis
	}
	return a
}

// write puts b at the end of the active segment and publishes it.
func (l *Log) write(b record.Batch, now time.Time) error {
	if err := l.saveEpochs(); err != nil {
		return err
	}
	l.mu.RLock()
	active, end, epoch := l.activeLocked(), l.mu.end, l.mu.epochs.current()
	l.mu.RUnlock()
	b.SetBaseOffset(end)
	b.SetLeaderEpoch(epoch)
	// The log itself holds the file open, and only appends change the size.
	if _, err := active.mu.file.WriteAt(b, active.size); err != nil {
		doing := "append to " + active.name()
		if vfs.IsNoSpace(err) {
			// What was written of it lies past the end, where nobody looks; but the next
			// batch may be shorter, and what sticks out behind it must not be there.
			if terr := active.mu.file.Truncate(active.size); terr != nil {
				return l.fence(doing, errors.Join(err, terr))
			}
		}
		return l.writeFailed(doing, err)
	}
	l.mu.Lock()
	defer l.watchers.wake()
	defer l.mu.Unlock()
	if err := l.errLocked(); err != nil {
		return err // a flush failed meanwhile
	}
	if active.size == 0 {
		l.mu.firstAppend, l.mu.firstTimestamp = millis(now), b.MaxTimestamp()
	}
	active.note(b, l.interval)
	l.mu.end = active.next
	observe(&l.state, b, millis(now))
	if b.Attributes().Transactional() {
		l.publishTxnsLocked()
	}
	return nil
}

// mustRoll says whether the active segment must be sealed before b.
func (l *Log) mustRoll(b record.Batch, now time.Time) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	active := l.activeLocked()
	switch {
	case active.size == 0:
		return false
	case active.size+int64(len(b)) > l.cfg.SegmentBytes:
		return true
	case l.mu.end+int64(b.LastOffsetDelta())-active.base > math.MaxInt32:
		return true // offsets in an index are 32 bits wide
	}
	// By the timestamps as Kafka does, so that retention can delete by them, and by
	// the clock, because timestamps need not move.
	age := l.cfg.SegmentAge.Milliseconds()
	return millis(now)-l.mu.firstAppend > age ||
		l.mu.firstTimestamp >= 0 && b.MaxTimestamp()-l.mu.firstTimestamp > age
}

// roll seals the active segment and starts the next one.
//
// The order matters. A segment that has a successor on disk counts as fsynced, so
// the log comes before the successor; its indexes and the snapshot come before it,
// too, because recovery rebuilds what is missing there by walking the segment. The
// name of the successor must be durable before anything in it is acknowledged.
func (l *Log) roll() error {
	if err := l.touch(); err != nil {
		return err
	}
	if err := l.Flush(); err != nil {
		return err
	}
	l.mu.RLock()
	active, m := l.activeLocked(), l.mu.mark
	l.mu.RUnlock()
	if err := l.writeSeal(active, m); err != nil {
		return err
	}
	if err := l.sealTxnIndex(active); err != nil {
		return err
	}
	if err := l.writeSnapshot(active.next, true); err != nil {
		return err
	}
	next := newSegment(l.fsys, active.next)
	f, err := l.fsys.Create(next.name())
	if err != nil {
		return l.writeFailed("create "+next.name(), err)
	}
	if err := l.fsys.SyncDir("."); err != nil {
		return errors.Join(l.fence("sync directory", err), f.Close())
	}
	next.pin(f)
	l.mu.Lock()
	// Segments are never changed in place: readers hold the slice.
	l.mu.segments = append(slices.Clip(l.mu.segments), next)
	l.mu.position = 0
	l.mu.firstAppend, l.mu.firstTimestamp = -1, -1
	l.mu.mark = mark{offset: next.base, maxTimestamp: -1, maxTimestampBase: next.base}
	l.mu.safeMark = l.mu.mark
	l.state.Cut() // the segment has them
	l.publishTxnsLocked()
	active.index = index{} // from now on it is loaded when it is needed
	l.mu.Unlock()
	active.unpin()
	if err := l.saveCheckpoint(false); err != nil {
		return err
	}
	return l.pruneSnapshots()
}

// writeSeal completes the index files of a segment and makes them durable.
func (l *Log) writeSeal(s *segment, m mark) error {
	p := m.prefix.extend(s.index)
	offsets := s.seal(p).append(slices.Clone(s.index.offsets[m.prefix.offsets*offsetEntryLen:]))
	return l.writeIndexFiles(s, m.prefix, offsets, true)
}

// writeIndexFiles appends to the index files what is behind a prefix of them.
func (l *Log) writeIndexFiles(s *segment, p prefix, offsets []byte, durable bool) error {
	name := fileName(s.base, indexSuffix)
	if err := writeAt(l.fsys, name, offsets, int64(p.offsets)*offsetEntryLen, durable); err != nil {
		return l.writeFailed("write "+name, err)
	}
	name = fileName(s.base, timeIndexSuffix)
	times := s.index.times[p.times*timeEntryLen:]
	if err := writeAt(l.fsys, name, times, int64(p.times)*timeEntryLen, durable); err != nil {
		return l.writeFailed("write "+name, err)
	}
	return nil
}

// markIfDue writes a mark if the last one is far enough behind. A full disk is no
// reason to refuse the batch that was just written: the next one will tell.
func (l *Log) markIfDue() error {
	l.mu.RLock()
	due := l.activeLocked().size-l.mu.mark.position >= l.cfg.MarkBytes
	l.mu.RUnlock()
	if !due {
		return nil
	}
	if err := l.writeMark(false); err != nil && !errors.Is(err, ErrNoSpace) {
		return err
	}
	return nil
}

// writeMark writes the index entries and a snapshot of the producers up to the end
// of the log. Unless it is to be durable, what a crash leaves of them is judged by
// their checksums.
func (l *Log) writeMark(durable bool) error {
	l.mu.RLock()
	active, m := l.activeLocked(), l.mu.mark
	l.mu.RUnlock()
	offsets := active.index.offsets[m.prefix.offsets*offsetEntryLen:]
	if err := l.writeIndexFiles(active, m.prefix, offsets, durable); err != nil {
		return err
	}
	if err := l.writeSnapshot(active.next, durable); err != nil {
		return err
	}
	if durable {
		if err := l.fsys.SyncDir("."); err != nil {
			return l.fence("sync directory", err)
		}
	}
	l.mu.Lock()
	if l.mu.mark.offset <= l.mu.flushed {
		l.mu.safeMark = l.mu.mark
	}
	l.mu.mark = mark{
		position: active.size, offset: active.next,
		maxTimestamp: active.maxTimestamp, maxTimestampBase: active.maxTimestampBase,
		prefix: m.prefix.extend(active.index),
	}
	l.mu.Unlock()
	return l.pruneSnapshots()
}

func (l *Log) writeSnapshot(offset int64, durable bool) error {
	name := fileName(offset, snapshotSuffix)
	if err := writeAt(l.fsys, name, l.state.Snapshot(), 0, durable); err != nil {
		return l.writeFailed("write "+name, err)
	}
	if i, found := slices.BinarySearch(l.marks, offset); !found {
		l.marks = slices.Insert(l.marks, i, offset)
	}
	return nil
}

// pruneSnapshots removes the snapshots that nobody needs: all but the two newest, the
// one at the start of the active segment, and the last one before that.
func (l *Log) pruneSnapshots() error {
	l.mu.RLock()
	base := l.activeLocked().base
	l.mu.RUnlock()
	i, _ := slices.BinarySearch(l.marks, base)
	keep := func(at int) bool { return at >= len(l.marks)-2 || at == i || at == i-1 }
	var kept []int64
	for at, offset := range l.marks {
		if keep(at) {
			kept = append(kept, offset)
			continue
		}
		name := fileName(offset, snapshotSuffix)
		if err := l.fsys.Remove(name); err != nil && !isMissing(err) {
			return l.fence("remove "+name, err)
		}
	}
	l.marks = kept
	return nil
}
