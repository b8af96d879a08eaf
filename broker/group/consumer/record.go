package consumer

import (
	"github.com/twmb/franz-go/pkg/kbin"

	"github.com/riffle-stream/riffle/broker/group"
)

// Versions of keys in __consumer_offsets: each is a kind of record of Kafka's
// coordinator-key schemas. All values have version 0. Kafka's records of resolved
// regular expressions (16) are not written: they are resolved again after a restart.
const (
	epochKey       int16 = 3 // ConsumerGroupMetadata
	memberKey      int16 = 5 // ConsumerGroupMemberMetadata
	targetEpochKey int16 = 6 // ConsumerGroupTargetAssignmentMetadata
	targetKey      int16 = 7 // ConsumerGroupTargetAssignmentMember
	currentKey     int16 = 8 // ConsumerGroupCurrentMemberAssignment
)

// Tags of fields that came later.
const (
	topicsHashTag = 0 // of ConsumerGroupMetadata
	epochsTag     = 0 // of the partitions in ConsumerGroupCurrentMemberAssignment
)

// key is the key of a record of the group, or of one of its members.
func (g *Group) key(kind int16, memberID string) []byte {
	b := kbin.AppendInt16(nil, kind)
	b = kbin.AppendString(b, g.id)
	if kind != epochKey && kind != targetEpochKey {
		b = kbin.AppendString(b, memberID)
	}
	return b
}

func (g *Group) memberTombstones(id string) []group.Record {
	return []group.Record{
		{Key: g.key(currentKey, id)},
		{Key: g.key(targetKey, id)},
		{Key: g.key(memberKey, id)},
	}
}

// newValue begins a value of version 0.
func newValue() []byte { return kbin.AppendInt16(nil, 0) }

// noTags ends a struct.
func noTags(b []byte) []byte { return kbin.AppendUvarint(b, 0) }

func (g *Group) epochRecord() group.Record {
	b := kbin.AppendInt32(newValue(), g.epoch)
	b = appendTag(b, topicsHashTag, kbin.AppendInt64(nil, int64(g.topicsHash)))
	return group.Record{Key: g.key(epochKey, ""), Value: b}
}

func (g *Group) targetEpochRecord() group.Record {
	b := kbin.AppendInt32(newValue(), g.targetEpoch)
	return group.Record{Key: g.key(targetEpochKey, ""), Value: noTags(b)}
}

func (g *Group) memberRecord(m *member) group.Record {
	b := kbin.AppendCompactNullableString(newValue(), nullable(m.instanceID))
	b = kbin.AppendCompactNullableString(b, nullable(m.rackID))
	b = kbin.AppendCompactString(b, m.clientID)
	b = kbin.AppendCompactString(b, m.clientHost)
	b = kbin.AppendCompactArrayLen(b, len(m.topics))
	for _, name := range m.topics {
		b = kbin.AppendCompactString(b, name)
	}
	b = kbin.AppendCompactNullableString(b, nullable(m.regex))
	b = kbin.AppendInt32(b, int32(m.rebalanceTimeout.Milliseconds()))
	b = kbin.AppendCompactNullableString(b, nullable(m.metadata.assignor))
	return group.Record{Key: g.key(memberKey, m.id), Value: noTags(b)}
}

func (g *Group) targetRecord(m *member) group.Record {
	b := newValue()
	topics := byTopic(ordered(m.target))
	b = kbin.AppendCompactArrayLen(b, len(topics))
	for _, partitions := range topics {
		b = noTags(appendPartitions(b, partitions))
	}
	return group.Record{Key: g.key(targetKey, m.id), Value: noTags(b)}
}

func (g *Group) currentRecord(m *member) group.Record {
	b := kbin.AppendInt32(newValue(), m.epoch)
	b = kbin.AppendInt32(b, m.previousEpoch)
	b = kbin.AppendInt8(b, int8(m.state))
	for _, held := range []map[Partition]int32{m.assigned, m.revoking} {
		topics := byTopic(ordered(held))
		b = kbin.AppendCompactArrayLen(b, len(topics))
		for _, partitions := range topics {
			b = appendPartitions(b, partitions)
			epochs := kbin.AppendCompactArrayLen(nil, len(partitions))
			for _, p := range partitions {
				epochs = kbin.AppendInt32(epochs, held[p])
			}
			b = appendTag(b, epochsTag, epochs)
		}
	}
	return group.Record{Key: g.key(currentKey, m.id), Value: noTags(b)}
}

// byTopic splits ordered partitions by their topics.
func byTopic(ordered []Partition) (topics [][]Partition) {
	for len(ordered) > 0 {
		n := 1
		for n < len(ordered) && ordered[n].Topic == ordered[0].Topic {
			n++
		}
		topics, ordered = append(topics, ordered[:n]), ordered[n:]
	}
	return topics
}

// appendPartitions appends a topic's id and indexes.
func appendPartitions(b []byte, partitions []Partition) []byte {
	b = kbin.AppendUuid(b, partitions[0].Topic)
	b = kbin.AppendCompactArrayLen(b, len(partitions))
	for _, p := range partitions {
		b = kbin.AppendInt32(b, p.Index)
	}
	return b
}

// appendTag ends a struct with one tagged field.
func appendTag(b []byte, tag uint32, value []byte) []byte {
	b = kbin.AppendUvarint(b, 1)
	b = kbin.AppendUvarint(b, tag)
	b = kbin.AppendUvarint(b, uint32(len(value)))
	return append(b, value...)
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
