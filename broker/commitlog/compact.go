package commitlog

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
)

// CompactSpec says how to compact.
type CompactSpec struct {
	// Below is the offset from which on nothing is touched: the high watermark, or
	// the last stable offset where that is lower.
	Below int64

	// MinDirtyRatio is the part of the log, of what may be cleaned, that must be
	// dirty (min.cleanable.dirty.ratio). Zero cleans as soon as anything is.
	MinDirtyRatio float64

	// MinLag is how long a record stays as it is at least (min.compaction.lag.ms),
	// by its timestamp and by the clock. MaxLag is how long at most, whatever the
	// dirty ratio (max.compaction.lag.ms); zero is no limit.
	MinLag, MaxLag time.Duration

	// DeleteRetention is how long tombstones are kept after the cleaning that first
	// saw them, and markers after the one that left nothing else of their
	// transaction (delete.retention.ms).
	DeleteRetention time.Duration

	// MaxMapBytes limits the memory for the offsets of keys. If not all keys fit,
	// the rest of the log is left to the next cleaning. The default is 64 MiB, which
	// is 1.5 million keys.
	MaxMapBytes int64

	// Throttle, if set, is called with the bytes that were read or written. It may
	// wait, so that cleaning leaves the disk to others. An error ends the cleaning.
	Throttle func(bytes int) error
}

func (s CompactSpec) withDefaults() CompactSpec {
	setDefault(&s.MaxMapBytes, 64<<20)
	return s
}

func (s CompactSpec) validate() error {
	if s.MaxMapBytes < minKeyMapSize {
		return fmt.Errorf("commitlog: MaxMapBytes is %d, must be at least %d", s.MaxMapBytes, minKeyMapSize)
	}
	if !(s.MinDirtyRatio >= 0 && s.MinDirtyRatio <= 1) || s.MinLag < 0 || s.MaxLag < 0 || s.DeleteRetention < 0 {
		return fmt.Errorf("commitlog: compaction with ratio %v, lags %v and %v, tombstones for %v makes no sense",
			s.MinDirtyRatio, s.MinLag, s.MaxLag, s.DeleteRetention)
	}
	return nil
}

// Compacted is what a cleaning did.
type Compacted struct {
	Cleaned       bool    // there was enough to clean
	More          bool    // not all keys fitted into the map: clean again
	DirtyRatio    float64 // before the cleaning, or as it is if nothing was cleaned
	Records       int64   // records that were removed
	Keyless       int64   // of these, those without a key, which a compacted topic cannot keep
	Markers       int64   // markers of transactions that were removed
	Opaque        int64   // batches that were left as they are, because they do not decompress
	BytesRead     int64
	BytesBefore   int64 // of the segments that were replaced
	BytesAfter    int64
	CleanedOffset int64 // the log is clean below it
}

var errCompacting = errors.New("commitlog: log is being compacted already")

// Compact cleans the log if that is due: of the records of sealed segments below
// spec.Below with the same key it keeps the last one. Offsets and timestamps stay
// as they were. A record with a key and no value is a tombstone: it goes, too, once
// spec.DeleteRetention has passed since a cleaning first saw it. Records without a
// key go, and so do those of aborted transactions. The marker of a transaction goes
// once spec.DeleteRetention has passed since a cleaning left no batch of it. Nothing
// at or above the last stable offset is touched.
//
// It runs beside appends and reads, which see the old segments or the new ones,
// never a mixture. A crash leaves one or the other. A damaged segment is not
// cleaned, and nothing with it: the *CorruptError is returned. Batches that do not
// decompress to something sensible are kept as they are.
//
// What the format makes of removed records is in docs/format/log.md.
func (l *Log) Compact(spec CompactSpec, now time.Time) (Compacted, error) {
	spec = spec.withDefaults()
	if err := spec.validate(); err != nil {
		return Compacted{}, err
	}
	if !l.compactMu.TryLock() {
		return Compacted{}, errCompacting
	}
	defer l.compactMu.Unlock()
	if err := l.writable(); err != nil {
		return Compacted{}, err
	}
	c := cleaner{log: l, spec: spec, now: millis(now)}
	defer c.codecs.close()
	if err := c.survey(); err != nil || !c.plan.due {
		return c.result, err
	}
	if err := c.pin(); err != nil {
		return c.result, err
	}
	err := c.run()
	return c.result, errors.Join(err, c.release())
}

// Dirty returns the part of the log that Compact would find dirty, and whether it
// would clean.
func (l *Log) Dirty(spec CompactSpec, now time.Time) (ratio float64, due bool, err error) {
	spec = spec.withDefaults()
	if err := spec.validate(); err != nil {
		return 0, false, err
	}
	if !l.compactMu.TryLock() {
		return 0, false, errCompacting
	}
	defer l.compactMu.Unlock()
	if err := l.writable(); err != nil {
		return 0, false, err
	}
	c := cleaner{log: l, spec: spec, now: millis(now)}
	err = c.survey()
	return c.plan.ratio, c.plan.due, err
}

// cleaner is one cleaning.
type cleaner struct {
	log      *Log
	spec     CompactSpec
	now      int64 // ms
	segments []*segment
	plans    []planSegment // of segments
	plan     cleaning
	progress compaction
	keys     *keyMap
	last     map[int64]int64 // base offset of the last batch of each producer
	markers  markers
	codecs   codecs
	rewriter record.Rewriter
	stays    []bool                       // of the records of a batch
	aborted  map[int64][]producer.Aborted // by producer
	result   Compacted
	horizon  int64 // earliest of the tombstones and markers that stay, ms, or 0
	opaque   bool  // a batch whose keys are not known lies below
}

// survey looks at the sealed segments and plans.
func (c *cleaner) survey() error {
	l := c.log
	c.progress = l.loadCompaction()
	if c.spec.MaxLag > 0 {
		if err := l.rollIfOlder(c.spec.MaxLag, c.now); err != nil {
			return err
		}
	}
	if c.spec.MinLag > 0 && c.progress.observe(l.FlushedOffset(), c.spec.MinLag, c.now) {
		if err := l.saveCompaction(c.progress); err != nil {
			return err
		}
	}
	l.mu.RLock()
	sealed := l.mu.segments[:len(l.mu.segments)-1]
	below := min(c.spec.Below, l.mu.flushed, l.mu.firstOpen)
	l.mu.RUnlock()
	c.spec.Below = below
	for _, s := range sealed {
		if s.next > below {
			break
		}
		p := planSegment{base: s.base, next: s.next, size: s.size, maxTimestamp: s.maxTimestamp, firstTimestamp: -1}
		if c.spec.MaxLag > 0 && s.base >= c.progress.cleaned && !s.missing {
			var err error
			if p.firstTimestamp, err = s.firstTimestamp(); err != nil {
				return err
			}
		}
		c.segments, c.plans = append(c.segments, s), append(c.plans, p)
	}
	c.plan = planCleaning(c.plans, c.progress, c.spec, c.now)
	c.result.DirtyRatio, c.result.CleanedOffset = c.plan.ratio, c.plan.from
	return nil
}

// pin opens the segments and loads their indexes. From then until release nobody
// reads their files by name.
func (c *cleaner) pin() error {
	for i, s := range c.segments {
		f, err := s.acquire()
		if err == nil {
			if s.missing {
				err = &CorruptError{Segment: s.name(), Offset: s.base, NextOffset: s.next, Err: errMissing}
			} else if _, err = c.log.loadIndex(s, f); err == nil {
				_, err = c.log.loadTxnIndex(s)
			}
			if err != nil {
				err = errors.Join(err, s.release())
			}
		}
		if err != nil {
			c.segments = c.segments[:i]
			return errors.Join(err, c.release())
		}
	}
	return nil
}

func (c *cleaner) release() error {
	var errs []error
	for _, s := range c.segments {
		errs = append(errs, s.release())
	}
	c.segments = nil
	return errors.Join(errs...)
}

// run cleans what is planned.
func (c *cleaner) run() error {
	c.log.appendMu.Lock()
	c.last = c.log.state.LastBatches()
	c.log.appendMu.Unlock()
	if err := c.findAborted(); err != nil {
		return err
	}
	if err := c.mapKeys(); err != nil {
		return err
	}
	c.markers.met = make(map[int64]bool)
	n, _ := slices.BinarySearchFunc(c.plans, c.plan.end, func(s planSegment, end int64) int {
		if s.base < end {
			return -1
		}
		return 1
	})
	at := 0
	for _, size := range groupSegments(c.plans[:n], c.log.segmentBytes()) {
		if err := c.clean(c.segments[at : at+size]); err != nil {
			return err
		}
		at += size
	}
	c.result.Cleaned = true
	c.result.CleanedOffset = c.plan.end
	c.progress.cleaned, c.progress.horizon = c.plan.end, c.horizon
	return c.log.saveCompaction(c.progress)
}

// mapKeys notes the last offset of each key of the dirty part, as far as the map
// reaches; what is beyond is left to the next cleaning.
func (c *cleaner) mapKeys() error {
	c.keys = newKeyMap(c.spec.MaxMapBytes)
	for _, s := range c.segments {
		if s.next <= c.plan.from || s.base >= c.plan.end {
			continue
		}
		full, err := c.mapSegment(s)
		if err != nil {
			return err
		}
		if full >= 0 {
			c.result.More = true
			c.plan.end = full
			return nil
		}
	}
	return nil
}

// mapSegment returns the offset of the first record for which there was no room, or
// -1.
func (c *cleaner) mapSegment(s *segment) (full int64, err error) {
	full = -1
	err = c.walk(s, func(b batchAt) error {
		if b.NextOffset() <= c.plan.from || !c.counts(b.Batch) {
			return nil
		}
		payload, err := c.codecs.unpack(b.Batch)
		if err != nil {
			return nil // opaque: counted when it is kept
		}
		if !parses(b.Batch, payload) {
			return nil
		}
		for r := range b.RecordsIn(payload) {
			if r.Key == nil || r.Offset < c.plan.from {
				continue
			}
			if !c.keys.put(r.Key, r.Offset) {
				full = r.Offset
				return errStopWalk
			}
		}
		return nil
	})
	return full, err
}

// rollIfOlder seals the active segment if its first batch is older than lag, so that
// it can be cleaned.
func (l *Log) rollIfOlder(lag time.Duration, now int64) error {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	l.mu.RLock()
	older := l.activeLocked().size > 0 && l.mu.firstTimestamp >= 0 && now-l.mu.firstTimestamp > lag.Milliseconds()
	l.mu.RUnlock()
	if !older {
		return nil
	}
	return l.roll()
}

func (l *Log) segmentBytes() int64 {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	return l.cfg.SegmentBytes
}
