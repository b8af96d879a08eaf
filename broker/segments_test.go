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
