package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// segmentBytes is small enough for segments to be sealed in the course of a
// benchmark: the log syncs each that is full, and so does the floor.
const segmentBytes = 256 << 20

// BenchmarkAppend appends batches that are ready, without clients: to a log, and as
// the floor to plain files, with an fsync after each batch or without.
func BenchmarkAppend(b *testing.B) {
	for _, records := range []int{1, 100, 1000} {
		for _, value := range []string{"100B", "1KiB"} {
			batch := batchOf(records, map[string]int{"100B": 100, "1KiB": 1024}[value])
			for _, flush := range []string{"each", "os"} {
				// One operation is some hundred fsyncs, or up to 64 MiB without.
				batches := 200
				if flush == "os" {
					batches = max(batches, min(20_000, (64<<20)/len(batch)))
				}
				report := func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(batches * len(batch)))
					b.ReportMetric(float64(batches*records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
					b.ReportMetric(0, "ns/op")
				}
				name := fmt.Sprintf("batch=%d/value=%s/flush=%s/broker=", records, value, flush)
				b.Run(name+"riffle", func(b *testing.B) {
					l := openLog(b)
					for b.Loop() {
						for range batches {
							appendTo(b, l, batch, flush)
						}
					}
					report(b)
				})
				b.Run(name+"file", func(b *testing.B) {
					f := newFloor(b, flush)
					for b.Loop() {
						for range batches {
							f.append(batch)
						}
					}
					report(b)
				})
			}
		}
	}
}

func appendTo(b *testing.B, l *commitlog.Log, batch record.Batch, flush string) {
	if _, err := l.Append(batch, time.Now()); err != nil {
		b.Fatal(err)
	}
	if flush == "each" {
		if err := l.Flush(); err != nil {
			b.Fatal(err)
		}
	}
	if l.Size() > 3*segmentBytes { // the disk is not endless
		if _, err := l.Retain(time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

func openLog(b *testing.B) *commitlog.Log {
	b.Helper()
	dir, err := vfs.OpenDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { dir.Close() })
	l, err := commitlog.Open(dir, commitlog.Config{SegmentBytes: segmentBytes, RetentionBytes: segmentBytes}, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

func batchOf(records, valueSize int) record.Batch {
	var w record.Builder
	value := make([]byte, valueSize)
	for range records {
		w.Append(time.Now().UnixMilli(), nil, value)
	}
	return w.Finish()
}
