package broker

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/catalog"
)

// describedPartitions limits the partitions of one response
// (max.request.partition.size.limit).
const describedPartitions = 2000

// DescribeTopicPartitions: v0
//
// What Metadata says of topics, page by page: topics by name, in order, all if none
// is named, from the cursor on. A response holds up to ResponsePartitionLimit
// partitions, 2,000 at most, and says where the next one begins.
//
// Eligible leaders beyond the in-sync replicas do not exist with one broker.
func handleDescribeTopicPartitions(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.DescribeTopicPartitionsRequest)
	resp := r.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	from := kmsg.NewDescribeTopicPartitionsRequestCursor()
	if r.Cursor != nil {
		from = *r.Cursor
	}
	left := describedPartitions
	if r.ResponsePartitionLimit > 0 {
		left = min(left, int(r.ResponsePartitionLimit))
	}
	for _, name := range c.namedTopics(r) {
		if name < from.Topic {
			continue
		}
		first := 0
		if name == from.Topic {
			first = int(max(from.Partition, 0))
		}
		if left == 0 {
			resp.NextCursor = nextCursor(name, first)
			break
		}
		st, next := c.describeTopicPartitions(name, first, left)
		st.ErrorCode = b.metrics.failed(r.Key(), kerr.ErrorForCode(st.ErrorCode))
		resp.Topics = append(resp.Topics, st)
		left -= len(st.Partitions)
		if next > 0 {
			resp.NextCursor = nextCursor(name, next)
			break
		}
	}
	return resp, nil
}

func nextCursor(topic string, partition int) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = topic, int32(partition)
	return &c
}

// namedTopics are the names that a request asks for, sorted.
func (c *conn) namedTopics(r *kmsg.DescribeTopicPartitionsRequest) []string {
	var names []string
	for _, rt := range r.Topics {
		names = append(names, rt.Topic)
	}
	if len(names) == 0 {
		for _, t := range c.described() {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// describeTopicPartitions describes up to limit partitions of a topic from the first
// one on. It returns the one after them, or 0 if there is none.
func (c *conn) describeTopicPartitions(name string, first, limit int) (st kmsg.DescribeTopicPartitionsResponseTopic, next int) {
	st = kmsg.NewDescribeTopicPartitionsResponseTopic()
	st.Topic = &name
	st.AuthorizedOperations = noAuthorizedOperations
	st.Partitions = []kmsg.DescribeTopicPartitionsResponseTopicPartition{}
	b := c.b
	t, err := c.find(acl.Describe, false, [16]byte{}, name)
	if invalid := catalog.ValidateName(name); invalid != nil {
		err = invalid
	}
	if err != nil {
		st.ErrorCode = errorCode(err)
		return st, 0
	}
	st.TopicID, st.IsInternal = t.ID, t.Internal
	st.AuthorizedOperations = c.operations(acl.Topic, name)
	nodes := []int32{b.cfg.NodeID}
	for _, p := range t.partitions[min(first, len(t.partitions)):] {
		if len(st.Partitions) == limit {
			return st, int(p.index)
		}
		sp := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		sp.Partition, sp.LeaderID, sp.LeaderEpoch = p.index, b.cfg.NodeID, p.log.LeaderEpoch()
		sp.Replicas, sp.ISR = nodes, nodes
		sp.EligibleLeaderReplicas, sp.LastKnownELR, sp.OfflineReplicas = []int32{}, []int32{}, []int32{}
		st.Partitions = append(st.Partitions, sp)
	}
	return st, 0
}
