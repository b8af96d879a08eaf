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

// KeyPartitioner tells where records with a key go: murmur2, as Java's producer does. The zero value is ready. Not concurrent.
type KeyPartitioner struct {
	by kgo.TopicPartitioner
	r  kgo.Record
}

// Of is the partition of a key in a topic with so many of them.
func (p *KeyPartitioner) Of(key []byte, partitions int32) int32 {
	if p.by == nil {
		p.by = kgo.StickyKeyPartitioner(nil).ForTopic("")
	}
	p.r.Key = key
	return int32(p.by.Partition(&p.r, int(partitions)))
}

// PartitionOf is like KeyPartitioner.Of. It may be called concurrently.
func PartitionOf(key []byte, partitions int32) int32 { return new(KeyPartitioner).Of(key, partitions) }
