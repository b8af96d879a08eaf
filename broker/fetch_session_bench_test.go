package broker_test

import (
	"fmt"
	"testing"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
)

// BenchmarkFetchManyPartitions fetches from many partitions of which one gets a
// record each time, with a session and without.
func BenchmarkFetchManyPartitions(b *testing.B) {
	for _, partitions := range []int{100, 1000} {
		for _, session := range []bool{false, true} {
			b.Run(fmt.Sprintf("partitions=%d/session=%v", partitions, session), func(b *testing.B) {
				r := dial(b, brokertest.Start(b, brokertest.TCP(), brokertest.With(func(c *broker.Config) { c.MaxFetchSessions = 1 })), "tcp")
				f := &fetcher{r: r, version: 13, ids: map[string][16]byte{"a": r.create("a", int32(partitions), "riffle.flush", "os")}}
				var all []string
				for p := range partitions {
					all = append(all, fmt.Sprintf("a/%d@0", p))
				}
				whole := f.request(all...)
				whole.SessionEpoch = -1
				f.fetch(all...)
				var bytes int64
				b.ReportAllocs()
				for offset := int64(0); b.Loop(); offset++ {
					r.produce("a", batch(1, "x"))
					req := whole
					if session {
						req = f.request(fmt.Sprintf("a/0@%d", offset))
					} else {
						req.Topics[0].Partitions[0].FetchOffset = offset
					}
					r.send(req)
					f.epoch++
					body := r.frame()
					r.received++
					bytes += int64(len(body))
				}
				b.ReportMetric(float64(bytes)/float64(b.N), "B/answer")
			})
		}
	}
}
