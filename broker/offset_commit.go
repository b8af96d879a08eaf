package broker

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/group"
)

// OffsetCommit: v2-10
//
//   - v2 to v4: retention time, which is ignored, as Kafka does since 2.1
//   - v3: throttle time
//   - v6: leader epoch
//   - v7: instance id (KIP-345)
//   - v8: flexible
//   - v9: GROUP_ID_NOT_FOUND for a group that is not there (before:
//     ILLEGAL_GENERATION); the generation may be a member epoch (KIP-848): members of
//     the consumer protocol cannot commit by older versions
//   - v10: topic ids (KIP-848)
//
// It is answered when the offsets are as durable as __consumer_offsets is. The
// number of a partition is checked, which Kafka does not do.
func handleOffsetCommit(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.OffsetCommitRequest)
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)

	var offsets []offsetCommit
	for _, rt := range req.Topics {
		t, err := c.find(acl.Read, req.Version >= 10, rt.TopicID, rt.Topic)
		for _, rp := range rt.Partitions {
			offsets = append(offsets, newOffsetCommit(t, err, rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata))
		}
	}
	r := group.CommitRequest{
		MemberID: req.MemberID, InstanceID: orEmpty(req.InstanceID), Generation: req.Generation,
		KnowsEpochs: req.Version >= 9,
	}
	err := c.authorize(acl.Read, acl.Group, req.Group)
	if err == nil && !allFailed(offsets) {
		err = b.groups.commit(ctx, req.Group, r, offsets)
	}
	if errors.Is(err, errNoGroup) && req.Version < 9 {
		err = kerr.IllegalGeneration
	}

	for _, rt := range req.Topics {
		st := kmsg.NewOffsetCommitResponseTopic()
		st.Topic, st.TopicID = rt.Topic, rt.TopicID
		for _, rp := range rt.Partitions {
			sp := kmsg.NewOffsetCommitResponseTopicPartition()
			sp.Partition = rp.Partition
			own := offsets[0].err
			if own == nil {
				own = err
			}
			sp.ErrorCode = b.metrics.failed(req.Key(), own)
			offsets = offsets[1:]
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

// allFailed reports whether nothing is left to commit: the group is not touched then.
func allFailed(offsets []offsetCommit) bool {
	return len(offsets) > 0 && !slices.ContainsFunc(offsets, func(o offsetCommit) bool { return o.err == nil })
}

// newOffsetCommit is one partition of a request that commits offsets, in a
// transaction or not. The error is that of finding its topic.
func newOffsetCommit(t *topic, err error, partition int32, offset int64, leaderEpoch int32, metadata *string) offsetCommit {
	if err == nil {
		_, err = t.partition(partition)
	}
	return offsetCommit{
		topic:     t,
		partition: partition,
		committed: group.Committed{Offset: offset, LeaderEpoch: leaderEpoch, Metadata: orEmpty(metadata)},
		err:       err,
	}
}
