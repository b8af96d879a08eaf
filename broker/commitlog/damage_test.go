package commitlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// editFile changes a file behind the log's back.
func editFile(t testing.TB, fsys vfs.FS, name string, edit func(b []byte) []byte) {
	t.Helper()
	b, err := readAll(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeAt(fsys, name, edit(b), 0, true); err != nil {
		t.Fatal(err)
	}
}

// fill appends n batches of three records and returns their values and sizes.
func fill(t testing.TB, l *Log, n int) (all []string, sizes []int) {
	t.Helper()
	for range n {
		var vs []string
		for range 3 {
			vs = append(vs, fmt.Sprintf("value-%05d", len(all)))
			all = append(all, vs[len(vs)-1])
		}
		b := batchOf(epoch.UnixMilli()+int64(len(all)), vs...)
		mustAppend(t, l, b)
		sizes = append(sizes, len(b))
	}
	return all, sizes
}

// TestTornTail cuts the file at every byte of the last three batches, none of which
// was flushed, and leaves nothing, garbage or zeros behind.
func TestTornTail(t *testing.T) {
	t.Parallel()
	origin := vfs.NewMem()
	l, err := Open(origin, Config{}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	all, sizes := fill(t, l, 5)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	more, moreSizes := fill(t, l, 3)
	all, sizes = append(all, more...), append(sizes, moreSizes...)
	image := origin.Clone() // the process died here
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	flushed := sizes[0] + sizes[1] + sizes[2] + sizes[3] + sizes[4]
	total := flushed + sizes[5] + sizes[6] + sizes[7]
	tails := map[string]func(n int) []byte{
		"nothing": func(int) []byte { return nil },
		"zeros":   func(n int) []byte { return make([]byte, n) },
		"garbage": func(n int) []byte {
			b := make([]byte, n)
			rng := rand.New(rand.NewPCG(uint64(n), 3))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			return b
		},
	}
	for name, tail := range tails {
		for size := flushed; size < total; size++ {
			fsys := image.Clone()
			torn := tail(total - size + 100)
			same := size // zeros may happen to be what was there
			editFile(t, fsys, fileName(0, logSuffix), func(b []byte) []byte {
				torn := append(b[:size:size], torn...)
				for ; same < min(len(b), len(torn)) && b[same] == torn[same]; same++ {
				}
				return torn
			})
			batches, valid := 5, flushed
			for batches < len(sizes) && valid+sizes[batches] <= same {
				valid += sizes[batches]
				batches++
			}
			opened, err := Open(fsys, Config{}, epoch)
			if err != nil {
				t.Fatalf("%s from %d on: Open: %v", name, size, err)
			}
			r := opened.Recovery()
			if want := int64(size + len(torn) - valid); r.CutBytes != want || len(r.Corrupt) > 0 || opened.Size() != int64(valid) {
				t.Fatalf("%s from %d on: %+v and %d bytes are left, want %d cut and %d left", name, size, r, opened.Size(), want, valid)
			}
			if diff := cmp.Diff(all[:3*batches], mustValues(t, opened)); diff != "" {
				t.Fatalf("%s from %d on: (-want +got):\n%s", name, size, diff)
			}
			verifyAndClose(t, opened)
			if got := len(mustReadAll(t, fsys, fileName(0, logSuffix))); got != valid {
				t.Fatalf("%s from %d on: the file has %d bytes, want %d", name, size, got, valid)
			}
		}
	}
}

func mustReadAll(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	b, err := readAll(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLossBelowCheckpoint takes bytes away that were fsynced. They must not be
// taken for a torn tail.
func TestLossBelowCheckpoint(t *testing.T) {
	t.Parallel()
	origin := vfs.NewMem()
	l, err := Open(origin, Config{}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	all, sizes := fill(t, l, 6)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	image := origin.Clone()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := fileName(0, logSuffix)
	total := len(mustReadAll(t, image, name))
	fourth := sizes[0] + sizes[1] + sizes[2]
	tests := []struct {
		name     string
		edit     func(b []byte) []byte
		lost     [2]int64 // offsets that cannot be read
		position int
	}{
		{"last batch cut", func(b []byte) []byte { return b[:total-5] }, [2]int64{15, 18}, total - sizes[5]},
		{"last byte flipped", func(b []byte) []byte { b[total-1] ^= 1; return b }, [2]int64{15, 18}, total - sizes[5]},
		{"middle flipped", func(b []byte) []byte { b[fourth+70] ^= 4; return b }, [2]int64{9, 12}, fourth},
		{"length flipped", func(b []byte) []byte { b[fourth+9] ^= 1; return b }, [2]int64{9, 12}, fourth},
		{"base offset flipped", func(b []byte) []byte { b[fourth+7] ^= 1; return b }, [2]int64{9, 12}, fourth},
		{"leader epoch flipped", func(b []byte) []byte { b[fourth+15] ^= 1; return b }, [2]int64{9, 12}, fourth},
		{"zeros", func(b []byte) []byte { clear(b[fourth : fourth+sizes[3]+10]); return b }, [2]int64{9, 15}, fourth},
		{"empty", func(b []byte) []byte { return nil }, [2]int64{0, 18}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fsys := image.Clone()
			editFile(t, fsys, name, tt.edit)
			before := mustReadAll(t, fsys, name)
			for range 2 { // nothing changes by opening it again
				l, err := Open(fsys, Config{}, epoch)
				if err != nil {
					t.Fatal(err)
				}
				r := l.Recovery()
				if !r.Quarantined || r.CutBytes != 0 || len(r.Corrupt) != 1 {
					t.Fatalf("Recovery = %+v, want one damage and a quarantine", r)
				}
				c := r.Corrupt[0]
				if c.Segment != name || c.Position != int64(tt.position) || c.Offset != tt.lost[0] || c.NextOffset != tt.lost[1] {
					t.Errorf("damage = %v, want position %d and offsets %v", c, tt.position, tt.lost)
				}
				if l.EndOffset() != 18 {
					t.Errorf("EndOffset = %d, want 18", l.EndOffset())
				}
				if _, err := l.Append(batchOf(0, "x"), epoch); !errors.Is(err, ErrQuarantined) {
					t.Errorf("Append = %v, want ErrQuarantined", err)
				}
				checkAround(t, l, all, tt.lost)
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}
			if after := mustReadAll(t, fsys, name); !slices.Equal(before, after) {
				t.Error("opening a damaged log changed it")
			}
		})
	}
}

// checkAround reads every offset of a log, of which some cannot be read.
func checkAround(t *testing.T, l *Log, all []string, lost [2]int64) {
	t.Helper()
	for o := range int64(len(all)) {
		got, err := values(l, o, o+1+2-o%3, 1)
		if o < lost[0] || o >= lost[1] {
			if err != nil || len(got) == 0 || got[0] != all[o] {
				t.Errorf("read at %d = %q, %v, want %q", o, got, err, all[o])
			}
			continue
		}
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Offset > o || corrupt.NextOffset != lost[1] {
			t.Errorf("read at %d = %q, %v, want a CorruptError up to %d", o, got, err, lost[1])
		}
	}
}

// TestFlips flips one random bit at a time in the sealed segments and their indexes.
// Whatever is read afterwards is what was written, or a CorruptError.
func TestFlips(t *testing.T) {
	t.Parallel()
	const flips = 600
	origin := vfs.NewMem()
	cfg := Config{SegmentBytes: 2000, IndexIntervalBytes: 200}
	l, err := Open(origin, cfg, epoch)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := fill(t, l, 60)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := origin.List(".")
	if err != nil {
		t.Fatal(err)
	}
	var sealed []string
	var active string
	for _, name := range names {
		if strings.HasSuffix(name, logSuffix) {
			active, _, _ = strings.Cut(name, ".")
		}
	}
	for _, name := range names {
		if name != checkpointName && !strings.HasPrefix(name, active) && !strings.HasSuffix(name, snapshotSuffix) {
			sealed = append(sealed, name)
		}
	}
	if len(sealed) < 6 {
		t.Fatalf("only %v are sealed", sealed)
	}
	var damaged, rebuilt, harmless int
	for i := range flips {
		rng := rand.New(rand.NewPCG(uint64(i), 5))
		name := sealed[rng.IntN(len(sealed))]
		fsys := origin.Clone()
		bit := 0
		editFile(t, fsys, name, func(b []byte) []byte {
			bit = rng.IntN(8 * len(b))
			b[bit/8] ^= 1 << (bit % 8)
			return b
		})
		seen, ok := readDamaged(t, fsys, cfg, all)
		switch {
		case !ok:
			t.Fatalf("flip %d: bit %d of %s", i, bit, name)
		case seen.damaged:
			damaged++
		case seen.rebuilt:
			rebuilt++
		default:
			harmless++
		}
		if strings.HasSuffix(name, logSuffix) != seen.damaged {
			t.Fatalf("flip %d: bit %d of %s, damaged = %v", i, bit, name, seen.damaged)
		}
	}
	t.Logf("%d flips: %d reported, %d indexes rebuilt, %d harmless", flips, damaged, rebuilt, harmless)
	if damaged == 0 || rebuilt == 0 || harmless > 0 {
		t.Errorf("want every flip in a log reported and every one in an index rebuilt")
	}
}

type seen struct{ damaged, rebuilt bool }

// readDamaged opens a log with one flipped bit and reads every record of it, by
// offset and by time.
func readDamaged(t *testing.T, fsys vfs.FS, cfg Config, all []string) (seen, bool) {
	t.Helper()
	l, err := Open(fsys, cfg, epoch)
	if err != nil {
		t.Errorf("Open: %v", err)
		return seen{}, false
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	if l.StartOffset() != 0 || l.EndOffset() != int64(len(all)) || l.Recovery().CutBytes > 0 {
		t.Errorf("log holds [%d, %d), want all %d", l.StartOffset(), l.EndOffset(), len(all))
		return seen{}, false
	}
	var s seen
	lost := 0
	for at := int64(0); at < int64(len(all)); {
		got, err := values(l, at, int64(len(all)), 500)
		for i, v := range got {
			if v != all[at+int64(i)] {
				t.Errorf("record %d = %q, want %q", at+int64(i), v, all[at+int64(i)])
				return s, false
			}
		}
		at += int64(len(got))
		var corrupt *CorruptError
		switch {
		case errors.As(err, &corrupt) && corrupt.NextOffset > at:
			lost += int(corrupt.NextOffset - at)
			at, s.damaged = corrupt.NextOffset, true
		case err != nil:
			t.Errorf("read at %d: %v", at, err)
			return s, false
		}
	}
	if lost > 3 {
		t.Errorf("%d records lost, one batch was damaged", lost)
		return s, false
	}
	for o := int64(0); o < int64(len(all)); o += 7 {
		// Record o of batch b has the timestamp epoch + 3(b+1) + o%3.
		want := epoch.UnixMilli() + o/3*3 + 3 + o%3
		if aborted, err := l.Aborted(o, o+1); err != nil || len(aborted) > 0 {
			t.Errorf("Aborted(%d) = %v, %v, want none", o, aborted, err)
			return s, false
		}
		got, ts, found, err := l.OffsetForTime(want)
		if err == nil && (!found || got != o || ts != want) {
			t.Errorf("OffsetForTime(record %d) = %d, %d, %v", o, got, ts, found)
			return s, false
		}
		if err != nil && !s.damaged {
			t.Errorf("OffsetForTime(record %d): %v", o, err)
			return s, false
		}
	}
	s.rebuilt = l.Recovery().RebuiltIndexes > 0
	if err := l.Verify(); (err != nil) != s.damaged {
		t.Errorf("Verify = %v, but damaged = %v", err, s.damaged)
		return s, false
	}
	return s, true
}

// TestLostFiles takes whole files away.
func TestLostFiles(t *testing.T) {
	t.Parallel()
	origin := vfs.NewMem()
	cfg := Config{SegmentBytes: 800, IndexIntervalBytes: 200}
	l, err := Open(origin, cfg, epoch)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := fill(t, l, 30)
	var bases []int64
	for _, s := range l.mu.segments {
		bases = append(bases, s.base)
	}
	bases = append(bases, int64(len(all)))
	crashed := origin.Clone()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := origin.List(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		for kind, image := range map[string]*vfs.Mem{"clean": origin, "crashed": crashed} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				fsys := image.Clone()
				if err := fsys.Remove(name); isMissing(err) {
					t.Skip("not there after a crash")
				}
				l, err := Open(fsys, cfg, epoch)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				if l.StartOffset() != 0 || l.EndOffset() < bases[len(bases)-2] {
					t.Fatalf("log holds [%d, %d)", l.StartOffset(), l.EndOffset())
				}
				lost := [2]int64{-1, -1}
				if base, suffix, _ := parseFileName(name); suffix == logSuffix {
					i := slices.Index(bases, base)
					if lost = [2]int64{base, bases[i+1]}; kind == "crashed" && i == len(bases)-2 {
						lost = [2]int64{-1, -1} // it was not flushed yet
						all := all[:base]
						checkAround(t, l, all, lost)
						return
					}
					if len(l.Recovery().Corrupt) != 1 {
						t.Errorf("Recovery = %+v, want one damage", l.Recovery())
					}
				}
				checkAround(t, l, all, lost)
			})
		}
	}
}

// TestLostSnapshots damages the newest snapshots of the producers: older ones and the
// log itself make up for them.
func TestLostSnapshots(t *testing.T) {
	t.Parallel()
	for damaged := range 6 {
		fsys := vfs.NewMem()
		cfg := Config{SegmentBytes: 1200, MarkBytes: 300}
		l, err := Open(fsys, cfg, epoch)
		if err != nil {
			t.Fatal(err)
		}
		const n = 25
		for i := range n {
			mustAppend(t, l, batchFrom(int64(i%2), int32(i/2), 0, "some value"))
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		image := fsys.Clone()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		marks := slices.Clone(l.marks[:len(l.marks)-1]) // Close made the last one
		slices.Reverse(marks)
		for _, at := range marks[:min(damaged, len(marks))] {
			editFile(t, image, fileName(at, snapshotSuffix), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}
		l = openLog(t, image, cfg)
		for i := n - 10; i < n; i++ {
			a := mustAppend(t, l, batchFrom(int64(i%2), int32(i/2), 0, "some value"))
			if !a.Duplicate || a.BaseOffset != int64(i) {
				t.Errorf("%d snapshots damaged: batch %d sent again = %+v, want a duplicate", damaged, i, a)
			}
		}
		if a := mustAppend(t, l, batchFrom(0, (n+1)/2, 0, "next")); a.Duplicate || a.BaseOffset != n {
			t.Errorf("%d snapshots damaged: next batch = %+v", damaged, a)
		}
	}
}

// TestEmbeddedBatch puts a batch into a record of a batch that is then damaged: it
// must not be taken for one of the log.
func TestEmbeddedBatch(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	cfg := Config{SegmentBytes: 1000}
	l, err := Open(fsys, cfg, epoch)
	if err != nil {
		t.Fatal(err)
	}
	inner := batchOf(0, "not", "of", "the log")
	inner.SetBaseOffset(1)
	var b record.Builder
	b.Append(0, nil, inner)
	b.Append(0, nil, []byte("behind"))
	mustAppend(t, l, b.Finish())
	mustAppend(t, l, batchOf(0, string(make([]byte, 2000))))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	editFile(t, fsys, fileName(0, logSuffix), func(b []byte) []byte { b[9] ^= 1; return b }) // the length
	l, err = Open(fsys, cfg, epoch)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var corrupt *CorruptError
	for o := range int64(2) {
		if got, err := values(l, o, 2, 1); !errors.As(err, &corrupt) || corrupt.NextOffset != 2 {
			t.Errorf("read at %d = %q, %v, want a CorruptError up to 2", o, got, err)
		}
	}
}
