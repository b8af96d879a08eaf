package commitlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

var compactConfig = Config{SegmentBytes: 600, IndexIntervalBytes: 150, MarkBytes: 400}

// lastOf is the last value of each key, without tombstones.
func lastOf(records []keyed) map[int]string {
	last := map[int]string{}
	for _, r := range records {
		if r.aborted {
			continue
		}
		last[r.key] = r.value
		if r.value == "" {
			delete(last, r.key)
		}
	}
	return last
}

// fillKeyed appends n batches, among them tombstones, compressed batches, and those
// of transactions, committed and aborted, and flushes. It returns the records.
func fillKeyed(t *testing.T, l *Log, n int, now time.Time) []keyed {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, uint64(l.EndOffset())))
	var all []keyed
	for i := range n {
		var b record.Builder
		base := l.EndOffset()
		txn, aborted := i%7 == 3 || i%7 == 5, i%7 == 3
		for j := range 1 + rng.IntN(3) {
			r := keyed{offset: base + int64(j), timestamp: now.UnixMilli() + int64(i+j), key: rng.IntN(9), aborted: aborted}
			if rng.IntN(4) > 0 {
				r.value = fmt.Sprintf("%d-%0*d", r.offset, 1+rng.IntN(50), 1)
			}
			b.Append(r.timestamp, fmt.Append(nil, "key", r.key), nilIfEmpty(r.value))
			all = append(all, r)
		}
		batch := b.Finish()
		if i%5 == 1 {
			batch = packed(t, batch, record.Codec(1+i%4))
		}
		if txn {
			b.SetProducer(7, int16(base), 0)
			batch = transactional(b.Finish())
		}
		mustAppend(t, l, batch)
		if txn {
			if _, err := l.AppendMarker(producer.Marker{ID: 7, Epoch: int16(base), Commit: !aborted}, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	return all
}

func compactAll(l *Log, now time.Time) (Compacted, error) {
	return l.Compact(CompactSpec{Below: l.LastStableOffset(), DeleteRetention: time.Minute}, now)
}

// checkCleaned opens a log and checks that the last value of each key is what it was.
func checkCleaned(t *testing.T, fsys vfs.FS, want map[int]string) {
	t.Helper()
	l, err := Open(fsys, compactConfig, epoch)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if r := l.Recovery(); r.Quarantined || len(r.Corrupt) > 0 || r.CheckpointLost {
		t.Fatalf("Recovery = %+v, want no damage", r)
	}
	if l.LastStableOffset() != l.EndOffset() {
		t.Fatalf("LastStableOffset() = %d, want %d: all transactions are decided", l.LastStableOffset(), l.EndOffset())
	}
	got, err := readKeyed(l)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if diff := cmp.Diff(want, lastOf(got)); diff != "" {
		t.Fatalf("values (-want +got):\n%s", diff)
	}
	if err := l.Verify(); err != nil {
		t.Fatalf("Verify: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	names, err := fsys.List(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, suffix, ok := parseFileName(name); ok && !slices.Contains([]string{logSuffix, indexSuffix, timeIndexSuffix, txnIndexSuffix, snapshotSuffix}, suffix) {
			t.Fatalf("%s is left over", name)
		}
	}
}

// TestCrashWhileCompacting lets the machine lose power before each operation of
// cleanings that changes the disk, and again before each of the recovery after it.
func TestCrashWhileCompacting(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	faults := faultfs.New(mem)
	l, err := Open(faults, compactConfig, epoch)
	if err != nil {
		t.Fatal(err)
	}
	var all []keyed
	ops, crashes := 0, 0
	hook := func(op faultfs.Op) error {
		if !slices.Contains(faultfs.Mutating(), op.Kind) {
			return nil
		}
		ops++
		want := lastOf(all)
		for _, percent := range []int{0, 50, 100} {
			if percent == 100 && ops%4 > 0 {
				continue
			}
			crashes++
			rng := rand.New(rand.NewPCG(uint64(crashes), 5))
			t.Logf("crash before operation %d (%s) with %d%% surviving", ops, op, percent)
			clone := mem.CrashClone(percent, rng)
			if percent == 50 && ops%20 == 0 {
				crashWhileRecovering(t, clone.Clone(), rng, want)
			}
			checkCleaned(t, clone, want)
		}
		return nil
	}
	now := epoch
	markers := int64(0)
	for range 3 {
		faults.Hook(nil)
		all = append(all, fillKeyed(t, l, 16, now)...)
		faults.Hook(hook)
		now = now.Add(2 * time.Minute)
		c, err := compactAll(l, now)
		if err != nil || !c.Cleaned || c.Records == 0 {
			t.Fatalf("Compact = %+v, %v", c, err)
		}
		markers += c.Markers
	}
	faults.Hook(nil)
	if markers < 4 {
		t.Errorf("%d markers were removed, want at least 4", markers)
	}
	if ops < 80 {
		t.Errorf("%d operations, want at least 80", ops)
	}
	t.Logf("%d operations, %d crashes, %d records", ops, crashes, len(all))
	verifyAndClose(t, l)
	checkCleaned(t, mem, lastOf(all))
}

func crashWhileRecovering(t *testing.T, mem *vfs.Mem, rng *rand.Rand, want map[int]string) {
	t.Helper()
	faults := faultfs.New(mem)
	var clones []*vfs.Mem
	faults.Hook(func(op faultfs.Op) error {
		if slices.Contains(faultfs.Mutating(), op.Kind) {
			clones = append(clones, mem.CrashClone(50, rng))
		}
		return nil
	})
	l, err := Open(faults, compactConfig, epoch)
	if err != nil {
		t.Fatal(err)
	}
	faults.Hook(nil)
	verifyAndClose(t, l)
	for _, clone := range clones {
		checkCleaned(t, clone, want)
	}
}

// TestCompactFailures makes each operation of a cleaning fail in turn. What can be
// read must stay the same, before and after the log is opened again.
func TestCompactFailures(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		faults := faultfs.New(mem)
		l, err := Open(faults, compactConfig, epoch)
		if err != nil {
			t.Fatal(err)
		}
		all := fillKeyed(t, l, 12, epoch)
		faults.Inject(faultfs.Fault{Kinds: append(faultfs.Mutating(), faultfs.Open, faultfs.Read), After: n, Err: boom})
		_, cerr := compactAll(l, epoch)
		if cerr != nil && !errors.Is(cerr, boom) {
			t.Fatalf("operation %d: Compact: %v", n, cerr)
		}
		faults.Heal()
		got, err := readKeyed(l)
		if err != nil {
			t.Fatalf("operation %d: read: %v", n, err)
		}
		if diff := cmp.Diff(lastOf(all), lastOf(got)); diff != "" {
			t.Fatalf("operation %d: values (-want +got):\n%s", n, diff)
		}
		fenced := errors.Is(l.writable(), ErrFenced)
		if cerr == nil && fenced {
			t.Fatalf("operation %d: the log is fenced, but Compact returned no error", n)
		}
		if err := l.Close(); err != nil && !fenced {
			t.Fatalf("operation %d: Close: %v", n, err)
		}
		checkCleaned(t, mem.Clone(), lastOf(all))
		if faults.Injected() == 0 {
			if n < 40 {
				t.Errorf("%d operations, want at least 40", n)
			}
			return
		}
	}
}
