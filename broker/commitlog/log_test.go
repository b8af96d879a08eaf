package commitlog

import (
	"errors"
	"hash/crc32"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	if _, err := Open(vfs.NewMem(), Config{SegmentBytes: -1, RetentionAge: -1, MaxBatchBytes: 1 << 30}, epoch); err == nil {
		t.Error("a wrong configuration is accepted")
	} else if got, want := err.Error(), `commitlog: SegmentBytes is -1, must be at least 1
commitlog: MaxBatchBytes is 1073741824, must be at most 268435456
commitlog: RetentionAge is -1, must be at least 0`; got != want {
		t.Errorf("error (-want +got):\n%s", cmp.Diff(want, got))
	}
	l := openLog(t, vfs.NewMem(), Config{})
	mustAppend(t, l, batchOf(0, "a", "b"))
	if err := l.Configure(Config{MaxBatchBytes: 70}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(batchOf(0, "a", "b"), epoch); !errors.Is(err, ErrBatchTooLarge) {
		t.Errorf("Append = %v, want ErrBatchTooLarge", err)
	}
	if err := l.Configure(Config{SegmentAge: -1}); err == nil {
		t.Error("Configure accepts a wrong configuration")
	}
	mustAppend(t, l, batchOf(0, "c"))
	if _, err := l.Append(record.Batch("nonsense"), epoch); err == nil {
		t.Error("Append accepts nonsense")
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	l := openLog(t, fsys, Config{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	editFile(t, fsys, checkpointName, func(b []byte) []byte {
		for at := 0; at < len(b); at += slotDistance {
			b[at+5] = 2
			be.PutUint32(b[at+112:], crc32.Checksum(b[at:at+112], castagnoli))
		}
		return b
	})
	if _, err := Open(fsys, Config{}, epoch); !errors.Is(err, ErrVersion) {
		t.Errorf("Open of a newer log = %v, want ErrVersion", err)
	}
}

// TestAppendRewrites: the base offset and the leader epoch are the log's.
func TestAppendRewrites(t *testing.T) {
	t.Parallel()
	l := openLog(t, vfs.NewMem(), Config{})
	mustAppend(t, l, batchOf(0, "a"))
	b := batchOf(0, "b")
	b.SetBaseOffset(77)
	b.SetLeaderEpoch(9)
	mustAppend(t, l, b)
	if b.BaseOffset() != 1 || b.LeaderEpoch() != 0 {
		t.Errorf("base offset %d, leader epoch %d, want 1 and 0", b.BaseOffset(), b.LeaderEpoch())
	}
}

func TestNotify(t *testing.T) {
	t.Parallel()
	l := openLog(t, vfs.NewMem(), Config{SegmentBytes: 1, RetentionBytes: 1})
	c, other := make(chan struct{}, 1), make(chan struct{}, 1)
	l.Notify(c)
	l.Notify(other)
	told := func(what string, want bool) {
		t.Helper()
		select {
		case <-c:
			if !want {
				t.Errorf("%s: told", what)
			}
		default:
			if want {
				t.Errorf("%s: not told", what)
			}
		}
	}
	mustAppend(t, l, batchOf(0, "a"))
	mustAppend(t, l, batchOf(0, "b")) // other is full by now: nothing blocks
	told("append", true)
	told("append", false)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	told("flush", true)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	told("flush of nothing", false)
	if n, err := l.Retain(epoch); n != 1 || err != nil {
		t.Fatalf("Retain = %d, %v", n, err)
	}
	told("retain", true)
	l.StopNotify(c)
	mustAppend(t, l, batchOf(0, "c"))
	told("append after StopNotify", false)
	l.Notify(c)
	verifyAndClose(t, l)
	told("close", true)
}

// TestConcurrent reads, flushes, looks up, retains and verifies beside an appender.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	l := openLog(t, vfs.NewMem(), Config{SegmentBytes: 5000, IndexIntervalBytes: 300, MarkBytes: 1000, RetentionBytes: 20_000})
	f := NewFlusher(FlusherConfig{})
	defer f.Close()
	const batches = 400
	done := make(chan struct{})
	var wg, readers sync.WaitGroup
	wg.Go(func() {
		for i := range batches {
			a, err := l.Append(batchFrom(1, int32(3*i), epoch.UnixMilli()+int64(i), "a", "b", "c"), epoch)
			if err == nil {
				err = f.Wait(t.Context(), l, a.NextOffset)
			}
			if err != nil {
				t.Errorf("append %d: %v", i, err)
				return
			}
		}
	})
	read := 0
	for range 2 {
		readers.Go(func() {
			c := make(chan struct{}, 1)
			l.Notify(c)
			defer l.StopNotify(c)
			at := int64(0)
			for at < 3*batches {
				got, err := values(l, at, l.FlushedOffset(), 1000)
				at += int64(len(got))
				switch {
				case errors.Is(err, ErrOffsetOutOfRange):
					at = l.StartOffset()
				case err != nil:
					t.Errorf("read at %d: %v", at, err)
					return
				}
				if at < l.FlushedOffset() {
					continue
				}
				select {
				case <-c:
				case <-done:
				}
			}
		})
	}
	readers.Go(func() {
		for {
			if _, err := l.Retain(epoch); err != nil {
				t.Errorf("Retain: %v", err)
			}
			if err := l.Verify(); err != nil {
				t.Errorf("Verify: %v", err)
			}
			if _, _, _, err := l.OffsetForTime(epoch.UnixMilli() + int64(read%batches)); err != nil {
				t.Errorf("OffsetForTime: %v", err)
			}
			read += 7
			select {
			case <-done:
				return
			default:
			}
		}
	})
	wg.Wait()
	close(done)
	readers.Wait()
	if l.EndOffset() != 3*batches {
		t.Errorf("log ends at %d, want %d", l.EndOffset(), 3*batches)
	}
}

// TestIdleFiles: segments that nobody reads give their descriptors back.
func TestIdleFiles(t *testing.T) {
	t.Parallel()
	l := openLog(t, vfs.NewMem(), Config{SegmentBytes: 200})
	all, _ := fill(t, l, 12)
	open := func() (n int) {
		for _, s := range l.mu.segments {
			if s.mu.file != nil {
				n++
			}
		}
		return n
	}
	for range 2 {
		if got := mustValues(t, l); !cmp.Equal(got, all) {
			t.Fatalf("read %q", got)
		}
		if open() != l.Segments() {
			t.Errorf("%d of %d files are open after a read", open(), l.Segments())
		}
		for range 2 {
			if _, err := l.Retain(epoch.Add(time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if open() != 1 {
			t.Errorf("%d files are open, want the active one", open())
		}
	}
}

// TestAllocations: the paths that every produced and every fetched batch takes.
func TestAllocations(t *testing.T) {
	l := openLog(t, vfs.NewMem(), Config{LogAppendTime: true}) // which mends the checksum
	b := batchFrom(1, 0, 0, "value")
	mustAppend(t, l, b)
	buf := make([]byte, 0, 1<<16)
	seq := int32(0)
	for name, f := range map[string]func() error{
		"append": func() error {
			seq++
			be.PutUint32(b[53:], uint32(seq))
			_, err := l.Append(b, epoch)
			return err
		},
		"read": func() error {
			_, err := l.Read(ReadSpec{UpTo: l.EndOffset(), MaxBytes: 1000}, buf)
			return err
		},
	} {
		n := testing.AllocsPerRun(500, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		})
		if n >= 1 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
