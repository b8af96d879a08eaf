package broker

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/group"
)

// OffsetFetch: v1-10
//
//   - v2: null topics: all of them; an error code for the whole response
//   - v3: throttle time
//   - v5: leader epoch
//   - v6: flexible
//   - v7: RequireStable (KIP-447): an offset that a transaction may change is
//     answered with UNSTABLE_OFFSET_COMMIT
//   - v8: many groups (KIP-709)
//   - v9: member id and epoch, which fence members of the consumer protocol (KIP-848)
//   - v10: topic ids (KIP-848)
//
// A partition without a committed offset, also of a group that is not there, has
// offset -1 and no error.
func handleOffsetFetch(b *Broker, _ context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.OffsetFetchRequest)
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version >= 8 {
		for _, rg := range distinct(req.Groups, offsetGroup) {
			resp.Groups = append(resp.Groups, c.fetchOffsets(req.Version, rg, req.RequireStable))
		}
		return resp, nil
	}
	// Older versions are the newer ones with one group and other types.
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group = req.Group
	if req.Topics != nil || req.Version < 2 {
		rg.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetFetchRequestGroupTopic()
		rt.Topic, rt.Partitions = t.Topic, t.Partitions
		rg.Topics = append(rg.Topics, rt)
	}
	fetched := c.fetchOffsets(req.Version, rg, req.RequireStable)
	resp.ErrorCode = fetched.ErrorCode
	for _, t := range fetched.Topics {
		st := kmsg.NewOffsetFetchResponseTopic()
		st.Topic = t.Topic
		for _, p := range t.Partitions {
			sp := kmsg.NewOffsetFetchResponseTopicPartition()
			sp.Partition, sp.Offset, sp.LeaderEpoch = p.Partition, p.Offset, p.LeaderEpoch
			sp.Metadata, sp.ErrorCode = p.Metadata, p.ErrorCode
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

func offsetGroup(rg kmsg.OffsetFetchRequestGroup) string { return rg.Group }

// fetchOffsets answers for one group.
func (c *conn) fetchOffsets(version int16, rg kmsg.OffsetFetchRequestGroup, stable bool) kmsg.OffsetFetchResponseGroup {
	sg := kmsg.NewOffsetFetchResponseGroup()
	sg.Group = rg.Group
	b := c.b
	fetch := func(g *group.Group) {
		switch {
		case rg.Topics != nil:
			for _, rt := range rg.Topics {
				sg.Topics = append(sg.Topics, c.fetchTopic(version, g, rt, stable))
			}
		case g != nil:
			for _, topic := range g.Topics() {
				if !c.may(acl.Describe, acl.Topic, topic) {
					continue
				}
				if st := b.fetchWholeTopic(g, topic, stable); len(st.Partitions) > 0 {
					sg.Topics = append(sg.Topics, st)
				}
			}
		}
	}
	err := c.authorize(acl.Describe, acl.Group, rg.Group)
	if err == nil {
		err = b.groups.view(rg.Group, func(g *coordinated) error {
			if err := g.checkFetch(orEmpty(rg.MemberID), rg.MemberEpoch); err != nil {
				return err
			}
			fetch(g.mu.Group)
			return nil
		})
	}
	if errors.Is(err, errNoGroup) {
		fetch(nil)
		return sg
	}
	if err == nil {
		return sg
	}
	if sg.ErrorCode = b.metrics.failed(int16(kmsg.OffsetFetch), err); version < 2 {
		fetch(nil) // v1 has no place for an error but the partitions
		for i := range sg.Topics {
			for j := range sg.Topics[i].Partitions {
				sg.Topics[i].Partitions[j].ErrorCode = sg.ErrorCode
			}
		}
	}
	return sg
}

// fetchTopic answers for the partitions that a request names; g may be nil.
func (c *conn) fetchTopic(version int16, g *group.Group, rt kmsg.OffsetFetchRequestGroupTopic, stable bool) kmsg.OffsetFetchResponseGroupTopic {
	st := kmsg.NewOffsetFetchResponseGroupTopic()
	st.Topic, st.TopicID = rt.Topic, rt.TopicID
	b := c.b
	name, err := rt.Topic, c.authorize(acl.Describe, acl.Topic, rt.Topic)
	if version >= 10 {
		var t *topic
		if t, err = c.find(acl.Describe, true, rt.TopicID, ""); err == nil {
			name = t.Name
		}
	}
	code := b.metrics.failed(int16(kmsg.OffsetFetch), err)
	for _, partition := range rt.Partitions {
		var committed group.Committed
		found := false
		if code == 0 && stable && g != nil && g.HasPending(name, partition) {
			st.Partitions = append(st.Partitions, b.unstablePartition(partition))
			continue
		}
		if g != nil && code == 0 {
			committed, found = b.groups.committed(g, name, partition)
		}
		sp := fetchedPartition(partition, committed, found)
		sp.ErrorCode = code
		st.Partitions = append(st.Partitions, sp)
	}
	return st
}

// fetchWholeTopic answers with all that is committed for a topic.
func (b *Broker) fetchWholeTopic(g *group.Group, name string, stable bool) kmsg.OffsetFetchResponseGroupTopic {
	st := kmsg.NewOffsetFetchResponseGroupTopic()
	st.Topic = name
	if t, ok := b.topics.lookup(name); ok {
		st.TopicID = t.ID
	}
	for partition := range g.Partitions(name) {
		if stable && g.HasPending(name, partition) {
			st.Partitions = append(st.Partitions, b.unstablePartition(partition))
			continue
		}
		if c, ok := b.groups.committed(g, name, partition); ok {
			st.Partitions = append(st.Partitions, fetchedPartition(partition, c, true))
		}
	}
	return st
}

// unstablePartition says that a transaction may change the offset: the client comes
// again.
func (b *Broker) unstablePartition(partition int32) kmsg.OffsetFetchResponseGroupTopicPartition {
	sp := fetchedPartition(partition, group.Committed{}, false)
	sp.ErrorCode = b.metrics.failed(int16(kmsg.OffsetFetch), kerr.UnstableOffsetCommit)
	return sp
}

func fetchedPartition(partition int32, c group.Committed, found bool) kmsg.OffsetFetchResponseGroupTopicPartition {
	sp := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	sp.Partition, sp.Offset, sp.LeaderEpoch = partition, -1, -1
	if found {
		sp.Offset, sp.LeaderEpoch = c.Offset, c.LeaderEpoch
	}
	sp.Metadata = &c.Metadata
	return sp
}
