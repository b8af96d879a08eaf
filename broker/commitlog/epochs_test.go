package commitlog

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

func TestEpochEnds(t *testing.T) {
	t.Parallel()
	e := epochs{{1, 10}, {4, 20}, {5, 30}}
	const logEnd = 35
	for _, tt := range []struct {
		asked, last int32
		end         int64
		known       bool
	}{
		{-1, -1, -1, false},
		{0, 0, 10, true}, // before all that is known
		{1, 1, 20, true},
		{2, 1, 20, true}, // never wrote a record
		{3, 1, 20, true},
		{4, 4, 30, true},
		{5, 5, logEnd, true},
		{6, -1, -1, false},
	} {
		if last, end, known := e.end(tt.asked, logEnd); last != tt.last || end != tt.end || known != tt.known {
			t.Errorf("end of epoch %d: %d ends at %d, %v, want %d, %d, %v", tt.asked, last, end, known, tt.last, tt.end, tt.known)
		}
	}
	for offset, want := range map[int64]int32{0: 1, 10: 1, 19: 1, 20: 4, 29: 4, 30: 5, 99: 5} {
		if got := e.at(offset); got != want {
			t.Errorf("epoch at %d is %d, want %d", offset, got, want)
		}
	}
	for offset, want := range map[int64]epochs{40: {{1, 10}, {4, 20}, {5, 30}, {6, 40}}, 30: {{1, 10}, {4, 20}, {6, 30}}, 5: {{6, 5}}} {
		if diff := cmp.Diff(want, e.begin(offset), cmp.AllowUnexported(epochStart{})); diff != "" {
			t.Errorf("a new epoch at %d (-want +got):\n%s", offset, diff)
		}
	}
	if got := e.from(20); len(got) != 2 || got[0].start != 20 {
		t.Errorf("from 20: %v, want the last two", got)
	}
}

// batchEpochs are the leader epochs of the batches of a log, by base offset.
func batchEpochs(t *testing.T, l *Log) (all []epochStart) {
	t.Helper()
	for at := l.StartOffset(); at < l.EndOffset(); {
		b, err := l.Read(ReadSpec{From: at, UpTo: l.EndOffset(), MaxBytes: 1, WholeFirst: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		batch, _, err := record.Next(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, epochStart{batch.LeaderEpoch(), batch.BaseOffset()})
		at = batch.NextOffset()
	}
	return all
}

// A new leader epoch begins when a log comes back from a crash, and not when it was
// closed. A client that has read what the crash took is told where its epoch ended.
func TestLeaderEpochs(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, fsys *vfs.Mem){
		"as it is": func(*testing.T, *vfs.Mem) {},
		"file lost": func(t *testing.T, fsys *vfs.Mem) {
			if err := fsys.Remove(epochsName); err != nil {
				t.Fatal(err)
			}
		},
		"file damaged": func(t *testing.T, fsys *vfs.Mem) {
			editFile(t, fsys, epochsName, func(b []byte) []byte {
				b[14] ^= 1
				return b
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, 1))
			fsys := vfs.NewMem()
			cfg := Config{SegmentBytes: 300} // three batches
			l := openLog(t, fsys, cfg)
			for range 4 {
				mustAppend(t, l, batchOf(0, "a", "b"))
			}
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, l, batchOf(0, "read", "and lost")) // 8 and 9
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = openLog(t, fsys, cfg)
			if got := l.LeaderEpoch(); got != 0 {
				t.Fatalf("after a clean stop the epoch is %d, want 0", got)
			}
			mustAppend(t, l, batchOf(0, "read", "and lost")) // 10 and 11
			for range 3 {                                    // a crash without an append between begins no other epoch
				fsys = fsys.CrashClone(0, rng)
				l = openLog(t, fsys, cfg)
				if got := l.LeaderEpoch(); got != 1 || l.EndOffset() != 10 {
					t.Fatalf("after a crash the epoch is %d, the end %d, want 1 and 10", got, l.EndOffset())
				}
			}
			mustAppend(t, l, batchOf(0, "new"))
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			fsys = fsys.CrashClone(0, rng)
			lose(t, fsys)
			l = openLog(t, fsys, cfg)
			mustAppend(t, l, batchOf(0, "newer"))
			want := []epochStart{{0, 0}, {0, 2}, {0, 4}, {0, 6}, {0, 8}, {1, 10}, {2, 11}}
			if diff := cmp.Diff(want, batchEpochs(t, l), cmp.AllowUnexported(epochStart{})); diff != "" {
				t.Errorf("epochs of the batches (-want +got):\n%s", diff)
			}
			for epoch, want := range map[int32]int64{0: 10, 1: 11, 2: 12} {
				if last, end, known := l.LeaderEpochEnd(epoch, l.EndOffset()); last != epoch || end != want || !known {
					t.Errorf("epoch %d: %d ends at %d, want %d", epoch, last, end, want)
				}
			}
			if got := l.LeaderEpochAt(10); got != 1 {
				t.Errorf("the record at 10 is of epoch %d, want 1", got)
			}
			if got := l.Recovery(); len(got.Corrupt) > 0 {
				t.Errorf("damage was found: %v", got.Corrupt)
			}
		})
	}
}

// The file forgets what lies before the log start, and compaction leaves batches in the
// epochs that they were in.
func TestLeaderEpochsAreFewAndKept(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(2, 2))
	fsys := vfs.NewMem()
	var l *Log
	for range 5 { // an epoch for each batch and its segment
		l = openLog(t, fsys, Config{SegmentBytes: 1})
		mustAppend(t, l, batchOf(0, "a"))
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		fsys = fsys.CrashClone(100, rng)
	}
	l = openLog(t, fsys, Config{SegmentBytes: 1})
	mustAppend(t, l, batchOf(0, "a"))
	if done, err := l.Compact(CompactSpec{Below: 5}, epoch); err != nil || done.Records != 4 {
		t.Fatalf("Compact: %+v, %v, want four of six records gone", done, err)
	}
	if err := l.Verify(); err != nil {
		t.Error(err)
	}
	if got := l.LeaderEpochAt(3); got != 3 {
		t.Errorf("the record at 3 is of epoch %d, want 3", got)
	}
	if err := l.DeleteBefore(4); err != nil {
		t.Fatal(err)
	}
	fsys = fsys.CrashClone(100, rng)
	l = openLog(t, fsys, Config{SegmentBytes: 1})
	mustAppend(t, l, batchOf(0, "a"))
	b, err := readAll(fsys, epochsName)
	if err != nil {
		t.Fatal(err)
	}
	e, err := parseEpochs(b)
	if err != nil || !slices.Equal(e, epochs{{4, 4}, {5, 5}, {6, 6}}) {
		t.Errorf("the file says %v, %v, want epochs 4 to 6", e, err)
	}
}

func FuzzEpochs(f *testing.F) {
	f.Add(epochs{{0, 0}, {1, 10}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEpochs(b)
		if err != nil {
			return
		}
		if diff := cmp.Diff(b, e.encode()); diff != "" {
			t.Errorf("encoded again (-want +got):\n%s", diff)
		}
		e.at(0)
		e.end(e.current(), 1)
	})
}
