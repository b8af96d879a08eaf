package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/group"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/broker/txn"
	"github.com/riffle-stream/riffle/internal/reliability"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

// promises are what clients of the coordinators were told.
type promises struct {
	mu        sync.Mutex
	committed int64           // offset of group "g" that was acknowledged
	tried     int64           // and that was asked for at most
	outcomes  map[int]*bool   // of transactions: committed, aborted, or nil: not known
	begun     map[string]bool // values that were sent
}

func (p *promises) copy() *promises {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &promises{committed: p.committed, tried: p.tried, outcomes: maps.Clone(p.outcomes), begun: maps.Clone(p.begun)}
}

// TestCoordinatorsCrashAnywhere lets the power fail before operations of the disk while
// a group commits offsets and a producer runs transactions over two partitions and a
// group: make reliability before each one, five times; a short run before some.
func TestCoordinatorsCrashAnywhere(t *testing.T) {
	t.Parallel()
	var (
		every    = reliability.Figure(11, 1)
		percents = []int{0, 25, 50, 75, 100}
		mem      = vfs.NewMem()
		faults   = faultfs.New(mem)
		told     = &promises{committed: -1, tried: -1, outcomes: map[int]*bool{}, begun: map[string]bool{}}
		mu       sync.Mutex
		ops      int
		crashes  int
	)
	b, orders := startOn(t, Config{FS: faults})
	faults.Hook(func(op faultfs.Op) error {
		if !slices.Contains(faultfs.Mutating(), op.Kind) {
			return nil
		}
		mu.Lock() // one crash at a time
		defer mu.Unlock()
		if ops++; ops%every != 0 || t.Failed() {
			return nil
		}
		promised := told.copy() // before the clone: more may be kept than was promised
		for i, percent := range percents {
			if every > 1 && i != ops/every%len(percents) {
				continue
			}
			crashes++
			clone := mem.CrashClone(percent, rand.New(rand.NewPCG(uint64(ops), uint64(percent))))
			if err := promised.check(clone); err != nil {
				t.Errorf("crash before operation %d (%s) with %d%% surviving: %v", ops, op, percent, err)
			}
		}
		return nil
	})
	playCoordinators(t, b, orders, told, 25)
	faults.Hook(nil)
	if ops < 300 || crashes == 0 {
		t.Errorf("%d operations, %d crashes, want at least 300 and some", ops, crashes)
	}
	t.Logf("%d operations, %d crashes", ops, crashes)
}

// playCoordinators commits an offset and runs a transaction, n times. Two of three
// transactions are committed.
func playCoordinators(t *testing.T, b *Broker, orders *topic, told *promises, n int) {
	t.Helper()
	ctx := t.Context()
	p, err := b.txns.init(ctx, "tx", txn.InitRequest{Timeout: time.Minute, Present: txn.Producer{ID: txn.NoID}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		told.mu.Lock()
		told.tried = int64(i)
		told.mu.Unlock()
		if err := commitOne(b, "g", orders, int64(i)); err != nil {
			t.Fatal(err)
		}
		told.mu.Lock()
		told.committed = int64(i)
		told.outcomes[i] = nil
		told.begun[strconv.Itoa(i)] = true
		told.mu.Unlock()
		places := []txn.Partition{{Topic: orders.Name}, {Topic: orders.Name, Index: 1}, b.groups.offsetsPlace("tg")}
		if err := b.txns.add(ctx, "tx", p, txn.TV2, places); err != nil {
			t.Fatal(err)
		}
		for _, to := range orders.partitions {
			var w record.Builder
			w.Append(time.Now().UnixMilli(), nil, []byte(strconv.Itoa(i)))
			w.SetProducer(p.ID, p.Epoch, 0)
			batch := w.Finish()
			batch.SetTransactional()
			appended, err := to.append(batch)
			if err == nil {
				err = to.wait(ctx, appended.NextOffset)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		offsets := []offsetCommit{{topic: orders, committed: group.Committed{Offset: int64(i), LeaderEpoch: -1}}}
		if err := b.groups.commitInTransaction(t.Context(), "tg", group.CommitRequest{Generation: -1}, p, offsets); err != nil || offsets[0].err != nil {
			t.Fatal(err, offsets[0].err)
		}
		commit := i%3 > 0
		if p, err = b.txns.end(ctx, "tx", p, commit, txn.TV2); err != nil {
			t.Fatal(err)
		}
		told.mu.Lock()
		told.outcomes[i] = &commit
		told.mu.Unlock()
	}
}

// check starts a broker on what a crash left, ends the transaction that was open, and
// compares.
func (p *promises) check(fsys vfs.FS) (err error) {
	b, err := Start(Config{FS: fsys})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop(context.Background())) }()
	orders, ok := b.topics.lookup("orders")
	if !ok {
		return errors.New("the topic is gone")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		_, err := b.txns.init(ctx, "tx", txn.InitRequest{Timeout: time.Minute, Present: txn.Producer{ID: txn.NoID}})
		if err == nil {
			break
		}
		if code := errorCode(err); code != kerr.ConcurrentTransactions.Code && code != kerr.CoordinatorLoadInProgress.Code {
			return fmt.Errorf("InitProducerId: %w", err)
		}
	}
	var found [2]map[string]int
	for i, from := range orders.partitions {
		if found[i], err = committedIn(from); err != nil {
			return err
		}
	}
	latest := int64(-1) // transaction with offsets that were committed
	for n, outcome := range p.outcomes {
		value := strconv.Itoa(n)
		one, two := found[0][value], found[1][value]
		switch {
		case one != two || one > 1:
			return fmt.Errorf("transaction %d is there %d and %d times", n, one, two)
		case outcome != nil && *outcome != (one == 1):
			return fmt.Errorf("transaction %d ended with commit=%v, and is there %d times", n, *outcome, one)
		}
		if one == 1 {
			latest = max(latest, int64(n))
		}
	}
	for value := range found[0] {
		// More may have been begun since the promises were noted, but not far more.
		if n, err := strconv.Atoi(value); err != nil || n > len(p.begun) {
			return fmt.Errorf("value %q was never sent", value)
		}
	}
	if got, err := committedAt(b, "g", orders); err != nil || got < p.committed || got > p.tried+1 {
		return errors.Join(err, fmt.Errorf("the group stands at %d, want %d to %d", got, p.committed, p.tried))
	}
	if got, err := committedAt(b, "tg", orders); err != nil || got < latest {
		return errors.Join(err, fmt.Errorf("the group in the transactions stands at %d, want %d", got, latest))
	}
	return nil
}

// committedAt is the committed offset of partition 0, or -1.
func committedAt(b *Broker, id string, orders *topic) (offset int64, err error) {
	offset = -1
	err = b.groups.view(id, func(g *coordinated) error {
		if c, ok := b.groups.committed(g.mu.Group, orders.Name, 0); ok {
			offset = c.Offset
		}
		return nil
	})
	if errors.Is(err, errNoGroup) {
		err = nil
	}
	return offset, err
}

// committedIn counts the values that a reader of what is committed finds.
func committedIn(p *partition) (map[string]int, error) {
	found := map[string]int{}
	stable, end := p.lastStableOffset(), p.log.EndOffset()
	if stable != end {
		return nil, fmt.Errorf("%s: stable up to %d of %d, though no transaction is open", p, stable, end)
	}
	aborted, err := p.log.Aborted(0, end)
	if err != nil {
		return nil, err
	}
	for at := p.startOffset(); at < end; {
		b, err := p.log.Read(commitlog.ReadSpec{From: at, UpTo: end, MaxBytes: 1 << 20, WholeFirst: true}, nil)
		if err != nil {
			return nil, err
		}
		for len(b) > 0 {
			batch, rest, err := record.Next(b)
			if err != nil {
				return nil, err
			}
			at, b = batch.NextOffset(), rest
			if batch.Attributes().Control() {
				continue
			}
			skip := false
			for _, a := range aborted {
				skip = skip || a.ID == batch.ProducerID() && a.First <= batch.BaseOffset() && batch.BaseOffset() <= a.Last
			}
			if skip {
				continue
			}
			for r, err := range batch.Records() {
				if err != nil {
					return nil, err
				}
				found[string(r.Value)]++
			}
		}
	}
	return found, nil
}
