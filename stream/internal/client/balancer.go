package client

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// protocolName is what the members of a group must agree on. Another client in the same group, with another
// way of dealing out partitions, is refused by the coordinator.
const protocolName = "riffle"

// balancer deals out the partitions of a group by task: partition p of every topic of one co-partitioned set
// goes to the same member. It is eager and deterministic: the same members and topics give the same plan.
type balancer struct {
	sets [][]string // co-partitioned sets of topics, in the order of the sub-topologies
}

// ProtocolName implements kgo.GroupBalancer.
func (balancer) ProtocolName() string { return protocolName }

// IsCooperative implements kgo.GroupBalancer.
func (balancer) IsCooperative() bool { return false }

// JoinGroupMetadata implements kgo.GroupBalancer.
func (balancer) JoinGroupMetadata(topics []string, _ map[string][]int32, _ int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 0
	meta.Topics = topics
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
	plan := cb.NewPlan()
	members := cb.Members()
	next := 0
	for _, set := range b.sets {
		for p := range maxPartitions(set, partitions) {
			member := &members[next%len(members)]
			next++
			for _, topic := range set {
				if p < partitions[topic] {
					plan.AddPartition(member, topic, p)
				}
			}
		}
	}
	return plan
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
