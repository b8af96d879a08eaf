package commitlog

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"
)

// Config tunes a log. The zero value is a working configuration with Kafka's
// defaults, except that nothing is ever deleted.
type Config struct {
	// SegmentBytes is the size at which the active segment is sealed. A batch
	// larger than that gets a segment of its own. The default is 1 GiB, the limit
	// 2 GiB - 1 (positions in an index are 32 bits wide).
	SegmentBytes int64

	// SegmentAge is how long the active segment takes appends, counted from its
	// first one, both in wall-clock time and by the timestamps of the batches. It is
	// checked when a batch is appended. The default is 7 days.
	SegmentAge time.Duration

	// IndexIntervalBytes is the distance between two index entries. The default is
	// 4096.
	IndexIntervalBytes int

	// RetentionBytes is how much of the log is kept at least when older segments
	// are deleted. Zero keeps everything.
	RetentionBytes int64

	// RetentionAge is how long a segment is kept, counted from its largest
	// timestamp. Zero keeps it for ever.
	RetentionAge time.Duration

	// MaxBatchBytes is the largest batch that Append takes. The default is
	// 1,048,588: 1 MiB and the part of a header that a batch's length does not count.
	MaxBatchBytes int

	// LogAppendTime makes Append stamp batches with its own time instead of keeping
	// the timestamps of the producer (message.timestamp.type).
	LogAppendTime bool

	// ProducerExpiry is how long an idempotent producer that writes nothing is
	// remembered. Retain forgets the others. The default is 24 hours.
	ProducerExpiry time.Duration

	// MarkBytes is the distance between two marks inside a segment: at a mark the
	// index entries and a snapshot of the producers are written, so that recovery
	// need not walk what lies before. The default is 64 MiB.
	MarkBytes int64

	// Dir is where the log lies below the file system of the Flusher's Journal, slash-separated.
	// A log without one is always flushed by itself. Like Logger it stays as it is at Open.
	Dir string

	// Logger gets what recovery found, fences and damage. The default discards it.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	setDefault(&c.SegmentBytes, 1<<30)
	setDefault(&c.SegmentAge, 7*24*time.Hour)
	setDefault(&c.IndexIntervalBytes, 4096)
	setDefault(&c.MaxBatchBytes, 1<<20+12)
	setDefault(&c.ProducerExpiry, 24*time.Hour)
	setDefault(&c.MarkBytes, 64<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func (c Config) validate() error {
	atLeast := func(name string, value, least int64) error {
		if value < least {
			return fmt.Errorf("commitlog: %s is %d, must be at least %d", name, value, least)
		}
		return nil
	}
	var tooLarge error
	if c.SegmentBytes > math.MaxInt32 {
		tooLarge = fmt.Errorf("commitlog: SegmentBytes is %d, must be at most %d", c.SegmentBytes, math.MaxInt32)
	}
	if c.MaxBatchBytes > largestBatch {
		tooLarge = errors.Join(tooLarge,
			fmt.Errorf("commitlog: MaxBatchBytes is %d, must be at most %d", c.MaxBatchBytes, largestBatch))
	}
	return errors.Join(
		atLeast("SegmentBytes", c.SegmentBytes, 1),
		tooLarge,
		atLeast("SegmentAge", int64(c.SegmentAge), 1),
		atLeast("IndexIntervalBytes", int64(c.IndexIntervalBytes), 1),
		atLeast("RetentionBytes", c.RetentionBytes, 0),
		atLeast("RetentionAge", int64(c.RetentionAge), 0),
		atLeast("MaxBatchBytes", int64(c.MaxBatchBytes), 1),
		atLeast("ProducerExpiry", int64(c.ProducerExpiry), 1),
		atLeast("MarkBytes", c.MarkBytes, 1),
	)
}
