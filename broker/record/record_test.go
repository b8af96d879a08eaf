package record

import (
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// batchOf has three plain records at 1000, 3000 and 2000 ms.
func batchOf(t testing.TB) Batch {
	t.Helper()
	var w Builder
	w.Append(1000, []byte("k0"), []byte("v0"))
	w.Append(3000, []byte("k1"), nil, Header{"h", []byte("x")})
	w.Append(2000, nil, []byte{})
	b := w.Finish()
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	return b
}

// withPayload is a batch with a right header before records of any kind.
func withPayload(count int32, payload ...byte) Batch {
	b := append(make(Batch, HeaderLen), payload...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-lengthEnd))
	b[16] = 2
	binary.BigEndian.PutUint32(b[23:], uint32(count-1))
	binary.BigEndian.PutUint64(b[43:], 1<<64-1)
	binary.BigEndian.PutUint32(b[57:], uint32(count))
	b.seal()
	return b
}

func put16(b Batch, at int, v int16) { binary.BigEndian.PutUint16(b[at:], uint16(v)) }
func put32(b Batch, at int, v int32) { binary.BigEndian.PutUint32(b[at:], uint32(v)) }
func put64(b Batch, at int, v int64) { binary.BigEndian.PutUint64(b[at:], uint64(v)) }

// A null is not an empty slice.
func TestRecordsTellNullFromEmpty(t *testing.T) {
	t.Parallel()
	got, err := collect(batchOf(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []Record{
		{Offset: 0, Timestamp: 1000, Key: []byte("k0"), Value: []byte("v0")},
		{Offset: 1, Timestamp: 3000, Key: []byte("k1"), Headers: []Header{{"h", []byte("x")}}},
		{Offset: 2, Timestamp: 2000, Value: []byte{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestRecordsStopEarly(t *testing.T) {
	t.Parallel()
	n := 0
	for range batchOf(t).Records() {
		n++
		if n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("walked %d records, want 2", n)
	}
}

// Compaction takes records out of a batch: offsets then have gaps, and the last
// ones may be missing.
func TestRecordsAfterCompaction(t *testing.T) {
	t.Parallel()
	b := withPayload(2,
		12, 0, 0, 2, 1, 1, 0, // offset delta 1
		12, 0, 0, 10, 1, 1, 0) // offset delta 5
	put32(b, 23, 9)
	b.SetBaseOffset(100)
	got, err := collect(b)
	if err != nil {
		t.Fatal(err)
	}
	want := []Record{{Offset: 101}, {Offset: 105}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if b.NextOffset() != 110 {
		t.Errorf("NextOffset() = %d, want 110", b.NextOffset())
	}
}

func TestRecordsThatDoNotParse(t *testing.T) {
	t.Parallel()
	good := []byte{12, 0, 0, 0, 1, 1, 0} // no key, no value, no headers
	for _, c := range []struct {
		name    string
		batch   Batch
		records int // before the error
		want    string
	}{
		{"no bytes", withPayload(1), 0, "cut short"},
		{"fewer than counted", withPayload(2, good...), 1, "record 1"},
		{"more than counted", withPayload(1, append(good, good...)...), 1, "7 bytes after the last of 1 records"},
		{"negative count", withPayload(-1, good...), 0, "7 bytes after"},
		{"negative length", withPayload(1, 1, 0, 0, 0, 1, 1, 0), 0, "negative"},
		{"length past the end", withPayload(1, 14, 0, 0, 0, 1, 1, 0), 0, "past the end"},
		{"length cuts a field", withPayload(1, 2, 0, 0, 0, 1, 1, 0), 0, "cut short"},
		{"length leaves bytes", withPayload(1, 14, 0, 0, 0, 1, 1, 0, 0), 0, "too large"},
		{"same offset twice", withPayload(2, append(good, good...)...), 1, "offset delta 0 after 0"},
		{"offset past the last", withPayload(1, 12, 0, 0, 2, 1, 1, 0), 0, "offset delta 1"},
		{"key past the end", withPayload(1, 12, 0, 0, 0, 20, 1, 0), 0, "too small"},
		{"key length of 2 GiB", withPayload(1, 20, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0), 0, "too small"},
		{"key length below -1", withPayload(1, 12, 0, 0, 0, 3, 1, 0), 0, "negative"},
		{"negative header count", withPayload(1, 12, 0, 0, 0, 1, 1, 1), 0, "negative"},
		{"header count past the end", withPayload(1, 14, 0, 0, 0, 1, 1, 2, 0), 0, "header count"},
		{"null header name", withPayload(1, 16, 0, 0, 0, 1, 1, 2, 1, 1), 0, "negative"},
		{"bytes after the headers", withPayload(1, 18, 0, 0, 0, 1, 1, 2, 0, 1, 0), 0, "too large"},
		{"overlong varint", withPayload(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0), 0, "varint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			records, err := collect(c.batch)
			if len(records) != c.records {
				t.Errorf("%d records before the error, want %d", len(records), c.records)
			}
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Records: %v, want ErrCorrupt with %q", err, c.want)
			}
			if err := c.batch.Validate(); !errors.Is(err, ErrInvalid) || errors.Is(err, ErrCorrupt) {
				t.Errorf("Validate: %v, want ErrInvalid", err)
			}
		})
	}
}

// A few bytes that claim two thousand million headers or records cost nothing.
func TestClaimsDoNotAllocate(t *testing.T) {
	bombs := map[string]Batch{
		"headers": withPayload(1, 22, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0),
		"records": withPayload(1<<31-1, 12, 0, 0, 0, 1, 1, 0),
	}
	for name, b := range bombs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := collect(b); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := b.Validate(); err == nil {
			t.Errorf("%s: valid", name)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
			t.Errorf("%s: allocated %d bytes", name, n)
		}
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	var w Builder
	key, value := []byte("4929-1234-5678"), make([]byte, 100)
	headers := []Header{{"trace", []byte("abc")}, {"origin", nil}}
	build := func() Batch {
		w.Reset()
		for i := range 100 {
			w.Append(int64(i), key, value, headers...)
		}
		return w.Finish()
	}
	b := build()
	for name, c := range map[string]struct {
		f    func()
		want float64
	}{
		"build":    {func() { build() }, 0},
		"validate": {func() { _ = b.Validate() }, 0},
		// The slice of headers and the two names: once a batch, not once a record.
		"iterate": {func() {
			for r, err := range b.Records() {
				if err != nil || len(r.Headers) != 2 {
					t.Fatal(r, err)
				}
			}
		}, 4},
	} {
		if got := testing.AllocsPerRun(10, c.f); got > c.want {
			t.Errorf("%s: %v allocations a batch, want %v", name, got, c.want)
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	b := batchOf(t)
	two := append(append(Batch(nil), b...), b...)
	first, rest, err := Next(two)
	if err != nil || len(first) != len(b) || len(rest) != len(b) {
		t.Fatalf("Next of two batches: %d bytes, %d left, %v", len(first), len(rest), err)
	}
	if cap(first) != len(first) {
		t.Error("appending to the batch would overwrite its neighbour")
	}
	for n := range b {
		if _, _, err := Next(b[:n]); !errors.Is(err, ErrShort) {
			t.Errorf("Next of the first %d bytes: %v, want ErrShort", n, err)
		}
	}
	for name, damage := range map[string]func(Batch){
		"magic 1":         func(b Batch) { b[16] = 1 },
		"length 48":       func(b Batch) { put32(b, 8, 48) },
		"negative length": func(b Batch) { put32(b, 8, -1) },
	} {
		c := append(Batch(nil), b...)
		damage(c)
		if _, rest, err := Next(c); !errors.Is(err, ErrCorrupt) || len(rest) != len(c) {
			t.Errorf("%s: %v with %d bytes left, want ErrCorrupt with all", name, err, len(rest))
		}
	}
}
