package bench

import (
	"fmt"
	"testing"
)

// BenchmarkProduce sends records with acks=all by one client.
func BenchmarkProduce(b *testing.B) {
	for _, transport := range []string{"tcp", "memory"} {
		for _, l := range loads {
			for _, partitions := range []int32{1, 6, 100} {
				for _, flush := range []string{"each", "os"} {
					name := fmt.Sprintf("transport=%s/value=%s/partitions=%d/flush=%s/broker=", transport, l.name, partitions, flush)
					for _, c := range contenders {
						b.Run(name+c.name, func(b *testing.B) {
							cl := client(b, c.start(b, setup{partitions, flush, transport}))
							records := l.make()
							l.produce(b, cl, records) // connections and metadata
							b.ResetTimer()
							for b.Loop() {
								l.produce(b, cl, records)
							}
							l.report(b)
						})
					}
					b.Run(name+"file", func(b *testing.B) {
						f, batches := newFloor(b, flush), l.batches()
						for b.Loop() {
							for _, batch := range batches {
								f.append(batch)
							}
						}
						l.report(b)
					})
				}
			}
		}
	}
}
