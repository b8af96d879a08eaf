package stream

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/serde"
)

const benchRecords = 200_000

// benchInput is a topic with benchRecords records of 100 bytes over 10,000 keys, in an embedded broker.
func benchInput(b *testing.B, partitions int) *Cluster {
	b.Helper()
	c := openCluster(b, Embedded(b.TempDir()))
	createTopics(b, c, partitions, "lines")
	w, err := NewWriter(b.Context(), c, lines, WriterConfig{})
	if err != nil {
		b.Fatal(err)
	}
	value := strings.Repeat("x", 100)
	for i := range benchRecords {
		r := Record[string, string]{Key: fmt.Sprintf("key-%d", i%10_000), Value: value, Time: time.UnixMilli(int64(1000 + i))}
		if err := w.Write(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return c
}

// benchRun processes the input once per iteration, each time as another application.
func benchRun(b *testing.B, c *Cluster, topology func(app string) *Topology) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	for b.Loop() {
		n++
		t := topology(fmt.Sprintf("bench-%d", n))
		if stats := runToEnd(b, t, c, Config{}); stats.Processed != benchRecords {
			b.Fatalf("processed %d records, want %d", stats.Processed, benchRecords)
		}
	}
	runtime.ReadMemStats(&after)
	records := float64(n) * benchRecords
	b.ReportMetric(records/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/records, "allocs/record")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/records, "B/record")
}

func BenchmarkApp(b *testing.B) {
	for _, partitions := range []int{1, 6} {
		b.Run(fmt.Sprintf("topology=pass/partitions=%d", partitions), func(b *testing.B) {
			c := benchInput(b, partitions)
			benchRun(b, c, func(app string) *Topology {
				builder := NewBuilder(app)
				in := NewTopic("lines", serde.Bytes, serde.Bytes)
				builder.From(in).To(NewTopic(app+"-out", serde.Bytes, serde.Bytes))
				return build(b, builder)
			})
		})
		b.Run(fmt.Sprintf("topology=count/partitions=%d", partitions), func(b *testing.B) {
			c := benchInput(b, partitions)
			benchRun(b, c, func(app string) *Topology {
				builder := NewBuilder(app)
				builder.From(lines).Process("count", count, seenStore).To(NewTopic(app+"-out", serde.String, serde.Int64))
				return build(b, builder)
			})
		})
	}
}
