package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/group"
	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/broker/txn"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// openOne begins a transaction of a new producer that writes a record to both
// partitions of orders and commits an offset of a group.
func openOne(t *testing.T, b *Broker, orders *topic, id string) txn.Producer {
	t.Helper()
	ctx := t.Context()
	p, err := b.txns.init(ctx, id, txn.InitRequest{Timeout: time.Minute, Present: txn.Producer{ID: txn.NoID}})
	if err != nil {
		t.Fatal(err)
	}
	at := []txn.Partition{{Topic: orders.Name}, {Topic: orders.Name, Index: 1}, b.groups.offsetsPlace("g")}
	if err := b.txns.add(ctx, id, p, txn.TV2, at); err != nil {
		t.Fatal(err)
	}
	for _, to := range orders.partitions {
		var w record.Builder
		w.Append(time.Now().UnixMilli(), nil, []byte(id))
		w.SetProducer(p.ID, p.Epoch, 0)
		batch := w.Finish()
		batch.SetTransactional()
		appended, err := to.append(batch)
		if err != nil {
			t.Fatal(err)
		}
		if err := to.wait(ctx, appended.NextOffset); err != nil {
			t.Fatal(err)
		}
	}
	offsets := []offsetCommit{{topic: orders, committed: group.Committed{Offset: 42, LeaderEpoch: -1}}}
	if err := b.groups.commitInTransaction(t.Context(), "g", group.CommitRequest{Generation: -1}, p, offsets); err != nil || offsets[0].err != nil {
		t.Fatal(err, offsets[0].err)
	}
	return p
}

// prepare stores the outcome of a transaction, as end does, and writes only so many of
// its markers.
func prepare(t *testing.T, b *Broker, id string, p txn.Producer, commit bool, markers int) {
	t.Helper()
	x, err := b.txns.lock(t.Context(), id, false)
	if err != nil {
		t.Fatal(err)
	}
	next, changed, err := x.txn.End(time.Now(), p, commit, txn.TV2, b.pids.next)
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	if err := b.txns.store(t.Context(), x, next); err != nil {
		t.Fatal(err)
	}
	m := next.Marker()
	for _, at := range next.Partitions[:markers] {
		wait, err := b.writeMarker(t.Context(), at.Topic, at.Index, producer.Marker{ID: m.ID, Epoch: m.Epoch, Commit: m.Commit, Raised: m.Raised})
		if err == nil {
			err = wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// The turn is kept: nothing goes on here, as after a kill.
}

// Assertion 35: a broker that dies after a transaction was decided, and before all markers were
// written, finishes it when it comes again: all of it, everywhere, the same way.
func TestCrashWhilePreparing(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		for markers := range 4 {
			for _, survives := range []int{0, 50, 100} {
				t.Run(fmt.Sprintf("commit=%v/markers=%d/survives=%d", commit, markers, survives), func(t *testing.T) {
					t.Parallel()
					mem := vfs.NewMem()
					b, orders := startOn(t, Config{FS: mem})
					if err := commitOne(b, "g", orders, 7); err != nil {
						t.Fatal(err)
					}
					p := openOne(t, b, orders, "tx")
					prepare(t, b, "tx", p, commit, markers)
					crashed := mem.CrashClone(survives, rand.New(rand.NewPCG(uint64(markers), uint64(survives))))

					b, orders = startOn(t, Config{FS: crashed})
					checkDecided(t, b, orders, p, commit)
					// And once more, after a clean restart.
					if err := b.Stop(t.Context()); err != nil {
						t.Fatal(err)
					}
					b, orders = startOn(t, Config{FS: crashed})
					checkDecided(t, b, orders, p, commit)
				})
			}
		}
	}
}

// checkDecided waits until the transaction of a producer is complete and checks what
// came of it.
func checkDecided(t *testing.T, b *Broker, orders *topic, p txn.Producer, commit bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var current txn.Txn
	for current.State != txn.CompleteCommit && current.State != txn.CompleteAbort {
		x, err := b.txns.lock(ctx, "tx", false) // waits for the turn of whoever finishes it
		if err != nil {
			t.Fatalf("the transaction is %v: %v", current.State, err)
		}
		current = x.txn
		b.txns.unlock(x)
	}
	if got := current.State == txn.CompleteCommit; got != commit {
		t.Fatalf("the transaction ended with commit=%v, it was decided with %v", got, commit)
	}
	// The client that did not hear repeats its request.
	next, err := b.txns.end(ctx, "tx", p, commit, txn.TV2)
	if err != nil || next.Epoch != p.Epoch+1 {
		t.Errorf("EndTxn again = %+v, %v", next, err)
	}
	if _, err := b.txns.end(ctx, "tx", p, !commit, txn.TV2); errorCode(err) != kerr.InvalidTxnState.Code {
		t.Errorf("EndTxn the other way: %v", err)
	}
	for _, from := range orders.partitions {
		if stable, end := from.lastStableOffset(), from.log.EndOffset(); stable != end || end != 2 {
			t.Errorf("%s: stable %d, end %d, want both to be 2: the record and one marker", from, stable, end)
		}
		aborted, err := from.log.Aborted(0, 2)
		if err != nil || (len(aborted) == 0) != commit {
			t.Errorf("%s: aborted %v, %v, want it to be there: %v", from, aborted, err, !commit)
		}
	}
	want := map[bool]int64{true: 42, false: 7}[commit]
	if got := committedOne(t, b, "g", orders); got != want {
		t.Errorf("the offset is %d, want %d", got, want)
	}
	_ = b.groups.view("g", func(g *coordinated) error {
		if ids := g.mu.PendingProducers(); len(ids) > 0 {
			t.Errorf("offsets of %v are still pending", ids)
		}
		return nil
	})
}

// A transaction that was open when the broker died is open when it comes again, with
// its offsets, and can be committed.
func TestCrashInATransaction(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	b, orders := startOn(t, Config{FS: mem})
	p := openOne(t, b, orders, "tx")
	b, orders = startOn(t, Config{FS: mem.CrashClone(0, rand.New(rand.NewPCG(1, 1)))})
	if got := orders.partitions[0].lastStableOffset(); got != 0 {
		t.Errorf("the stable offset is %d, want 0", got)
	}
	err := b.groups.view("g", func(g *coordinated) error {
		if !g.mu.HasPending("orders", 0) {
			t.Error("the offset is not pending")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := b.txns.end(t.Context(), "tx", p, true, txn.TV2); err != nil {
		t.Fatal(err)
	}
	checkDecided(t, b, orders, p, true)
}

// A partition that was deleted does not keep a transaction from ending.
func TestTopicIsDeletedInATransaction(t *testing.T) {
	t.Parallel()
	b, orders := startOn(t, Config{FS: vfs.NewMem()})
	p := openOne(t, b, orders, "tx")
	if err := b.topics.delete("orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.txns.end(t.Context(), "tx", p, true, txn.TV2); err != nil {
		t.Fatal(err)
	}
	if x, err := b.txns.lock(t.Context(), "tx", false); err != nil || x.txn.State != txn.CompleteCommit {
		t.Errorf("the transaction is %+v, %v", x, err)
	} else {
		b.txns.unlock(x)
	}
	if got := committedOne(t, b, "g", orders); got != -1 {
		t.Errorf("an offset of the deleted topic is committed: %d", got)
	}
}

func TestTransactionsSayThatTheyAreLoading(t *testing.T) {
	t.Parallel()
	ts := newTransactions(&Broker{cfg: Config{}.withDefaults()})
	ops := map[string]func() error{
		"init": func() error {
			_, err := ts.init(t.Context(), "tx", txn.InitRequest{Timeout: time.Second})
			return err
		},
		"add":  func() error { return ts.add(t.Context(), "tx", txn.Producer{}, txn.TV1, nil) },
		"end":  func() error { _, err := ts.end(t.Context(), "tx", txn.Producer{}, true, txn.TV1); return err },
		"show": func() error { return ts.show(nil) },
	}
	for name, op := range ops {
		if err := op(); errorCode(err) != kerr.CoordinatorLoadInProgress.Code {
			t.Errorf("%s while loading: %v", name, err)
		}
	}
	ts.stop()
	for name, op := range ops {
		if err := op(); errorCode(err) != kerr.CoordinatorNotAvailable.Code {
			t.Errorf("%s after stop: %v", name, err)
		}
	}
}

// Mistakes leave no transactional ids behind, and there is a limit to them.
func TestTransactionalIDsAreLimited(t *testing.T) {
	t.Parallel()
	b, _ := startOn(t, Config{FS: vfs.NewMem(), Transaction: TransactionConfig{MaxIDs: 2}})
	start := func(id string, timeout time.Duration) error {
		_, err := b.txns.init(t.Context(), id, txn.InitRequest{Timeout: timeout, Present: txn.Producer{ID: txn.NoID}})
		return err
	}
	for i := range 5 {
		if err := start(fmt.Sprint("bad", i), 0); !errors.Is(err, txn.ErrInvalidTimeout) {
			t.Errorf("a timeout of 0: %v", err)
		}
	}
	for i, want := range []int16{0, 0, kerr.PolicyViolation.Code} {
		if err := start(fmt.Sprint("tx", i), time.Second); errorCode(err) != want {
			t.Errorf("id %d: %v, want code %d", i, err, want)
		}
	}
}
