package client

import "github.com/twmb/franz-go/pkg/kgo"

// partitioner places records of changelog topics where the record says, and all others as Java's producer
// does: murmur2 of the key, and for a null key whole batches on one partition after another. The library
// heeds Record.Partition only under a manual partitioner, so one partitioner has to know both kinds of topic.
type partitioner struct {
	manual map[string]bool
	hashed kgo.Partitioner
	fixed  kgo.Partitioner
}

// newPartitioner returns a partitioner that is manual for the named topics.
func newPartitioner(manual []string) partitioner {
	p := partitioner{
		manual: make(map[string]bool, len(manual)),
		hashed: kgo.StickyKeyPartitioner(nil),
		fixed:  kgo.ManualPartitioner(),
	}
	for _, topic := range manual {
		p.manual[topic] = true
	}
	return p
}

// ForTopic implements kgo.Partitioner.
func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if p.manual[topic] {
		return p.fixed.ForTopic(topic)
	}
	return p.hashed.ForTopic(topic)
}

// KeyPartitioner tells where records with a key go: murmur2, as Java's producer does. Not concurrent.
type KeyPartitioner struct{ r kgo.Record }

// Of is the partition of a key, which is not nil, in a topic with so many of them.
func (p *KeyPartitioner) Of(key []byte, partitions int32) int32 {
	p.r.Key = key
	return int32(byKey.Partition(&p.r, int(partitions)))
}

// byKey keeps nothing between two records that have keys.
var byKey = kgo.StickyKeyPartitioner(nil).ForTopic("")

// PartitionOf is like KeyPartitioner.Of.
func PartitionOf(key []byte, partitions int32) int32 { return new(KeyPartitioner).Of(key, partitions) }
