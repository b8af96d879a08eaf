package broker

import (
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/txn"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

// On a disk that fails, nothing is said to have ended that has not: the outcome is
// that of the log after the restart, for all partitions.
func TestTransactionWithFailingDisk(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	faults := faultfs.New(mem)
	b, orders := startOn(t, Config{FS: faults})
	if err := commitOne(b, "g", orders, 7); err != nil {
		t.Fatal(err)
	}
	p := openOne(t, b, orders, "tx")
	faults.Inject(faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Sync}, Err: syscall.EIO, Times: -1})
	if _, err := b.txns.end(t.Context(), "tx", p, true, txn.TV2); errorCode(err) != kerr.CoordinatorNotAvailable.Code {
		t.Fatalf("EndTxn on a failing disk: %v, want COORDINATOR_NOT_AVAILABLE", err)
	}
	if got := orders.partitions[0].lastStableOffset(); got != 0 {
		t.Errorf("the stable offset is %d after an outcome that was not stored, want 0", got)
	}
	faults.Heal()
	b, orders = startOn(t, Config{FS: mem.CrashClone(0, rand.New(rand.NewPCG(1, 2)))})
	if got := orders.partitions[0].lastStableOffset(); got != 0 {
		t.Errorf("the stable offset is %d after a restart, want 0: the transaction is open", got)
	}
	if _, err := b.txns.end(t.Context(), "tx", p, false, txn.TV2); err != nil {
		t.Fatal(err)
	}
	checkDecided(t, b, orders, p, false)
}
