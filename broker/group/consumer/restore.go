package consumer

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"

	"github.com/riffle-stream/riffle/broker/group"
)

// Entry is a decoded record of a group's membership.
type Entry struct {
	Group    string
	MemberID string // "" for the epochs
	// Deleted means that the record is a tombstone.
	Deleted bool

	kind  int16
	apply func(*Group, *member)
}

// Ends reports whether the record deletes the group: whoever comes after it makes
// another one.
func (e Entry) Ends() bool { return e.kind == epochKey && e.Deleted }

// Known reports whether the key of a record of __consumer_offsets is of this package.
func Known(key []byte) bool {
	if len(key) < 2 {
		return false
	}
	switch int16(binary.BigEndian.Uint16(key)) {
	case epochKey, memberKey, targetEpochKey, targetKey, currentKey:
		return true
	}
	return false
}

// Decode reads a record of __consumer_offsets whose key is Known. It keeps none of its
// bytes.
func Decode(key, value []byte) (Entry, error) {
	k := kbin.Reader{Src: key}
	e := Entry{kind: k.Int16(), Group: k.String(), Deleted: value == nil}
	if e.kind != epochKey && e.kind != targetEpochKey {
		e.MemberID = k.String()
	}
	if err := k.Complete(); err != nil {
		return Entry{}, fmt.Errorf("%w: key of kind %d: %w", group.ErrCorruptRecord, e.kind, err)
	}
	if e.MemberID == "" && e.kind != epochKey && e.kind != targetEpochKey {
		return Entry{}, fmt.Errorf("%w: group %q: a member without an id", group.ErrCorruptRecord, e.Group)
	}
	if e.Deleted {
		return e, nil
	}
	v := kbin.Reader{Src: value}
	if version := v.Int16(); v.Ok() && version != 0 {
		return Entry{}, fmt.Errorf("group %q: %w: value version %d of kind %d, known is 0", e.Group, group.ErrUnknownRecord, version, e.kind)
	}
	e.apply = decoders[e.kind](&v)
	if err := v.Complete(); err != nil {
		return Entry{}, fmt.Errorf("%w: group %q, kind %d: %w", group.ErrCorruptRecord, e.Group, e.kind, err)
	}
	return e, nil
}

// decoders read the values of each kind, without their version, and say what they change.
var decoders = map[int16]func(*kbin.Reader) func(*Group, *member){
	epochKey: func(v *kbin.Reader) func(*Group, *member) {
		epoch, hash := v.Int32(), uint64(0)
		readTags(v, topicsHashTag, func(v *kbin.Reader) { hash = uint64(v.Int64()) })
		return func(g *Group, _ *member) { g.epoch, g.topicsHash = epoch, hash }
	},
	targetEpochKey: func(v *kbin.Reader) func(*Group, *member) {
		epoch := v.Int32()
		readTags(v, 0, nil)
		return func(g *Group, _ *member) { g.targetEpoch = epoch }
	},
	memberKey:  decodeMember,
	targetKey:  decodeTarget,
	currentKey: decodeCurrent,
}

func decodeMember(v *kbin.Reader) func(*Group, *member) {
	var md metadata
	md.instanceID, md.rackID = orEmpty(v.CompactNullableString()), orEmpty(v.CompactNullableString())
	md.clientID, md.clientHost = v.CompactString(), v.CompactString()
	for range v.CompactArrayLen() {
		md.topics = append(md.topics, v.CompactString())
	}
	md.regex = orEmpty(v.CompactNullableString())
	md.rebalanceTimeout = time.Duration(v.Int32()) * time.Millisecond
	md.assignor = orEmpty(v.CompactNullableString())
	readTags(v, 0, nil)
	return func(g *Group, m *member) {
		delete(g.static, m.instanceID)
		if m.metadata = md; m.instanceID != "" {
			g.static[m.instanceID] = m
		}
	}
}

func decodeTarget(v *kbin.Reader) func(*Group, *member) {
	target := map[Partition]struct{}{}
	for range v.CompactArrayLen() {
		for _, p := range readPartitions(v) {
			target[p] = struct{}{}
		}
		readTags(v, 0, nil)
	}
	readTags(v, 0, nil)
	return func(_ *Group, m *member) { m.target = target }
}

func decodeCurrent(v *kbin.Reader) func(*Group, *member) {
	epoch, previous, state := v.Int32(), v.Int32(), memberState(v.Int8())
	assigned, revoking := readHeld(v, epoch), readHeld(v, epoch)
	readTags(v, 0, nil)
	return func(_ *Group, m *member) {
		m.epoch, m.previousEpoch, m.state = epoch, previous, state
		m.assigned, m.revoking = assigned, revoking
	}
}

// readHeld reads partitions with the epochs since which they are held; epoch is that of
// those which have none.
func readHeld(v *kbin.Reader, epoch int32) map[Partition]int32 {
	held := map[Partition]int32{}
	for range v.CompactArrayLen() {
		partitions := readPartitions(v)
		for _, p := range partitions {
			held[p] = epoch
		}
		readTags(v, epochsTag, func(v *kbin.Reader) {
			for i := range v.CompactArrayLen() {
				if since := v.Int32(); int(i) < len(partitions) {
					held[partitions[i]] = since
				}
			}
		})
	}
	return held
}

func readPartitions(v *kbin.Reader) []Partition {
	topic := v.Uuid()
	var partitions []Partition
	for range v.CompactArrayLen() {
		partitions = append(partitions, Partition{topic, v.Int32()})
	}
	return partitions
}

// readTags reads the tagged fields that end a struct: one by read, if it is not nil.
func readTags(v *kbin.Reader, tag uint32, read func(*kbin.Reader)) {
	for n := v.Uvarint(); n > 0 && v.Ok(); n-- {
		this := v.Uvarint()
		value := kbin.Reader{Src: v.Span(int(v.Uvarint()))}
		if this == tag && read != nil {
			read(&value)
		}
	}
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Restore takes over a decoded record. It is for a group that has seen no events yet.
// Compaction moves records apart, so they may come in any order.
func (g *Group) Restore(e Entry) {
	if e.MemberID == "" {
		if !e.Deleted {
			e.apply(g, nil)
		}
		return
	}
	m := g.members[e.MemberID]
	switch {
	case e.Deleted && e.kind == memberKey && m != nil:
		delete(g.members, m.id)
		if g.static[m.instanceID] == m {
			delete(g.static, m.instanceID)
		}
	case e.Deleted:
	default:
		if m == nil {
			m = newMember(e.MemberID)
			g.members[m.id] = m
		}
		e.apply(g, m)
	}
}

// Resume ends the restoration: the sessions of the members start, for they could not
// beat while nobody listened. A member that lacks a part, or has partitions that are
// another's, comes from a damaged log: it is removed, and joins again.
func (g *Group) Resume(now time.Time) {
	for _, m := range g.sorted() {
		if m.metadata.equal(metadata{}) || g.heldByOthers(m) {
			m.assigned, m.revoking = nil, nil
			g.remove(m)
			continue
		}
		g.hold(m, m.assigned, m.revoking)
		m.sessionEnd = now.Add(g.cfg.SessionTimeout)
		if m.state == unrevoked {
			m.rebalanceEnd = now.Add(m.rebalanceTimeout)
		}
	}
}

func (g *Group) heldByOthers(m *member) bool {
	for _, held := range []map[Partition]int32{m.assigned, m.revoking} {
		for p := range held {
			if holder := g.holders[p]; holder != nil && holder != m {
				return true
			}
		}
	}
	return false
}
