package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/internal/e2e/bank"
	"github.com/riffle-stream/riffle/stream"
)

// points are the failpoints at which an instance is killed: after each step of a commit, of a checkpoint, and of a
// restore.
var points = []string{
	"commit-begun", "commit-outputs", "commit-offsets-added", "commit-ended", "commit-folded",
	"checkpoint-data", "checkpoint-positions", "restored",
}

// TestBankKills kills instances of the bank with SIGKILL, half of the time at a named point and half at a random moment,
// while transfers are written, and starts them again on what they left. At the end the ledgers are those of an
// undisturbed run: every transfer was debited and credited once, and in order.
//
// RIFFLE_E2E_CYCLES kills that many times for each kind of broker and number of instances (the default is 8);
// RIFFLE_E2E_SEED repeats a run.
func TestBankKills(t *testing.T) {
	kills := envInt(t, "RIFFLE_E2E_CYCLES", 8)
	for _, broker := range []string{"riffle", "kfake"} {
		for _, instances := range []int{1, 3} {
			t.Run(fmt.Sprintf("broker=%s/instances=%d", broker, instances), func(t *testing.T) {
				t.Parallel()
				seed := uint64(envInt(t, "RIFFLE_E2E_SEED", int(time.Now().UnixNano())))
				t.Logf("RIFFLE_E2E_SEED=%d", seed)
				rng := rand.New(rand.NewPCG(seed, 0))
				addr := bankBroker(t, broker)
				customers := openBank(t, addr, rand.New(rand.NewPCG(seed, 1)))
				var group []*teller
				for i := range instances {
					group = append(group, &teller{addr: addr, name: fmt.Sprintf("teller-%d", i), dir: t.TempDir()})
				}
				at := make(map[string]int)
				for n := range kills {
					at[killOne(t, group, rng)]++
					if (n+1)%50 == 0 {
						t.Logf("%d kills", n+1)
					}
				}
				t.Logf("killed at %v", at)
				finishDay(t, group, customers)
			})
		}
	}
}

// bankBroker starts a broker and returns its address.
func bankBroker(t *testing.T, kind string) string {
	t.Helper()
	if kind == "riffle" {
		addr := freeAddr(t)
		startServer(t, t.TempDir(), addr)
		return addr
	}
	fake := newFake(t)
	holdSyncs(fake)
	return fake.ListenAddrs()[0]
}

// killOne starts the instances that do not run, and kills one of them. It returns where.
func killOne(t *testing.T, group []*teller, rng *rand.Rand) (where string) {
	t.Helper()
	victim := group[rng.IntN(len(group))]
	if rng.IntN(2) == 0 {
		for _, w := range group {
			w.start(t, "")
		}
		victim.killAfter(t, time.Duration(rng.Int64N(int64(400*time.Millisecond))))
		return "random"
	}
	point, hits := points[rng.IntN(len(points))], 1+rng.IntN(5)
	if point == "restored" {
		hits = 1
	}
	victim.killAfter(t, 0)
	victim.start(t, fmt.Sprintf("%s:%d", point, hits))
	for _, w := range group {
		w.start(t, "")
	}
	if victim.killAfter(t, 3*time.Second) {
		return "late" // it did not come to the point
	}
	return point
}

// finishDay lets the instances process what is left, and compares the ledgers with the transfers.
func finishDay(t *testing.T, group []*teller, customers *customers) {
	t.Helper()
	customers.close(t)
	for _, w := range group {
		w.killAfter(t, 0)
		w.start(t, "", "--stop-at-end")
	}
	for _, w := range group {
		w.wait(t)
	}
	customers.audit(t)
}

// teller is an instance of the bank, in a process of its own.
type teller struct {
	addr, name, dir string

	cmd  *exec.Cmd
	err  *bytes.Buffer
	done chan error // nil while it does not run
}

// start starts the process unless it runs. failpoint is where it is to die.
func (w *teller) start(t *testing.T, failpoint string, flags ...string) {
	t.Helper()
	if w.done != nil {
		return
	}
	args := append([]string{"--brokers", w.addr, "--instance", w.name, "--state", w.dir}, flags...)
	w.cmd, w.err, w.done = exec.Command(program(t, "bank"), args...), new(bytes.Buffer), make(chan error, 1)
	w.cmd.Env = append(os.Environ(), "RIFFLE_FAILPOINT="+failpoint)
	w.cmd.Stderr = w.err
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done, cmd := w.done, w.cmd
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
}

// killAfter waits until the process dies, and kills it itself after a while: then it reports true.
func (w *teller) killAfter(t *testing.T, wait time.Duration) (killed bool) {
	t.Helper()
	if w.done == nil {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var err error
	select {
	case err = <-w.done:
	case <-timer.C:
		killed = true
		_ = w.cmd.Process.Signal(syscall.SIGKILL) // it may have died meanwhile
		err = <-w.done
	}
	w.done = nil
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%s, to be killed: %v\n%s", w.name, err, tail(w.err.String()))
	}
	return killed
}

// wait waits until the process ends by itself.
func (w *teller) wait(t *testing.T) {
	t.Helper()
	select {
	case err := <-w.done:
		if err != nil {
			t.Fatalf("%s: %v\n%s", w.name, err, tail(w.err.String()))
		}
	case <-time.After(2 * time.Minute):
		logCluster(t, w.addr)
		_ = w.cmd.Process.Signal(syscall.SIGQUIT) // for the stacks of all that waits
		<-w.done                                  // its output is complete then
		t.Fatalf("%s does not come to the end of the transfers\n%s", w.name, w.err)
	}
	w.done = nil
}

// logCluster logs what may keep an instance waiting: the group, open transactions, and partitions whose stable offset is not
// their end.
func logCluster(t *testing.T, addr string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	admin := kadm.NewClient(cl)
	groups, err := admin.DescribeGroups(ctx)
	t.Logf("groups: %+v, %v", groups, err)
	for _, group := range groups.Names() {
		offsets, err := admin.FetchOffsets(kadm.RequireStable(ctx), group)
		t.Logf("stable offsets of %s: %v, %v, %v", group, offsets.Offsets(), err, offsets.Error())
	}
	transactions, err := admin.ListTransactions(ctx, nil, nil)
	t.Logf("transactions: %+v, %v", transactions, err)
	ends, err := admin.ListEndOffsets(ctx)
	stable, err2 := admin.ListCommittedOffsets(ctx)
	t.Logf("ends: %v, %v", err, err2)
	ends.Each(func(end kadm.ListedOffset) {
		if at, ok := stable.Lookup(end.Topic, end.Partition); !ok || at.Offset != end.Offset {
			t.Logf("%s partition %d: end %d, stable %d", end.Topic, end.Partition, end.Offset, at.Offset)
		}
	})
}

// customers write transfers, and remember them.
type customers struct {
	cluster *stream.Cluster
	stop    context.CancelFunc
	writing sync.WaitGroup
	err     error

	accounts  []string // of the transfers: who paid
	transfers []bank.Transfer
}

// openBank makes the topics and writes transfers until close.
func openBank(t *testing.T, addr string, rng *rand.Rand) *customers {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &customers{cluster: stream.Kafka(addr), stop: stop}
	t.Cleanup(stop)
	if err := c.cluster.CreateTopics(ctx, 4, bank.Transfers.Name, bank.Debits.Name, bank.Credits.Name); err != nil {
		t.Fatal(err)
	}
	c.writing.Go(func() { c.err = c.write(ctx, rng) })
	return c
}

func (c *customers) write(ctx context.Context, rng *rand.Rand) error {
	w, err := stream.NewWriter(context.Background(), c.cluster, bank.Transfers, stream.WriterConfig{})
	if err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		for range 10 {
			from := fmt.Sprint("account-", rng.IntN(50))
			transfer := bank.Transfer{ID: int64(len(c.transfers)), To: fmt.Sprint("account-", rng.IntN(50)), Amount: 1 + rng.Int64N(100)}
			c.accounts, c.transfers = append(c.accounts, from), append(c.transfers, transfer)
			r := stream.Record[string, bank.Transfer]{Key: from, Value: transfer, Time: time.UnixMilli(transfer.ID)}
			if err := w.Write(context.Background(), r); err != nil {
				return errors.Join(err, w.Close())
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return w.Close()
}

// close ends the writing.
func (c *customers) close(t *testing.T) {
	t.Helper()
	c.stop()
	c.writing.Wait()
	if c.err != nil {
		t.Fatal(c.err)
	}
}

// audit compares the ledgers with the transfers.
func (c *customers) audit(t *testing.T) {
	t.Helper()
	debits, credits := c.ledgers(t, bank.Debits), c.ledgers(t, bank.Credits)

	// All transfers of an account come from one partition, so their debits have one order.
	want := make(map[string][]bank.Entry)
	for i, transfer := range c.transfers {
		ledger := want[c.accounts[i]]
		var last bank.Entry
		if len(ledger) > 0 {
			last = ledger[len(ledger)-1]
		}
		want[c.accounts[i]] = append(ledger, last.Next(transfer, -1))
	}
	if diff := cmp.Diff(want, debits); diff != "" {
		t.Errorf("debits (-transfers +ledger):\n%s", tail(diff))
	}

	// Credits of different payers come in any order: each must be there once, and follow from the one before.
	var sum int64
	wantIDs, gotIDs := make(map[string][]int64), make(map[string][]int64)
	for _, transfer := range c.transfers {
		wantIDs[transfer.To] = append(wantIDs[transfer.To], transfer.ID)
		sum += transfer.Amount
	}
	for account, ledger := range credits {
		var last bank.Entry
		for _, e := range ledger {
			if e.Transfer < 0 || e.Transfer >= int64(len(c.transfers)) || e != last.Next(c.transfers[e.Transfer], 1) {
				t.Fatalf("credits of %s: %+v follows %+v", account, e, last)
			}
			last = e
			gotIDs[account] = append(gotIDs[account], e.Transfer)
		}
		slices.Sort(gotIDs[account])
		sum -= last.Balance
	}
	if diff := cmp.Diff(wantIDs, gotIDs); diff != "" {
		t.Errorf("credited transfers (-transfers +ledger):\n%s", tail(diff))
	}
	if sum != 0 {
		t.Errorf("the accounts have received %d less than was paid", sum)
	}
	t.Logf("%d transfers", len(c.transfers))
}

func (c *customers) ledgers(t *testing.T, topic stream.Topic[string, bank.Entry]) map[string][]bank.Entry {
	t.Helper()
	ledgers := make(map[string][]bank.Entry)
	for r, err := range c.cluster.Read(t.Context(), topic) {
		if err != nil {
			t.Fatal(err)
		}
		ledgers[r.Key] = append(ledgers[r.Key], r.Value)
	}
	return ledgers
}
