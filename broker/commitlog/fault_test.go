package commitlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/riffle-stream/riffle/internal/reliability"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

var errDisk = errors.New("disk error")

// TestEveryFailure fails each operation that changes the disk once, whole or half
// done. What was acknowledged is there after a power loss; the rest is refused.
func TestEveryFailure(t *testing.T) {
	t.Parallel()
	count := faultfs.New(vfs.NewMem())
	if acked, failed := failingLife(t, count); failed != nil {
		t.Fatalf("without a fault: %d acknowledged, then %v", len(acked), failed)
	}
	total := count.Count(faultfs.Mutating()...)
	if least := reliability.Figure(150, 500); total < least {
		t.Fatalf("%d operations, want at least %d", total, least)
	}
	surfaced := 0
	for n := range total {
		mem := vfs.NewMem()
		faults := faultfs.New(mem)
		faults.Inject(faultfs.Fault{Kinds: faultfs.Mutating(), After: n, Err: errDisk, Partial: 50 * (n % 2)})
		acked, err := failingLife(t, faults)
		if faults.Injected() != 1 {
			t.Fatalf("operation %d did not fail", n)
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("operation %d failed, and nobody was told: %v", n, err)
		}
		surfaced++
		for _, percent := range []int{0, 100} {
			l, err := Open(mem.CrashClone(percent, rand.New(rand.NewPCG(uint64(n), 1))), crashConfig, epoch)
			if err != nil {
				t.Fatalf("operation %d failed, then Open: %v", n, err)
			}
			if l.StartOffset() > 0 || l.EndOffset() < int64(len(acked)) || len(l.Recovery().Corrupt) > 0 {
				t.Fatalf("operation %d failed; the log holds [%d, %d), %d were acknowledged; %+v",
					n, l.StartOffset(), l.EndOffset(), len(acked), l.Recovery())
			}
			got, err := values(l, 0, int64(len(acked)), 1<<20)
			if diff := cmp.Diff(acked, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Fatalf("operation %d failed: %v (-want +got):\n%s", n, err, diff)
			}
			verifyAndClose(t, l)
		}
	}
	t.Logf("%d operations failed, %d surfaced", total, surfaced)
}

// failingLife appends and flushes until something fails. Then it insists, and gets
// nothing acknowledged any more.
func failingLife(t *testing.T, fsys vfs.FS) (acked []string, err error) {
	t.Helper()
	cfg := crashConfig
	cfg.RetentionBytes = 0
	l, err := Open(fsys, cfg, epoch)
	if err != nil {
		return nil, err
	}
	defer func() {
		cerr := l.Close()
		if err == nil {
			err = cerr
		}
	}()
	var values []string
	for i := range reliability.Figure(25, 90) {
		v := fmt.Sprintf("%03d-%0*d", i, 10+(i*37)%150, 0)
		_, err := l.Append(batchFrom(1, int32(i), 0, v), epoch)
		if err == nil {
			values = append(values, v)
			err = l.Flush()
		}
		if err == nil {
			acked = values
			continue
		}
		if !errors.Is(err, ErrFenced) {
			t.Errorf("append %d = %v, want ErrFenced", i, err)
		}
		for range 3 {
			if a, aerr := l.Append(batchFrom(2, 0, 0, "x"), epoch); !errors.Is(aerr, ErrFenced) {
				t.Errorf("Append after a failure = %+v, %v, want ErrFenced", a, aerr)
			}
			if ferr := l.Flush(); !errors.Is(ferr, ErrFenced) {
				t.Errorf("Flush after a failure = %v, want ErrFenced", ferr)
			}
		}
		if l.FlushedOffset() > int64(len(values)) {
			t.Errorf("FlushedOffset = %d after a failure, %d were appended", l.FlushedOffset(), len(values))
		}
		if got, rerr := readFlushed(l); rerr != nil || len(got) < len(acked) {
			t.Errorf("reads after a failure: %d records, %v; %d were acknowledged", len(got), rerr, len(acked))
		}
		return acked, err
	}
	return acked, nil
}

func readFlushed(l *Log) ([]string, error) { return values(l, 0, l.FlushedOffset(), 1<<20) }

// checkSizes compares the files with what the log says, byte by byte.
func checkSizes(t *testing.T, fsys vfs.FS, l *Log) {
	t.Helper()
	names, err := fsys.List(".")
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, name := range names {
		if _, suffix, ok := parseFileName(name); ok && suffix == logSuffix {
			size += int64(len(mustReadAll(t, fsys, name)))
		}
	}
	if size != l.Size() {
		t.Fatalf("the files have %d bytes, the log %d", size, l.Size())
	}
}

// TestDiskFull fills a disk, frees it and goes on, a hundred times, without opening
// the log again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	cfg := Config{SegmentBytes: 2000, IndexIntervalBytes: 300, MarkBytes: 500}
	l := openLog(t, mem, cfg)
	var want []string
	refused := 0
	for cycle := range 100 {
		mem.SetCapacity(mem.Used() + int64(100+cycle*13))
		for i := range 30 {
			v := fmt.Sprintf("%d/%d/%0*d", cycle, i, 1+(cycle*7+i*31)%200, 0)
			_, err := l.Append(batchOf(0, v), epoch)
			switch {
			case err == nil:
				want = append(want, v)
				if err := l.Flush(); err != nil {
					t.Fatal(err)
				}
			case errors.Is(err, ErrNoSpace) && errors.Is(err, syscall.ENOSPC):
				refused++
				checkSizes(t, mem, l)
			default:
				t.Fatalf("Append on a full disk = %v, want ErrNoSpace", err)
			}
		}
		if diff := cmp.Diff(want, mustValues(t, l)); diff != "" {
			t.Fatalf("on a full disk (-want +got):\n%s", diff)
		}
		if cycle%10 == 0 {
			reopened, err := Open(mem.Clone(), cfg, epoch)
			if err != nil {
				t.Fatalf("Open on a full disk: %v", err)
			}
			if diff := cmp.Diff(want, mustValues(t, reopened)); diff != "" {
				t.Fatalf("opened on a full disk (-want +got):\n%s", diff)
			}
			if err := reopened.Verify(); err != nil {
				t.Error(err)
			}
			_ = reopened.Close() // it may lack the space for a snapshot
		}
		mem.SetCapacity(1 << 40)
		v := fmt.Sprintf("%d freed", cycle)
		mustAppend(t, l, batchOf(0, v))
		want = append(want, v)
	}
	if refused < 100 {
		t.Errorf("only %d appends were refused", refused)
	}
}
