package commitlog

import (
	"bytes"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/riffle-stream/riffle/internal/vfs"
)

// image is a log as the end of its process left it: two sealed segments, an active
// one with a mark, and records above the checkpoint.
func image(f *testing.F) (*vfs.Mem, []string) {
	f.Helper()
	fsys := vfs.NewMem()
	l, err := Open(fsys, fuzzConfig, epoch)
	if err != nil {
		f.Fatal(err)
	}
	all, _ := fill(f, l, 14)
	if err := l.Flush(); err != nil {
		f.Fatal(err)
	}
	if l.Segments() != 3 {
		f.Fatalf("%d segments, want 3", l.Segments())
	}
	clone := fsys.Clone()
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	return clone, all
}

var fuzzConfig = Config{SegmentBytes: 700, IndexIntervalBytes: 100, MarkBytes: 200}

// FuzzCheckpoint: what is accepted is what was written.
func FuzzCheckpoint(f *testing.F) {
	fsys, _ := image(f)
	f.Add(mustReadAll(f, fsys, checkpointName), false)
	f.Add([]byte{}, false)
	f.Add(checkpoint{sequence: 1}.appendSlot(nil), true)
	f.Fuzz(func(t *testing.T, b []byte, repair bool) {
		b = slices.Clone(b)
		for at := 0; repair && at+slotLen <= len(b); at += slotDistance {
			be.PutUint32(b[at+112:], crc32.Checksum(b[at:at+112], castagnoli))
		}
		c, err := parseCheckpoint(b)
		if err != nil {
			return
		}
		slot := c.appendSlot(nil)
		first := b[:min(len(b), slotLen)]
		second := b[min(len(b), slotDistance):min(len(b), slotDistance+slotLen)]
		clearFlags := func(b []byte) []byte { // bits of later releases are not kept
			b = slices.Clone(b)
			if len(b) == slotLen {
				clear(b[6:8])
				clear(b[112:])
			}
			return b
		}
		if got := clearFlags(slot); !bytes.Equal(got, clearFlags(first)) && !bytes.Equal(got, clearFlags(second)) {
			t.Errorf("%+v is neither of the slots", c)
		}
	})
}

// FuzzIndex: what is accepted leads into the segment.
func FuzzIndex(f *testing.F) {
	fsys, _ := image(f)
	f.Add(mustReadAll(f, fsys, fileName(0, indexSuffix)), mustReadAll(f, fsys, fileName(0, timeIndexSuffix)), int64(5), true)
	f.Add([]byte{}, []byte{}, int64(0), false)
	f.Fuzz(func(t *testing.T, offsets, times []byte, at int64, repair bool) {
		if n := len(offsets); repair && n >= sealLen {
			offsets = slices.Clone(offsets)
			b := offsets[n-sealLen:]
			be.PutUint32(b[52:], crc32.Checksum(offsets[:n-sealLen], castagnoli))
			be.PutUint32(b[60:], crc32.Checksum(times, castagnoli))
			be.PutUint32(b[68:], crc32.Checksum(b[:68], castagnoli))
		}
		s, err := parseSeal(offsets)
		if err != nil {
			return
		}
		again, read := s.append(nil)[:64], slices.Clone(offsets[len(offsets)-sealLen:][:64])
		clear(read[6:8]) // bits of later releases are not kept
		if !bytes.Equal(again, read) {
			t.Errorf("%+v is not what was read", s)
		}
		x, err := parseIndex(offsets[:len(offsets)-sealLen], times, s.prefix, s.size)
		if err != nil {
			return
		}
		c := x.before(s.base, at)
		if c.position < 0 || s.size > 0 && c.position >= s.size || c.offset < s.base || c.offset > max(at, s.base) {
			t.Errorf("before(%d) = %+v in [%d, %d)", at, c, s.base, s.next)
		}
		if o := x.beforeTime(s.base, at); o < s.base {
			t.Errorf("beforeTime(%d) = %d", at, o)
		}
	})
}

// FuzzSideFiles puts anything in the place of an index, a snapshot or a stray file.
// The records are served all the same.
func FuzzSideFiles(f *testing.F) {
	fsys, all := image(f)
	names, err := fsys.List(".")
	if err != nil {
		f.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		_, suffix, _ := parseFileName(name)
		return suffix == logSuffix || name == checkpointName
	})
	names = append(names, epochsName, "checkpoint.tmp", "00000000000000000099.index", "00000000000000000099.snapshot", "x")
	for i, name := range names {
		b, _ := readAll(fsys, name)
		f.Add(uint8(i), b)
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		fsys := fsys.Clone()
		if err := writeAt(fsys, names[int(which)%len(names)], b, 0, true); err != nil {
			t.Fatal(err)
		}
		l := openLog(t, fsys, fuzzConfig)
		if r := l.Recovery(); r.CutBytes > 0 || len(r.Corrupt) > 0 {
			t.Fatalf("Recovery = %+v", r)
		}
		if got := mustValues(t, l); !slices.Equal(got, all) {
			t.Fatalf("read %q", got)
		}
	})
}

// FuzzTail puts anything behind the fsynced records of a log. What was fsynced stays,
// what follows is records or is cut, and the next Open agrees.
func FuzzTail(f *testing.F) {
	fsys, all := image(f)
	names, err := fsys.List(".")
	if err != nil {
		f.Fatal(err)
	}
	name := ""
	for _, n := range names {
		if _, suffix, _ := parseFileName(n); suffix == logSuffix {
			name = n // the last one
		}
	}
	whole := mustReadAll(f, fsys, name)
	next := batchOf(1, "next", "one")
	next.SetBaseOffset(int64(len(all)))
	f.Add([]byte(next))
	f.Add(append([]byte(next), next[:80]...))
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, tail []byte) {
		fsys := fsys.Clone()
		if err := writeAt(fsys, name, tail, int64(len(whole)), true); err != nil {
			t.Fatal(err)
		}
		l := openLog(t, fsys, fuzzConfig)
		r := l.Recovery()
		if len(r.Corrupt) > 0 || r.CutBytes > int64(len(tail)) || l.EndOffset() < int64(len(all)) {
			t.Fatalf("Recovery = %+v, the log ends at %d", r, l.EndOffset())
		}
		if got, err := values(l, 0, int64(len(all)), 1<<20); err != nil || !slices.Equal(got, all) {
			t.Fatalf("read %q, %v", got, err)
		}
		again := openLog(t, fsys.Clone(), fuzzConfig)
		if again.EndOffset() != l.EndOffset() || again.Recovery().CutBytes > 0 {
			t.Fatalf("opened again it ends at %d, %+v, want %d", again.EndOffset(), again.Recovery(), l.EndOffset())
		}
	})
}
