package broker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// deleteGroup is the answer to DeleteGroups.
func (r *raw) deleteGroup(version int16, group string) int16 {
	r.t.Helper()
	req := at(version, kmsg.NewPtrDeleteGroupsRequest())
	req.Groups = []string{group}
	sg := do[*kmsg.DeleteGroupsResponse](r, req).Groups[0]
	if told := sg.ErrorMessage != nil; told != (version >= 3 && sg.ErrorCode != 0) {
		r.t.Errorf("DeleteGroups v%d: error %d with the message %s", version, sg.ErrorCode, text(sg.ErrorMessage))
	}
	return sg.ErrorCode
}

// deleteOffset is the answer to OffsetDelete of partition 0: the group's error or, if it
// has none, the partition's.
func (r *raw) deleteOffset(group, topic string) int16 {
	r.t.Helper()
	req := at(0, kmsg.NewPtrOffsetDeleteRequest())
	req.Group = group
	rt := kmsg.NewOffsetDeleteRequestTopic()
	rt.Topic = topic
	rt.Partitions = []kmsg.OffsetDeleteRequestTopicPartition{kmsg.NewOffsetDeleteRequestTopicPartition()}
	req.Topics = append(req.Topics, rt)
	resp := do[*kmsg.OffsetDeleteResponse](r, req)
	if resp.ErrorCode != 0 {
		return resp.ErrorCode
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

// Assertion 41: a group with members stays, one without goes with its offsets, for good.
func TestDeleteGroups(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys))
		id := r.create("orders", 1)
		for version := int16(0); version <= 3; version++ {
			wantCode(t, "DeleteGroups of no group", r.deleteGroup(version, "g"), kerr.GroupIDNotFound)
			wantCode(t, "DeleteGroups without a name", r.deleteGroup(version, ""), kerr.InvalidGroupID)
			c := &groupClient{raw: r, group: "g", version: 9}
			c.join()
			c.sync(c.memberID)
			wantCode(t, "commit", c.commit(9, "orders", id, 7, ""), nil)
			wantCode(t, "DeleteGroups of a group with a member", r.deleteGroup(version, "g"), kerr.NonEmptyGroup)
			wantCode(t, "LeaveGroup", c.leave(), nil)
			wantCode(t, "DeleteGroups", r.deleteGroup(version, "g"), nil)
			if got := r.fetchOffset(9, "g", "orders", id); got != none {
				t.Errorf("v%d: the deleted group has the offset %+v", version, got)
			}
			wantCode(t, "DescribeGroups", r.describe(6, "g").ErrorCode, kerr.GroupIDNotFound)
		}
		brokertest.Stop(t, r.b)
		r = start(brokertest.FS(fsys))
		waitFor(t, "the groups to be loaded", func() bool {
			return r.fetchOffset(9, "g", "orders", id).Code != kerr.CoordinatorLoadInProgress.Code
		})
		wantCode(t, "DescribeGroups after a restart", r.describe(6, "g").ErrorCode, kerr.GroupIDNotFound)
	})
}

// Assertion 41: offsets of topics that a member reads stay.
func TestOffsetDelete(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		ids := map[string][16]byte{"orders": r.create("orders", 1), "payments": r.create("payments", 1)}
		c := &groupClient{raw: r, group: "g", version: 9, topics: []string{"orders"}}
		wantCode(t, "OffsetDelete of no group", r.deleteOffset("g", "orders"), kerr.GroupIDNotFound)
		c.join()
		c.sync(c.memberID)
		for topic, id := range ids {
			wantCode(t, "commit", c.commit(9, topic, id, 7, ""), nil)
		}
		wantCode(t, "OffsetDelete of a topic that is read", r.deleteOffset("g", "orders"), kerr.GroupSubscribedToTopic)
		wantCode(t, "OffsetDelete of another topic", r.deleteOffset("g", "payments"), nil)
		wantCode(t, "OffsetDelete of it again", r.deleteOffset("g", "payments"), nil)
		wantCode(t, "OffsetDelete of no topic", r.deleteOffset("g", "nothing"), kerr.UnknownTopicOrPartition)
		if got := r.fetchOffset(9, "g", "orders", ids["orders"]); got.Offset != 7 {
			t.Errorf("the topic that is read has the offset %+v", got)
		}
		if got := r.fetchOffset(9, "g", "payments", ids["payments"]); got != none {
			t.Errorf("the other topic has the offset %+v", got)
		}
		wantCode(t, "LeaveGroup", c.leave(), nil)
		wantCode(t, "OffsetDelete when all have left", r.deleteOffset("g", "orders"), nil)
		if got := r.fetchOffset(9, "g", "orders", ids["orders"]); got != none {
			t.Errorf("the offset is %+v after it was deleted", got)
		}

		// Of a member that is no consumer it is not known what it reads.
		other := &groupClient{raw: r, group: "connect", version: 9}
		req := other.joinRequest()
		req.ProtocolType = "connect"
		other.memberID = do[*kmsg.JoinGroupResponse](r, req).MemberID
		req.MemberID = other.memberID
		other.joined(do[*kmsg.JoinGroupResponse](r, req))
		wantCode(t, "OffsetDelete of a group of connectors", r.deleteOffset("connect", "orders"), kerr.NonEmptyGroup)
	})
}

// Assertion 47: offsets expire when nobody reads the topic and the group has been empty
// for the retention; with them goes the group.
func TestOffsetsExpire(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		expiry := brokertest.With(func(c *broker.Config) {
			c.Group.OffsetsRetention, c.Group.OffsetsCheckInterval = time.Millisecond, time.Millisecond
		})
		r := start(brokertest.FS(fsys), expiry)
		id, other := r.create("orders", 1), r.create("payments", 1)
		c := &groupClient{raw: r, group: "g", version: 9, topics: []string{"orders"}}
		c.join()
		c.sync(c.memberID)
		wantCode(t, "commit", c.commit(9, "orders", id, 7, ""), nil)
		wantCode(t, "commit", c.commit(9, "payments", other, 8, ""), nil)
		waitFor(t, "the offset of a topic that nobody reads to expire", func() bool {
			return r.fetchOffset(9, "g", "payments", other) == none
		})
		if got := r.fetchOffset(9, "g", "orders", id); got.Offset != 7 {
			t.Errorf("the offset of a topic that is read is %+v, want 7", got)
		}
		wantCode(t, "LeaveGroup", c.leave(), nil)
		waitFor(t, "the group to expire", func() bool { return r.describe(6, "g").ErrorCode == kerr.GroupIDNotFound.Code })
		brokertest.Stop(t, r.b)
		r = start(brokertest.FS(fsys))
		waitFor(t, "the groups to be loaded", func() bool {
			return r.fetchOffset(9, "g", "orders", id).Code != kerr.CoordinatorLoadInProgress.Code
		})
		if got := r.fetchOffset(9, "g", "orders", id); got != none {
			t.Errorf("the offset is %+v after a restart", got)
		}
	})
}
