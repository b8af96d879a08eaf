package commitlog

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// Log is the log of one partition.
//
// Three locks, taken in this order: appendMu, checkpointMu, mu. mu is held only to
// look at or change fields, never during I/O other than opening a file, so that
// reads and flushes go on beside an append.
type Log struct {
	fsys     vfs.FS       // immutable
	dir      string       // below the file system of a Journal, or empty; immutable
	interval int          // between index entries; immutable
	logger   *slog.Logger // immutable

	// appendMu makes changes of the log one at a time: appends, rolls, retention,
	// configuration, close.
	appendMu sync.Mutex
	cfg      Config         // guarded by appendMu
	state    producer.State // guarded by appendMu
	marks    []int64        // offsets of the snapshots on disk, ascending; guarded by appendMu
	touched  bool           // the checkpoint on disk does not say clean; guarded by appendMu
	// epochsSaved means that the present leader epoch is on disk, or the first one;
	// guarded by appendMu.
	epochsSaved bool

	// compactMu lets one cleaning at a time run. It comes before appendMu.
	compactMu  sync.Mutex
	compaction *compaction // nil if it was not read yet; guarded by compactMu
	closing    atomic.Bool // ends a cleaning

	// flushMu lets one fsync at a time serve all who wait for it.
	flushMu sync.Mutex

	// txnMu lets one reader at a time load or rebuild the transaction indexes.
	txnMu sync.Mutex

	checkpointMu sync.Mutex
	checkpoint   *checkpointFile // nil if the log is quarantined without one; guarded by checkpointMu

	mu struct {
		sync.RWMutex
		segments []*segment // ascending by base offset, not empty; the last one is active
		start    int64      // log start offset
		end      int64      // log end offset
		flushed  int64      // all records below it are on disk
		position int64      // bytes of the active segment that are on disk
		synced   int64      // of those below flushed, the ones that are on disk in the log's own files, not only in a Journal
		mark     mark       // the last one of the active segment
		safeMark mark       // the last one at or below flushed

		firstAppend    int64 // wall-clock time of the active segment's first append, ms, or -1
		firstTimestamp int64 // largest timestamp of its first batch, ms, or -1

		firstOpen int64              // first offset of all open transactions, or math.MaxInt64
		aborted   []producer.Aborted // whose markers lie in the active segment; replaced, never changed

		epochs       epochs // leader epochs; not empty
		epochsOnDisk bool   // there is a file of them

		failed   error // not nil if the log is fenced
		closed   bool
		recovery Recovery
	}

	watchers watchers
	rebuilt  atomic.Int64 // indexes that were made anew since Open
	swaps    atomic.Int64 // segments that compaction has put in place since Open; changes under mu
}

// Appended says where a batch went.
type Appended struct {
	BaseOffset    int64 // of the first record
	NextOffset    int64 // after the last record; wait for it to be flushed
	LogAppendTime int64 // the broker's timestamp in milliseconds, or -1
	Duplicate     bool  // the batch was in the log already, and is there once
}

// Recovery is what Open found.
type Recovery struct {
	Clean          bool            // the log was closed, nothing had to be walked
	WalkedBytes    int64           // bytes of batches that were read and checked
	CutBytes       int64           // torn tail that was cut
	RebuiltIndexes int             // segments whose indexes were made anew, then or since
	Corrupt        []*CorruptError // damage, in the order of the offsets
	Quarantined    bool            // the active segment is damaged, appends are refused
	CheckpointLost bool            // the checkpoint could not be read; see docs/format/log.md
}

// Recovery reports what Open found.
func (l *Log) Recovery() Recovery {
	l.mu.RLock()
	defer l.mu.RUnlock()
	r := l.mu.recovery
	r.Corrupt = slices.Clone(r.Corrupt)
	r.RebuiltIndexes += int(l.rebuilt.Load())
	return r
}

// Configure changes the configuration of an open log, except for Logger and
// IndexIntervalBytes, which stay as they were at Open.
func (l *Log) Configure(cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	l.cfg = cfg
	return nil
}

// StartOffset is the log start offset: the first offset that is still kept.
func (l *Log) StartOffset() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mu.start
}

// EndOffset is the log end offset: that of the next record.
func (l *Log) EndOffset() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mu.end
}

// FlushedOffset is the offset before which all records are on disk.
func (l *Log) FlushedOffset() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mu.flushed
}

// Size is the size of all segments in bytes.
func (l *Log) Size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var n int64
	for _, s := range l.mu.segments {
		n += s.size
	}
	return n
}

// Segments is the number of segments.
func (l *Log) Segments() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.mu.segments)
}

func (l *Log) activeLocked() *segment { return l.mu.segments[len(l.mu.segments)-1] }

// segmentLocked returns the place of the segment that holds an offset.
func (l *Log) segmentLocked(offset int64) int {
	s := l.mu.segments
	return max(0, sort.Search(len(s), func(i int) bool { return s[i].base > offset })-1)
}

// errLocked returns why the log takes no writes, or nil.
func (l *Log) errLocked() error {
	switch {
	case l.mu.closed:
		return ErrClosed
	case l.mu.failed != nil:
		return l.mu.failed
	case l.mu.recovery.Quarantined:
		return ErrQuarantined
	}
	return nil
}

func (l *Log) writable() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.errLocked()
}

// fence ends all writing after a write or an fsync failed, and returns what
// everybody gets from now on.
func (l *Log) fence(doing string, err error) error {
	l.mu.Lock()
	if l.mu.failed == nil {
		l.mu.failed = fmt.Errorf("%w: %s: %w", ErrFenced, doing, err)
		l.logger.Error("log is fenced", "doing", doing, "err", err, "endOffset", l.mu.end, "flushedOffset", l.mu.flushed)
	}
	err = l.mu.failed
	l.mu.Unlock()
	l.watchers.wake()
	return err
}

// writeFailed sorts the failure of a write that left nothing behind: a full disk is
// no reason to fence.
func (l *Log) writeFailed(doing string, err error) error {
	if vfs.IsNoSpace(err) {
		return fmt.Errorf("%w: %s: %w", ErrNoSpace, doing, err)
	}
	return l.fence(doing, err)
}

// Close flushes the log and marks it as closed cleanly, so that the next Open need
// not walk it. It returns ErrFenced if the log was fenced, and then leaves recovery
// to the next Open.
func (l *Log) Close() error {
	l.closing.Store(true)
	l.compactMu.Lock()
	defer l.compactMu.Unlock()
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	err := l.writable()
	if errors.Is(err, ErrClosed) {
		return nil
	}
	if err == nil && l.touched {
		err = l.closeCleanly()
	}
	if errors.Is(err, ErrQuarantined) {
		err = nil
	}
	l.mu.Lock()
	l.mu.closed = true
	segments := l.mu.segments
	l.mu.Unlock()
	l.watchers.wake()

	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	errs := []error{err}
	for _, s := range segments {
		errs = append(errs, s.retire())
	}
	if l.checkpoint != nil {
		errs = append(errs, l.checkpoint.close())
	}
	return errors.Join(errs...)
}

func (l *Log) closeCleanly() error {
	if err := l.Flush(); err != nil {
		return err
	}
	if err := l.writeMark(true); err != nil {
		return err
	}
	return l.saveCheckpoint(true)
}

// saveCheckpoint makes the present state the durable checkpoint.
func (l *Log) saveCheckpoint(clean bool) error {
	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	if err := l.checkpoint.writeDurable(l.currentCheckpoint(clean)); err != nil {
		return l.fence("write checkpoint", err)
	}
	return nil
}

// currentCheckpoint must be called under checkpointMu, so that the file never goes
// back.
func (l *Log) currentCheckpoint(clean bool) checkpoint {
	l.mu.RLock()
	defer l.mu.RUnlock()
	m := l.mu.mark
	if m.offset > l.mu.flushed {
		m = l.mu.safeMark // the checkpoint must not vouch for what may be cut
	}
	return checkpoint{
		clean:          clean,
		epochs:         l.mu.epochsOnDisk,
		start:          l.mu.start,
		segment:        l.activeLocked().base,
		position:       l.mu.position,
		flushed:        l.mu.flushed,
		firstAppend:    l.mu.firstAppend,
		firstTimestamp: l.mu.firstTimestamp,
		mark:           m,
	}
}

// touch makes the checkpoint say that the log is in use, before the first change.
func (l *Log) touch() error {
	if l.touched {
		return nil
	}
	if err := l.saveCheckpoint(false); err != nil {
		return err
	}
	l.touched = true
	return nil
}

func millis(t time.Time) int64 { return t.UnixMilli() }
