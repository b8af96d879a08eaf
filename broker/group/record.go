package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions of the keys and values in __consumer_offsets, as Kafka writes them.
const (
	offsetKeyVersion   = 1 // 0 reads the same
	groupKeyVersion    = 2
	offsetValueVersion = 4 // the first that names the topic id
	groupValueVersion  = 3 // the first that names the instance id
)

// ErrUnknownRecord means that a record of __consumer_offsets is of a kind that
// this version does not know. It may be skipped.
var ErrUnknownRecord = errors.New("group: record of an unknown kind")

// ErrCorruptRecord means that a record of __consumer_offsets does not parse.
var ErrCorruptRecord = errors.New("group: record does not parse")

// Record is a record of __consumer_offsets. A nil Value is a tombstone.
type Record struct{ Key, Value []byte }

// OffsetRecord is the record of a committed offset.
func OffsetRecord(groupID, topic string, partition int32, c Committed) Record {
	v := kmsg.NewOffsetCommitValue()
	v.Version = offsetValueVersion
	v.Offset = c.Offset
	v.LeaderEpoch = c.LeaderEpoch
	v.Metadata = c.Metadata
	v.CommitTimestamp = c.Time.UnixMilli()
	v.TopicID = c.TopicID
	return Record{Key: offsetKey(groupID, topic, partition), Value: v.AppendTo(nil)}
}

// OffsetTombstone is the record that deletes a committed offset.
func OffsetTombstone(groupID, topic string, partition int32) Record {
	return Record{Key: offsetKey(groupID, topic, partition)}
}

func offsetKey(groupID, topic string, partition int32) []byte {
	k := kmsg.NewOffsetCommitKey()
	k.Version, k.Group, k.Topic, k.Partition = offsetKeyVersion, groupID, topic, partition
	return k.AppendTo(nil)
}

// Tombstones are the records that delete the group with all its offsets.
func (g *Group) Tombstones() []Record {
	var records []Record
	for _, p := range g.Places() {
		records = append(records, OffsetTombstone(g.id, p.Topic, p.Partition))
	}
	return append(records, MembershipTombstone(g.id))
}

// MembershipTombstone is the record that deletes the membership of a group.
func MembershipTombstone(groupID string) Record { return Record{Key: membershipKey(groupID)} }

func membershipKey(groupID string) []byte {
	k := kmsg.NewGroupMetadataKey()
	k.Version, k.Group = groupKeyVersion, groupID
	return k.AppendTo(nil)
}

// snapshot is the record of the group's membership. assignments, if not nil,
// stand for those of the members.
func (g *Group) snapshot(assignments map[string][]byte) Record {
	v := kmsg.NewGroupMetadataValue()
	v.Version = groupValueVersion
	v.ProtocolType = g.protocolType
	v.Generation = g.generation
	v.Protocol = nullable(g.protocol)
	v.Leader = nullable(g.leader)
	v.CurrentStateTimestamp = g.stateSince.UnixMilli()
	for _, m := range g.members {
		vm := kmsg.NewGroupMetadataValueMember()
		vm.MemberID = m.id
		vm.InstanceID = nullable(m.instanceID)
		vm.ClientID = m.clientID
		vm.ClientHost = m.clientHost
		vm.RebalanceTimeoutMillis = int32(m.rebalanceTimeout.Milliseconds())
		vm.SessionTimeoutMillis = int32(m.sessionTimeout.Milliseconds())
		vm.Subscription = m.metadata(g.protocol)
		vm.Assignment = m.assignment
		if assignments != nil {
			vm.Assignment = assignments[m.id]
		}
		v.Members = append(v.Members, vm)
	}
	return Record{Key: membershipKey(g.id), Value: v.AppendTo(nil)}
}

// Entry is a decoded record: an offset if Topic is not empty, else a membership.
type Entry struct {
	Group     string
	Topic     string
	Partition int32
	// Deleted means that the record is a tombstone.
	Deleted bool
	// Committed is the offset. Its position is the caller's to set.
	Committed Committed
	// membership is what Restore takes.
	membership *kmsg.GroupMetadataValue
}

// Decode reads a record of __consumer_offsets. It keeps none of its bytes.
func Decode(key, value []byte) (Entry, error) {
	if len(key) < 2 {
		return Entry{}, fmt.Errorf("%w: key of %d bytes", ErrCorruptRecord, len(key))
	}
	switch version := int16(binary.BigEndian.Uint16(key)); {
	case version == 0 || version == offsetKeyVersion:
		return decodeOffset(key, value)
	case version == groupKeyVersion:
		return decodeMembership(key, value)
	default:
		return Entry{}, fmt.Errorf("%w: key version %d", ErrUnknownRecord, version)
	}
}

func decodeOffset(key, value []byte) (Entry, error) {
	k := kmsg.NewOffsetCommitKey()
	if err := k.ReadFrom(key); err != nil {
		return Entry{}, fmt.Errorf("%w: offset key: %w", ErrCorruptRecord, err)
	}
	if k.Topic == "" {
		return Entry{}, fmt.Errorf("%w: offset key without a topic", ErrCorruptRecord)
	}
	e := Entry{Group: k.Group, Topic: k.Topic, Partition: k.Partition, Deleted: value == nil}
	if e.Deleted {
		return e, nil
	}
	if err := checkValue(value, 0, offsetValueVersion); err != nil {
		return Entry{}, fmt.Errorf("offset of group %q, topic %q: %w", k.Group, k.Topic, err)
	}
	v := kmsg.NewOffsetCommitValue()
	if err := v.ReadFrom(value); err != nil {
		return Entry{}, fmt.Errorf("%w: offset of group %q, topic %q: %w", ErrCorruptRecord, k.Group, k.Topic, err)
	}
	e.Committed = Committed{
		Offset:      v.Offset,
		LeaderEpoch: v.LeaderEpoch,
		Metadata:    v.Metadata,
		TopicID:     v.TopicID,
		Time:        time.UnixMilli(v.CommitTimestamp),
	}
	if v.Version < 3 {
		e.Committed.LeaderEpoch = -1
	}
	return e, nil
}

func decodeMembership(key, value []byte) (Entry, error) {
	k := kmsg.NewGroupMetadataKey()
	if err := k.ReadFrom(key); err != nil {
		return Entry{}, fmt.Errorf("%w: group key: %w", ErrCorruptRecord, err)
	}
	e := Entry{Group: k.Group, Deleted: value == nil}
	if e.Deleted {
		return e, nil
	}
	if err := checkValue(value, 0, groupValueVersion); err != nil {
		return Entry{}, fmt.Errorf("group %q: %w", k.Group, err)
	}
	v := kmsg.NewGroupMetadataValue()
	if err := v.ReadFrom(append([]byte(nil), value...)); err != nil { // it aliases what it reads
		return Entry{}, fmt.Errorf("%w: group %q: %w", ErrCorruptRecord, k.Group, err)
	}
	e.membership = &v
	return e, nil
}

func checkValue(value []byte, oldest, newest int16) error {
	if len(value) < 2 {
		return fmt.Errorf("%w: value of %d bytes", ErrCorruptRecord, len(value))
	}
	if version := int16(binary.BigEndian.Uint16(value)); version < oldest || version > newest {
		return fmt.Errorf("%w: value version %d, known are %d to %d", ErrUnknownRecord, version, oldest, newest)
	}
	return nil
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
