package bench

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/broker/record"
)

// load is the records of one operation of a benchmark.
type load struct {
	name      string
	records   int
	valueSize int
}

var loads = []load{
	{"100B", 200_000, 100},
	{"1KiB", 40_000, 1024},
}

// make returns the records. They can be sent again when they are acknowledged.
func (l load) make() []kgo.Record {
	value := make([]byte, l.valueSize)
	records := make([]kgo.Record, l.records)
	for i := range records {
		records[i].Value = value
	}
	return records
}

// batches returns the same records as the batches of about 1 MB that a client makes
// of them under load.
func (l load) batches() []record.Batch {
	const batchBytes = 1_000_000
	var all []record.Batch
	each := batchBytes / (l.valueSize + 8)
	for left := l.records; left > 0; left -= each {
		all = append(all, batchOf(min(left, each), l.valueSize))
	}
	return all
}

// produce sends the records and waits until all are acknowledged.
func (l load) produce(b *testing.B, cl *kgo.Client, records []kgo.Record) {
	b.Helper()
	failed := func(_ *kgo.Record, err error) {
		if err != nil {
			b.Error(err)
		}
	}
	for i := range records {
		records[i].Timestamp = time.Time{} // the client sets it
		cl.Produce(context.Background(), &records[i], failed)
	}
	if err := cl.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// report adds what is the same for all contenders.
func (l load) report(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(l.records * l.valueSize))
	b.ReportMetric(float64(l.records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(0, "ns/op") // the operation is as large as the load happens to be
}
