package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/group/consumer"
)

// ConsumerGroupDescribe: v0-1
//
//   - v1: the protocol that a member speaks, which here is always the consumer's
//     (KIP-1099)
//
// A classic group is GROUP_ID_NOT_FOUND: DescribeGroups shows it. Partitions of topics
// that are gone are left out. A group with a topic that the client may not describe is
// TOPIC_AUTHORIZATION_FAILED.
func handleConsumerGroupDescribe(b *Broker, _ context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ConsumerGroupDescribeRequest)
	resp := req.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
	for _, id := range distinct(req.Groups, itself) {
		sg := kmsg.NewConsumerGroupDescribeResponseGroup()
		sg.Group = id
		err := c.authorize(acl.Describe, acl.Group, id)
		if err == nil {
			err = b.groups.view(id, func(g *coordinated) error {
				if g.mu.consumer == nil {
					return g.isNot(groupTypeConsumer)
				}
				b.describeConsumers(&sg, g.mu.consumer.Describe())
				return c.authorizeMembers(&sg)
			})
		}
		if id == "" {
			err = kerr.InvalidGroupID
		}
		if err != nil {
			sg = kmsg.NewConsumerGroupDescribeResponseGroup()
			sg.Group = id
		}
		sg.ErrorCode, sg.ErrorMessage = b.metrics.failed(req.Key(), err), errorMessage(err)
		if req.IncludeAuthorizedOperations && err == nil {
			sg.AuthorizedOperations = c.operations(acl.Group, id)
		}
		resp.Groups = append(resp.Groups, sg)
	}
	return resp, nil
}

// authorizeMembers says why the client may not see what the members of a group have.
func (c *conn) authorizeMembers(sg *kmsg.ConsumerGroupDescribeResponseGroup) error {
	for _, m := range sg.Members {
		for _, topics := range [][]kmsg.AssignmentTopicPartition{m.Assignment.TopicPartitions, m.TargetAssignment.TopicPartitions} {
			for _, t := range topics {
				if err := c.authorize(acl.Describe, acl.Topic, t.Topic); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// memberTypeConsumer is a member of the consumer protocol.
const memberTypeConsumer = 1

func (b *Broker) describeConsumers(sg *kmsg.ConsumerGroupDescribeResponseGroup, d consumer.Description) {
	sg.State, sg.Epoch, sg.AssignmentEpoch, sg.AssignorName = d.State.String(), d.Epoch, d.TargetEpoch, d.Assignor
	for _, m := range d.Members {
		sm := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		sm.MemberID, sm.MemberEpoch, sm.MemberType = m.ID, m.Epoch, memberTypeConsumer
		sm.InstanceID, sm.RackID = orNull(m.InstanceID), orNull(m.RackID)
		sm.ClientID, sm.ClientHost = m.ClientID, m.ClientHost
		sm.SubscribedTopics, sm.SubscribedTopicRegex = append([]string{}, m.Topics...), orNull(m.Regex)
		sm.Assignment, sm.TargetAssignment = b.describeAssignment(m.Assigned), b.describeAssignment(m.Target)
		sg.Members = append(sg.Members, sm)
	}
}

func (b *Broker) describeAssignment(ordered []consumer.Partition) kmsg.Assignment {
	a := kmsg.NewAssignment()
	a.TopicPartitions = []kmsg.AssignmentTopicPartition{}
	for _, p := range ordered {
		last := len(a.TopicPartitions) - 1
		if last < 0 || a.TopicPartitions[last].TopicID != p.Topic {
			t, ok := b.topics.lookupID(p.Topic)
			if !ok {
				continue
			}
			st := kmsg.NewAssignmentTopicPartition()
			st.TopicID, st.Topic = p.Topic, t.Name
			a.TopicPartitions, last = append(a.TopicPartitions, st), last+1
		}
		a.TopicPartitions[last].Partitions = append(a.TopicPartitions[last].Partitions, p.Index)
	}
	return a
}
