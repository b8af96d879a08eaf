package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/group"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

// startOn starts a broker with a topic "orders" of two partitions. It is stopped
// when the test ends; whether its logs close well is up to the test.
func startOn(t testing.TB, cfg Config) (*Broker, *topic) {
	t.Helper()
	b, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.Background()) })
	orders, err := b.topics.internal("orders", 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b, orders
}

// commitOne commits an offset of partition 0 as a client without a membership.
func commitOne(b *Broker, id string, t *topic, offset int64) error {
	offsets := []offsetCommit{{topic: t, committed: group.Committed{Offset: offset, LeaderEpoch: -1}}}
	return errors.Join(b.groups.commit(context.Background(), id, group.CommitRequest{Generation: -1}, offsets), offsets[0].err)
}

// committedOne is the committed offset of partition 0, or -1.
func committedOne(t testing.TB, b *Broker, id string, tp *topic) int64 {
	t.Helper()
	offset := int64(-1)
	err := b.groups.view(id, func(g *coordinated) error {
		if c, ok := b.groups.committed(g.mu.Group, tp.Name, 0); ok {
			offset = c.Offset
		}
		return nil
	})
	if err != nil && !errors.Is(err, errNoGroup) {
		t.Fatal(err)
	}
	return offset
}

func joinOf(newID string) group.JoinRequest {
	return group.JoinRequest{
		NewMemberID: newID, SessionTimeout: 10 * time.Second, ProtocolType: "consumer",
		Protocols: []group.Protocol{{Name: "range"}},
	}
}

func TestCoordinatorSaysItIsLoading(t *testing.T) {
	t.Parallel()
	co := newCoordinator(&Broker{cfg: Config{}.withDefaults()})
	ops := map[string]func() error{
		"join":      func() error { _, err := co.join(t.Context(), "g", joinOf("m")); return err },
		"sync":      func() error { _, err := co.sync(t.Context(), "g", group.SyncRequest{}); return err },
		"heartbeat": func() error { return co.heartbeat("g", "m", "", 1) },
		"leave":     func() error { _, err := co.leave(t.Context(), "g", nil); return err },
		"commit":    func() error { return co.commit(t.Context(), "g", group.CommitRequest{Generation: -1}, nil) },
		"view":      func() error { return co.view("g", nil) },
		"list":      func() error { return co.forEach(nil) },
	}
	for name, op := range ops {
		if err := op(); errorCode(err) != kerr.CoordinatorLoadInProgress.Code {
			t.Errorf("%s while loading: %v", name, err)
		}
	}
	co.stop()
	for name, op := range ops {
		if err := op(); errorCode(err) != kerr.CoordinatorNotAvailable.Code {
			t.Errorf("%s after stop: %v", name, err)
		}
	}
}

// Requests that lead nowhere must not fill the broker with groups.
func TestMistakesLeaveNoGroup(t *testing.T) {
	t.Parallel()
	b, orders := startOn(t, Config{FS: vfs.NewMem()})
	bad := joinOf("m")
	bad.Protocols = nil
	if _, err := b.groups.join(t.Context(), "a", bad); !errors.Is(err, group.ErrInconsistentProtocol) {
		t.Errorf("join = %v", err)
	}
	offsets := []offsetCommit{{topic: orders, err: kerr.UnknownTopicOrPartition}}
	if err := b.groups.commit(t.Context(), "b", group.CommitRequest{Generation: -1}, offsets); err != nil {
		t.Errorf("commit = %v", err)
	}
	_ = b.groups.forEach(func(g *coordinated) { t.Errorf("group %q was left behind", g.mu.ID()) })
	if n := len(b.groups.mu.timers); n != 0 {
		t.Errorf("%d timers were left behind", n)
	}
}

// What was not stored is not acknowledged, not shown, and not there after a restart.
func TestCoordinatorWithFailingDisk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fault  faultfs.Fault
		mended bool // without a restart
	}{
		{"fsync", faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Sync}, Err: syscall.EIO, Times: -1}, false},
		{"write", faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Write}, Err: syscall.EIO, Times: -1}, false},
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
			joined, err := b.groups.join(t.Context(), "members", joinOf("m"))
			if err != nil {
				t.Fatal(err)
			}

			faults.Inject(tt.fault)
			if err := commitOne(b, "g", orders, 2); errorCode(err) != kerr.CoordinatorNotAvailable.Code {
				t.Errorf("commit = %v, want COORDINATOR_NOT_AVAILABLE", err)
			}
			if got := committedOne(t, b, "g", orders); got != 1 {
				t.Errorf("the offset is %d, want 1", got)
			}
			sync := group.SyncRequest{MemberID: "m", Generation: joined.Generation, Assignments: []group.Assignment{{MemberID: "m"}}}
			if _, err := b.groups.sync(t.Context(), "members", sync); errorCode(err) != kerr.CoordinatorNotAvailable.Code {
				t.Errorf("sync = %v, want COORDINATOR_NOT_AVAILABLE", err)
			}
			if err := b.groups.heartbeat("members", "m", "", joined.Generation); !errors.Is(err, group.ErrRebalanceInProgress) {
				t.Errorf("heartbeat = %v, want the member to join again", err)
			}

			faults.Heal()
			if !tt.mended {
				b, orders = startOn(t, Config{FS: mem.CrashClone(0, rand.New(rand.NewPCG(1, 2)))})
				if got := committedOne(t, b, "g", orders); got != 1 {
					t.Errorf("after a restart the offset is %d, want 1", got)
				}
			}
			if err := commitOne(b, "g", orders, 3); err != nil {
				t.Errorf("commit on a mended disk: %v", err)
			}
			if got := committedOne(t, b, "g", orders); got != 3 {
				t.Errorf("the offset is %d, want 3", got)
			}
		})
	}
}

// One bad record must not cost the others.
func TestLoadSkipsForeignRecords(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	b, orders := startOn(t, Config{FS: fsys})
	if err := commitOne(b, "before", orders, 1); err != nil {
		t.Fatal(err)
	}
	log := b.groups.logs[0]
	for _, r := range []group.Record{
		{Key: []byte{0, 9, 1, 2, 3}, Value: []byte{0, 0}},   // a later kind of record
		{Key: []byte{0, 1, 0, 99, 'x'}, Value: []byte{0}},   // cut short
		{Key: nil, Value: []byte("no key")},                 // of nobody
		group.OffsetTombstone("nobody", "never", 3),         // harmless
		{Key: []byte{0, 2, 0, 1, 'z'}, Value: []byte{0, 3}}, // half a group
	} {
		next, err := b.groups.append(log, r)
		if err == nil {
			err = log.wait(t.Context(), next)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := commitOne(b, "after", orders, 2); err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, orders = startOn(t, Config{FS: fsys})
	for id, want := range map[string]int64{"before": 1, "after": 2, "nobody": -1, "z": -1} {
		if got := committedOne(t, b, id, orders); got != want {
			t.Errorf("group %q has offset %d, want %d", id, got, want)
		}
	}
}

// A commit larger than a batch may be is split; the last offset counts.
func TestCommitIsSplit(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	b, orders := startOn(t, Config{FS: fsys})
	offsets := make([]offsetCommit, 1000)
	for i := range offsets {
		offsets[i] = offsetCommit{
			topic: orders, partition: int32(i % 2),
			committed: group.Committed{Offset: int64(i), Metadata: strings.Repeat("m", 4096)},
		}
	}
	if err := b.groups.commit(t.Context(), "g", group.CommitRequest{Generation: -1}, offsets); err != nil {
		t.Fatal(err)
	}
	for i, o := range offsets {
		if o.err != nil || o.committed.Position != int64(i) {
			t.Fatalf("offset %d: error %v, position %d", i, o.err, o.committed.Position)
		}
	}
	if got := committedOne(t, b, "g", orders); got != 998 {
		t.Errorf("the offset is %d, want 998", got)
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, orders = startOn(t, Config{FS: fsys})
	if got := committedOne(t, b, "g", orders); got != 998 {
		t.Errorf("after a restart the offset is %d, want 998", got)
	}
}

// Many clients of one group commit at once: what is shown is what the log says last.
func TestConcurrentCommits(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	b, orders := startOn(t, Config{FS: fsys})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 20 {
				if err := commitOne(b, "g", orders, int64(100*i+j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	shown := committedOne(t, b, "g", orders)
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, orders = startOn(t, Config{FS: fsys})
	if got := committedOne(t, b, "g", orders); got != shown {
		t.Errorf("after a restart the offset is %d, before it was %d", got, shown)
	}
}

// The hash is Java's String.hashCode, so that tools find a group where they expect it.
func TestOffsetsPartition(t *testing.T) {
	t.Parallel()
	for id, hash := range map[string]int{
		"":                   0,
		"hello":              99162322,
		"polygenelubricants": 0,                  // hashCode is the smallest int
		"\U0001F600":         0xd83d*31 + 0xde00, // two UTF-16 units
	} {
		for _, n := range []int{1, 8, 50} {
			if got := offsetsPartition(id, n); got != hash%n {
				t.Errorf("offsetsPartition(%q, %d) = %d, want %d", id, n, got, hash%n)
			}
		}
	}
}

// Commits of many groups share an fsync.
func BenchmarkOffsetCommit(b *testing.B) {
	for _, clients := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("clients=%d/flush=each", clients), func(b *testing.B) {
			br, orders := startOn(b, Config{Dir: b.TempDir()})
			b.ReportAllocs()
			b.SetParallelism(max(clients/2, 1)) // of two cores
			var started atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				id := fmt.Sprint("g", started.Add(1))
				for i := int64(0); pb.Next(); i++ {
					if err := commitOne(br, id, orders, i); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

func BenchmarkHeartbeat(b *testing.B) {
	br, _ := startOn(b, Config{FS: vfs.NewMem()})
	joined, err := br.groups.join(context.Background(), "g", joinOf("m"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := br.groups.heartbeat("g", "m", "", joined.Generation); err != nil {
			b.Fatal(err)
		}
	}
}

func TestGroupMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	b, orders := startOn(t, Config{FS: vfs.NewMem(), Registerer: registry})
	if err := commitOne(b, "simple", orders, 1); err != nil {
		t.Fatal(err)
	}
	joined, err := b.groups.join(t.Context(), "members", joinOf("m"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.groups.sync(t.Context(), "members", group.SyncRequest{MemberID: "m", Generation: joined.Generation}); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			if name == "broker_groups" {
				name += "/" + m.GetLabel()[0].GetValue()
			}
			if strings.HasPrefix(name, "broker_group") {
				got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	want := map[string]float64{
		"broker_groups/Empty": 1, "broker_groups/Stable": 1,
		"broker_groups/PreparingRebalance": 0, "broker_groups/Assigning": 0,
		"broker_groups/Reconciling":         0,
		"broker_groups/CompletingRebalance": 0,
		"broker_group_rebalances_total":     1, "broker_group_offsets_committed_total": 1,
		"broker_group_offsets_expired_total": 0,
		"broker_group_members_removed_total": 0, "broker_group_records_skipped_total": 0, "broker_group_log_damages_total": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}
