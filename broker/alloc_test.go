package broker_test

import (
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/broker/record"
)

// A request costs the same number of allocations, however many records it carries.
func TestNoAllocationPerRecord(t *testing.T) { // not parallel: it counts the process's allocations
	r := dial(t, brokertest.Start(t), "memory")
	few, many := "few", "many"
	produce, fetch := map[string]float64{}, map[string]float64{}
	for topic, n := range map[string]int{few: 10, many: 2000} {
		r.create(topic, 1, "riffle.flush", "os")
		var w record.Builder
		for range n {
			w.Append(1, []byte("key"), []byte("value"))
		}
		produce[topic] = r.allocations(t, produceRequest(topic, -1, w.Finish()))
		req := fetchRequest(topic, 0)
		req.Topics[0].Partitions[0].PartitionMaxBytes = 1 // one batch
		fetch[topic] = r.allocations(t, req)
	}
	if produce[many] > produce[few]+5 || fetch[many] > fetch[few]+5 {
		t.Errorf("allocations for 10 and 2000 records: produce %v and %v, fetch %v and %v", produce[few], produce[many], fetch[few], fetch[many])
	}
	t.Logf("allocations a request: produce %v, fetch %v", produce[many], fetch[many])
}

// allocations is how many a request takes that is sent again and again, client
// excluded.
func (r *raw) allocations(t *testing.T, req kmsg.Request) float64 {
	t.Helper()
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
	answer := make([]byte, 1<<20)
	return testing.AllocsPerRun(200, func() {
		if _, err := r.nc.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r.nc, answer[:4]); err != nil {
			t.Fatal(err)
		}
		size := int(answer[0])<<24 | int(answer[1])<<16 | int(answer[2])<<8 | int(answer[3])
		if _, err := io.ReadFull(r.nc, answer[:size]); err != nil {
			t.Fatal(err)
		}
	})
}
