package broker_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// groupClient speaks the group protocol for one member, at versions that belong
// together.
type groupClient struct {
	*raw
	group      string
	instance   *string
	topics     []string // that it subscribes to; nil is metadata that nobody can read
	version    int16    // of JoinGroup; the other keys follow
	memberID   string
	generation int32
}

func (c *groupClient) joinRequest() *kmsg.JoinGroupRequest {
	req := at(c.version, kmsg.NewPtrJoinGroupRequest())
	req.Group, req.MemberID, req.InstanceID = c.group, c.memberID, c.instance
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 20_000
	req.ProtocolType = "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", []byte("topics of "+c.group)
	if c.topics != nil {
		m := kmsg.NewConsumerMemberMetadata()
		m.Topics = c.topics
		p.Metadata = m.AppendTo(nil)
	}
	req.Protocols = append(req.Protocols, p)
	return req
}

// join joins and waits, with the detour by a member id where the version asks for it.
func (c *groupClient) join() *kmsg.JoinGroupResponse {
	c.t.Helper()
	resp := do[*kmsg.JoinGroupResponse](c.raw, c.joinRequest())
	if resp.ErrorCode == kerr.MemberIDRequired.Code {
		c.memberID = resp.MemberID
		resp = do[*kmsg.JoinGroupResponse](c.raw, c.joinRequest())
	}
	c.joined(resp)
	return resp
}

func (c *groupClient) joined(resp *kmsg.JoinGroupResponse) {
	c.t.Helper()
	wantCode(c.t, "JoinGroup", resp.ErrorCode, nil)
	c.memberID, c.generation = resp.MemberID, resp.Generation
}

func (c *groupClient) syncRequest(assign ...string) *kmsg.SyncGroupRequest {
	req := at(min(c.version, 5), kmsg.NewPtrSyncGroupRequest())
	req.Group, req.MemberID, req.InstanceID, req.Generation = c.group, c.memberID, c.instance, c.generation
	if req.Version >= 5 {
		req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	}
	for _, id := range assign {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = id, []byte("for "+id)
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	return req
}

func (c *groupClient) sync(assign ...string) *kmsg.SyncGroupResponse {
	c.t.Helper()
	return do[*kmsg.SyncGroupResponse](c.raw, c.syncRequest(assign...))
}

func (c *groupClient) heartbeat() int16 {
	c.t.Helper()
	req := at(min(c.version, 4), kmsg.NewPtrHeartbeatRequest())
	req.Group, req.MemberID, req.InstanceID, req.Generation = c.group, c.memberID, c.instance, c.generation
	return do[*kmsg.HeartbeatResponse](c.raw, req).ErrorCode
}

func (c *groupClient) leave() int16 {
	c.t.Helper()
	req := at(min(c.version, 5), kmsg.NewPtrLeaveGroupRequest())
	req.Group, req.MemberID = c.group, c.memberID
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.InstanceID = c.memberID, c.instance
	req.Members = append(req.Members, m)
	resp := do[*kmsg.LeaveGroupResponse](c.raw, req)
	if req.Version >= 3 && resp.ErrorCode == 0 {
		return resp.Members[0].ErrorCode
	}
	return resp.ErrorCode
}

// commitRequest commits an offset of partition 0 as the client.
func (c *groupClient) commitRequest(version int16, topic string, id [16]byte, offset int64, metadata string) *kmsg.OffsetCommitRequest {
	req := at(version, kmsg.NewPtrOffsetCommitRequest())
	req.Group, req.MemberID, req.Generation, req.InstanceID = c.group, c.memberID, c.generation, c.instance
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset, rp.LeaderEpoch, rp.Metadata = offset, 3, &metadata
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func (c *groupClient) commit(version int16, topic string, id [16]byte, offset int64, metadata string) int16 {
	c.t.Helper()
	return do[*kmsg.OffsetCommitResponse](c.raw, c.commitRequest(version, topic, id, offset, metadata)).Topics[0].Partitions[0].ErrorCode
}

// fetched is one partition of an OffsetFetch response.
type fetched struct {
	Offset      int64
	LeaderEpoch int32
	Metadata    string
	Code        int16
}

// none is what is answered for a partition without a commit.
var none = fetched{Offset: -1, LeaderEpoch: -1}

// fetchOffset asks for partition 0, at any version.
func (r *raw) fetchOffset(version int16, group, topic string, id [16]byte) fetched {
	r.t.Helper()
	req := at(version, kmsg.NewPtrOffsetFetchRequest())
	req.RequireStable = version >= 7
	if version < 8 {
		req.Group = group
		rt := kmsg.NewOffsetFetchRequestTopic()
		rt.Topic, rt.Partitions = topic, []int32{0}
		req.Topics = append(req.Topics, rt)
		resp := do[*kmsg.OffsetFetchResponse](r, req)
		p := resp.Topics[0].Partitions[0]
		return fetched{p.Offset, p.LeaderEpoch, text(p.Metadata), p.ErrorCode + resp.ErrorCode}
	}
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group = group
	rt := kmsg.NewOffsetFetchRequestGroupTopic()
	rt.Topic, rt.TopicID, rt.Partitions = topic, id, []int32{0}
	rg.Topics = append(rg.Topics, rt)
	req.Groups = append(req.Groups, rg)
	resp := do[*kmsg.OffsetFetchResponse](r, req).Groups[0]
	p := resp.Topics[0].Partitions[0]
	return fetched{p.Offset, p.LeaderEpoch, text(p.Metadata), p.ErrorCode + resp.ErrorCode}
}

func (r *raw) describe(version int16, group string) kmsg.DescribeGroupsResponseGroup {
	r.t.Helper()
	req := at(version, kmsg.NewPtrDescribeGroupsRequest())
	req.Groups = []string{group}
	req.IncludeAuthorizedOperations = version >= 3
	return do[*kmsg.DescribeGroupsResponse](r, req).Groups[0]
}

// listGroup is what ListGroups says of a group.
func (r *raw) listGroup(group string) (listed kmsg.ListGroupsResponseGroup) {
	r.t.Helper()
	for _, sg := range do[*kmsg.ListGroupsResponse](r, at(5, kmsg.NewPtrListGroupsRequest())).Groups {
		if sg.Group == group {
			listed = sg
		}
	}
	return listed
}

func wantCode(t testing.TB, what string, got int16, want *kerr.Error) {
	t.Helper()
	var code int16
	if want != nil {
		code = want.Code
	}
	if got != code {
		t.Errorf("%s: error %d (%v), want %d (%v)", what, got, kerr.ErrorForCode(got), code, want)
	}
}

// A member's whole life, once at each version of each key.
func TestGroupVersions(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		id := r.create("orders", 1)
		for v := range int16(11) {
			t.Run(fmt.Sprint("version=", v), func(t *testing.T) {
				c := &groupClient{raw: r, group: fmt.Sprint("g", v), version: min(v, 9), generation: -1}
				find := at(min(v, 6), kmsg.NewPtrFindCoordinatorRequest())
				find.CoordinatorKey, find.CoordinatorKeys = c.group, []string{c.group, "other"}
				found := do[*kmsg.FindCoordinatorResponse](r, find)
				if find.Version >= 4 {
					if len(found.Coordinators) != 2 || found.Coordinators[1].Key != "other" {
						t.Fatalf("coordinators %+v, want two", found.Coordinators)
					}
					found.Host, found.NodeID = found.Coordinators[0].Host, found.Coordinators[0].NodeID
				}
				if found.ErrorCode != 0 || found.Host == "" || found.NodeID != 1 {
					t.Errorf("FindCoordinator = %+v", found)
				}

				joined := c.join()
				if joined.LeaderID != c.memberID || len(joined.Members) != 1 || joined.Generation != 1 || text(joined.Protocol) != "range" {
					t.Errorf("JoinGroup = %+v, want the leader of generation 1", joined)
				}
				if c.version >= 7 && text(joined.ProtocolType) != "consumer" {
					t.Errorf("JoinGroup v%d: protocol type %s", c.version, text(joined.ProtocolType))
				}
				wantCode(t, "heartbeat while the group completes its rebalance", c.heartbeat(), nil)
				wantCode(t, "commit while the group completes its rebalance", c.commit(max(min(v, 9), 2), "orders", id, 1, ""), kerr.RebalanceInProgress)
				synced := c.sync(c.memberID)
				wantCode(t, "SyncGroup", synced.ErrorCode, nil)
				if string(synced.MemberAssignment) != "for "+c.memberID {
					t.Errorf("assignment %q", synced.MemberAssignment)
				}
				wantCode(t, "heartbeat", c.heartbeat(), nil)

				version := max(v, 2)
				wantCode(t, "OffsetCommit", c.commit(version, "orders", id, int64(100+v), "why"), nil)
				want := fetched{Offset: int64(100 + v), LeaderEpoch: 3, Metadata: "why"}
				if version < 6 {
					want.LeaderEpoch = -1 // not in the commit
				}
				if got := r.fetchOffset(max(v, 1), c.group, "orders", id); v >= 5 && got != want || got.Offset != want.Offset || got.Metadata != want.Metadata {
					t.Errorf("OffsetFetch v%d = %+v, want %+v", v, got, want)
				}

				d := r.describe(min(v, 6), c.group)
				if d.ErrorCode != 0 || d.State != "Stable" || d.Protocol != "range" || len(d.Members) != 1 ||
					string(d.Members[0].MemberAssignment) != "for "+c.memberID || d.Members[0].ClientID != "raw" || d.Members[0].ClientHost == "" {
					t.Errorf("DescribeGroups = %+v", d)
				}
				list := do[*kmsg.ListGroupsResponse](r, at(min(v, 5), kmsg.NewPtrListGroupsRequest()))
				if n := len(list.Groups); n != int(v)+1 {
					t.Errorf("ListGroups v%d lists %d groups, want %d", list.Version, n, v+1)
				}
				wantCode(t, "LeaveGroup", c.leave(), nil)
				wantCode(t, "heartbeat after leaving", c.heartbeat(), kerr.UnknownMemberID)
				if d := r.describe(min(v, 6), c.group); d.State != "Empty" {
					t.Errorf("after the last member left the group is %s", d.State)
				}
			})
		}
	})
}

// Assertion 40: a group that was never seen has no offsets, and that is no error.
func TestOffsetFetchOfUnknownGroup(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		id := r.create("orders", 1)
		for v := int16(1); v <= 10; v++ {
			if got := r.fetchOffset(v, "nobody", "orders", id); got != none {
				t.Errorf("v%d: %+v, want %+v", v, got, none)
			}
		}
		if got, want := r.fetchOffset(10, "nobody", "", [16]byte{9}).Code, kerr.UnknownTopicID.Code; got != want {
			t.Errorf("unknown topic id: error %d, want %d", got, want)
		}
		list := do[*kmsg.ListGroupsResponse](r, at(5, kmsg.NewPtrListGroupsRequest()))
		if len(list.Groups) != 0 {
			t.Errorf("asking made groups: %+v", list.Groups)
		}
	})
}

// All offsets of several groups in one request, and all that one group has.
func TestOffsetFetchOfAll(t *testing.T) {
	t.Parallel()
	r := dial(t, brokertest.Start(t), "memory")
	id := r.create("orders", 1)
	other := r.create("other", 1)
	for _, group := range []string{"a", "b"} {
		c := &groupClient{raw: r, group: group, generation: -1}
		wantCode(t, "commit", c.commit(8, "orders", id, 1, ""), nil)
		wantCode(t, "commit", c.commit(10, "", other, 2, ""), nil)
	}
	for _, v := range []int16{2, 7} {
		req := at(v, kmsg.NewPtrOffsetFetchRequest())
		req.Group = "a"
		resp := do[*kmsg.OffsetFetchResponse](r, req)
		if len(resp.Topics) != 2 || resp.Topics[0].Topic != "orders" || resp.Topics[1].Partitions[0].Offset != 2 {
			t.Errorf("v%d: %+v, want both topics", v, resp.Topics)
		}
	}
	// In version 1 an empty list is what it says, and null is not allowed.
	if resp := do[*kmsg.OffsetFetchResponse](r, at(1, &kmsg.OffsetFetchRequest{Group: "a", Topics: []kmsg.OffsetFetchRequestTopic{}})); len(resp.Topics) != 0 {
		t.Errorf("v1: %+v, want nothing", resp.Topics)
	}
	req := at(10, kmsg.NewPtrOffsetFetchRequest())
	for _, group := range []string{"a", "nobody", "b"} {
		rg := kmsg.NewOffsetFetchRequestGroup()
		rg.Group = group
		req.Groups = append(req.Groups, rg)
	}
	var got []string
	for _, g := range do[*kmsg.OffsetFetchResponse](r, req).Groups {
		got = append(got, fmt.Sprint(g.Group, g.ErrorCode))
		for _, st := range g.Topics {
			got = append(got, fmt.Sprint(st.TopicID == id, st.Partitions[0].Offset))
		}
	}
	if diff := cmp.Diff([]string{"a0", "true 1", "false 2", "nobody0", "b0", "true 1", "false 2"}, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

// Assertion 41, as far as it is about commits.
func TestSimpleConsumerCommit(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		id := r.create("orders", 1)
		c := &groupClient{raw: r, group: "simple", generation: -1}
		wantCode(t, "commit to a fresh group", c.commit(9, "orders", id, 7, "m"), nil)
		if d := r.describe(6, "simple"); d.State != "Empty" || d.ErrorCode != 0 {
			t.Errorf("the group is %+v, want Empty", d)
		}
		req := at(5, kmsg.NewPtrListGroupsRequest())
		req.StatesFilter, req.TypesFilter = []string{"empty"}, []string{"Classic"}
		list := do[*kmsg.ListGroupsResponse](r, req)
		if len(list.Groups) != 1 || list.Groups[0].Group != "simple" || list.Groups[0].GroupState != "Empty" || list.Groups[0].GroupType != "classic" {
			t.Errorf("ListGroups = %+v", list.Groups)
		}
		for _, filter := range []func(){
			func() { req.StatesFilter = []string{"Stable"} },
			func() { req.StatesFilter, req.TypesFilter = nil, []string{"consumer"} },
		} {
			filter()
			if list := do[*kmsg.ListGroupsResponse](r, req); len(list.Groups) != 0 {
				t.Errorf("ListGroups of %v %v = %+v, want none", req.StatesFilter, req.TypesFilter, list.Groups)
			}
		}
	})
}

// Assertion 47, as far as it is about metadata, and what else is wrong with a commit.
func TestOffsetCommitErrors(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		id := r.create("orders", 1)
		c := &groupClient{raw: r, group: "g", generation: -1}

		wantCode(t, "4096 bytes of metadata", c.commit(9, "orders", id, 1, strings.Repeat("m", 4096)), nil)
		if got := r.fetchOffset(9, "g", "orders", id); len(got.Metadata) != 4096 {
			t.Errorf("%d bytes of metadata came back", len(got.Metadata))
		}
		wantCode(t, "4097 bytes of metadata", c.commit(9, "orders", id, 2, strings.Repeat("m", 4097)), kerr.OffsetMetadataTooLarge)
		if got := r.fetchOffset(9, "g", "orders", id); got.Offset != 1 {
			t.Errorf("after a refused commit the offset is %d", got.Offset)
		}
		wantCode(t, "unknown topic", c.commit(9, "nope", id, 1, ""), kerr.UnknownTopicOrPartition)
		wantCode(t, "unknown topic id", c.commit(10, "", [16]byte{9}, 1, ""), kerr.UnknownTopicID)
		req := c.commitRequest(9, "orders", id, 1, "")
		req.Topics[0].Partitions[0].Partition = 1
		wantCode(t, "unknown partition", do[*kmsg.OffsetCommitResponse](r, req).Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)

		// A wrong partition does not keep a right one from being committed.
		req = c.commitRequest(9, "orders", id, 5, "")
		req.Topics = append(req.Topics, c.commitRequest(9, "nope", id, 1, "").Topics...)
		resp := do[*kmsg.OffsetCommitResponse](r, req)
		wantCode(t, "right partition", resp.Topics[0].Partitions[0].ErrorCode, nil)
		wantCode(t, "wrong partition", resp.Topics[1].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)

		// A generation of a group that is not there.
		c.group, c.generation, c.memberID = "missing", 1, "m"
		wantCode(t, "missing group, v8", c.commit(8, "orders", id, 1, ""), kerr.IllegalGeneration)
		wantCode(t, "missing group, v9", c.commit(9, "orders", id, 1, ""), kerr.GroupIDNotFound)

		c = &groupClient{raw: r, group: strings.Repeat("g", 1<<15), generation: -1, version: 6}
		wantCode(t, "group id longer than a record holds", c.commit(9, "orders", id, 1, ""), kerr.InvalidGroupID)
		if d := r.describe(6, c.group); d.ErrorCode != kerr.InvalidGroupID.Code {
			t.Errorf("DescribeGroups of a group id longer than a record holds: error %d", d.ErrorCode)
		}
	})
}

func TestGroupErrors(t *testing.T) {
	t.Parallel()
	r := dial(t, brokertest.Start(t), "memory")
	r.create("orders", 1)
	c := &groupClient{raw: r, version: 9, generation: 1, memberID: "ghost"}
	refused := func(what string, want *kerr.Error, change func(*kmsg.JoinGroupRequest)) {
		t.Helper()
		req := c.joinRequest()
		change(req)
		resp := do[*kmsg.JoinGroupResponse](r, req)
		wantCode(t, "JoinGroup "+what, resp.ErrorCode, want)
		if resp.Generation != -1 || resp.Protocol != nil || resp.LeaderID != "" {
			t.Errorf("JoinGroup %s: %+v says more than the error", what, resp)
		}
	}
	refused("without a group id", kerr.InvalidGroupID, func(*kmsg.JoinGroupRequest) {})
	wantCode(t, "SyncGroup without a group id", c.sync().ErrorCode, kerr.InvalidGroupID)
	wantCode(t, "Heartbeat without a group id", c.heartbeat(), kerr.InvalidGroupID)
	wantCode(t, "LeaveGroup without a group id", c.leave(), kerr.InvalidGroupID)
	c.group = "g"
	refused("of an unknown member", kerr.UnknownMemberID, func(*kmsg.JoinGroupRequest) {})
	wantCode(t, "SyncGroup of an unknown group", c.sync().ErrorCode, kerr.UnknownMemberID)
	wantCode(t, "Heartbeat of an unknown group", c.heartbeat(), kerr.UnknownMemberID)
	wantCode(t, "LeaveGroup of an unknown group", c.leave(), kerr.UnknownMemberID)
	c.version = 2
	wantCode(t, "LeaveGroup v2 of an unknown group", c.leave(), kerr.UnknownMemberID)
	c.version = 9
	c.memberID = ""
	refused("with a short session", kerr.InvalidSessionTimeout, func(req *kmsg.JoinGroupRequest) { req.SessionTimeoutMillis = 5999 })
	refused("with a long session", kerr.InvalidSessionTimeout, func(req *kmsg.JoinGroupRequest) { req.SessionTimeoutMillis = 30*60_000 + 1 })
	refused("with a negative session", kerr.InvalidSessionTimeout, func(req *kmsg.JoinGroupRequest) { req.SessionTimeoutMillis = -1 })
	refused("without protocols", kerr.InconsistentGroupProtocol, func(req *kmsg.JoinGroupRequest) { req.Protocols = nil })
	refused("with a huge instance id", kerr.InvalidRequest, func(req *kmsg.JoinGroupRequest) { req.InstanceID = kmsg.StringPtr(strings.Repeat("i", 250)) })

	c.join()
	req := c.syncRequest()
	req.Protocol = kmsg.StringPtr("sticky")
	wantCode(t, "SyncGroup of another protocol", do[*kmsg.SyncGroupResponse](r, req).ErrorCode, kerr.InconsistentGroupProtocol)
	req = c.syncRequest()
	req.Protocol = nil
	wantCode(t, "SyncGroup v5 without a protocol", do[*kmsg.SyncGroupResponse](r, req).ErrorCode, kerr.InconsistentGroupProtocol)
	c.generation++
	wantCode(t, "SyncGroup of another generation", c.sync().ErrorCode, kerr.IllegalGeneration)
	wantCode(t, "Heartbeat of another generation", c.heartbeat(), kerr.IllegalGeneration)

	for _, key := range []int8{2, 3} {
		find := at(6, kmsg.NewPtrFindCoordinatorRequest())
		find.CoordinatorType, find.CoordinatorKeys = key, []string{"tx"}
		found := do[*kmsg.FindCoordinatorResponse](r, find).Coordinators[0]
		if found.ErrorCode != kerr.InvalidRequest.Code || found.ErrorMessage == nil {
			t.Errorf("FindCoordinator of type %d = %+v, want INVALID_REQUEST and why", key, found)
		}
	}
	if d := r.describe(5, "nobody"); d.State != "Dead" || d.ErrorCode != 0 {
		t.Errorf("DescribeGroups v5 of no group = %+v, want Dead", d)
	}
	if d := r.describe(6, "nobody"); d.State != "Dead" || d.ErrorCode != kerr.GroupIDNotFound.Code || d.ErrorMessage == nil {
		t.Errorf("DescribeGroups v6 of no group = %+v, want GROUP_ID_NOT_FOUND", d)
	}
}

// Assertion 42: a member id is asked for from version 4 on, and the oldest versions of all
// group keys work together.
func TestMemberIDRequired(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		c := &groupClient{raw: r, group: "v3", version: 3}
		wantCode(t, "JoinGroup v3", do[*kmsg.JoinGroupResponse](r, c.joinRequest()).ErrorCode, nil)
		c = &groupClient{raw: r, group: "v5", version: 5}
		resp := do[*kmsg.JoinGroupResponse](r, c.joinRequest())
		wantCode(t, "JoinGroup v5", resp.ErrorCode, kerr.MemberIDRequired)
		if !strings.HasPrefix(resp.MemberID, "raw-") {
			t.Errorf("member id %q does not name the client", resp.MemberID)
		}
		old := &groupClient{raw: r, group: "v0"}
		old.join()
		if got := old.sync(old.memberID); got.ErrorCode != 0 || string(got.MemberAssignment) != "for "+old.memberID {
			t.Errorf("SyncGroup v0: %+v", got)
		}
		wantCode(t, "Heartbeat v0", old.heartbeat(), nil)
		wantCode(t, "LeaveGroup v0", old.leave(), nil)
		wantCode(t, "Heartbeat v0 after it", old.heartbeat(), kerr.UnknownMemberID)
	})
}

// twoMembers forms a stable group of a leader and a follower.
func twoMembers(t *testing.T, r *raw, group string, instances ...string) (leader, follower *groupClient) {
	t.Helper()
	leader = &groupClient{raw: r, group: group, version: 9, generation: -1}
	follower = &groupClient{raw: r.again(), group: group, version: 9, generation: -1}
	if len(instances) > 0 {
		leader.instance, follower.instance = &instances[0], &instances[1]
	}
	leader.join()
	if follower.instance == nil {
		follower.memberID = do[*kmsg.JoinGroupResponse](follower.raw, follower.joinRequest()).MemberID
	}
	req := follower.joinRequest()
	follower.send(req)
	waitFor(t, "the group to rebalance", func() bool { return r.describe(6, group).State == "PreparingRebalance" })
	wantCode(t, "heartbeat while the group rebalances", leader.heartbeat(), kerr.RebalanceInProgress)
	leader.join()
	follower.joined(recv[*kmsg.JoinGroupResponse](follower.raw, req))
	sync := follower.syncRequest()
	follower.send(sync)
	wantCode(t, "SyncGroup", leader.sync(leader.memberID, follower.memberID).ErrorCode, nil)
	if got := recv[*kmsg.SyncGroupResponse](follower.raw, sync); string(got.MemberAssignment) != "for "+follower.memberID {
		t.Fatalf("the follower is assigned %+v", got)
	}
	return leader, follower
}

// waitFor polls: the request whose effect is waited for was only sent.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 100_000 {
		if done() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// Assertion 44, and what the old generation gets when a third member joins.
func TestRebalance(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		id := r.create("orders", 1)
		leader, follower := twoMembers(t, r, "g")
		third := &groupClient{raw: r.again(), group: "g", version: 3}
		join := third.joinRequest()
		third.send(join)
		waitFor(t, "the rebalance", func() bool { return leader.heartbeat() == kerr.RebalanceInProgress.Code })
		wantCode(t, "commit while the group rebalances", follower.commit(9, "orders", id, 5, ""), nil)
		wantCode(t, "sync while the group rebalances", follower.sync().ErrorCode, kerr.RebalanceInProgress)

		old := *follower
		rejoin := leader.joinRequest()
		leader.send(rejoin)
		follower.join()
		leader.joined(recv[*kmsg.JoinGroupResponse](leader.raw, rejoin))
		third.joined(recv[*kmsg.JoinGroupResponse](third.raw, join))
		if leader.generation != old.generation+1 || third.generation != leader.generation {
			t.Errorf("generations %d and %d after %d", leader.generation, third.generation, old.generation)
		}
		wantCode(t, "heartbeat of the old generation", old.heartbeat(), kerr.IllegalGeneration)
		wantCode(t, "commit of the old generation", old.commit(9, "orders", id, 6, ""), kerr.IllegalGeneration)
		wantCode(t, "heartbeat of the new generation", follower.heartbeat(), nil)

		// A parked sync ends when the group rebalances again.
		sync := follower.syncRequest()
		follower.send(sync)
		waitFor(t, "the sync to be parked", func() bool { return r.describe(6, "g").State == "CompletingRebalance" })
		wantCode(t, "LeaveGroup", third.leave(), nil)
		resp := recv[*kmsg.SyncGroupResponse](follower.raw, sync)
		wantCode(t, "parked sync", resp.ErrorCode, kerr.RebalanceInProgress)
	})
}

// Assertion 45: a static member that restarts in its session keeps its place; when it was
// removed it is a new one.
func TestStaticMember(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		id := r.create("orders", 1)
		leader, follower := twoMembers(t, r, "g", "i1", "i2")
		old := *follower
		follower.memberID = ""
		joined := follower.join()
		if follower.generation != old.generation || follower.memberID == old.memberID || len(joined.Members) != 0 {
			t.Errorf("the restarted member got %+v, want the old generation and a new id", joined)
		}
		if got := follower.sync(); string(got.MemberAssignment) != "for "+old.memberID {
			t.Errorf("the restarted member is assigned %q", got.MemberAssignment)
		}
		wantCode(t, "heartbeat of the leader", leader.heartbeat(), nil)
		wantCode(t, "heartbeat of the old id", old.heartbeat(), kerr.FencedInstanceID)
		wantCode(t, "commit of the old id", old.commit(9, "orders", id, 1, ""), kerr.FencedInstanceID)
		wantCode(t, "sync of the old id", old.sync().ErrorCode, kerr.FencedInstanceID)
		wantCode(t, "leave of the old id", old.leave(), kerr.FencedInstanceID)
		wantCode(t, "join of the old id", do[*kmsg.JoinGroupResponse](old.raw, old.joinRequest()).ErrorCode, kerr.FencedInstanceID)

		leader.memberID = ""
		if joined := leader.join(); !joined.SkipAssignment || len(joined.Members) != 2 || joined.LeaderID != leader.memberID {
			t.Errorf("the restarted leader got %+v, want to skip the assignment", joined)
		}
		// An administrator removes it by instance id.
		leader.memberID = ""
		wantCode(t, "LeaveGroup by instance id", leader.leave(), nil)
		wantCode(t, "heartbeat of the other", follower.heartbeat(), kerr.RebalanceInProgress)
	})
}

// Assertion 47: members go on with the generation they had, and offsets are kept,
// over a restart in order and over a crash.
func TestGroupSurvivesRestart(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys))
		id := r.create("orders", 1)
		leader, follower := twoMembers(t, r, "g", "i1", "i2")
		wantCode(t, "commit", follower.commit(9, "orders", id, 41, "first"), nil)
		wantCode(t, "commit", follower.commit(9, "orders", id, 42, "m"), nil)

		check := func(r *raw) {
			t.Helper()
			l, f := *leader, *follower
			l.raw, f.raw = r, r.again()
			waitFor(t, "the groups to be loaded", func() bool { return l.heartbeat() != kerr.CoordinatorLoadInProgress.Code })
			wantCode(t, "heartbeat of the leader", l.heartbeat(), nil)
			wantCode(t, "heartbeat of the follower", f.heartbeat(), nil)
			if got, want := l.fetchOffset(9, "g", "orders", id), (fetched{Offset: 42, LeaderEpoch: 3, Metadata: "m"}); got != want {
				t.Errorf("OffsetFetch = %+v, want %+v", got, want)
			}
			if got := f.sync(); string(got.MemberAssignment) != "for "+f.memberID {
				t.Errorf("the follower is assigned %+v", got)
			}
			if d := l.describe(6, "g"); d.State != "Stable" || len(d.Members) != 2 || text(d.Members[1].InstanceID) != "i2" || d.Protocol != "range" {
				t.Errorf("DescribeGroups = %+v", d)
			}
			wantCode(t, "commit", f.commit(9, "orders", id, 42, "m"), nil)
		}
		// Nothing that was not fsynced is there.
		check(start(brokertest.FS(fsys.CrashClone(0, rand.New(rand.NewPCG(1, 2))))))
		brokertest.Stop(t, r.b)
		check(start(brokertest.FS(fsys)))
	})
}

// A topic takes its offsets with it, for good: one of the same name starts afresh.
func TestDeletedTopicTakesItsOffsets(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	b := brokertest.Start(t, brokertest.FS(fsys))
	r := dial(t, b, "memory")
	id, kept := r.create("orders", 1), r.create("kept", 1)
	c := &groupClient{raw: r, group: "g", generation: -1}
	wantCode(t, "commit", c.commit(9, "orders", id, 5, ""), nil)
	wantCode(t, "commit", c.commit(9, "kept", kept, 6, ""), nil)
	del := at(5, kmsg.NewPtrDeleteTopicsRequest())
	del.TopicNames = []string{"orders"}
	wantCode(t, "DeleteTopics", do[*kmsg.DeleteTopicsResponse](r, del).Topics[0].ErrorCode, nil)

	check := func(r *raw, when string) {
		t.Helper()
		if got := r.fetchOffset(9, "g", "orders", id); got != none {
			t.Errorf("%s: the deleted topic has offset %+v", when, got)
		}
		if got := r.fetchOffset(10, "g", "", kept); got.Offset != 6 {
			t.Errorf("%s: the other topic has offset %+v, want 6", when, got)
		}
		req := at(7, kmsg.NewPtrOffsetFetchRequest())
		req.Group = "g"
		if all := do[*kmsg.OffsetFetchResponse](r, req); len(all.Topics) != 1 {
			t.Errorf("%s: the group has offsets of %+v", when, all.Topics)
		}
	}
	check(r, "after the deletion")
	again := r.create("orders", 1)
	check(r, "after the topic was made again")
	if got := r.fetchOffset(10, "g", "", again); got != none {
		t.Errorf("the new topic has offset %+v", got)
	}
	brokertest.Stop(t, b)
	r = dial(t, brokertest.Start(t, brokertest.FS(fsys)), "memory")
	waitFor(t, "the groups to be loaded", func() bool {
		return r.fetchOffset(9, "g", "kept", kept).Code != kerr.CoordinatorLoadInProgress.Code
	})
	check(r, "after a restart")
}

func TestGroupLimits(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.With(func(c *broker.Config) {
		c.Group = broker.GroupConfig{MaxGroups: 2, MaxMembers: 2, MaxParked: 1}
	}))
	r := dial(t, b, "memory")
	id := r.create("orders", 1)
	for i, want := range []*kerr.Error{nil, nil, kerr.PolicyViolation} {
		c := &groupClient{raw: r, group: fmt.Sprint("g", i), generation: -1}
		wantCode(t, "commit to group "+c.group, c.commit(9, "orders", id, 5, ""), want)
	}
	first := &groupClient{raw: r, group: "g0", version: 3}
	first.join()
	second := &groupClient{raw: r.again(), group: "g0", version: 3}
	join := second.joinRequest()
	second.send(join)
	waitFor(t, "the second member to be parked", func() bool { return r.describe(6, "g0").State == "PreparingRebalance" })
	third := &groupClient{raw: r.again(), group: "g1", version: 3}
	wantCode(t, "join while another is parked", do[*kmsg.JoinGroupResponse](third.raw, third.joinRequest()).ErrorCode, kerr.CoordinatorNotAvailable)
	wantCode(t, "LeaveGroup", first.leave(), nil)
	second.joined(recv[*kmsg.JoinGroupResponse](second.raw, join))
	third.join()

	// A full group keeps its members and takes no more.
	third.group, third.memberID = "g0", ""
	join = third.joinRequest()
	third.send(join)
	waitFor(t, "the third member to be parked", func() bool { return r.describe(6, "g0").State == "PreparingRebalance" })
	second.join()
	third.joined(recv[*kmsg.JoinGroupResponse](third.raw, join))
	first.memberID = ""
	wantCode(t, "third member", do[*kmsg.JoinGroupResponse](r, first.joinRequest()).ErrorCode, kerr.GroupMaxSizeReached)
}
