package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/group/consumer"
)

// ConsumerGroupHeartbeat: v0-1
//
//   - v1: subscriptions by regular expression; the client draws its member id
//     (KIP-1082)
//
// A group with members of the classic protocol is not one of consumers
// (GROUP_ID_NOT_FOUND): online migration is not there. Without members it becomes
// one. Regular expressions are those of RE2, at most 1,024 bytes long. As in Kafka, one
// matches the topics that the client whose heartbeat resolves it may describe, for all
// members that have the same.
func handleConsumerGroupHeartbeat(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ConsumerGroupHeartbeatRequest)
	resp := req.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
	resp.HeartbeatIntervalMillis = int32(b.groupConfig(b.catalog.GroupConfigs(req.Group)).heartbeatInterval.Milliseconds())
	r, err := consumerHeartbeat(c, req)
	if err == nil {
		err = c.authorizeSubscription(req)
	}
	var reply consumer.Reply
	if err == nil {
		reply, err = b.groups.consumerHeartbeat(ctx, req.Group, r, clusterTopics{b.topics, func(name string) bool {
			return c.may(acl.Describe, acl.Topic, name)
		}})
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = b.metrics.failed(req.Key(), err), errorMessage(err)
		return resp, nil
	}
	resp.MemberID, resp.MemberEpoch = &reply.MemberID, reply.Epoch
	if reply.Assignment != nil {
		resp.Assignment = &kmsg.ConsumerGroupHeartbeatResponseAssignment{Topics: []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{}}
		for _, p := range reply.Assignment {
			last := len(resp.Assignment.Topics) - 1
			if last < 0 || resp.Assignment.Topics[last].TopicID != p.Topic {
				st := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
				st.TopicID = p.Topic
				resp.Assignment.Topics, last = append(resp.Assignment.Topics, st), last+1
			}
			resp.Assignment.Topics[last].Partitions = append(resp.Assignment.Topics[last].Partitions, p.Index)
		}
	}
	return resp, nil
}

// authorizeSubscription says why the client may not be a member of the group, or
// subscribe to one of the topics.
func (c *conn) authorizeSubscription(req *kmsg.ConsumerGroupHeartbeatRequest) error {
	if err := c.authorize(acl.Read, acl.Group, req.Group); err != nil {
		return err
	}
	for _, name := range req.SubscribedTopicNames {
		if err := c.authorize(acl.Describe, acl.Topic, name); err != nil {
			return err
		}
	}
	return nil
}

// consumerHeartbeat is the request as package consumer has it.
func consumerHeartbeat(c *conn, req *kmsg.ConsumerGroupHeartbeatRequest) (consumer.Request, error) {
	empty := func(s *string) bool { return s != nil && *s == "" }
	switch {
	case req.Group == "":
		return consumer.Request{}, kerr.InvalidGroupID
	case empty(req.InstanceID) || empty(req.RackID):
		return consumer.Request{}, kerr.InvalidRequest // null is what says that there is none
	}
	r := consumer.Request{
		MemberID: req.MemberID, Epoch: req.MemberEpoch, InstanceID: orEmpty(req.InstanceID),
		ClientID: c.clientID(), ClientHost: c.clientHost(),
		RackID: req.RackID, RebalanceTimeout: time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond,
		Topics: req.SubscribedTopicNames, Regex: req.SubscribedTopicRegex, Assignor: req.ServerAssignor,
	}
	if req.Version == 0 && r.MemberID == "" && r.Epoch == consumer.JoinEpoch {
		r.MemberID = newMemberID(r.ClientID, "")
	}
	if req.Topics != nil {
		r.Owned = map[consumer.Partition]struct{}{}
		for _, t := range req.Topics {
			for _, index := range t.Partitions {
				r.Owned[consumer.Partition{Topic: t.TopicID, Index: index}] = struct{}{}
			}
		}
	}
	return r, nil
}
