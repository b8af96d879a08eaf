package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

func TestPlanCleaning(t *testing.T) {
	t.Parallel()
	// Three sealed segments of 100 offsets and bytes, a day after the last.
	day := (24 * time.Hour).Milliseconds()
	segments := []planSegment{
		{base: 0, next: 100, size: 100, maxTimestamp: 1000, firstTimestamp: 900},
		{base: 100, next: 200, size: 100, maxTimestamp: 2000, firstTimestamp: 1900},
		{base: 200, next: 300, size: 100, maxTimestamp: 3000, firstTimestamp: 2900},
	}
	all := CompactSpec{Below: 300}
	for _, tt := range []struct {
		name     string
		progress compaction
		change   func(*CompactSpec)
		now      int64
		want     cleaning
	}{
		{name: "all dirty", want: cleaning{due: true, end: 300, ratio: 1}},
		{name: "all clean", progress: compaction{cleaned: 300}, want: cleaning{from: 300, end: 300}},
		{name: "a third, less than half", progress: compaction{cleaned: 200}, change: func(s *CompactSpec) { s.MinDirtyRatio = 0.5 }, want: cleaning{from: 200, end: 300, ratio: 1. / 3}},
		{name: "a third, enough", progress: compaction{cleaned: 200}, change: func(s *CompactSpec) { s.MinDirtyRatio = 0.3 }, want: cleaning{due: true, from: 200, end: 300, ratio: 1. / 3}},
		{name: "below an open transaction", change: func(s *CompactSpec) { s.Below = 250 }, want: cleaning{due: true, end: 200, ratio: 1}},
		{name: "half a segment is clean", progress: compaction{cleaned: 150}, want: cleaning{due: true, from: 150, end: 300, ratio: 2. / 3}},
		{name: "too young by timestamp", progress: compaction{old: 300}, change: func(s *CompactSpec) { s.MinLag = time.Second }, now: 2500, want: cleaning{due: true, end: 100, ratio: 1}},
		{name: "too young by the clock", progress: compaction{old: 100}, change: func(s *CompactSpec) { s.MinLag = time.Second }, want: cleaning{due: true, end: 100, ratio: 1}},
		{name: "overdue", progress: compaction{cleaned: 200}, change: func(s *CompactSpec) { s.MinDirtyRatio, s.MaxLag = 0.9, time.Hour }, want: cleaning{due: true, from: 200, end: 300, ratio: 1. / 3}},
		{name: "tombstones may go", progress: compaction{cleaned: 200, horizon: 5}, change: func(s *CompactSpec) { s.MinDirtyRatio = 0.9 }, want: cleaning{due: true, from: 200, end: 200, ratio: 1. / 3}},
		{name: "tombstones must wait", progress: compaction{cleaned: 300, horizon: 2 * day}, want: cleaning{from: 300, end: 300}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := all
			if tt.change != nil {
				tt.change(&spec)
			}
			if tt.now == 0 {
				tt.now = day
			}
			got := planCleaning(segments, tt.progress, spec, tt.now)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(cleaning{})); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
	if got := planCleaning(nil, compaction{cleaned: 7}, all, day); got.due {
		t.Errorf("without a sealed segment: %+v", got)
	}
}

func TestObserveLag(t *testing.T) {
	t.Parallel()
	var c compaction
	for _, step := range []struct{ now, end, want int64 }{
		{1000, 10, 0},  // nothing has been there for a second yet
		{1500, 20, 0},  // the first look counts
		{2000, 30, 10}, // the next look begins
		{2500, 40, 10},
		{3100, 50, 30},
		{100, 60, 30}, // the clock went back
		{1200, 70, 60},
	} {
		c.observe(step.end, time.Second, step.now)
		if got := c.agedOffset(time.Second, step.now); got != step.want {
			t.Errorf("at %d: %d, want %d", step.now, got, step.want)
		}
	}
}

func TestGroupSegments(t *testing.T) {
	t.Parallel()
	var segments []planSegment
	for i, size := range []int64{40, 50, 20, 100, 1, 1, 1} {
		segments = append(segments, planSegment{base: int64(i) * 10, next: int64(i)*10 + 10, size: size})
	}
	segments = append(segments, planSegment{base: 70, next: 70 + 1<<32, size: 1})
	if diff := cmp.Diff([]int{2, 1, 1, 3, 1}, groupSegments(segments, 100)); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestKeyMapIsBounded(t *testing.T) {
	t.Parallel()
	m := newKeyMap(1 << 20)
	n := int64(0)
	for m.put(fmt.Append(nil, n), n) {
		n++
	}
	if size := len(m.slots) * keySlotBytes; n < 10_000 || size > 1<<20 {
		t.Errorf("%d keys in %d bytes", n, size)
	}
	if !m.put([]byte("0"), n) || !m.superseded([]byte("0"), 0) || m.superseded([]byte("0"), n) || m.superseded([]byte("x"), 0) {
		t.Error("a key that is there must be updated, and no other")
	}
}

// TestManyKeys cleans a log whose keys do not fit into the map at once.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	l := openLog(t, vfs.NewMem(), Config{SegmentBytes: 20_000})
	const keys = 2000
	for round := range 2 {
		for k := 0; k < keys; k += 10 {
			var b record.Builder
			for i := range 10 {
				b.Append(1, fmt.Append(nil, "key", k+i), fmt.Append(nil, round))
			}
			mustAppend(t, l, b.Finish())
		}
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	passes := 0
	for more := true; more; passes++ {
		c, err := l.Compact(CompactSpec{Below: l.EndOffset(), MaxMapBytes: minKeyMapSize}, epoch)
		if err != nil {
			t.Fatal(err)
		}
		more = c.More
	}
	got, err := readKeyed(l)
	if err != nil {
		t.Fatal(err)
	}
	sealed := l.mu.segments[len(l.mu.segments)-1].base
	first := slices.IndexFunc(got, func(r keyed) bool { return r.value == "1" })
	if passes < 4 || first < 0 || len(got[first:]) != keys {
		t.Errorf("%d passes, %d records of the second round, want all %d", passes, len(got[max(0, first):]), keys)
	}
	for _, r := range got[:first] { // their successors are in the active segment
		if int64(keys+r.key) < sealed {
			t.Fatalf("%+v is still there, log is sealed up to %d", r, sealed)
		}
	}
}

// TestReadWhileCompacting reads the log again and again beside cleanings. A reader
// that takes less than delete.retention.ms must find the last value of each key.
func TestReadWhileCompacting(t *testing.T) {
	t.Parallel()
	l := openLog(t, vfs.NewMem(), compactConfig)
	all := fillKeyed(t, l, 60, epoch)
	want := lastOf(all)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				got, err := readKeyed(l)
				if err != nil || !cmp.Equal(want, lastOf(got)) {
					t.Errorf("read: %v\n%s", err, cmp.Diff(want, lastOf(got)))
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range 20 {
		spec := CompactSpec{Below: l.EndOffset(), DeleteRetention: time.Hour}
		if i%2 == 0 {
			l.compactMu.Lock()
			l.compaction = &compaction{} // once more from the start
			l.compactMu.Unlock()
		}
		if _, err := l.Compact(spec, epoch.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Errorf("Compact: %v", err)
		}
	}
	close(stop)
	readers.Wait()
}

func TestCloseEndsCompaction(t *testing.T) {
	t.Parallel()
	l := openLog(t, vfs.NewMem(), compactConfig)
	fillKeyed(t, l, 40, epoch)
	started, closed := make(chan struct{}), make(chan error, 1)
	go func() {
		<-started
		closed <- l.Close()
	}()
	var once sync.Once
	_, err := l.Compact(CompactSpec{Below: l.EndOffset(), Throttle: func(int) error {
		once.Do(func() { close(started) })
		for !l.closing.Load() {
		}
		return nil
	}}, epoch)
	if !errors.Is(err, ErrClosed) {
		t.Errorf("Compact = %v, want ErrClosed", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestCompactDamaged(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	l := openLog(t, fsys, compactConfig)
	fillKeyed(t, l, 40, epoch)
	name := l.mu.segments[1].name()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff, 0xff}, 70); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	size := l.Size()
	var corrupt *CorruptError
	if _, err := l.Compact(CompactSpec{Below: l.EndOffset()}, epoch); !errors.As(err, &corrupt) || corrupt.Segment != name {
		t.Errorf("Compact = %v, want damage in %s", err, name)
	}
	if l.Size() != size {
		t.Errorf("the log has %d bytes, had %d: a damaged log must be left alone", l.Size(), size)
	}
	var damage []*CorruptError
	for at := l.StartOffset(); at < l.EndOffset(); {
		found, err := l.Scrub(at, nil)
		if err != nil {
			t.Fatalf("Scrub: %v", err)
		}
		damage = append(damage, found.Corrupt...)
		at = found.Next
	}
	if len(damage) != 1 || damage[0].Segment != name || damage[0].Position != 0 {
		t.Errorf("Scrub found %v, want one place in %s", damage, name)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestCodecs(t *testing.T) {
	t.Parallel()
	var b record.Builder
	for i := range 100 {
		b.Append(int64(i), fmt.Append(nil, i), bytes.Repeat([]byte{byte(i)}, 3000))
	}
	plain := slices.Clone(b.Finish())
	var c codecs
	defer c.close()
	for codec := record.Gzip; codec <= record.Zstd; codec++ {
		p := packed(t, plain, codec)
		got, err := c.unpack(p)
		if err != nil || !bytes.Equal(got, plain.Payload()) || len(p) >= len(plain) {
			t.Errorf("%v: %d bytes of %d, %v", codec, len(got), len(plain.Payload()), err)
		}
		for cut := range 3 {
			short := slices.Clone(p[:len(p)-5*cut-4])
			if got, err := c.unpack(short); err == nil && len(got) == len(plain.Payload()) {
				t.Errorf("%v: a payload that is cut short gave everything", codec)
			}
		}
	}
}

// TestCompressionBomb keeps a batch that would not fit into memory as it is, and all
// older values with it.
func TestCompressionBomb(t *testing.T) {
	t.Parallel()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := packed(t, batchOf(1, "x"), record.Zstd)
	bomb = append(bomb[:record.HeaderLen:record.HeaderLen], w.EncodeAll(make([]byte, maxUnpackedBytes+1), nil)...)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var rw record.Rewriter
	rw.Reset(bomb)
	rw.Append(record.Record{Key: []byte("k"), Value: []byte("v")})
	bomb, err = rw.Finish(func(dst, _ []byte) ([]byte, error) { return append(dst, bomb.Payload()...), nil })
	if err != nil {
		t.Fatal(err)
	}
	l := openLog(t, vfs.NewMem(), Config{SegmentBytes: 1})
	mustAppend(t, l, batchOf(1, "old"))
	mustAppend(t, l, slices.Clone(bomb))
	mustAppend(t, l, batchOf(1, "new"))
	mustAppend(t, l, batchOf(1, "active"))
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	c, err := l.Compact(CompactSpec{Below: l.EndOffset()}, epoch)
	if err != nil || c.Opaque != 1 || c.Records != 1 {
		t.Errorf("Compact = %+v, %v, want one batch left as it is and one record removed", c, err)
	}
	b, err := l.Read(ReadSpec{From: 1, UpTo: 2, WholeFirst: true}, nil)
	if err != nil || !bytes.HasSuffix(b, bomb.Payload()) {
		t.Errorf("the batch is not what it was: %d bytes, %v", len(b), err)
	}
}

func TestDeleteBefore(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	cfg := Config{SegmentBytes: 300}
	l := openLog(t, fsys, cfg)
	for i := range 9 {
		mustAppend(t, l, batchOf(int64(i), fmt.Sprint(i, strings.Repeat("x", 60)), "y"))
	}
	segments := l.Segments()
	if err := l.DeleteBefore(19); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Errorf("above the end: %v", err)
	}
	if err := l.DeleteBefore(7); err != nil || l.StartOffset() != 7 || l.Segments() >= segments {
		t.Errorf("DeleteBefore(7) = %v, start %d, %d segments of %d", err, l.StartOffset(), l.Segments(), segments)
	}
	if err := l.DeleteBefore(3); err != nil || l.StartOffset() != 7 {
		t.Errorf("below the start: %v, start %d", err, l.StartOffset())
	}
	if offset, _, found, err := l.OffsetForTime(0); err != nil || !found || offset != 7 {
		t.Errorf("OffsetForTime = %d, %v, %v, want 7", offset, found, err)
	}
	if err := l.DeleteBefore(17); err != nil { // in the active segment, not flushed
		t.Error(err)
	}
	crashed := openLog(t, fsys.Clone(), cfg)
	if crashed.StartOffset() != 17 || crashed.EndOffset() != 18 {
		t.Errorf("after a crash [%d, %d), want [17, 18)", crashed.StartOffset(), crashed.EndOffset())
	}
	if err := l.DeleteBefore(18); err != nil || l.StartOffset() != 18 {
		t.Errorf("all: %v", err)
	}
}

func FuzzCompaction(f *testing.F) {
	f.Add(compaction{cleaned: 1, horizon: 2, old: 3, aged: 4, agedAt: 5}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCompaction(b)
		if err == nil && !bytes.Equal(c.append(nil)[:52], append(slices.Clone(b[:6]), append([]byte{0, 0}, append(slices.Clone(b[8:48]), 0, 0, 0, 0)...)...)) {
			t.Errorf("%x parses as %+v", b, c)
		}
	})
}
