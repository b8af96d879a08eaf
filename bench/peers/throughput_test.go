package peers

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkEngine is the throughput of each contender in each workload, each in a process of its own.
func BenchmarkEngine(b *testing.B) {
	for _, w := range workloads() {
		for _, partitions := range w.partitions {
			b.Run(fmt.Sprintf("work=%s%s/partitions=%d", w.name, w.detail, partitions), func(b *testing.B) {
				if os.Getenv(aloneIn) == "" && w.preload == 0 {
					b.Cleanup(func() { _ = os.RemoveAll(w.dir(partitions)) })
				}
				for _, engine := range w.engines {
					if engine == "jetstream" && partitions != 1 { // streams have none
						continue
					}
					b.Run("engine="+engine, func(b *testing.B) {
						if !runAlone(b) {
							measure(b, newContender(openPlant(b, w, partitions), engine), w.records/share(engine))
						}
					})
				}
			})
		}
	}
}
