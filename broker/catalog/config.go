package catalog

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// FlushPolicy says when a record counts as written.
type FlushPolicy string

const (
	// FlushEach answers a producer after fsync; batches that arrive together
	// share one.
	FlushEach FlushPolicy = "each"
	// FlushOS answers once the operating system has the bytes, as Kafka does. A
	// crash of the machine, but not of the process, may lose the last ones.
	FlushOS FlushPolicy = "os"
)

// TopicConfig is the typed view of a topic's configs, defaults filled in. Limits
// that are switched off are negative: -1 milliseconds becomes a negative
// Duration, -1 bytes a negative size. Times too long for a Duration, such as
// Kafka's largest long, become the longest one.
type TopicConfig struct {
	Delete  bool // cleanup.policy holds delete
	Compact bool // cleanup.policy holds compact

	Flush FlushPolicy // riffle.flush

	MaxMessageBytes    int   // max.message.bytes: of one batch
	SegmentBytes       int64 // segment.bytes
	IndexIntervalBytes int   // index.interval.bytes

	SegmentAge    time.Duration // segment.ms
	SegmentJitter time.Duration // segment.jitter.ms

	RetentionBytes int64         // retention.bytes, of one partition; negative: no limit
	Retention      time.Duration // retention.ms; negative: for ever

	LogAppendTime   bool          // message.timestamp.type is LogAppendTime
	TimestampBefore time.Duration // message.timestamp.before.max.ms
	TimestampAfter  time.Duration // message.timestamp.after.max.ms

	MinInsyncReplicas int // min.insync.replicas

	DeleteRetention        time.Duration // delete.retention.ms
	MinCompactionLag       time.Duration // min.compaction.lag.ms
	MaxCompactionLag       time.Duration // max.compaction.lag.ms
	MinCleanableDirtyRatio float64       // min.cleanable.dirty.ratio
}

// Config parses the topic's configs. It takes a few microseconds: whoever asks
// for each record keeps the result.
func (t Topic) Config() TopicConfig {
	v := view(t.Configs)
	policy := "," + strings.ReplaceAll(v.text("cleanup.policy"), " ", "") + ","
	return TopicConfig{
		Delete:                 strings.Contains(policy, ",delete,"),
		Compact:                strings.Contains(policy, ",compact,"),
		Flush:                  FlushPolicy(v.text("riffle.flush")),
		MaxMessageBytes:        int(v.integer("max.message.bytes")),
		SegmentBytes:           v.integer("segment.bytes"),
		IndexIntervalBytes:     int(v.integer("index.interval.bytes")),
		SegmentAge:             v.millis("segment.ms"),
		SegmentJitter:          v.millis("segment.jitter.ms"),
		RetentionBytes:         v.integer("retention.bytes"),
		Retention:              v.millis("retention.ms"),
		LogAppendTime:          v.text("message.timestamp.type") == "LogAppendTime",
		TimestampBefore:        v.millis("message.timestamp.before.max.ms"),
		TimestampAfter:         v.millis("message.timestamp.after.max.ms"),
		MinInsyncReplicas:      int(v.integer("min.insync.replicas")),
		DeleteRetention:        v.millis("delete.retention.ms"),
		MinCompactionLag:       v.millis("min.compaction.lag.ms"),
		MaxCompactionLag:       v.millis("max.compaction.lag.ms"),
		MinCleanableDirtyRatio: v.ratio("min.cleanable.dirty.ratio"),
	}
}

// view reads typed values. What Create accepted parses; a value that does not,
// in a Topic that did not come from a Catalog, counts as the default.
type view map[string]string

func (v view) text(name string) string {
	s, _ := TopicTable.Lookup(name)
	if value, ok := v[name]; ok && s.check(value) == nil {
		return value
	}
	return s.Default
}

func (v view) integer(name string) int64 {
	n, _ := strconv.ParseInt(v.text(name), 10, 64)
	return n
}

func (v view) millis(name string) time.Duration {
	const longest = math.MaxInt64 / int64(time.Millisecond)
	switch n := v.integer(name); {
	case n > longest:
		return math.MaxInt64
	case n < 0:
		return -1
	default:
		return time.Duration(n) * time.Millisecond
	}
}

func (v view) ratio(name string) float64 {
	f, _ := strconv.ParseFloat(v.text(name), 64)
	return f
}
