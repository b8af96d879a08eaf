//go:build unix

package badgerstore_test

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/state/badgerstore"
)

// commitEvery is the number of records of a commit.
const commitEvery = 10_000

// BenchmarkCount counts by key, as a stateful step does: get, add one, put. design=overlay
// is this package, with checkpoints in the background; design=naive is a Badger
// transaction per record, with Badger's syncing off.
func BenchmarkCount(b *testing.B) {
	for _, keys := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("design=overlay/keys=%d", keys), func(b *testing.B) { benchOverlay(b, keys) })
		b.Run(fmt.Sprintf("design=naive/keys=%d", keys), func(b *testing.B) { benchNaive(b, keys) })
	}
}

// record is the key of the next record: 16 bytes, uniform.
func record(rng *rand.Rand, keys int, key []byte) []byte {
	return binary.BigEndian.AppendUint64(append(key[:0], "12345678"...), uint64(rng.IntN(keys)))
}

// cpu is the processor time of the process; unlike the clock it does not depend on what
// else the machine does.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, since time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64((cpu()-since).Nanoseconds())/float64(b.N), "cpu-ns/record")
}

func benchOverlay(b *testing.B, keys int) {
	db, err := badgerstore.Open(b.TempDir(), badgerstore.Config{CheckpointAge: time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	task, err := db.OpenTask(state.TaskID{}, []state.Spec{{Name: "s"}})
	if err != nil {
		b.Fatal(err)
	}
	store, _ := task.Store("s")
	rng := rand.New(rand.NewPCG(1, 2))
	key, value := make([]byte, 0, 16), make([]byte, 64)
	n := int64(0)
	b.ReportAllocs()
	since := cpu()
	for b.Loop() {
		key = record(rng, keys, key)
		old, _, err := store.Get(key)
		if err != nil {
			b.Fatal(err)
		}
		copy(value, old)
		value[0]++
		if err := store.Put(key, value); err != nil {
			b.Fatal(err)
		}
		if n++; n%commitEvery == 0 {
			if err := task.Commit(map[string]state.Position{"s": {Offset: n, Commit: n / commitEvery}}); err != nil {
				b.Fatal(err)
			}
		}
	}
	report(b, since)
	s := db.Stats()
	b.ReportMetric(s.CommitWaitSeconds/b.Elapsed().Seconds(), "waiting")
	b.ReportMetric(float64(s.Checkpoints), "checkpoints")
}

func benchNaive(b *testing.B, keys int) {
	opts := badger.DefaultOptions(b.TempDir()).WithLogger(nil).WithDetectConflicts(false).
		WithMemTableSize(16 << 20).WithNumMemtables(2).WithCompression(options.None).WithBlockCacheSize(0)
	db, err := badger.Open(opts)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	since := cpu()
	for b.Loop() {
		key := record(rng, keys, make([]byte, 0, 16))
		err := db.Update(func(txn *badger.Txn) error {
			value := make([]byte, 64)
			item, err := txn.Get(key)
			if err == nil {
				value, err = item.ValueCopy(value)
			}
			if err != nil && err != badger.ErrKeyNotFound { //nolint:errorlint // Badger returns it bare
				return err
			}
			value[0]++
			return txn.Set(key, value)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	report(b, since)
}
