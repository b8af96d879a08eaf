package commitlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/riffle-stream/riffle/internal/reliability"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// damagedLog is a log with a file of each kind: sealed segments and their indexes, an
// index of transactions, snapshots, a checkpoint, leader epochs, the progress of
// compaction, and an active segment.
func damagedLog(t *testing.T) (fsys *vfs.Mem, cfg Config, all []string) {
	t.Helper()
	cfg = Config{SegmentBytes: 2000, IndexIntervalBytes: 200, MarkBytes: 500}
	fsys = vfs.NewMem()
	for range 3 { // lives; all but the last one end with a crash
		l, err := Open(fsys, cfg, epoch)
		if err != nil {
			t.Fatal(err)
		}
		for range 25 {
			var vs []string
			for range 3 {
				vs = append(vs, fmt.Sprintf("value-%05d", len(all)))
				all = append(all, vs[len(vs)-1])
			}
			mustAppend(t, l, batchOf(epoch.UnixMilli()+int64(len(all)), vs...))
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := l.saveCheckpoint(false); err != nil { // what was flushed is on disk, whatever the seed
			t.Fatal(err)
		}
		fsys = fsys.CrashClone(50, rand.New(rand.NewPCG(1, uint64(len(all)))))
	}
	l, err := Open(fsys, cfg, epoch)
	if err != nil {
		t.Fatal(err)
	}
	l.compactMu.Lock()
	err = l.saveCompaction(compaction{cleaned: 30})
	l.compactMu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return fsys, cfg, all
}

// TestAnyFault does one thing at a time to any file of a log that was closed, and reads
// everything. What comes back is what was written, at its offset; what does not is
// reported; and damage to anything but the records costs none of them.
func TestAnyFault(t *testing.T) {
	t.Parallel()
	origin, cfg, all := damagedLog(t)
	names, err := origin.List(".")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, name := range names {
		_, suffix, _ := strings.Cut(name, ".")
		kinds[suffix]++
	}
	if len(kinds) < 6 {
		t.Fatalf("the log has the files %v, want one of each kind", names)
	}
	faults := reliability.Figure(200, 2000)
	reported, repaired := 0, 0
	for i := range faults {
		rng := rand.New(rand.NewPCG(uint64(i), 55))
		name := names[rng.IntN(len(names))]
		fault := reliability.AnyFault(rng)
		fsys := origin.Clone()
		changed := true
		editFile(t, fsys, name, func(b []byte) []byte {
			before := slices.Clone(b)
			b = fault.Do(rng, b)
			changed = string(before) != string(b)
			return b
		})
		what := fmt.Sprintf("fault %d: %s: %s", i, name, fault.Name)
		isLog := strings.HasSuffix(name, logSuffix)
		damaged := readFaulty(t, what, fsys, cfg, all)
		switch {
		case t.Failed():
			return
		case damaged && !isLog:
			t.Fatalf("%s: records were lost", what)
		case damaged:
			reported++
		case isLog && changed && fault.Name != reliability.GarbageBehind:
			t.Fatalf("%s: nobody noticed", what)
		default:
			repaired++
		}
	}
	t.Logf("%d faults: %d reported, %d repaired", faults, reported, repaired)
	if reported == 0 || repaired == 0 {
		t.Error("want both")
	}
}

// readFaulty reports whether records are missing; wrong ones, and missing ones that
// are not reported, fail the test.
func readFaulty(t *testing.T, what string, fsys vfs.FS, cfg Config, all []string) (damaged bool) {
	t.Helper()
	l, err := Open(fsys, cfg, epoch)
	if err != nil {
		t.Fatalf("%s: Open: %v", what, err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Fatalf("%s: Close: %v", what, err)
		}
	}()
	if l.StartOffset() != 0 || l.EndOffset() != int64(len(all)) {
		t.Fatalf("%s: the log holds [%d, %d), want all %d", what, l.StartOffset(), l.EndOffset(), len(all))
	}
	for at := int64(0); at < int64(len(all)); {
		got, err := values(l, at, int64(len(all)), 500)
		if !slices.Equal(got, all[at:at+int64(len(got))]) {
			t.Fatalf("%s: wrong records from %d on: %q", what, at, got)
		}
		at += int64(len(got))
		if err == nil {
			continue
		}
		corrupt := corruptAt(err, at)
		if corrupt == nil {
			t.Fatalf("%s: read at %d: %v, want a CorruptError that says where to go on", what, at, err)
		}
		damaged, at = true, corrupt.NextOffset
	}
	if err := l.Verify(); (err != nil) != damaged {
		t.Fatalf("%s: Verify = %v, records are missing: %v", what, err, damaged)
	}
	return damaged
}

// corruptAt returns the damage that err reports at an offset, or nil.
func corruptAt(err error, at int64) *CorruptError {
	if corrupt, ok := errors.AsType[*CorruptError](err); ok && corrupt.NextOffset > at {
		return corrupt
	}
	return nil
}
