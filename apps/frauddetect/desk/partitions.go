package desk

import (
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// PartitionKeys returns a key for each of n partitions that the partitioner of Kafka's clients, murmur2, sends there. So a
// record can be put into every partition of a topic by its key alone.
func PartitionKeys(n int) []string {
	partition := kgo.StickyKeyPartitioner(nil).ForTopic("")
	keys := make([]string, n)
	for i, missing := 0, n; missing > 0; i++ {
		key := "partition-" + strconv.Itoa(i)
		if p := partition.Partition(&kgo.Record{Key: []byte(key)}, n); keys[p] == "" {
			keys[p] = key
			missing--
		}
	}
	return keys
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
