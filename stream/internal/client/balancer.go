package client

import (
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

// Held is what an instance has of the state of a unit.
type Held struct {
	// Position is how far the data are in the changelogs: the sum of the offsets of all stores.
	Position int64
	// Lag is how many records the changelogs held beyond that when they were last read: 0 where the tasks run, -1 where
	// the data lie still, so that nobody knows.
	Lag int64
}

// Standbys says how copies of the state of units are dealt out.
type Standbys struct {
	// Count is how many members keep a copy of the state of each unit, beside the one that has the unit.
	Count int
	// AcceptableLag is how many changelog records a member may lack to be given a unit that another one could go on with.
	// Above it the member is given a copy to warm up, and the unit later.
	AcceptableLag int64
	// MaxWarmups bounds the copies in the group that are being warmed up at a time.
	MaxWarmups int
}

// Standby is a copy of the state of a unit that a member is to keep. WarmUp says that it waits to be given the unit.
type Standby struct {
	Unit
	WarmUp bool
}

// balancer deals out the partitions of a group by task: partition p of every topic of one co-partitioned set
// goes to the same member. It is cooperative: what a member keeps, it goes on with during the rebalance. See deal for the
// rules. It is deterministic: the same members, with the same claims, and topics give the same plan.
type balancer struct {
	sets     [][]string // co-partitioned sets of topics, in the order of the sub-topologies
	stateful []bool     // by set; nil is none
	standbys Standbys
	// held returns what state this member has. Nil is none.
	held func() map[Unit]Held
	// joining and given are told when the member joins, and which copies it is to keep. Either may be nil.
	joining func()
	given   func([]Standby)
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
	var held map[Unit]Held
	if b.held != nil {
		held = b.held()
	}
	var joins int64
	if b.joins != nil {
		joins = b.joins.Add(1)
	}
	if b.joining != nil {
		b.joining()
	}
	meta.UserData = appendHeld(nil, joins, held)
	return meta.AppendTo(nil)
}

// ParseSyncAssignment implements kgo.GroupBalancer. The copies to keep are in the user data.
func (b balancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	partitions, err := kgo.ParseConsumerSyncAssignment(assignment)
	if err != nil {
		return nil, err
	}
	var parsed kmsg.ConsumerMemberAssignment
	if err := parsed.ReadFrom(assignment); err != nil {
		return nil, err
	}
	if b.given != nil {
		b.given(parseStandbys(parsed.UserData))
	}
	return partitions, nil
}

// MemberBalancer implements kgo.GroupBalancer.
func (b balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	cb, err := kgo.NewConsumerBalancer(b, members)
	return cb, cb.MemberTopics(), err
}

// Balance implements kgo.ConsumerBalancerBalance.
func (b balancer) Balance(cb *kgo.ConsumerBalancer, partitions map[string]int32) kgo.IntoSyncAssignment {
	d := newDeal(cb, b.standbys)
	for i, set := range b.sets {
		for p := range maxPartitions(set, partitions) {
			d.add(Unit{set[0], p}, i, d.ownerOf(set, p), i < len(b.stateful) && b.stateful[i])
		}
	}
	d.run()

	plan := cb.NewPlan()
	members := cb.Members()
	for _, u := range d.units {
		for _, topic := range b.sets[u.set] {
			if u.Partition < partitions[topic] {
				plan.AddPartition(&members[u.active], topic, u.Partition)
			}
		}
	}
	plan.AdjustCooperative(cb)
	given := make(map[string][]Standby)
	for _, u := range d.units {
		topics := plan.AsMemberIDMap()[members[u.active].MemberID]
		withheld := !slices.ContainsFunc(b.sets[u.set], func(topic string) bool { return slices.Contains(topics[topic], u.Partition) })
		if withheld && u.stateful {
			// Its owner has to give it up before. Until then whoever gets it follows.
			u.standbys = append(u.standbys, u.active)
		}
		for _, m := range u.standbys {
			id := members[m].MemberID
			given[id] = append(given[id], Standby{Unit: u.Unit, WarmUp: m == u.warmUp})
		}
	}
	return assignment{plan, given}
}

// assignment is a plan with the copies that each member is to keep.
type assignment struct {
	plan  *kgo.BalancePlan
	given map[string][]Standby
}

// IntoSyncAssignment implements kgo.IntoSyncAssignment.
func (a assignment) IntoSyncAssignment() []kmsg.SyncGroupRequestGroupAssignment {
	all := a.plan.IntoSyncAssignment()
	for i := range all {
		var parsed kmsg.ConsumerMemberAssignment
		if given := a.given[all[i].MemberID]; len(given) > 0 && parsed.ReadFrom(all[i].MemberAssignment) == nil {
			parsed.UserData = appendStandbys(nil, given)
			all[i].MemberAssignment = parsed.AppendTo(nil)
		}
	}
	return all
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
