package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/group"
)

// OffsetDelete: v0
//
// Offsets of topics that a member subscribes to stay (GROUP_SUBSCRIBED_TO_TOPIC). A
// group with members that are not consumers keeps all (NON_EMPTY_GROUP). Deleting
// what is not there is no error (KIP-496).
func handleOffsetDelete(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.OffsetDeleteRequest)
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	var deletions []offsetDeletion
	for _, rt := range req.Topics {
		_, err := c.find(acl.Read, false, [16]byte{}, rt.Topic)
		for _, rp := range rt.Partitions {
			deletions = append(deletions, offsetDeletion{group.Place{Topic: rt.Topic, Partition: rp.Partition}, err})
		}
	}
	err := c.authorize(acl.Delete, acl.Group, req.Group)
	if err == nil {
		err = b.groups.deleteOffsets(ctx, req.Group, deletions)
	}
	if resp.ErrorCode = b.metrics.failed(req.Key(), err); err != nil {
		return resp, nil
	}
	for _, rt := range req.Topics {
		st := kmsg.NewOffsetDeleteResponseTopic()
		st.Topic = rt.Topic
		for range rt.Partitions {
			sp := kmsg.NewOffsetDeleteResponseTopicPartition()
			sp.Partition, sp.ErrorCode = deletions[0].Partition, b.metrics.failed(req.Key(), deletions[0].err)
			deletions = deletions[1:]
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}
