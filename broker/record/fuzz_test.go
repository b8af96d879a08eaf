package record

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"
)

func seedBatches(f *testing.F) [][]byte {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", "captured", "*.hex"))
	if err != nil || len(names) == 0 {
		f.Fatal("no captured batches", err)
	}
	var seeds [][]byte
	for _, name := range names {
		seeds = append(seeds, readHex(f, name))
	}
	return seeds
}

// Next never panics, never hands out a byte that was not given, and leaves all
// bytes if it fails. Nor do the methods of what it returns panic.
func FuzzNext(f *testing.F) {
	for _, b := range seedBatches(f) {
		f.Add(b)
		f.Add(append(b, b...))
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rest := b
		for {
			batch, next, err := Next(rest)
			if err != nil {
				if len(next) != len(rest) || batch != nil {
					t.Fatalf("Next took %d bytes and failed: %v", len(rest)-len(next), err)
				}
				if !errors.Is(err, ErrShort) && !errors.Is(err, ErrCorrupt) {
					t.Fatalf("Next: %v, want ErrShort or ErrCorrupt", err)
				}
				return
			}
			if len(batch)+len(next) != len(rest) || batch.Size() != len(batch) || len(batch) < HeaderLen {
				t.Fatalf("Next split %d bytes into %d and %d", len(rest), len(batch), len(next))
			}
			if err := batch.Validate(); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrInvalid) {
				t.Fatalf("Validate: %v, want ErrCorrupt or ErrInvalid", err)
			}
			walkAll(t, batch)
			rest = next
		}
	})
}

// The bytes behind a header that is right never make Records panic, yield more
// than there can be, or differ from what Validate says of them.
func FuzzRecords(f *testing.F) {
	for _, b := range seedBatches(f) {
		f.Add(b[HeaderLen:], int32(3), int32(2))
	}
	f.Add([]byte{22, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0}, int32(1), int32(0))
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0}, int32(1), int32(0))
	f.Fuzz(func(t *testing.T, payload []byte, count, lastDelta int32) {
		b := withPayload(count, payload...)
		put32(b, 23, lastDelta)
		b.seal()
		ok := walkAll(t, b)
		if valid := b.Validate() == nil; valid && !ok {
			t.Error("Validate accepts what Records cannot read")
		}
	})
}

// walkAll reports whether Records read the batch to its end.
func walkAll(t *testing.T, b Batch) bool {
	t.Helper()
	var (
		n        int
		previous = b.BaseOffset() - 1
	)
	for r, err := range b.Records() {
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrCompressed) {
				t.Fatalf("Records: %v, want ErrCorrupt or ErrCompressed", err)
			}
			return false
		}
		n++
		if n > len(b)/7+1 {
			t.Fatalf("%d records in %d bytes, of at least seven each", n, len(b))
		}
		if len(r.Headers) > len(b)/2 {
			t.Fatalf("%d headers in %d bytes", len(r.Headers), len(b))
		}
		if int64(int32(r.Offset-previous)) <= 0 {
			t.Fatalf("offset %d after %d", r.Offset, previous)
		}
		previous = r.Offset
	}
	return true
}

// Varints are those of encoding/binary, except that 32-bit ones must fit.
func FuzzVarint(f *testing.F) {
	f.Add([]byte{0}, int64(0))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, int64(-1<<31))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, int64(-1<<63))
	f.Fuzz(func(t *testing.T, b []byte, v int64) {
		want, n := binary.Varint(b)
		if got, next := varint64(b, 0); n <= 0 && next >= 0 || n > 0 && (next != n || got != want) {
			t.Errorf("varint64(%x) = %d, %d, want %d, %d", b, got, next, want, n)
		}
		fits := n > 0 && n <= maxVarint32Len && want == int64(int32(want))
		if got, next := varint32(b, 0); fits != (next >= 0) || fits && (next != n || int64(got) != want) {
			t.Errorf("varint32(%x) = %d, %d, want %d, %d (fits: %v)", b, got, next, want, n, fits)
		}
		again := appendVarint(nil, v)
		if got, next := varint64(again, 0); got != v || next != len(again) || next != varintLen(v) {
			t.Errorf("%d is written as %x, read as %d", v, again, got)
		}
	})
}
