package commitlog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// markerScript runs a few letters on a log of which each batch has its own segment:
//
//	5      a record with key 5
//	A5     the same in a transaction of producer A (or B)
//	A+ A-  the marker that commits or aborts it, A* commits and raises the epoch
//	|      a cleaning; markers and tombstones stay for a minute
//	@      two minutes pass
//	R      the log is closed and opened
type markerScript struct {
	t         *testing.T
	fsys      *vfs.Mem
	cfg       Config
	log       *Log
	now       time.Time
	epochs    map[int64]int16
	sequences map[int64]int32
}

func newMarkerScript(t *testing.T, cfg Config) *markerScript {
	s := &markerScript{t: t, fsys: vfs.NewMem(), cfg: cfg, now: epoch, epochs: map[int64]int16{}, sequences: map[int64]int32{}}
	s.log = openLog(t, s.fsys, cfg)
	return s
}

func (s *markerScript) run(script string) {
	s.t.Helper()
	for op := range strings.FieldsSeq(script) {
		if err := s.step(op); err != nil {
			s.t.Fatalf("%s: %v", op, err)
		}
	}
}

func (s *markerScript) step(op string) error {
	id := int64(op[0])
	switch {
	case op == "@":
		s.now = s.now.Add(2 * time.Minute)
	case op == "R":
		if err := s.log.Close(); err != nil {
			return err
		}
		s.log = openLog(s.t, s.fsys, s.cfg)
	case op == "|":
		if err := s.log.Flush(); err != nil {
			return err
		}
		s.resize(1 << 20) // what is left becomes one segment
		defer s.resize(s.cfg.SegmentBytes)
		_, err := s.log.Compact(CompactSpec{Below: s.log.EndOffset(), DeleteRetention: time.Minute}, s.now)
		return err
	case strings.HasSuffix(op, "+"), strings.HasSuffix(op, "-"), strings.HasSuffix(op, "*"):
		m := producer.Marker{ID: id, Epoch: s.epochs[id], Commit: op[1] != '-', Raised: op[1] == '*'}
		if m.Raised {
			m.Epoch++
			s.epochs[id], s.sequences[id] = m.Epoch, 0
		}
		_, err := s.log.AppendMarker(m, s.now)
		return err
	default:
		var b record.Builder
		key := op[len(op)-1]
		b.Append(s.now.UnixMilli(), fmt.Appendf(nil, "key%c", key), []byte(op))
		if len(op) == 1 {
			_, err := s.log.Append(b.Finish(), s.now)
			return err
		}
		b.SetProducer(id, s.epochs[id], s.sequences[id])
		s.sequences[id]++
		batch := b.Finish()
		batch.SetTransactional()
		_, err := s.log.Append(batch, s.now)
		return err
	}
	return nil
}

func (s *markerScript) resize(segmentBytes int64) {
	s.log.appendMu.Lock()
	defer s.log.appendMu.Unlock()
	s.log.cfg.SegmentBytes = segmentBytes
}

// left returns the offsets of the markers that are there.
func (s *markerScript) left() string {
	s.t.Helper()
	var left []string
	err := eachBatch(s.log, func(b record.Batch) error {
		if b.Attributes().Control() {
			left = append(left, fmt.Sprint(b.BaseOffset()))
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Join(left, " ")
}

// forget removes the snapshots and the transaction indexes before the log is opened
// after a crash.
func (s *markerScript) forget(snapshot func(offset int64) bool) *Log {
	s.t.Helper()
	crashed := s.fsys.Clone()
	names, err := crashed.List(".")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		offset, suffix, ok := parseFileName(name)
		if ok && (suffix == txnIndexSuffix || suffix == snapshotSuffix && snapshot(offset)) {
			if err := crashed.Remove(name); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return openLog(s.t, crashed, s.cfg)
}

func TestMarkersThatGo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, script, left string }{
		{"the values were superseded", "A1 A+ A2 A+ 1 2 9 | @ |", "3"},
		{"the transaction was aborted", "A1 A- A2 A+ 9 | @ |", "3"},
		{"one cleaning is not enough, however late", "A1 A- A2 A+ 9 @ |", "1 3"},
		{"not before delete.retention.ms has passed", "A1 A- A2 A+ 9 | 3 4 |", "1 3"},
		{"a quiet log is cleaned for them alone", "A1 A- A2 A+ 9 | @ | @ |", "3"},
		{"after a restart", "A1 A- A2 A+ 9 | R @ R |", "3"},
		{"a value of the transaction is the last of its key", "A1 A2 A+ A3 A+ 1 9 | @ |", "2 4"},
		{"the value goes later", "A1 A+ A3 A+ 9 | @ | 1 9 | @ |", "3"},
		{"time counts from the cleaning that takes the last value", "A1 A+ A3 A+ 9 | @ | 1 9 | |", "1 3"},
		{"the last batch of the producer stays, without records", "A1 A+ 1 9 | @ | @ |", "1"},
		{"the epoch of the producer is in the marker alone", "A1 A* 1 9 | @ | @ |", "1"},
		{"a marker with an epoch that a later batch has too", "A1 A* A2 A* 1 9 | @ |", "3"},
		{"many markers of one producer", "A1 A* A1 A* A1 A* A1 A* 9 | @ |", "7"},
		{"interleaved producers", "A1 B2 A- B+ A3 B4 B+ A+ 2 9 | @ |", "6 7"},
		{"an open transaction of another producer below", "B7 A1 A- A2 A+ 9 | @ |", "2 4"},
		{"an open transaction of another producer between", "A1 A- A2 B7 A+ 9 | @ |", "4"},
		{"an open transaction of another producer above", "A1 A- A2 A+ B7 9 | @ |", "3"},
		{"an open transaction of the same producer above", "A1 A- A7 9 | @ |", ""},
		{"a marker in the active segment", "A1 A- A2 A- | @ | @ |", "3"},
		{"a marker without a transaction", "A+ A2 A+ 9 | @ |", "2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newMarkerScript(t, Config{SegmentBytes: 1})
			script, cleanings, _ := strings.Cut(tt.script, "|")
			s.run(script)
			before := committed(t, s.log)
			end, stable := s.log.EndOffset(), s.log.LastStableOffset()
			s.run("|" + cleanings)
			if got := s.left(); got != tt.left {
				t.Errorf("%s: markers at %q are left, want %q", tt.script, got, tt.left)
			}
			for _, l := range []*Log{s.log, s.forget(func(int64) bool { return false }), s.forget(func(int64) bool { return true })} {
				if strings.ContainsAny(cleanings, "1349") {
					break // more was written
				}
				if l.EndOffset() != end || l.LastStableOffset() != stable {
					t.Errorf("end %d, last stable offset %d, want %d and %d", l.EndOffset(), l.LastStableOffset(), end, stable)
				}
				if diff := cmp.Diff(before, committed(t, l)); diff != "" {
					t.Errorf("committed values (-before +after):\n%s", diff)
				}
			}
		})
	}
}

// committed is the last value of each key that readers of committed records get.
func committed(t *testing.T, l *Log) map[int]string {
	t.Helper()
	all, err := readKeyed(l)
	if err != nil {
		t.Fatal(err)
	}
	stable := l.LastStableOffset()
	var below []keyed
	for _, r := range all {
		if r.offset < stable {
			below = append(below, r)
		}
	}
	return lastOf(below)
}

// A snapshot that tells of an open transaction must not outlive its marker: whoever
// replays the log from there would wait for it for ever.
func TestStaleSnapshotGoesWithMarker(t *testing.T) {
	t.Parallel()
	s := newMarkerScript(t, Config{SegmentBytes: 1 << 20})
	l := s.log
	locked := func(do func() error) {
		t.Helper()
		l.appendMu.Lock()
		defer l.appendMu.Unlock()
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	s.run("A1")
	locked(func() error { return l.writeMark(true) })
	s.run("A* 1")
	locked(l.roll)
	sealed := l.EndOffset()
	locked(func() error { l.state.Reset(); return nil }) // the producer expires
	s.run("9 | @ |")
	if got := s.left(); got != "" {
		t.Fatalf("markers at %q are left", got)
	}
	crashed := s.forget(func(offset int64) bool { return offset >= sealed })
	if got, want := crashed.LastStableOffset(), l.EndOffset(); got != want {
		t.Errorf("LastStableOffset() = %d, want %d", got, want)
	}
}

// The changelog of an exactly-once application has one transaction per commit. What is
// left of it is bounded by its keys, not by the commits.
func TestManyTransactionsLeaveNothing(t *testing.T) {
	t.Parallel()
	s := newMarkerScript(t, Config{SegmentBytes: 4000})
	for round := range 30 {
		for i := range 100 {
			end := []string{"A+", "A-", "A*"}[i%3]
			s.run(fmt.Sprintf("A%d %s", i%5, end))
		}
		s.run("| @ |")
		if size := s.log.Size(); size > 20_000 {
			t.Fatalf("after %d transactions the log has %d bytes, want a bounded size", 100*(round+1), size)
		}
	}
	s.run("R")
	if got, want := len(committed(t, s.log)), 5; got != want {
		t.Errorf("%d keys, want %d", got, want)
	}
	if err := s.log.Verify(); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// Cleanings between the two halves of a read must not make aborted records pass for
// committed.
func TestReadCommittedBesideCleanings(t *testing.T) {
	t.Parallel()
	s := newMarkerScript(t, Config{SegmentBytes: 1})
	hooked := &readHook{FS: s.fsys}
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
	s.log = openLog(t, hooked, s.cfg)
	s.run("A1 A- A2 A+ 9")
	s.left() // loads the indexes: from here on, a read reads batches only
	cleaned := false
	hooked.onRead = func() {
		if !cleaned {
			cleaned = true
			s.run("| @ |")
		}
	}
	b, aborted, err := s.log.ReadCommitted(ReadSpec{From: 0, UpTo: 4, MaxBytes: 1000, WholeFirst: true}, nil)
	if err != nil || !cleaned || s.left() != "3" {
		t.Fatalf("ReadCommitted: %v, cleaned %v, markers at %q are left", err, cleaned, s.left())
	}
	txns := abortedReader{list: aborted, ids: map[int64]bool{}}
	for len(b) > 0 {
		batch, rest, err := record.Next(b)
		if err != nil {
			t.Fatal(err)
		}
		if b = rest; batch.BaseOffset() == 0 && batch.Count() > 0 && !txns.aborted(batch) {
			t.Error("the record of an aborted transaction passes for committed")
		}
	}
}

// readHook is a directory whose files call onRead before they are read.
type readHook struct {
	vfs.FS
	onRead func()
}

func (h *readHook) Open(name string) (vfs.File, error) {
	f, err := h.FS.Open(name)
	return readHookFile{f, h}, err
}

type readHookFile struct {
	vfs.File
	hook *readHook
}

func (f readHookFile) ReadAt(b []byte, at int64) (int, error) {
	if f.hook.onRead != nil {
		f.hook.onRead()
	}
	return f.File.ReadAt(b, at)
}

// A cleaning whose segments are not replaced in the end, because retention took one of
// them meanwhile, must not have removed the marker of what is still in them: their
// records would be those of an open transaction for ever.
func TestMarkerOutlivesWhatIsNotReplaced(t *testing.T) {
	t.Parallel()
	s := newMarkerScript(t, Config{SegmentBytes: 1})
	s.run("1 2 A3 A- A4 A+ 9")
	if err := s.log.Flush(); err != nil {
		t.Fatal(err)
	}
	// clean joins the segments up to the aborted record and replaces them, but the first
	// one is deleted while it reads.
	clean := func(first int64) {
		t.Helper()
		s.log.mu.RLock()
		size := int64(0)
		for _, seg := range s.log.mu.segments {
			if seg.base >= first && seg.base <= 2 {
				size += seg.size
			}
		}
		s.log.mu.RUnlock()
		s.resize(size)
		defer s.resize(1)
		var deleted bool
		var failed error
		done, err := s.log.Compact(CompactSpec{Below: s.log.EndOffset(), DeleteRetention: time.Minute, Throttle: func(int) error {
			if !deleted && first < 2 {
				deleted, failed = true, s.log.DeleteBefore(first+1)
			}
			return nil
		}}, s.now)
		if err != nil || failed != nil || !done.Cleaned {
			t.Fatalf("Compact = %+v, %v; DeleteBefore: %v", done, err, failed)
		}
	}
	check := func(when, markers string) {
		t.Helper()
		if got := s.left(); got != markers {
			t.Errorf("%s: markers at %q are left, want %q", when, got, markers)
		}
		replayed := s.forget(func(int64) bool { return true })
		if got, want := replayed.LastStableOffset(), s.log.EndOffset(); got != want {
			t.Errorf("%s: the last stable offset of the log, replayed, is %d, want its end %d", when, got, want)
		}
	}
	clean(0) // the marker gets its horizon, the record stays
	check("first cleaning", "3 5")
	s.run("@")
	clean(1) // the horizon is over, the record is still there
	check("second cleaning", "3 5")
	s.run("@")
	clean(2) // now the record goes
	check("third cleaning", "3 5")
	s.run("@")
	clean(2)
	check("fourth cleaning", "5")
}

// Where a cleaning ends in the middle of a segment, because its map of keys is full, the
// markers behind its end stay as they are, like the records there.
func TestMarkersBehindTheEndAreLeftAlone(t *testing.T) {
	t.Parallel()
	s := newMarkerScript(t, Config{SegmentBytes: 1 << 20})
	s.run("A1")
	var b record.Builder
	for i := range 2 * minKeySlots {
		b.Append(s.now.UnixMilli(), fmt.Appendf(nil, "another key %d", i), []byte("v"))
	}
	mustAppend(t, s.log, b.Finish())
	marker := s.log.EndOffset()
	s.run("A- A2 A+")
	horizons := func() (set bool) {
		t.Helper()
		err := eachBatch(s.log, func(b record.Batch) error {
			if b.BaseOffset() == marker {
				set = b.Attributes().DeleteHorizon()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	seal := func() {
		t.Helper()
		s.log.appendMu.Lock()
		defer s.log.appendMu.Unlock()
		if err := s.log.roll(); err != nil {
			t.Fatal(err)
		}
	}
	seal()
	spec := CompactSpec{Below: s.log.EndOffset(), DeleteRetention: time.Minute, MaxMapBytes: minKeyMapSize}
	done, err := s.log.Compact(spec, s.now)
	if err != nil || !done.More || done.CleanedOffset <= 0 || done.CleanedOffset > marker || done.Records != 1 {
		t.Fatalf("Compact = %+v, %v, want it to remove the aborted record and to end before offset %d", done, err, marker)
	}
	if horizons() {
		t.Errorf("the marker at offset %d has a horizon after a cleaning up to %d", marker, done.CleanedOffset)
	}
	for done.More {
		if done, err = s.log.Compact(spec, s.now); err != nil {
			t.Fatal(err)
		}
	}
	if !horizons() {
		t.Error("the marker has no horizon after the cleaning that reached it")
	}
}
