package commitlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

// TestGroupCommit lets twenty producers append while an fsync takes a second: two
// fsyncs serve them all.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var syncs, served atomic.Int64
		var slow atomic.Bool
		l := openLog(t, faultfs.SlowSync(vfs.NewMem(), func() {
			if slow.Load() {
				syncs.Add(1)
				time.Sleep(time.Second)
			}
		}), Config{})
		mustAppend(t, l, batchOf(0, "warm up"))
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		slow.Store(true)
		f := NewFlusher(FlusherConfig{FlushedFunc: func(_ time.Duration, n int, _ error) { served.Add(int64(n)) }})
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				a, err := l.Append(batchOf(0, fmt.Sprint(i)), epoch)
				if err == nil {
					err = f.Wait(t.Context(), l, a.NextOffset)
				}
				if err != nil || l.FlushedOffset() < a.NextOffset {
					t.Errorf("Wait(%d) = %v, flushed %d", a.NextOffset, err, l.FlushedOffset())
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 2*time.Second || syncs.Load() != 2 {
			t.Errorf("20 appends took %v, %d fsyncs, want 2s and 2", took, syncs.Load())
		}
		slow.Store(false)
		f.Close()
		if n := served.Load(); n != 20 {
			t.Errorf("%d served, want 20", n)
		}
		verifyAndClose(t, l)
	})
}

// TestFlusherParallel has more logs to flush than are flushed at a time. No fsync waits for one of
// the same log, and a group gathers meanwhile.
func TestFlusherParallel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := NewFlusher(FlusherConfig{Parallel: 3})
		defer f.Close()
		var slow atomic.Bool
		syncs := make([]atomic.Int64, 6)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range syncs {
			l := openLog(t, faultfs.SlowSync(vfs.NewMem(), func() {
				if slow.Load() {
					syncs[i].Add(1)
					time.Sleep(time.Second)
				}
			}), Config{})
			defer l.Close()
			mustAppend(t, l, batchOf(0, "warm up"))
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			for n := range 4 {
				wg.Go(func() {
					time.Sleep(time.Duration(n+1) * 100 * time.Millisecond)
					a, err := l.Append(batchOf(0, "v"), epoch)
					if err == nil {
						err = f.Wait(t.Context(), l, a.NextOffset)
					}
					if err != nil {
						t.Errorf("Wait = %v", err)
					}
				})
			}
		}
		slow.Store(true)
		wg.Wait()
		slow.Store(false)
		// Three logs at a time, the second fsync of each log for what came during its first.
		if took := time.Since(start); took > 4500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		for i := range syncs {
			if n := syncs[i].Load(); n < 1 || n > 2 {
				t.Errorf("log %d: %d fsyncs, want one or two", i, n)
			}
		}
	})
}

// TestFlusherManyLogs has waiters on several logs, some of which fail.
func TestFlusherManyLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := NewFlusher(FlusherConfig{MaxWaiting: 3})
		defer f.Close()
		var wg sync.WaitGroup
		for i := range 10 {
			faults := faultfs.New(vfs.NewMem())
			l, err := Open(faults, Config{}, epoch)
			if err != nil {
				t.Fatal(err)
			}
			fails := i%3 == 0
			if fails {
				faults.Inject(faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Sync}, Name: fileName(0, logSuffix), Err: errDisk})
			}
			for range 4 {
				wg.Go(func() {
					a, err := l.Append(batchOf(0, "v"), epoch)
					if err != nil {
						if !fails || !errors.Is(err, ErrFenced) {
							t.Errorf("Append = %v", err)
						}
						return
					}
					switch err := f.Wait(t.Context(), l, a.NextOffset); {
					case fails && !errors.Is(err, ErrFenced):
						t.Errorf("Wait on a failed log = %v, want ErrFenced", err)
					case fails && !errors.Is(err, errDisk):
						t.Errorf("Wait on a failed log = %v, want the cause in it", err)
					case !fails && err != nil:
						t.Errorf("Wait = %v", err)
					}
				})
			}
			defer l.Close()
		}
		wg.Wait()
	})
}

func TestFlusherWaitEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := false
		l := openLog(t, faultfs.SlowSync(vfs.NewMem(), func() {
			if slow {
				time.Sleep(10 * time.Second)
			}
		}), Config{})
		mustAppend(t, l, batchOf(0, "a"))
		f := NewFlusher(FlusherConfig{})
		if err := f.Wait(t.Context(), l, 1); err != nil {
			t.Errorf("Wait = %v", err)
		}
		if err := f.Wait(t.Context(), l, 99); !errors.Is(err, ErrOffsetOutOfRange) {
			t.Errorf("Wait past the end = %v, want ErrOffsetOutOfRange", err)
		}
		slow = true
		var wg sync.WaitGroup
		wait := func(ctx context.Context, want error, after time.Duration) {
			a := mustAppend(t, l, batchOf(0, "b"))
			start := time.Now()
			wg.Go(func() {
				if err := f.Wait(ctx, l, a.NextOffset); !errors.Is(err, want) || time.Since(start) != after {
					t.Errorf("Wait = %v after %v, want %v after %v", err, time.Since(start), want, after)
				}
			})
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wait(ctx, context.DeadlineExceeded, time.Second) // while its fsync is under way
		wait(ctx, context.DeadlineExceeded, time.Second) // before its fsync began
		wait(t.Context(), nil, 20*time.Second)           // the second fsync
		time.Sleep(15 * time.Second)                     // that one is under way now
		wait(t.Context(), ErrClosed, 0)                  // the flusher is closed before the third
		f.Close()                                        // waits for the fsync under way
		if err := f.Wait(t.Context(), l, l.EndOffset()); !errors.Is(err, ErrClosed) {
			t.Errorf("Wait after Close = %v, want ErrClosed", err)
		}
		wg.Wait()
		slow = false
		verifyAndClose(t, l)
	})
}

// TestFlusherOfClosedLog: what Close flushed is acknowledged.
func TestFlusherOfClosedLog(t *testing.T) {
	t.Parallel()
	l := openLog(t, vfs.NewMem(), Config{})
	f := NewFlusher(FlusherConfig{})
	defer f.Close()
	a := mustAppend(t, l, batchOf(0, "a"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Wait(t.Context(), l, a.NextOffset); err != nil {
		t.Errorf("Wait on a closed log = %v", err)
	}
	if err := l.Flush(); !errors.Is(err, ErrClosed) {
		t.Errorf("Flush of a closed log = %v, want ErrClosed", err)
	}
}
