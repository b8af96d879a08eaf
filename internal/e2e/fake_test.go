package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newFake(t *testing.T) *kfake.Cluster {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return fake
}

// holdSyncs keeps members from waiting in SyncGroup: their requests are held back until all have come, or somebody joins.
//
// kfake counts the members that wait in JoinGroup. One that is removed while it waits is taken off the count, also if it waits in
// SyncGroup, where it was never counted: as when its process was killed there and comes back as the same static member.
// From then on every rebalance waits for a join too many, until its timeout of minutes, which each further join sets
// back (kfake of 2026-09-18, removeMember in groups.go; Kafka counts what waits in JoinGroup alone). Nor can one go by
// who assigns: where the leader is gone kfake tells each member that it leads, and heeds one of them (completeRebalance).
func holdSyncs(fake *kfake.Cluster) {
	var mu sync.Mutex
	var (
		generation int32
		members    int // that generation has, as far as is known
		synced     = make(map[string]bool)
		moved      = make(chan struct{}) // closed when the group goes on
	)
	goOn := func() {
		close(moved)
		moved = make(chan struct{})
	}
	fake.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		goOn()
		return nil, nil, false
	})
	fake.ControlKey(int16(kmsg.SyncGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.SyncGroupRequest)
		mu.Lock()
		if req.Generation > generation {
			generation, members = req.Generation, 0
			clear(synced)
		}
		members = max(members, len(req.GroupAssignment))
		synced[req.MemberID] = true
		wait := moved
		if req.Generation < generation || members > 0 && len(synced) >= members {
			goOn()
		}
		mu.Unlock()
		fake.SleepControl(func() { <-wait })
		return nil, nil, false
	})
}

// TestFakeReplacesFollower has a static member come back under a new id while it waits in SyncGroup. The rebalance that
// follows must end.
func TestFakeReplacesFollower(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	fake := newFake(t)
	joins, syncs := arrivals(fake, kmsg.JoinGroup), arrivals(fake, kmsg.SyncGroup)
	holdSyncs(fake)
	leader, follower := newMember(t, fake, "leader"), newMember(t, fake, "follower")

	leader.join(ctx, t)
	<-joins
	both := follower.joining(ctx)
	<-joins
	leader.join(ctx, t)
	<-joins
	follower.joined(t, <-both)
	if leader.leads == follower.leads || !leader.leads {
		t.Fatalf("the first member leads: %t, the second: %t", leader.leads, follower.leads)
	}

	// The leader does not come to SyncGroup: it died, too.
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		_, _ = follower.sync(ctx)
	}()
	<-syncs
	again := newMember(t, fake, "follower")
	both = again.joining(ctx)
	<-joins
	<-synced // it was told
	leader.join(ctx, t)
	again.joined(t, <-both)
}

// arrivals tells of each request of a kind, before anything is done about it.
func arrivals(fake *kfake.Cluster, key kmsg.Key) <-chan struct{} {
	arrived := make(chan struct{}, 10)
	fake.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
		arrived <- struct{}{}
		return nil, nil, false
	})
	return arrived
}

// member is a static member of a group, request by request.
type member struct {
	client   *kgo.Client
	instance string

	id         string
	generation int32
	leads      bool
}

type joined struct {
	resp *kmsg.JoinGroupResponse
	err  error
}

func newMember(t *testing.T, fake *kfake.Cluster, instance string) *member {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &member{client: client, instance: instance}
}

// joining sends a JoinGroup; the answer comes when the rebalance is over.
func (m *member) joining(ctx context.Context) <-chan joined {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.InstanceID = "group", m.id, &m.instance
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 30_000, 300_000
	req.ProtocolType = "consumer"
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name = "range"
	req.Protocols = append(req.Protocols, protocol)
	answer := make(chan joined, 1)
	go func() {
		resp, err := req.RequestWith(ctx, m.client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		answer <- joined{resp, err}
	}()
	return answer
}

func (m *member) joined(t *testing.T, j joined) {
	t.Helper()
	if j.err != nil {
		t.Fatalf("%s joins: %v", m.instance, j.err)
	}
	m.id, m.generation, m.leads = j.resp.MemberID, j.resp.Generation, j.resp.LeaderID == j.resp.MemberID
}

func (m *member) join(ctx context.Context, t *testing.T) {
	t.Helper()
	m.joined(t, <-m.joining(ctx))
}

func (m *member) sync(ctx context.Context) (*kmsg.SyncGroupResponse, error) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = "group", m.id, &m.instance, m.generation
	return req.RequestWith(ctx, m.client)
}
