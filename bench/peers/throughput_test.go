package peers

import (
	"fmt"
	"slices"
	"testing"
)

// BenchmarkEngine is the throughput of each contender in each workload. partitions=100 is for the cost of partitions: the
// contenders there are this engine and the loop over franz-go.
func BenchmarkEngine(b *testing.B) {
	for _, w := range workloads() {
		for _, partitions := range []int{1, 6, 100} {
			engines := slices.DeleteFunc(slices.Clone(w.engines), func(engine string) bool { return !takesPart(w, engine, partitions) })
			if len(engines) == 0 {
				continue
			}
			b.Run(fmt.Sprintf("work=%s%s/partitions=%d", w.name, w.detail, partitions), func(b *testing.B) {
				p := openPlant(b, w, partitions)
				for _, engine := range engines {
					b.Run("engine="+engine, func(b *testing.B) {
						measure(b, newContender(p, engine), w.records/share(engine))
					})
				}
			})
		}
	}
}

func takesPart(w workload, engine string, partitions int) bool {
	switch {
	case engine == "jetstream":
		return partitions == 1 // streams have none
	case partitions == 100:
		return w.input.keys == 100_000 && (w.name == "pass" || w.name == "count" && !w.input.zipf) && (engine == "riffle" || engine == "kgo")
	}
	return true
}
