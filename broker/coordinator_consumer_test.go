package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/group/consumer"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

func consumerJoin(id string) consumer.Request {
	return consumer.Request{
		MemberID: id, ClientHost: "/h", RebalanceTimeout: time.Minute,
		Topics: []string{"orders"}, Owned: map[consumer.Partition]struct{}{},
	}
}

// heartbeatOf sends the heartbeat of a client that may do everything.
func heartbeatOf(b *Broker, id string, r consumer.Request) (consumer.Reply, error) {
	return b.groups.consumerHeartbeat(context.Background(), id, r, clusterTopics{b.topics, func(string) bool { return true }})
}

// membersOf are the members of a group of consumers.
func membersOf(t testing.TB, b *Broker, id string) (ids []string) {
	t.Helper()
	err := b.groups.view(id, func(g *coordinated) error {
		if g.mu.consumer == nil {
			return errors.New("it is a classic group")
		}
		for _, m := range g.mu.consumer.Describe().Members {
			ids = append(ids, m.ID)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errNoGroup) {
		t.Fatal(err)
	}
	return ids
}

// A heartbeat whose changes were not stored is not acknowledged. They are stored with the
// next one, if there can be one; a restart knows only what was acknowledged.
func TestConsumersWithFailingDisk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fault  faultfs.Fault
		mended bool // without a restart
	}{
		{"fsync", faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Sync}, Err: syscall.EIO, Times: -1}, false},
		{"full", faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Write}, Err: syscall.ENOSPC, Times: -1}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			faults := faultfs.New(mem)
			b, orders := startOn(t, Config{FS: faults})
			if err := commitOne(b, "g", orders, 1); err != nil {
				t.Fatal(err)
			}
			if _, err := heartbeatOf(b, "members", consumerJoin("m1")); err != nil {
				t.Fatal(err)
			}

			faults.Inject(tt.fault)
			for _, id := range []string{"members", "g"} {
				if _, err := heartbeatOf(b, id, consumerJoin("m2")); errorCode(err) != kerr.CoordinatorNotAvailable.Code {
					t.Errorf("joining %s = %v, want COORDINATOR_NOT_AVAILABLE", id, err)
				}
			}
			if tt.mended { // a write that failed changed nothing
				if err := b.groups.deleteGroup(t.Context(), "g"); errorCode(err) != kerr.CoordinatorNotAvailable.Code {
					t.Errorf("deleteGroup = %v, want COORDINATOR_NOT_AVAILABLE", err)
				}
				place := []offsetDeletion{{}}
				place[0].Topic = "orders"
				if err := b.groups.deleteOffsets(t.Context(), "g", place); errorCode(err) != kerr.CoordinatorNotAvailable.Code {
					t.Errorf("deleteOffsets = %v, want COORDINATOR_NOT_AVAILABLE", err)
				}
				if got := committedOne(t, b, "g", orders); got != 1 {
					t.Errorf("the offset is %d, want 1", got)
				}
			}
			faults.Heal()

			want := []string{"m1"}
			if tt.mended {
				if _, err := heartbeatOf(b, "members", consumerJoin("m2")); err != nil {
					t.Errorf("joining again on a mended disk: %v", err)
				}
				want = append(want, "m2")
			}
			b, orders = startOn(t, Config{FS: mem.CrashClone(0, rand.New(rand.NewPCG(1, 2)))})
			if got := membersOf(t, b, "members"); !slices.Equal(got, want) {
				t.Errorf("after a restart the members are %v, want %v", got, want)
			}
			if got := committedOne(t, b, "g", orders); got != 1 {
				t.Errorf("after a restart the offset is %d, want 1", got)
			}
		})
	}
}

// Offsets of a group of consumers: those of topics that nobody reads expire by the time
// of their commit, the others when the group has been empty for the retention.
func TestConsumerOffsetsExpire(t *testing.T) {
	t.Parallel()
	b, orders := startOn(t, Config{FS: vfs.NewMem()})
	if err := commitOne(b, "g", orders, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := heartbeatOf(b, "g", consumerJoin("m1")); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(b.cfg.Group.OffsetsRetention)
	b.groups.expire(later.Add(time.Hour))
	if got := committedOne(t, b, "g", orders); got != 1 {
		t.Errorf("with a member that reads the topic the offset is %d, want 1", got)
	}
	leave := consumer.Request{MemberID: "m1", Epoch: consumer.LeaveEpoch}
	if _, err := heartbeatOf(b, "g", leave); err != nil {
		t.Fatal(err)
	}
	b.groups.expire(later) // the group has been empty for less, the offset is older
	if got := committedOne(t, b, "g", orders); got != 1 {
		t.Errorf("just after the last member left the offset is %d, want 1", got)
	}
	b.groups.expire(time.Now().Add(b.cfg.Group.OffsetsRetention))
	_ = b.groups.forEach(func(g *coordinated) { t.Errorf("group %q is left", g.mu.ID()) })
}

// Members of many groups come, beat and go at the same time, while topics change.
func TestConcurrentConsumers(t *testing.T) {
	t.Parallel()
	b, orders := startOn(t, Config{FS: vfs.NewMem()})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			id, member := fmt.Sprint("g", i%3), fmt.Sprint("m", i)
			for range 5 {
				reply, err := heartbeatOf(b, id, consumerJoin(member))
				if err != nil {
					t.Errorf("join: %v", err)
					return
				}
				owned := map[consumer.Partition]struct{}{}
				for range 5 {
					if reply.Assignment != nil {
						clear(owned)
						for _, p := range reply.Assignment {
							owned[p] = struct{}{}
						}
					}
					if reply, err = heartbeatOf(b, id, consumer.Request{MemberID: member, Epoch: reply.Epoch, RebalanceTimeout: -1, Owned: owned}); err != nil {
						t.Errorf("heartbeat: %v", err)
						return
					}
				}
				if _, err := heartbeatOf(b, id, consumer.Request{MemberID: member, Epoch: consumer.LeaveEpoch}); err != nil {
					t.Errorf("leave: %v", err)
				}
			}
		})
	}
	for n := range int32(5) {
		if err := b.topics.grow("orders", orders.Partitions+n+1); err != nil {
			t.Errorf("grow: %v", err)
		}
	}
	wg.Wait()
	for i := range 3 {
		if got := membersOf(t, b, fmt.Sprint("g", i)); len(got) != 0 {
			t.Errorf("members %v are left", got)
		}
	}
}

func BenchmarkConsumerHeartbeat(b *testing.B) {
	br, _ := startOn(b, Config{FS: vfs.NewMem()})
	reply, err := heartbeatOf(br, "g", consumerJoin("m"))
	if err != nil {
		b.Fatal(err)
	}
	r := consumer.Request{MemberID: "m", Epoch: reply.Epoch, ClientHost: "/h", RebalanceTimeout: -1}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := heartbeatOf(br, "g", r); err != nil {
			b.Fatal(err)
		}
	}
}
