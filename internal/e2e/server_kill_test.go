package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestServerKills kills `riffle server` with SIGKILL at random moments, also while it
// recovers, under clients that write, commit offsets of a group, and run transactions
// meanwhile. Then: each acknowledged record lies once, at the offset that was
// acknowledged; offsets are dense; nothing is there that nobody sent; of each
// transaction all or nothing is committed, as it was answered; and the group's offsets
// are not behind what was acknowledged.
//
// RIFFLE_E2E_CYCLES kills that many times (the default is 5), RIFFLE_E2E_SEED repeats
// the moments.
func TestServerKills(t *testing.T) {
	t.Parallel()
	cycles := envInt(t, "RIFFLE_E2E_CYCLES", 5)
	seed := uint64(envInt(t, "RIFFLE_E2E_SEED", int(time.Now().UnixNano())))
	t.Logf("RIFFLE_E2E_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir, addr := t.TempDir(), freeAddr(t)
	w := newKillWitness(addr)
	s := startServer(t, dir, addr)
	w.create(t)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stopped atomic.Bool
	var clients sync.WaitGroup
	for i := range 2 {
		clients.Go(func() { w.write(ctx, t, i, &stopped) })
	}
	clients.Go(func() { w.consume(ctx, t, &stopped) })
	clients.Go(func() { w.transact(ctx, t, &stopped, rand.New(rand.NewPCG(seed, 1))) })

	inRecovery, slowest := 0, time.Duration(0)
	for killed := 0; killed < cycles; {
		<-time.After(20*time.Millisecond + time.Duration(rng.Int64N(int64(1980*time.Millisecond))))
		s.kill()
		killed++
		for killed < cycles && rng.IntN(5) == 0 {
			killRecovering(t, time.Duration(rng.Int64N(int64(60*time.Millisecond))), "--dir", dir, "--listen", addr)
			killed, inRecovery = killed+1, inRecovery+1
		}
		began := time.Now()
		s = startServer(t, dir, addr)
		slowest = max(slowest, time.Since(began))
		if killed%50 == 0 {
			t.Logf("%d kills", killed)
		}
	}
	stopped.Store(true)
	clients.Wait()
	w.check(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%d kills, %d of them during recovery; slowest start %v; %d records, %d transactions and %d commits acknowledged",
		cycles, inRecovery, slowest, len(w.acked), len(w.txns), w.commits)
	if len(w.acked) == 0 || len(w.txns) == 0 || w.commits == 0 {
		t.Error("a client did nothing: the test would show nothing")
	}
}

// killRecovering starts a server and kills it without waiting until it answers.
func killRecovering(t *testing.T, wait time.Duration, flags ...string) {
	t.Helper()
	cmd := exec.Command(program(t, "riffle"), append([]string{"server"}, flags...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-time.After(wait)
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
}

// place is where a record lies.
type place struct {
	partition int32
	offset    int64
}

// killWitness are the clients of a server that is killed, and what they were told.
type killWitness struct {
	addr string

	mu        sync.Mutex
	sent      map[string]bool
	acked     map[string]place
	committed map[int32]int64 // of the group, acknowledged
	tried     map[int32]int64 // of the group, at most
	commits   int
	txns      map[int]string // outcomes: "commit", "abort", "?"
}

const (
	killOrders    = "orders"
	killTransfers = "transfers"
	killGroup     = "readers"
)

func newKillWitness(addr string) *killWitness {
	return &killWitness{
		addr: addr, sent: map[string]bool{}, acked: map[string]place{},
		committed: map[int32]int64{}, tried: map[int32]int64{}, txns: map[int]string{},
	}
}

// client returns a client that does not give up on a server that is away.
func (w *killWitness) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(w.addr), kgo.AlwaysRetryEOF(), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.DialTimeout(time.Second),
	}, opts...)...)
}

func (w *killWitness) create(t *testing.T) {
	t.Helper()
	cl, err := w.client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for topic, partitions := range map[string]int32{killOrders: 4, killTransfers: 2} {
		if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
}

// write sends records and notes where they are said to be.
func (w *killWitness) write(ctx context.Context, t *testing.T, id int, stopped *atomic.Bool) {
	cl, err := w.client(kgo.DefaultProduceTopic(killOrders), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Error(err)
		return
	}
	defer cl.Close()
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for n := 0; !stopped.Load(); <-pace.C {
		var records []*kgo.Record
		w.mu.Lock()
		for range 10 {
			value := fmt.Sprintf("%d-%d", id, n)
			w.sent[value] = true
			records = append(records, &kgo.Record{Value: []byte(value)})
			n++
		}
		w.mu.Unlock()
		results := cl.ProduceSync(ctx, records...)
		w.mu.Lock()
		for _, result := range results {
			if result.Err != nil {
				t.Errorf("writer %d: %v", id, result.Err)
				continue
			}
			w.acked[string(result.Record.Value)] = place{result.Record.Partition, result.Record.Offset}
		}
		w.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
	}
}

// consume reads in a group and commits what it has read.
func (w *killWitness) consume(ctx context.Context, t *testing.T, stopped *atomic.Bool) {
	cl, err := w.client(kgo.ConsumerGroup(killGroup), kgo.ConsumeTopics(killOrders), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond), kgo.HeartbeatInterval(500*time.Millisecond))
	if err != nil {
		t.Error(err)
		return
	}
	defer cl.Close()
	for !stopped.Load() {
		poll, done := context.WithTimeout(ctx, 500*time.Millisecond)
		records := cl.PollFetches(poll).Records()
		done()
		next := map[int32]int64{}
		for _, r := range records {
			next[r.Partition] = max(next[r.Partition], r.Offset+1)
		}
		if len(next) == 0 {
			continue
		}
		w.mu.Lock()
		for p, offset := range next {
			w.tried[p] = max(w.tried[p], offset)
		}
		w.mu.Unlock()
		commit, done := context.WithTimeout(ctx, 3*time.Second)
		err := cl.CommitRecords(commit, records...)
		done()
		if err != nil {
			continue // the server was away: nothing was promised
		}
		w.mu.Lock()
		w.commits++
		maps.Copy(w.committed, next)
		w.mu.Unlock()
	}
}

// transact writes two records in each transaction, one to each partition.
func (w *killWitness) transact(ctx context.Context, t *testing.T, stopped *atomic.Bool, rng *rand.Rand) {
	var cl *kgo.Client
	defer func() {
		if cl != nil {
			cl.Close()
		}
	}()
	for n := 0; !stopped.Load(); n++ {
		if cl == nil {
			var err error
			if cl, err = w.client(kgo.TransactionalID("transfers"), kgo.TransactionTimeout(10*time.Second),
				kgo.DefaultProduceTopic(killTransfers), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
				t.Error(err)
				return
			}
		}
		commit := rng.IntN(4) > 0
		w.outcome(n, "?")
		if err := w.transfer(ctx, cl, n, commit); err != nil {
			cl.Close() // the next one fences it, and finishes or aborts what it left
			cl = nil
			continue
		}
		if commit {
			w.outcome(n, "commit")
		} else {
			w.outcome(n, "abort")
		}
	}
}

func (w *killWitness) outcome(n int, outcome string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.txns[n] = outcome
}

func (w *killWitness) transfer(ctx context.Context, cl *kgo.Client, n int, commit bool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	var legs []*kgo.Record
	for partition := range int32(2) {
		legs = append(legs, &kgo.Record{Partition: partition, Value: strconv.AppendInt(nil, int64(n), 10)})
	}
	err := cl.ProduceSync(ctx, legs...).FirstErr()
	if err != nil {
		return err
	}
	return cl.EndTransaction(ctx, kgo.TransactionEndTry(commit))
}

// check compares what is there with what was said.
func (w *killWitness) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]place{}
	w.readAll(t, killOrders, kgo.ReadUncommitted(), func(r *kgo.Record) {
		value := string(r.Value)
		if at, twice := seen[value]; twice {
			t.Errorf("record %s lies at %v and at %d/%d", value, at, r.Partition, r.Offset)
		}
		if !w.sent[value] {
			t.Errorf("record %q was never sent", value)
		}
		seen[value] = place{r.Partition, r.Offset}
	})
	for value, at := range w.acked {
		if got, ok := seen[value]; !ok || got != at {
			t.Errorf("record %s was acknowledged at %v, and is at %v (there: %v)", value, at, got, ok)
		}
	}
	next := map[int32]int64{}
	for _, at := range seen {
		next[at.partition] = max(next[at.partition], at.offset+1)
	}
	total := int64(0)
	for _, n := range next {
		total += n
	}
	if total != int64(len(seen)) {
		t.Errorf("offsets are not dense: %d records up to offset %d of all partitions", len(seen), total)
	}
	w.checkTransfers(t)
	w.checkGroup(t)
}

func (w *killWitness) checkTransfers(t *testing.T) {
	t.Helper()
	legs := map[int]int{} // 1 for partition 0, 2 for partition 1
	w.readAll(t, killTransfers, kgo.ReadCommitted(), func(r *kgo.Record) {
		n, err := strconv.Atoi(string(r.Value))
		leg := 1 << r.Partition
		if err != nil || legs[n]&leg != 0 {
			t.Errorf("transfer %q is there twice, or is none: %v", r.Value, err)
		}
		legs[n] |= leg
	})
	for n, outcome := range w.txns {
		switch got := legs[n]; {
		case got != 0 && got != 3:
			t.Errorf("transaction %d (%s) is there by half", n, outcome)
		case outcome == "commit" && got == 0:
			t.Errorf("transaction %d was committed and is not there", n)
		case outcome == "abort" && got != 0:
			t.Errorf("transaction %d was aborted and is there", n)
		}
		delete(legs, n)
	}
	if len(legs) > 0 {
		t.Errorf("transactions that nobody began: %v", legs)
	}
}

func (w *killWitness) checkGroup(t *testing.T) {
	t.Helper()
	cl, err := w.client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	offsets, err := kadm.NewClient(cl).FetchOffsets(ctx, killGroup)
	if err != nil {
		t.Fatal(err)
	}
	for p, least := range w.committed {
		got, ok := offsets.Lookup(killOrders, p)
		if !ok || got.At < least || got.At > w.tried[p] {
			t.Errorf("partition %d: the group stands at %d (there: %v), %d was acknowledged, %d the most that was tried", p, got.At, ok, least, w.tried[p])
		}
	}
}

// readAll reads a topic from its beginning to where it ends for that reader.
func (w *killWitness) readAll(t *testing.T, topic string, isolation kgo.IsolationLevel, visit func(*kgo.Record)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cl, err := w.client(kgo.FetchIsolationLevel(isolation), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	ends, err := adm.ListEndOffsets(ctx, topic)
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for undecided := true; undecided && err == nil; <-retry.C { // a transaction that was left open is aborted by its timeout
		var stable kadm.ListedOffsets
		stable, err = adm.ListCommittedOffsets(ctx, topic)
		undecided = false
		ends.Each(func(end kadm.ListedOffset) {
			at, _ := stable.Lookup(topic, end.Partition)
			undecided = undecided || at.Offset < end.Offset
		})
		if undecided {
			ends, err = adm.ListEndOffsets(ctx, topic)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			left[end.Partition] = end.Offset
		}
	})
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 && errors.Is(errs[0].Err, context.DeadlineExceeded) {
			t.Fatalf("read %s: %v are left", topic, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if end, ok := left[r.Partition]; ok && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				visit(r)
			}
		})
	}
}
