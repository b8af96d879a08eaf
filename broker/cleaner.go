package broker

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/broker/commitlog"
)

// CleanerConfig tunes what goes over old records in the background. The zero value is
// a working configuration.
type CleanerConfig struct {
	// Interval is how often compacted topics are looked at (log.cleaner.backoff.ms).
	// The default is 15 seconds.
	Interval time.Duration
	// BytesPerSecond limits what compaction reads and writes together
	// (log.cleaner.io.max.bytes.per.second). Kafka has no limit; the default here is
	// 64 MiB.
	BytesPerSecond int64
	// MaxMapBytes limits the memory for the keys of the log that is compacted
	// (log.cleaner.dedupe.buffer.size). One log is compacted at a time. The default
	// is 64 MiB, which is 1.5 million keys; with more the log is cleaned in parts.
	MaxMapBytes int64
	// ScrubBytesPerSecond is how fast the scrubber re-reads old segments to find
	// damage before a consumer does. The default is 4 MiB, about 340 GiB per day;
	// negative switches it off.
	ScrubBytesPerSecond int64
	// ScrubPause is how long the scrubber rests after it has read everything. The
	// default is 6 hours.
	ScrubPause time.Duration
}

func (c CleanerConfig) withDefaults() CleanerConfig {
	setDefault(&c.Interval, 15*time.Second)
	setDefault(&c.BytesPerSecond, 64<<20)
	setDefault(&c.MaxMapBytes, 64<<20)
	setDefault(&c.ScrubBytesPerSecond, 4<<20)
	setDefault(&c.ScrubPause, 6*time.Hour)
	return c
}

func (c CleanerConfig) validate() error {
	if c.Interval < 1 || c.BytesPerSecond < 1 || c.MaxMapBytes < 1<<20 || c.ScrubPause < 1 {
		return errors.New("broker: Cleaner: Interval, BytesPerSecond and ScrubPause must be positive, MaxMapBytes at least 1 MiB")
	}
	return nil
}

// failurePause is how long a log is left alone after its cleaning failed: damage does
// not mend itself, and looking for it again costs as much as cleaning.
const failurePause = 10 * time.Minute

// cleaner compacts and scrubs the logs of all partitions, one log at a time each.
type cleaner struct {
	b       *Broker
	metrics cleanerMetrics
	paused  map[*partition]time.Time // until when; used by run only
}

func newCleaner(b *Broker) *cleaner {
	return &cleaner{b: b, metrics: newCleanerMetrics(), paused: map[*partition]time.Time{}}
}

// run compacts until the broker stops. The log with the largest dirty ratio comes
// first, as in Kafka.
func (c *cleaner) run() {
	tick := time.NewTicker(c.b.cfg.Cleaner.Interval)
	defer tick.Stop()
	for {
		select {
		case <-c.b.ctx.Done():
			return
		case now := <-tick.C:
			c.clean(now)
		}
	}
}

type dirtyLog struct {
	p     *partition
	ratio float64
}

func (c *cleaner) clean(now time.Time) {
	maps.DeleteFunc(c.paused, func(_ *partition, until time.Time) bool { return !now.Before(until) })
	var dirty []dirtyLog
	largest := 0.0
	for _, t := range c.b.topics.all() {
		if !t.cfg.Compact {
			continue
		}
		for _, p := range t.partitions {
			if _, ok := c.paused[p]; ok {
				continue
			}
			ratio, due, err := p.log.Dirty(c.spec(p), now)
			if err != nil {
				c.failed(p, err, now)
				continue
			}
			largest = max(largest, ratio)
			if due {
				dirty = append(dirty, dirtyLog{p, ratio})
			}
		}
	}
	c.metrics.ratio.Set(largest)
	slices.SortStableFunc(dirty, func(a, b dirtyLog) int { return cmp.Compare(b.ratio, a.ratio) })
	for _, d := range dirty {
		if c.b.ctx.Err() != nil {
			return
		}
		c.compact(d.p, now)
	}
}

// spec is how a partition is compacted: nothing that a consumer of committed records
// may not read yet, and otherwise as the topic says.
func (c *cleaner) spec(p *partition) commitlog.CompactSpec {
	cfg := p.topic().cfg
	spec := commitlog.CompactSpec{
		Below:           min(p.highWatermark(), p.log.LastStableOffset()),
		MinDirtyRatio:   cfg.MinCleanableDirtyRatio,
		MinLag:          cfg.MinCompactionLag,
		DeleteRetention: cfg.DeleteRetention,
		MaxMapBytes:     c.b.cfg.Cleaner.MaxMapBytes,
		Throttle:        pace(c.b.ctx, c.b.cfg.Cleaner.BytesPerSecond),
	}
	if cfg.MaxCompactionLag < math.MaxInt64 {
		spec.MaxLag = cfg.MaxCompactionLag
	}
	return spec
}

func (c *cleaner) compact(p *partition, now time.Time) {
	began := time.Now()
	done, err := p.log.Compact(c.spec(p), now)
	c.metrics.read.Add(float64(done.BytesRead))
	c.metrics.reclaimed.Add(float64(max(0, done.BytesBefore-done.BytesAfter)))
	c.metrics.removed.Add(float64(done.Records))
	if err != nil {
		c.failed(p, err, now)
		return
	}
	if !done.Cleaned {
		return
	}
	c.metrics.runs.Inc()
	c.metrics.duration.Observe(time.Since(began).Seconds())
	log := c.b.cfg.Logger.Info
	if done.Keyless > 0 || done.Opaque > 0 {
		log = c.b.cfg.Logger.Warn
	}
	log("broker: log compacted", "partition", p.String(), "records", done.Records, "markers", done.Markers, "keyless", done.Keyless, "opaqueBatches", done.Opaque,
		"bytesBefore", done.BytesBefore, "bytesAfter", done.BytesAfter, "cleanedOffset", done.CleanedOffset, "more", done.More, "took", time.Since(began))
}

func (c *cleaner) failed(p *partition, err error, now time.Time) {
	if errors.Is(err, commitlog.ErrClosed) || errors.Is(err, context.Canceled) {
		return // deleted, or stopping
	}
	c.metrics.errors.Inc()
	c.paused[p] = now.Add(failurePause)
	c.b.cfg.Logger.Error("broker: log is not compacted", "partition", p.String(), "cause", err, "retryAfter", failurePause)
}

// scrub re-reads all sealed segments again and again, slowly, until the broker stops.
func (c *cleaner) scrub() {
	if c.b.cfg.Cleaner.ScrubBytesPerSecond < 0 {
		return
	}
	throttle := pace(c.b.ctx, c.b.cfg.Cleaner.ScrubBytesPerSecond)
	for c.b.ctx.Err() == nil {
		damaged := 0
		for _, t := range c.b.topics.all() {
			for _, p := range t.partitions {
				damaged += c.scrubLog(p, throttle)
			}
		}
		if c.b.ctx.Err() != nil {
			return
		}
		c.metrics.damaged.Set(float64(damaged))
		c.metrics.scrubs.Inc()
		_ = sleep(c.b.ctx, c.b.cfg.Cleaner.ScrubPause)
	}
}

// scrubLog returns how many damaged places it found.
func (c *cleaner) scrubLog(p *partition, throttle func(int) error) (damaged int) {
	logger := c.b.cfg.Logger.With("partition", p.String())
	for at := p.startOffset(); c.b.ctx.Err() == nil; {
		found, err := p.log.Scrub(at, throttle)
		c.metrics.scrubbed.Add(float64(found.Bytes))
		for _, d := range found.Corrupt {
			logger.Error("broker: a segment is damaged: consumers get CORRUPT_MESSAGE there; restore it from a copy, or let retention delete it",
				"segment", d.Segment, "position", d.Position, "offset", d.Offset, "nextOffset", d.NextOffset, "cause", d.Err)
		}
		damaged += len(found.Corrupt)
		switch {
		case errors.Is(err, commitlog.ErrClosed), errors.Is(err, context.Canceled):
			return damaged
		case err != nil:
			logger.Error("broker: log could not be scrubbed", "offset", at, "cause", err)
			return damaged
		case found.Next >= p.log.EndOffset() || found.Next <= at:
			return damaged
		}
		at = found.Next
	}
	return damaged
}

// pace returns a function that waits so that no more than rate bytes per second
// pass, bursts of a twentieth of a second apart. It returns the error of ctx when
// that ends.
func pace(ctx context.Context, rate int64) func(bytes int) error {
	const burst = 50 * time.Millisecond
	var until time.Time
	return func(bytes int) error {
		now := time.Now()
		if until.Before(now) {
			until = now
		}
		until = until.Add(time.Duration(float64(bytes) / float64(rate) * float64(time.Second)))
		if ahead := until.Sub(now); ahead > burst {
			return sleep(ctx, ahead)
		}
		return ctx.Err()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// cleanerMetrics are those of the cleaner and the scrubber.
type cleanerMetrics struct {
	runs, errors, removed, read, reclaimed prometheus.Counter
	duration                               prometheus.Histogram
	ratio                                  prometheus.Gauge
	scrubbed, scrubs                       prometheus.Counter
	damaged                                prometheus.Gauge
}

func newCleanerMetrics() cleanerMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	return cleanerMetrics{
		runs:      counter("broker_log_compactions_total", "Cleanings of compacted logs."),
		errors:    counter("broker_log_compaction_errors_total", "Cleanings that failed. Damage keeps a log from being cleaned."),
		removed:   counter("broker_log_compaction_removed_records_total", "Records that compaction removed."),
		read:      counter("broker_log_compaction_read_bytes_total", "Bytes that compaction read."),
		reclaimed: counter("broker_log_compaction_reclaimed_bytes_total", "Bytes that compaction gave back."),
		ratio:     gauge("broker_log_compaction_max_dirty_ratio", "Largest dirty ratio of all compacted logs."),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "broker_log_compaction_duration_seconds", Help: "Time of one cleaning of one log.",
			Buckets: []float64{.01, .1, 1, 10, 100, 1000}, NativeHistogramBucketFactor: 1.1,
		}),
		scrubbed: counter("broker_log_scrubbed_bytes_total", "Bytes of old segments that the scrubber checked."),
		scrubs:   counter("broker_log_scrubs_total", "Times that the scrubber has read all old segments."),
		damaged:  gauge("broker_log_scrub_damaged_places", "Damaged places that the last whole scrub found."),
	}
}

func (m *cleanerMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.runs, m.errors, m.removed, m.read, m.reclaimed, m.ratio, m.duration, m.scrubbed, m.scrubs, m.damaged,
	}
}
