package client

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// protocolName is what the members of a group must agree on. Another client in the same group, with another
// way of dealing out partitions, is refused by the coordinator.
const protocolName = "riffle-tasks"

// Unit is what goes to one member as a whole: partition Partition of every topic of the co-partitioned set whose first
// topic is Topic.
type Unit struct {
	Topic     string
	Partition int32
}

// balancer deals out the partitions of a group by task: partition p of every topic of one co-partitioned set
// goes to the same member. It is cooperative: what a member keeps, it goes on with during the rebalance. It is
// deterministic: the same members, with the same claims, and topics give the same plan.
//
// No member has more than one unit more than another. Within that, a unit stays where it is, or goes to a member that
// has state of it, or to where there is the least of its set.
type balancer struct {
	sets [][]string // co-partitioned sets of topics, in the order of the sub-topologies
	// local returns the units of which this member has state, each with how much history is in it. Nil is none.
	local func() map[Unit]int64
	// joins counts how often the member has joined. It makes its metadata differ each time: a coordinator answers a
	// member that joins again with the same ones without a rebalance.
	joins *atomic.Int64
}

// ProtocolName implements kgo.GroupBalancer.
func (balancer) ProtocolName() string { return protocolName }

// IsCooperative implements kgo.GroupBalancer.
func (balancer) IsCooperative() bool { return true }

// JoinGroupMetadata implements kgo.GroupBalancer. What the member owns is in Kafka's own fields, what state it has in
// the user data.
func (b balancer) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 3
	meta.Topics = topics
	meta.Generation = generation
	for _, topic := range slices.Sorted(maps.Keys(owned)) {
		o := kmsg.NewConsumerMemberMetadataOwnedPartition()
		o.Topic, o.Partitions = topic, owned[topic]
		meta.OwnedPartitions = append(meta.OwnedPartitions, o)
	}
	var local map[Unit]int64
	if b.local != nil {
		local = b.local()
	}
	var joins int64
	if b.joins != nil {
		joins = b.joins.Add(1)
	}
	meta.UserData = appendUserData(nil, joins, local)
	return meta.AppendTo(nil)
}

// ParseSyncAssignment implements kgo.GroupBalancer.
func (balancer) ParseSyncAssignment(b []byte) (map[string][]int32, error) {
	return kgo.ParseConsumerSyncAssignment(b)
}

// MemberBalancer implements kgo.GroupBalancer.
func (b balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	cb, err := kgo.NewConsumerBalancer(b, members)
	return cb, cb.MemberTopics(), err
}

// Balance implements kgo.ConsumerBalancerBalance.
func (b balancer) Balance(cb *kgo.ConsumerBalancer, partitions map[string]int32) kgo.IntoSyncAssignment {
	d := newDeal(cb)
	for i, set := range b.sets {
		for p := range maxPartitions(set, partitions) {
			d.units = append(d.units, dealt{Unit: Unit{set[0], p}, set: i, member: -1})
		}
	}
	d.limit(len(b.sets))
	d.keep(func(u *dealt) int { return d.owner(b.sets[u.set], u.Partition) })
	d.keep(func(u *dealt) int { return d.best(u.Unit) })
	d.spread()

	plan := cb.NewPlan()
	members := cb.Members()
	for _, u := range d.units {
		for _, topic := range b.sets[u.set] {
			if u.Partition < partitions[topic] {
				plan.AddPartition(&members[u.member], topic, u.Partition)
			}
		}
	}
	plan.AdjustCooperative(cb)
	return plan
}

// deal is the state of one rebalance.
type deal struct {
	owned   map[Unit]claim // partitions, by topic
	local   []map[Unit]int64
	units   []dealt
	count   []int   // units by member
	inSet   [][]int // by member and set
	each    int     // units that every member may have,
	further int     // and members that may have one more
}

type dealt struct {
	Unit
	set, member int
}

type claim struct {
	member     int
	generation int32
}

func newDeal(cb *kgo.ConsumerBalancer) *deal {
	d := &deal{owned: make(map[Unit]claim)}
	cb.EachMember(func(_ *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		member := len(d.local)
		d.local = append(d.local, parseLocal(meta.UserData))
		for _, o := range meta.OwnedPartitions {
			for _, p := range o.Partitions {
				at := Unit{o.Topic, p}
				// A claim of an earlier generation is that of a member that was away meanwhile.
				if other, ok := d.owned[at]; !ok || meta.Generation > other.generation {
					d.owned[at] = claim{member, meta.Generation}
				}
			}
		}
	})
	d.count = make([]int, len(d.local))
	d.inSet = make([][]int, len(d.local))
	return d
}

// limit decides how many units a member may have.
func (d *deal) limit(sets int) {
	members := len(d.count)
	d.each, d.further = len(d.units)/members, len(d.units)%members
	for m := range d.inSet {
		d.inSet[m] = make([]int, sets)
	}
}

// owner returns the member that has a unit now, -1 for none.
func (d *deal) owner(set []string, p int32) int {
	for _, topic := range set {
		if c, ok := d.owned[Unit{topic, p}]; ok {
			return c.member
		}
	}
	return -1
}

// best returns the member with the most state of a unit, -1 for none.
func (d *deal) best(u Unit) int {
	found, most := -1, int64(-1)
	for m, local := range d.local {
		if n, ok := local[u]; ok && n > most {
			found, most = m, n
		}
	}
	return found
}

// keep gives units that nobody has yet to the members that wanted names, as far as they may have more.
func (d *deal) keep(wanted func(*dealt) int) {
	for i := range d.units {
		u := &d.units[i]
		if u.member >= 0 {
			continue
		}
		if m := wanted(u); m >= 0 && d.room(m) {
			d.give(u, m)
		}
	}
}

// spread gives the other units to those who have the least of their set, and the least of all.
func (d *deal) spread() {
	for i := range d.units {
		u := &d.units[i]
		if u.member >= 0 {
			continue
		}
		to := -1
		for m := range d.count {
			if !d.room(m) {
				continue
			}
			if to < 0 || cmp.Or(cmp.Compare(d.inSet[m][u.set], d.inSet[to][u.set]), cmp.Compare(d.count[m], d.count[to])) < 0 {
				to = m
			}
		}
		d.give(u, to)
	}
}

func (d *deal) room(m int) bool {
	return d.count[m] < d.each || d.count[m] == d.each && d.further > 0
}

func (d *deal) give(u *dealt, m int) {
	if d.count[m] == d.each {
		d.further--
	}
	u.member = m
	d.count[m]++
	d.inSet[m][u.set]++
}

// maxPartitions is the number of tasks of a set: the partitions of its widest topic.
func maxPartitions(set []string, partitions map[string]int32) int32 {
	counts := make([]int32, 0, len(set)+1)
	counts = append(counts, 0)
	for _, topic := range set {
		counts = append(counts, partitions[topic])
	}
	return slices.Max(counts)
}

// userDataVersion is the first byte of the user data.
const userDataVersion = 1

// appendUserData encodes how often a member has joined, as a varint, and what state it has: for each unit the topic,
// length-prefixed, the partition and the amount, as varints.
func appendUserData(dst []byte, joins int64, local map[Unit]int64) []byte {
	dst = binary.AppendVarint(append(dst, userDataVersion), joins)
	units := slices.SortedFunc(maps.Keys(local), func(a, b Unit) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for _, u := range units {
		dst = binary.AppendUvarint(dst, uint64(len(u.Topic)))
		dst = append(dst, u.Topic...)
		dst = binary.AppendVarint(dst, int64(u.Partition))
		dst = binary.AppendVarint(dst, local[u])
	}
	return dst
}

// parseLocal reads what state a member has. What does not parse, it leaves out: where state lies is a hint.
func parseLocal(b []byte) map[Unit]int64 {
	local := make(map[Unit]int64)
	if len(b) == 0 || b[0] != userDataVersion {
		return local
	}
	_, n := binary.Varint(b[1:])
	if n <= 0 {
		return local
	}
	b = b[1+n:]
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return local
		}
		topic := string(b[n : n+int(size)])
		b = b[n+int(size):]
		p, n := binary.Varint(b)
		if n <= 0 {
			return local
		}
		b = b[n:]
		amount, n := binary.Varint(b)
		if n <= 0 {
			return local
		}
		b = b[n:]
		local[Unit{topic, int32(p)}] = amount
	}
	return local
}
