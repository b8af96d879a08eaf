package broker_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// consumers are members of one group that note what they read.
type consumers struct {
	t     *testing.T
	group string
	topic string
	wg    sync.WaitGroup

	// client connects to the broker, over one transport or the other.
	client func(testing.TB, *broker.Broker, ...kgo.Opt) *kgo.Client

	// serverSide means that the broker assigns. kgo 1.22 then forgets to report a
	// partition as revoked that a heartbeat takes from it while it closes.
	serverSide bool

	mu struct {
		sync.Mutex
		reads   map[string]int // by partition and offset
		owners  map[int32]string
		closing map[string]bool // by member
		total   int
	}
}

func newConsumers(t *testing.T, group, topic string) *consumers {
	cs := &consumers{t: t, group: group, topic: topic, client: brokertest.Client}
	cs.mu.reads, cs.mu.owners, cs.mu.closing = map[string]int{}, map[int32]string{}, map[string]bool{}
	return cs
}

// run consumes until stop is closed: it reads a few records, commits them, and only
// then lets the group rebalance.
func (cs *consumers) run(b *broker.Broker, name string, stop <-chan struct{}, opts ...kgo.Opt) {
	cl := cs.client(cs.t, b, append([]kgo.Opt{
		kgo.ClientID(name),
		kgo.ConsumerGroup(cs.group),
		kgo.ConsumeTopics(cs.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.HeartbeatInterval(50 * time.Millisecond),
		kgo.FetchMaxWait(50 * time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, ps map[string][]int32) { cs.assigned(name, ps[cs.topic]) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, ps map[string][]int32) { cs.revoked(name, ps[cs.topic]) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, ps map[string][]int32) {
			if len(ps[cs.topic]) > 0 {
				cs.t.Errorf("%s lost partitions %v: a live member was thrown out", name, ps)
			}
		}),
	}, opts...)...)
	cs.wg.Go(func() {
		defer cl.Close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			select {
			case <-stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		for {
			fetches := cl.PollRecords(ctx, 20)
			if ctx.Err() != nil {
				cs.closes(name)
				cl.AllowRebalance()
				return
			}
			if err := fetches.Err(); err != nil {
				cs.t.Errorf("%s: poll: %v", name, err)
				return
			}
			cs.read(fetches.Records())
			if err := cl.CommitRecords(context.Background(), fetches.Records()...); err != nil {
				cs.t.Errorf("%s: commit: %v", name, err)
			}
			cl.AllowRebalance()
		}
	})
}

func (cs *consumers) read(records []*kgo.Record) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, r := range records {
		cs.mu.reads[fmt.Sprint(r.Partition, "@", r.Offset)]++
		cs.mu.total++
	}
}

func (cs *consumers) assigned(name string, partitions []int32) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, p := range partitions {
		if owner, ok := cs.mu.owners[p]; ok && !(cs.serverSide && cs.mu.closing[owner]) {
			cs.t.Errorf("partition %d belongs to %s and %s", p, owner, name)
		}
		cs.mu.owners[p] = name
	}
}

func (cs *consumers) closes(name string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.mu.closing[name] = true
}

func (cs *consumers) revoked(name string, partitions []int32) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, p := range partitions {
		if cs.mu.owners[p] == name {
			delete(cs.mu.owners, p)
		}
	}
}

// owned reports how many partitions each member has.
func (cs *consumers) owned() map[string]int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	n := map[string]int{}
	for _, name := range cs.mu.owners {
		n[name]++
	}
	return n
}

// waitRead waits until n records were read.
func (cs *consumers) waitRead(n int) {
	cs.t.Helper()
	cs.wait(fmt.Sprintf("%d records", n), func() bool {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		return cs.mu.total >= n
	})
}

func (cs *consumers) wait(what string, done func() bool) {
	cs.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			cs.t.Fatalf("waited in vain for %s; owned %v", what, cs.owned())
		}
	}
}

// exactlyOnce checks that each of n records was read once.
func (cs *consumers) exactlyOnce(n int) {
	cs.t.Helper()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.mu.reads) != n {
		cs.t.Errorf("%d different records were read, want %d", len(cs.mu.reads), n)
	}
	for r, times := range cs.mu.reads {
		if times != 1 {
			cs.t.Errorf("record %s was read %d times", r, times)
		}
	}
}

// produceAll writes n records over all partitions.
func produceAll(t *testing.T, b *broker.Broker, topic string, n int) {
	t.Helper()
	cl := brokertest.Client(t, b)
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)})
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	cl.Close()
}

func createTopic(t *testing.T, b *broker.Broker, topic string, partitions int32) {
	t.Helper()
	cl := brokertest.Client(t, b)
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	cl.Close()
}

// briskConsumers makes members of the consumer protocol heartbeat as often as the tests'
// classic ones: what they wait for is one heartbeat away.
func briskConsumers() brokertest.Option {
	return brokertest.With(func(c *broker.Config) { c.Group.ConsumerHeartbeatInterval = 50 * time.Millisecond })
}

// Assertion 43: members come and go while records come; no partition has two
// owners, no live member is thrown out, and what was committed is not read again.
func TestConsumersComeAndGo(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		for name, opts := range map[string][]kgo.Opt{
			"range":              {kgo.Balancers(kgo.RangeBalancer())},
			"cooperative-sticky": {kgo.Balancers(kgo.CooperativeStickyBalancer())},
			"server/uniform":     {kgo.ServerSideBalancer(), kgo.Balancers(kgo.CooperativeStickyBalancer())},
			"server/range":       {kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer())},
		} {
			t.Run("balancer="+name, func(t *testing.T) {
				t.Parallel()
				r := start(briskConsumers())
				b := r.b
				createTopic(t, b, "orders", 6)
				cs := newConsumers(t, "g", "orders")
				if r.transport == "tcp" {
					cs.client = tcpClient
				}
				cs.serverSide = strings.HasPrefix(name, "server/")
				const each, rounds = 300, 4
				stops := map[string]chan struct{}{}
				come := func(name string) {
					stops[name] = make(chan struct{})
					cs.run(b, name, stops[name], opts...)
				}
				for round := range rounds {
					come(fmt.Sprint("a", round))
					produceAll(t, b, "orders", each)
					come(fmt.Sprint("b", round))
					if round > 0 { // one of the last round leaves
						close(stops[fmt.Sprint("a", round-1)])
					}
					cs.waitRead((round + 1) * each)
				}
				want := slices.Sorted(maps.Keys(map[string]int{"a3": 0, "b0": 0, "b1": 0, "b2": 0, "b3": 0}))
				cs.wait("each member to own partitions", func() bool {
					return cmp.Equal(want, slices.Sorted(maps.Keys(cs.owned())))
				})
				kind := r.listGroup("g").GroupType
				if want := map[bool]string{true: "consumer", false: "classic"}[cs.serverSide]; kind != want {
					t.Errorf("the group is %s, want %s", kind, want)
				}
				for round := range rounds {
					if stop := stops[fmt.Sprint("b", round)]; stop != nil {
						close(stop)
					}
				}
				close(stops[fmt.Sprint("a", rounds-1)])
				cs.wg.Wait()
				cs.exactlyOnce(rounds * each)
			})
		}
	})
}

// A broker that restarts under its consumers keeps their group and their offsets.
func TestConsumersSurviveRestart(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	b := brokertest.Start(t, brokertest.FS(fsys))
	createTopic(t, b, "orders", 4)
	cs := newConsumers(t, "g", "orders")
	const each, rounds = 200, 3
	for round := range rounds {
		stop := make(chan struct{})
		for i := range 3 {
			cs.run(b, fmt.Sprint("c", i), stop)
		}
		produceAll(t, b, "orders", each)
		cs.waitRead((round + 1) * each)
		close(stop)
		cs.wg.Wait()
		brokertest.Stop(t, b)
		b = brokertest.Start(t, brokertest.FS(fsys))
	}
	cs.exactlyOnce(rounds * each)

	adm := kadm.NewClient(brokertest.Client(t, b))
	lag, err := adm.Lag(t.Context(), "g")
	if err != nil || lag["g"].Lag.Total() != 0 {
		t.Errorf("Lag = %v, %v, want 0", lag["g"].Lag.Total(), err)
	}
	groups, err := adm.DescribeGroups(t.Context(), "g")
	if err != nil || groups["g"].State != "Empty" {
		t.Errorf("DescribeGroups = %+v, %v, want an empty group", groups["g"], err)
	}
}

// Assertion 46: a member that is silent is replaced after its session timeout, not before,
// not never; the join of another that waits for it longer than its own does not expire.
func TestSilentMemberExpires(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		const short, long = 20, 300 // milliseconds
		r := start(brokertest.With(func(c *broker.Config) { c.Group.MinSessionTimeout = short * time.Millisecond }))
		join := func(c *groupClient, sessionMillis int32) {
			t.Helper()
			req := c.joinRequest()
			req.SessionTimeoutMillis = sessionMillis
			c.joined(do[*kmsg.JoinGroupResponse](c.raw, req))
		}
		silent := &groupClient{raw: r.again(), group: "g", version: 3}
		join(silent, long)
		began := time.Now()
		wantCode(t, "SyncGroup", silent.sync(silent.memberID).ErrorCode, nil)
		silent.nc.Close()
		next := &groupClient{raw: r, group: "g", version: 3}
		join(next, short)
		if took := time.Since(began); took < long*time.Millisecond {
			t.Errorf("the group went on after %v, before the session of %d ms ended", took, long)
		}
		if next.generation != 2 {
			t.Errorf("generation %d, want 2", next.generation)
		}
	})
}

// Assertion 46, to the second, on a clock that the test moves.
func TestSilentMemberIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := brokertest.Start(t)
		r := dial(t, b, "memory")
		_ = r.nc.SetDeadline(time.Time{})
		silent := &groupClient{raw: r, group: "g", version: 3}
		silent.join() // session timeout 10 s, rebalance timeout 20 s
		wantCode(t, "SyncGroup", silent.sync(silent.memberID).ErrorCode, nil)
		began := time.Now()
		r.nc.Close()

		time.Sleep(4 * time.Second)
		next := &groupClient{raw: dial(t, b, "memory"), group: "g", version: 3}
		_ = next.nc.SetDeadline(time.Time{})
		next.join()
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("the group went on after %v, want 10s", took)
		}
		if next.generation != 2 {
			t.Errorf("generation %d, want 2", next.generation)
		}
	})
}

// The first member of an empty group waits for others, if the broker is told so.
func TestInitialRebalanceDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := brokertest.Start(t, brokertest.With(func(c *broker.Config) { c.Group.InitialRebalanceDelay = 3 * time.Second }))
		c := &groupClient{raw: dial(t, b, "memory"), group: "g", version: 3}
		began := time.Now()
		c.join()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the first generation took %v, want 3s", took)
		}
	})
}

// Stopping answers those who wait for a rebalance, at once.
func TestStopAnswersParkedJoin(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	r := dial(t, b, "memory")
	first := &groupClient{raw: r, group: "g", version: 3}
	first.join()
	second := &groupClient{raw: r.again(), group: "g", version: 3}
	join := second.joinRequest()
	second.send(join)
	waitFor(t, "the second member to be parked", func() bool { return r.describe(6, "g").State == "PreparingRebalance" })
	done := make(chan struct{})
	go func() {
		defer close(done)
		brokertest.Stop(t, b)
	}()
	resp := recv[*kmsg.JoinGroupResponse](second.raw, join)
	wantCode(t, "parked join", resp.ErrorCode, kerr.CoordinatorNotAvailable)
	<-done
}
