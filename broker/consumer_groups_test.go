package broker_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// consumerClient speaks the consumer protocol for one member.
type consumerClient struct {
	*raw
	version         int16
	group, memberID string
	instance        *string
	epoch           int32
	owned           map[[16]byte][]int32
	assigned        map[[16]byte][]int32 // told last
}

func (r *raw) consumer(group, memberID string) *consumerClient {
	return &consumerClient{raw: r, version: 1, group: group, memberID: memberID, owned: map[[16]byte][]int32{}}
}

// request is a heartbeat that says what the member owns.
func (c *consumerClient) request() *kmsg.ConsumerGroupHeartbeatRequest {
	req := at(c.version, kmsg.NewPtrConsumerGroupHeartbeatRequest())
	req.Group, req.MemberID, req.MemberEpoch, req.InstanceID = c.group, c.memberID, c.epoch, c.instance
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for id, partitions := range c.owned {
		rt := kmsg.NewConsumerGroupHeartbeatRequestTopic()
		rt.TopicID, rt.Partitions = id, partitions
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func (c *consumerClient) joinRequest(topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	c.epoch, c.owned = 0, map[[16]byte][]int32{}
	req := c.request()
	req.SubscribedTopicNames, req.RebalanceTimeoutMillis = append([]string{}, topics...), 30_000
	return req
}

// heartbeat sends one and takes over what it is told; what it is not assigned any more it
// goes on owning until it calls revoke.
func (c *consumerClient) heartbeat(req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	c.t.Helper()
	resp := do[*kmsg.ConsumerGroupHeartbeatResponse](c.raw, req)
	if told := resp.ErrorMessage != nil; told != (resp.ErrorCode != 0) {
		c.t.Errorf("heartbeat: error %d with the message %s", resp.ErrorCode, text(resp.ErrorMessage))
	}
	if resp.ErrorCode != 0 {
		return resp
	}
	c.memberID, c.epoch = *resp.MemberID, resp.MemberEpoch
	if resp.Assignment != nil {
		c.assigned = map[[16]byte][]int32{}
		for _, t := range resp.Assignment.Topics {
			c.assigned[t.TopicID] = t.Partitions
			for _, p := range t.Partitions {
				if !slices.Contains(c.owned[t.TopicID], p) {
					c.owned[t.TopicID] = append(c.owned[t.TopicID], p)
				}
			}
		}
	}
	return resp
}

// beat heartbeats without a mistake.
func (c *consumerClient) beat() *kmsg.ConsumerGroupHeartbeatResponse {
	c.t.Helper()
	resp := c.heartbeat(c.request())
	wantCode(c.t, "ConsumerGroupHeartbeat", resp.ErrorCode, nil)
	return resp
}

func (c *consumerClient) join(topics ...string) {
	c.t.Helper()
	wantCode(c.t, "joining ConsumerGroupHeartbeat", c.heartbeat(c.joinRequest(topics...)).ErrorCode, nil)
}

// revoke gives up what is not assigned any more and says so.
func (c *consumerClient) revoke() {
	c.t.Helper()
	c.owned = maps.Clone(c.assigned)
	c.beat()
}

// leave says farewell with an epoch of -1 or -2.
func (c *consumerClient) leave(epoch int32) int16 {
	c.t.Helper()
	req := c.request()
	req.MemberEpoch, req.Topics = epoch, nil
	resp := do[*kmsg.ConsumerGroupHeartbeatResponse](c.raw, req)
	if resp.ErrorCode == 0 && resp.MemberEpoch != epoch {
		c.t.Errorf("left with epoch %d, answered with %d", epoch, resp.MemberEpoch)
	}
	return resp.ErrorCode
}

// wantOwned checks what the member may use of a topic.
func (c *consumerClient) wantOwned(id [16]byte, want ...int32) {
	c.t.Helper()
	got := slices.Sorted(slices.Values(c.owned[id]))
	if !slices.Equal(got, want) {
		c.t.Errorf("%s in epoch %d owns %v, want %v", c.memberID, c.epoch, got, want)
	}
}

func (r *raw) describeConsumers(version int16, group string) kmsg.ConsumerGroupDescribeResponseGroup {
	r.t.Helper()
	req := at(version, kmsg.NewPtrConsumerGroupDescribeRequest())
	req.Groups = []string{group}
	return do[*kmsg.ConsumerGroupDescribeResponse](r, req).Groups[0]
}

// commit commits an offset of a partition at a version that has names.
func (c *consumerClient) commit(version int16, epoch int32, topic string, partition int32, offset int64) int16 {
	c.t.Helper()
	req := at(version, kmsg.NewPtrOffsetCommitRequest())
	req.Group, req.MemberID, req.Generation = c.group, c.memberID, epoch
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Partition, rp.Offset = partition, offset
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return do[*kmsg.OffsetCommitResponse](c.raw, req).Topics[0].Partitions[0].ErrorCode
}

// fetchAs reads the offset of partition 0 as a member.
func (c *consumerClient) fetchAs(memberID *string, epoch int32, topic string) (offset int64, code int16) {
	c.t.Helper()
	req := at(9, kmsg.NewPtrOffsetFetchRequest())
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group, rg.MemberID, rg.MemberEpoch = c.group, memberID, epoch
	rt := kmsg.NewOffsetFetchRequestGroupTopic()
	rt.Topic, rt.Partitions = topic, []int32{0}
	rg.Topics = append(rg.Topics, rt)
	req.Groups = append(req.Groups, rg)
	sg := do[*kmsg.OffsetFetchResponse](c.raw, req).Groups[0]
	if sg.ErrorCode != 0 {
		return -1, sg.ErrorCode
	}
	return sg.Topics[0].Partitions[0].Offset, sg.Topics[0].Partitions[0].ErrorCode
}

// The feature is what clients go by.
func TestGroupVersionIsFinalized(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		req := at(3, kmsg.NewPtrApiVersionsRequest())
		req.ClientSoftwareName, req.ClientSoftwareVersion = "raw", "1"
		resp := do[*kmsg.ApiVersionsResponse](start(), req)
		if !slices.ContainsFunc(resp.FinalizedFeatures, func(f kmsg.ApiVersionsResponseFinalizedFeature) bool {
			return f.Name == "group.version" && f.MaxVersionLevel == 1
		}) || resp.FinalizedFeaturesEpoch < 0 {
			t.Errorf("finalized features: %+v of epoch %d", resp.FinalizedFeatures, resp.FinalizedFeaturesEpoch)
		}
	})
}

func TestConsumerGroup(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		for version := int16(0); version <= 1; version++ {
			r := start()
			id := r.create("orders", 4)
			first, second := r.consumer("g", "m1"), r.consumer("g", "m2")
			first.version, second.version = version, version
			if version == 0 {
				first.memberID = "" // the coordinator draws it
			}
			first.join("orders")
			first.wantOwned(id, 0, 1, 2, 3)
			second.join("orders")
			second.wantOwned(id)
			first.beat()
			if d := r.describeConsumers(version, "g"); d.State != "Reconciling" || d.Epoch != 2 || d.AssignmentEpoch != 2 || len(d.Members) != 2 {
				t.Errorf("ConsumerGroupDescribe = %+v", d)
			}
			second.beat()
			second.wantOwned(id) // the first has not given up anything
			first.revoke()
			first.wantOwned(id, 0, 1)
			resp := second.beat()
			second.wantOwned(id, 2, 3)
			if resp.HeartbeatIntervalMillis != 5000 {
				t.Errorf("heartbeat interval %d ms, want 5000", resp.HeartbeatIntervalMillis)
			}
			if resp := second.beat(); resp.Assignment != nil {
				t.Errorf("an assignment that has not changed is told again: %+v", resp.Assignment)
			}
			d := r.describeConsumers(version, "g")
			if d.State != "Stable" || d.AssignorName != "uniform" {
				t.Errorf("ConsumerGroupDescribe = %+v", d)
			}
			at := slices.IndexFunc(d.Members, func(m kmsg.ConsumerGroupDescribeResponseGroupMember) bool { return m.MemberID == "m2" })
			if m := d.Members[at]; m.MemberEpoch != 2 || m.ClientID != "raw" || m.ClientHost == "" || !slices.Equal(m.SubscribedTopics, []string{"orders"}) ||
				len(m.Assignment.TopicPartitions) != 1 || m.Assignment.TopicPartitions[0].Topic != "orders" || m.Assignment.TopicPartitions[0].TopicID != id ||
				!slices.Equal(m.TargetAssignment.TopicPartitions[0].Partitions, []int32{2, 3}) || version >= 1 && m.MemberType != 1 {
				t.Errorf("member %+v", m)
			}
			wantCode(t, "leaving heartbeat", first.leave(-1), nil)
			second.beat()
			second.wantOwned(id, 0, 1, 2, 3)
			wantCode(t, "heartbeat of one that left", first.heartbeat(first.request()).ErrorCode, kerr.UnknownMemberID)
		}
	})
}

func TestConsumerGroupErrors(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start(brokertest.With(func(c *broker.Config) { c.Group.MaxMembers = 2 }))
		r.create("orders", 2)
		str := kmsg.StringPtr
		member := r.consumer("g", "m1")
		bad := func(what string, want *kerr.Error, change func(*kmsg.ConsumerGroupHeartbeatRequest)) {
			t.Helper()
			req := r.consumer("other", "m1").joinRequest("orders")
			change(req)
			wantCode(t, what, do[*kmsg.ConsumerGroupHeartbeatResponse](r, req).ErrorCode, want)
		}
		bad("no group", kerr.InvalidGroupID, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.Group = "" })
		bad("no member id", kerr.InvalidRequest, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.MemberID = "" })
		bad("empty instance id", kerr.InvalidRequest, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.InstanceID = str("") })
		bad("empty rack", kerr.InvalidRequest, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.RackID = str("") })
		bad("epoch", kerr.InvalidRequest, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.MemberEpoch = -3 })
		bad("no rebalance timeout", kerr.InvalidRequest, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.RebalanceTimeoutMillis = -1 })
		bad("no subscription", kerr.InvalidRequest, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.SubscribedTopicNames = nil })
		bad("null partitions", kerr.InvalidRequest, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.Topics = nil })
		bad("partitions", kerr.InvalidRequest, func(req *kmsg.ConsumerGroupHeartbeatRequest) {
			req.Topics = append(req.Topics, kmsg.NewConsumerGroupHeartbeatRequestTopic())
			req.Topics[0].Partitions = []int32{0}
		})
		bad("assignor", kerr.UnsupportedAssignor, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.ServerAssignor = str("sticky") })
		bad("expression", kerr.InvalidRegularExpression, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.SubscribedTopicRegex = str("(") })
		bad("epoch of no group", kerr.GroupIDNotFound, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.MemberEpoch = 1 })
		bad("leaving no group", kerr.GroupIDNotFound, func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.MemberEpoch = -1 })
		if list := do[*kmsg.ListGroupsResponse](r, at(5, kmsg.NewPtrListGroupsRequest())); len(list.Groups) != 0 {
			t.Errorf("mistakes left the groups %+v", list.Groups)
		}

		member.join("orders")
		stranger := r.consumer("g", "stranger")
		stranger.epoch = 1
		wantCode(t, "heartbeat of a stranger", stranger.heartbeat(stranger.request()).ErrorCode, kerr.UnknownMemberID)
		ahead := *member
		ahead.epoch = 9
		wantCode(t, "an epoch ahead", ahead.heartbeat(ahead.request()).ErrorCode, kerr.FencedMemberEpoch)
		static := r.consumer("g", "m2")
		static.instance = str("i")
		static.join("orders")
		second := r.consumer("g", "m3")
		wantCode(t, "a third member", second.heartbeat(second.joinRequest("orders")).ErrorCode, kerr.GroupMaxSizeReached)
		second.instance = str("i")
		wantCode(t, "an instance id in use", second.heartbeat(second.joinRequest("orders")).ErrorCode, kerr.UnreleasedInstanceID)
		second.epoch = 1
		wantCode(t, "heartbeat with another's instance id", second.heartbeat(second.request()).ErrorCode, kerr.FencedInstanceID)
		wantCode(t, "leave with another's instance id", second.leave(-1), kerr.FencedInstanceID)

		wantCode(t, "ConsumerGroupDescribe of no group", r.describeConsumers(1, "none").ErrorCode, kerr.GroupIDNotFound)
		wantCode(t, "ConsumerGroupDescribe without a name", r.describeConsumers(1, "").ErrorCode, kerr.InvalidGroupID)
	})
}

// A static member that comes back in its session finds what it had, under whatever id.
func TestStaticConsumer(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		id := r.create("orders", 4)
		static, other := r.consumer("g", "m1"), r.consumer("g", "m2")
		static.instance = kmsg.StringPtr("i1")
		static.join("orders")
		other.join("orders")
		static.beat()
		static.revoke()
		other.beat()
		wantCode(t, "leave for a while", static.leave(-2), nil)
		wantCode(t, "a heartbeat after it", static.heartbeat(static.request()).ErrorCode, kerr.FencedMemberEpoch)
		other.beat()
		other.wantOwned(id, 2, 3)
		again := r.consumer("g", "m9")
		again.instance = static.instance
		again.join("orders")
		again.wantOwned(id, 0, 1)
		if d := r.describeConsumers(1, "g"); d.State != "Stable" || d.Epoch != 2 {
			t.Errorf("the group is %s in epoch %d, want Stable in 2", d.State, d.Epoch)
		}
		wantCode(t, "a heartbeat of the old id", static.heartbeat(static.request()).ErrorCode, kerr.FencedInstanceID)

		// An administrator removes it by LeaveGroup, which knows no others.
		req := at(5, kmsg.NewPtrLeaveGroupRequest())
		req.Group = "g"
		byInstance, byID := kmsg.NewLeaveGroupRequestMember(), kmsg.NewLeaveGroupRequestMember()
		byInstance.InstanceID, byID.MemberID = static.instance, "m2"
		req.Members = []kmsg.LeaveGroupRequestMember{byInstance, byID}
		resp := do[*kmsg.LeaveGroupResponse](r, req)
		wantCode(t, "LeaveGroup by instance id", resp.Members[0].ErrorCode, nil)
		wantCode(t, "LeaveGroup by member id", resp.Members[1].ErrorCode, kerr.UnknownMemberID)
		wantCode(t, "a heartbeat after it", again.heartbeat(again.request()).ErrorCode, kerr.UnknownMemberID)
		other.beat()
		other.wantOwned(id, 0, 1, 2, 3)
	})
}

// Topics that come, grow and go while the group lives.
func TestConsumerGroupFollowsTopics(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		eu := r.create("orders.eu", 1)
		c := r.consumer("g", "m1")
		req := c.joinRequest("payments")
		req.SubscribedTopicRegex = kmsg.StringPtr(`orders\..+`)
		wantCode(t, "join", c.heartbeat(req).ErrorCode, nil)
		c.wantOwned(eu, 0)
		if d := r.describeConsumers(1, "g"); text(d.Members[0].SubscribedTopicRegex) != `orders\..+` {
			t.Errorf("the regular expression is %s", text(d.Members[0].SubscribedTopicRegex))
		}
		payments, us := r.create("payments", 1), r.create("orders.us", 2)
		r.create("other", 1)
		c.beat()
		c.wantOwned(payments, 0)
		c.wantOwned(us, 0, 1)
		grow := at(3, kmsg.NewPtrCreatePartitionsRequest())
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = "payments", 3
		grow.Topics = append(grow.Topics, rt)
		wantCode(t, "CreatePartitions", do[*kmsg.CreatePartitionsResponse](r, grow).Topics[0].ErrorCode, nil)
		c.beat()
		c.wantOwned(payments, 0, 1, 2)
		del := at(5, kmsg.NewPtrDeleteTopicsRequest())
		del.TopicNames = []string{"orders.us"}
		wantCode(t, "DeleteTopics", do[*kmsg.DeleteTopicsResponse](r, del).Topics[0].ErrorCode, nil)
		c.beat()
		c.revoke()
		c.wantOwned(us)
		c.wantOwned(eu, 0)
		if d := r.describeConsumers(1, "g"); d.State != "Stable" || len(d.Members[0].Assignment.TopicPartitions) != 2 {
			t.Errorf("ConsumerGroupDescribe = %+v", d)
		}
	})
}

// Offsets are taken and answered by member epoch.
func TestConsumerOffsets(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		id := r.create("orders", 2)
		first, second := r.consumer("g", "m1"), r.consumer("g", "m2")
		first.join("orders")
		wantCode(t, "commit", first.commit(9, 1, "orders", 0, 7), nil)
		wantCode(t, "commit at v8", first.commit(8, 1, "orders", 0, 7), kerr.UnsupportedVersion)
		wantCode(t, "commit of an epoch ahead", first.commit(9, 2, "orders", 0, 7), kerr.StaleMemberEpoch)
		wantCode(t, "commit of a stranger", second.commit(9, 1, "orders", 0, 7), kerr.UnknownMemberID)
		if offset, code := first.fetchAs(&first.memberID, 1, "orders"); offset != 7 || code != 0 {
			t.Errorf("OffsetFetch = %d, error %d, want 7", offset, code)
		}
		if offset, code := first.fetchAs(nil, -1, "orders"); offset != 7 || code != 0 {
			t.Errorf("OffsetFetch without a member id = %d, error %d, want 7", offset, code)
		}
		_, code := first.fetchAs(&first.memberID, 9, "orders")
		wantCode(t, "OffsetFetch of an epoch ahead", code, kerr.StaleMemberEpoch)
		_, code = first.fetchAs(&second.memberID, 1, "orders")
		wantCode(t, "OffsetFetch of a stranger", code, kerr.UnknownMemberID)

		second.join("orders")
		first.beat()
		wantCode(t, "commit of a partition that it is to give up", first.commit(9, 1, "orders", 1, 8), nil)
		first.revoke()
		wantCode(t, "commit with the epoch before", first.commit(9, 1, "orders", 0, 9), nil)
		wantCode(t, "commit of what it gave up", first.commit(9, 1, "orders", 1, 9), kerr.StaleMemberEpoch)
		wantCode(t, "OffsetDelete of a topic that is read", r.deleteOffset("g", "orders"), kerr.GroupSubscribedToTopic)
		wantCode(t, "DeleteGroups", r.deleteGroup(2, "g"), kerr.NonEmptyGroup)
		for _, c := range []*consumerClient{first, second} {
			wantCode(t, "leave", c.leave(-1), nil)
		}
		admin := r.consumer("g", "")
		wantCode(t, "commit to the empty group", admin.commit(2, -1, "orders", 0, 11), nil)
		if got := r.fetchOffset(10, "g", "", id); got.Offset != 11 {
			t.Errorf("OffsetFetch = %+v, want 11", got)
		}
		wantCode(t, "DeleteGroups", r.deleteGroup(2, "g"), nil)
		wantCode(t, "ConsumerGroupDescribe", r.describeConsumers(1, "g").ErrorCode, kerr.GroupIDNotFound)
	})
}

// A transaction commits offsets of a member of the present epoch.
func TestConsumerOffsetsInTransaction(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		id := r.create("orders", 1)
		member := r.consumer("g", "m1")
		member.join("orders")
		c := newTxn(r, "tx")
		m := &groupClient{raw: r, group: "g", memberID: "m1", generation: 1}
		for version := int16(3); version <= 6; version++ {
			if version < 5 {
				wantCode(t, "AddOffsetsToTxn", c.addOffsets("g"), nil)
			}
			wantCode(t, "TxnOffsetCommit", c.commitOffset(version, "g", m, "orders", id, 5), nil)
			m.generation = 2
			stale := kerr.IllegalGeneration
			if version >= 6 {
				stale = kerr.StaleMemberEpoch
			}
			wantCode(t, "TxnOffsetCommit of an epoch ahead", c.commitOffset(version, "g", m, "orders", id, 5), stale)
			m.generation = 1
			m.memberID = "stranger"
			wantCode(t, "TxnOffsetCommit of a stranger", c.commitOffset(version, "g", m, "orders", id, 5), kerr.UnknownMemberID)
			m.memberID = "m1"
		}
	})
}

// A group is of the type of its members; without any it becomes what the next speaks.
func TestGroupTypes(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys))
		id := r.create("orders", 1)
		listed := func(want string) {
			t.Helper()
			for _, kind := range []string{"classic", "consumer"} {
				req := at(5, kmsg.NewPtrListGroupsRequest())
				req.TypesFilter = []string{kind}
				groups := do[*kmsg.ListGroupsResponse](r, req).Groups
				if got := len(groups) == 1 && groups[0].GroupType == kind && groups[0].ProtocolType == "consumer"; got != (kind == want) {
					t.Errorf("ListGroups of type %s = %+v, want the group to be %s", kind, groups, want)
				}
			}
			code := map[string]*kerr.Error{"classic": nil, "consumer": kerr.GroupIDNotFound}[want]
			wantCode(t, "DescribeGroups of a "+want+" group", r.describe(6, "g").ErrorCode, code)
			if d := r.describe(5, "g"); (d.State == "Dead") != (want == "consumer") || d.ErrorCode != 0 {
				t.Errorf("DescribeGroups v5 of a %s group: %s, error %d", want, d.State, d.ErrorCode)
			}
			code = map[string]*kerr.Error{"consumer": nil, "classic": kerr.GroupIDNotFound}[want]
			wantCode(t, "ConsumerGroupDescribe of a "+want+" group", r.describeConsumers(1, "g").ErrorCode, code)
		}
		classic := &groupClient{raw: r, group: "g", version: 9}
		member := r.consumer("g", "m1")

		classic.join()
		classic.sync(classic.memberID)
		wantCode(t, "commit", classic.commit(9, "orders", id, 7, ""), nil)
		listed("classic")
		wantCode(t, "a consumer joins a classic group", member.heartbeat(member.joinRequest("orders")).ErrorCode, kerr.GroupIDNotFound)
		wantCode(t, "LeaveGroup", classic.leave(), nil)

		member.join("orders")
		member.wantOwned(id, 0)
		listed("consumer")
		classic.memberID = ""
		wantCode(t, "a classic member joins a group of consumers",
			do[*kmsg.JoinGroupResponse](r, classic.joinRequest()).ErrorCode, kerr.InconsistentGroupProtocol)
		classic.memberID, classic.generation = "m1", 1
		wantCode(t, "a classic heartbeat", classic.heartbeat(), kerr.UnknownMemberID)
		wantCode(t, "a classic sync", classic.sync().ErrorCode, kerr.UnknownMemberID)

		restart := func() {
			t.Helper()
			brokertest.Stop(t, r.b)
			r = start(brokertest.FS(fsys))
			classic.raw, member.raw = r, r
			waitFor(t, "the groups to be loaded", func() bool {
				return r.fetchOffset(9, "g", "orders", id).Code != kerr.CoordinatorLoadInProgress.Code
			})
			if got := r.fetchOffset(9, "g", "orders", id); got.Offset != 7 {
				t.Errorf("OffsetFetch = %+v, want 7", got)
			}
		}
		restart()
		listed("consumer")
		member.beat()
		wantCode(t, "leave", member.leave(-1), nil)
		classic.memberID = ""
		classic.join()
		classic.sync(classic.memberID)
		listed("classic")
		restart()
		listed("classic")
		wantCode(t, "heartbeat", classic.heartbeat(), nil)
	})
}

// Members go on where they were over a restart in order and over a crash, also in the
// middle of a rebalance.
func TestConsumerGroupSurvivesRestart(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys))
		id := r.create("orders", 4)
		first, second := r.consumer("g", "m1"), r.consumer("g", "m2")
		second.instance = kmsg.StringPtr("i2")
		first.join("orders")
		second.join("orders")
		first.beat()
		check := func(r *raw) {
			t.Helper()
			f, s := *first, *second
			f.raw, s.raw = r, r
			f.owned, s.owned = maps.Clone(first.owned), maps.Clone(second.owned)
			waitFor(t, "the groups to be loaded", func() bool {
				return r.describeConsumers(1, "g").ErrorCode != kerr.CoordinatorLoadInProgress.Code
			})
			s.beat()
			s.wantOwned(id) // the first is still to give them up
			f.beat()
			f.revoke()
			s.beat()
			s.wantOwned(id, 2, 3)
			if d := r.describeConsumers(1, "g"); d.State != "Stable" || d.Epoch != 2 || text(d.Members[1].InstanceID) != "i2" {
				t.Errorf("ConsumerGroupDescribe = %+v", d)
			}
		}
		crashed := fsys.CrashClone(0, rand.New(rand.NewPCG(1, 2))) // what was not fsynced is not there
		check(start(brokertest.FS(crashed)))
		brokertest.Stop(t, r.b)
		check(start(brokertest.FS(fsys)))
	})
}

// A member that falls silent is removed when its session ends, and not before.
func TestSilentConsumerIsRemoved(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start(brokertest.With(func(c *broker.Config) {
			c.Group.ConsumerSessionTimeout, c.Group.ConsumerHeartbeatInterval = 100*time.Millisecond, 10*time.Millisecond
		}))
		id := r.create("orders", 2)
		silent := r.consumer("g", "m1")
		began := time.Now()
		silent.join("orders")
		c := r.consumer("g", "m2")
		c.join("orders")
		waitFor(t, "the silent member to be removed", func() bool {
			resp := c.heartbeat(c.request())
			if resp.ErrorCode == kerr.UnknownMemberID.Code { // this test was slow
				c.join("orders")
			}
			return len(c.owned[id]) == 2
		})
		if waited := time.Since(began); waited < 100*time.Millisecond {
			t.Errorf("it was removed after %v, before its session ended", waited)
		}
		wantCode(t, "heartbeat of the silent member", silent.heartbeat(silent.request()).ErrorCode, kerr.UnknownMemberID)
	})
}

// A regular expression does not tell of topics that the client may not describe; when it
// may, they are matched without another subscription.
func TestConsumerRegexNeedsPermission(t *testing.T) {
	t.Parallel()
	overBothSecured(t, func(t *testing.T, dial func() *raw) {
		fx := &fixture{admin: dial().mustLogin(alice, alicesPassword)}
		eu, us := fx.admin.create("orders.eu", 1), fx.admin.create("orders.us", 1)
		may := []permission{onGroup(acl.Read), onTopic(acl.Describe, "orders.eu")}
		fx.grant(t, may)
		c := dial().mustLogin(bob, bobsPassword).consumer("readers", "m1")
		req := c.joinRequest()
		req.SubscribedTopicRegex = kmsg.StringPtr("orders.*")
		wantCode(t, "join", c.heartbeat(req).ErrorCode, nil)
		c.wantOwned(eu, 0)
		c.wantOwned(us)
		fx.grant(t, append(may, onTopic(acl.Describe, "orders.us")))
		c.beat()
		c.wantOwned(us, 0)
		fx.grant(t, may)
		c.beat()
		c.revoke()
		c.wantOwned(us)
		c.wantOwned(eu, 0)
	})
}
