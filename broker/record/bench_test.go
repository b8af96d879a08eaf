package record

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var zeros [256]byte

func benchBatch(w *Builder, records, valueBytes int) Batch {
	key, value := zeros[:16], zeros[:valueBytes]
	w.Reset()
	for i := range records {
		w.Append(1700000000000+int64(i), key, value)
	}
	return w.Finish()
}

func perRecord(b *testing.B, records int, batch Batch) {
	b.ReportAllocs()
	b.SetBytes(int64(len(batch)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(records), "ns/record")
}

func forSizes(b *testing.B, f func(b *testing.B, records, valueBytes int)) {
	for _, records := range []int{10, 1000} {
		for _, value := range []int{100, 200} {
			b.Run(fmt.Sprintf("records=%d/value=%dB", records, value), func(b *testing.B) { f(b, records, value) })
		}
	}
}

func BenchmarkIterate(b *testing.B) {
	forSizes(b, func(b *testing.B, records, valueBytes int) {
		batch := benchBatch(new(Builder), records, valueBytes)
		var sum int
		for b.Loop() {
			for r, err := range batch.Records() {
				if err != nil {
					b.Fatal(err)
				}
				sum += len(r.Key) + len(r.Value)
			}
		}
		perRecord(b, records, batch)
	})
}

// The same walk with kmsg, to compare with: machines differ, the ratio does not.
func BenchmarkIterateKmsg(b *testing.B) {
	forSizes(b, func(b *testing.B, records, valueBytes int) {
		batch := benchBatch(new(Builder), records, valueBytes)
		var (
			header kmsg.RecordBatch
			r      kmsg.Record
			sum    int
		)
		for b.Loop() {
			if err := header.ReadFrom(batch); err != nil {
				b.Fatal(err)
			}
			rest := header.Records
			for range header.NumRecords {
				if err := r.ReadFrom(rest); err != nil {
					b.Fatal(err)
				}
				rest = rest[varintLen(int64(r.Length))+int(r.Length):]
				sum += len(r.Key) + len(r.Value)
			}
		}
		perRecord(b, records, batch)
	})
}

func BenchmarkIterateChecked(b *testing.B) {
	forSizes(b, func(b *testing.B, records, valueBytes int) {
		batch := benchBatch(new(Builder), records, valueBytes)
		var sum int
		for b.Loop() {
			if err := batch.Check(); err != nil {
				b.Fatal(err)
			}
			for r, err := range batch.Records() {
				if err != nil {
					b.Fatal(err)
				}
				sum += len(r.Key) + len(r.Value)
			}
		}
		perRecord(b, records, batch)
	})
}

func BenchmarkValidate(b *testing.B) {
	forSizes(b, func(b *testing.B, records, valueBytes int) {
		batch := benchBatch(new(Builder), records, valueBytes)
		for b.Loop() {
			if err := batch.Validate(); err != nil {
				b.Fatal(err)
			}
		}
		perRecord(b, records, batch)
	})
}

func BenchmarkBuild(b *testing.B) {
	forSizes(b, func(b *testing.B, records, valueBytes int) {
		var w Builder
		batch := benchBatch(&w, records, valueBytes)
		for b.Loop() {
			batch = benchBatch(&w, records, valueBytes)
		}
		perRecord(b, records, batch)
	})
}
