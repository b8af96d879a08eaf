package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
)

// Assertions 22 and 23: segments are sealed by size and by age, with offsets that go
// on, and are deleted whole when they are too old.
func TestSegmentsRollAndExpire(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		registry := prometheus.NewRegistry()
		r := start(brokertest.With(func(c *broker.Config) { c.Registerer, c.RetentionInterval = registry, 10*time.Millisecond }))
		segments := func(topic string, want int) {
			t.Helper()
			text := fmt.Sprintf(`
# HELP broker_partition_log_segments Segments of the log.
# TYPE broker_partition_log_segments gauge
broker_partition_log_segments{partition="0",topic="__consumer_offsets"} 1
broker_partition_log_segments{partition="0",topic=%q} %d
`, topic, want)
			if err := testutil.GatherAndCompare(registry, strings.NewReader(text), "broker_partition_log_segments"); err != nil {
				t.Error(err)
			}
		}
		now := time.Now().UnixMilli()
		old := now - (3 * time.Hour).Milliseconds()
		r.create("orders", 1, "segment.ms", "3600000", "retention.ms", "-1")
		for _, ms := range []int64{old, old + 1, now, now} {
			if p := r.produce("orders", batch(ms, "a", "b")); p.ErrorCode != 0 {
				t.Fatalf("produce: error %d (%s)", p.ErrorCode, text(p.ErrorMessage))
			}
		}
		segments("orders", 2) // the third batch is two hours younger than the first

		alter := at(1, incremental("orders", "retention.ms=7200000"))
		do[*kmsg.IncrementalAlterConfigsResponse](r, alter)
		for r.listOffset("orders", -2) == 0 { // or the connection's deadline passes
		}
		segments("orders", 1)
		p := r.fetch("orders", 4)
		if got := offsets(t, p.RecordBatches); p.LogStartOffset != 4 || !slices.Equal(got, []int64{4, 6}) {
			t.Errorf("log start %d, batches at %v, want 4 and 4, 6", p.LogStartOffset, got)
		}
		if code := r.fetch("orders", 3).ErrorCode; code != kerr.OffsetOutOfRange.Code {
			t.Errorf("fetch of what expired: error %d", code)
		}

		do[*kmsg.IncrementalAlterConfigsResponse](r, at(1, incremental("orders", "segment.bytes=1024", "retention.ms=-1")))
		for range 3 {
			r.produce("orders", batch(now, strings.Repeat("x", 1000)))
		}
		segments("orders", 4)
		var got []int64
		for next := int64(4); next < 11; { // an answer ends with its segment
			got = append(got, offsets(t, r.fetch("orders", next).RecordBatches)...)
			next = got[len(got)-1] + 1
			if next < 8 {
				next = 8 // the batches of two
			}
		}
		if want := []int64{4, 6, 8, 9, 10}; !slices.Equal(got, want) {
			t.Errorf("batches at %v across segments, want %v", got, want)
		}
	})
}

// Assertion 22, continued: above retention.bytes the oldest segments go, and a compacted
// topic keeps its own.
func TestRetentionBySize(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start(brokertest.With(func(c *broker.Config) { c.RetentionInterval = 10 * time.Millisecond }))
		r.create("kept", 1, "cleanup.policy", "compact", "segment.bytes", "1048576", "retention.bytes", "1")
		r.create("orders", 1, "segment.bytes", "1048576")
		now := time.Now().UnixMilli()
		for range 5 { // of 500 KiB: two in a segment
			r.mustProduce("orders", batch(now, strings.Repeat("x", 500<<10)))
			r.mustProduce("kept", keyedBatch("k", strings.Repeat("x", 500<<10)))
		}
		// The segments hold 0 and 1, 2 and 3, 4: what is behind the first is 1,500 KiB.
		do[*kmsg.IncrementalAlterConfigsResponse](r, at(1, incremental("orders", "retention.bytes=1536000")))
		for r.listOffset("orders", -2) == 0 { // or the connection's deadline passes
		}
		if got := r.listOffset("orders", -2); got != 2 {
			t.Errorf("the earliest offset is %d, want 2: only whole segments go, and not below the limit", got)
		}
		if code := r.fetch("orders", 1).ErrorCode; code != kerr.OffsetOutOfRange.Code {
			t.Errorf("fetch below the log start: error %d, want 1", code)
		}
		if got := r.listOffset("kept", -2); got != 0 {
			t.Errorf("the compacted topic begins at %d, want 0", got)
		}
	})
}
