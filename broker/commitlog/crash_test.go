package commitlog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/reliability"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

// crashConfig makes everything happen often.
var crashConfig = Config{
	SegmentBytes: 900, IndexIntervalBytes: 150, MarkBytes: 400,
	RetentionBytes: 4000, MaxBatchBytes: 1 << 16,
}

// history is what a log may hold after a crash.
type history struct {
	values  []string // by offset; the last ones may be of a batch that is under way
	durable int64    // records below it were acknowledged
	start   int64    // the log start offset is not above it
	sent    []sent   // batches of idempotent producers
}

type sent struct {
	producer int64
	sequence int32
	base     int64
	values   []string
}

// story drives a log and notes what it was promised.
type story struct {
	t   *testing.T
	fs  vfs.FS
	cfg Config
	log *Log
	now time.Time
	rng *rand.Rand
	seq map[int64]int32
	history
}

func newStory(t *testing.T, fsys vfs.FS, cfg Config) *story {
	return &story{
		t: t, fs: fsys, cfg: cfg, now: epoch, seq: make(map[int64]int32),
		rng: rand.New(rand.NewPCG(1, 2)),
	}
}

func (s *story) open() {
	l, err := Open(s.fs, s.cfg, s.now)
	if err != nil {
		s.t.Fatalf("Open: %v", err)
	}
	s.log = l
}

// append appends a batch of a random size, of one of three producers or of none.
func (s *story) append() {
	n := 1 + s.rng.IntN(4)
	var vs []string
	for i := range n {
		vs = append(vs, fmt.Sprintf("%06d-%0*d", len(s.values)+i, 1+s.rng.IntN(90), 7))
	}
	var b record.Batch
	if id := int64(s.rng.IntN(4)) - 1; id >= 0 {
		b = batchFrom(id, s.seq[id], s.now.UnixMilli(), vs...)
		s.sent = append(s.sent, sent{producer: id, sequence: s.seq[id], base: int64(len(s.values)), values: vs})
		s.seq[id] += int32(n)
	} else {
		b = batchOf(s.now.UnixMilli(), vs...)
	}
	s.values = append(s.values, vs...)
	if _, err := s.log.Append(b, s.now); err != nil {
		s.t.Fatalf("Append: %v", err)
	}
	s.now = s.now.Add(time.Second)
}

func (s *story) flush() {
	end := s.log.EndOffset()
	if err := s.log.Flush(); err != nil {
		s.t.Fatalf("Flush: %v", err)
	}
	s.durable = end
}

func (s *story) retain() {
	s.start = int64(len(s.values)) // any may be gone while it works
	if _, err := s.log.Retain(s.now); err != nil {
		s.t.Fatalf("Retain: %v", err)
	}
	s.start = s.log.StartOffset()
}

func (s *story) close() {
	end := s.log.EndOffset()
	if err := s.log.Close(); err != nil {
		s.t.Fatalf("Close: %v", err)
	}
	s.durable = end
}

// play is a life of a log: appends, rolls, marks, flushes, retention, restarts.
func (s *story) play(steps int) {
	s.open()
	for i := range steps {
		s.append()
		if s.rng.IntN(3) == 0 {
			s.flush()
		}
		switch i % 20 {
		case 9:
			s.retain()
		case 14:
			s.close()
			s.open()
		}
	}
}

// check opens what a crash left and compares it with the history.
func (h *history) check(t *testing.T, fsys *vfs.Mem, cfg Config, now time.Time) {
	t.Helper()
	l, err := Open(fsys, cfg, now)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if r := l.Recovery(); r.Quarantined || len(r.Corrupt) > 0 || r.CheckpointLost {
		t.Fatalf("Recovery = %+v, want no damage", r)
	}
	checkSnapshots(t, fsys, l)
	start, end := l.StartOffset(), l.EndOffset()
	if start > h.start || end < h.durable || end > int64(len(h.values)) || l.FlushedOffset() != end {
		t.Fatalf("log holds [%d, %d), flushed %d; want a start up to %d and an end in [%d, %d]",
			start, end, l.FlushedOffset(), h.start, h.durable, len(h.values))
	}
	h.compare(t, l)
	h.resend(t, l, now)

	// What is appended now must survive the next crash, even if nothing else does.
	a, err := l.Append(batchOf(now.UnixMilli(), "after"), now)
	if err != nil {
		t.Fatalf("Append after the crash: %v", err)
	}
	if err := l.Flush(); err != nil {
		t.Fatalf("Flush after the crash: %v", err)
	}
	again := fsys.CrashClone(0, rand.New(rand.NewPCG(0, 0)))
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	for _, fsys := range []*vfs.Mem{again, fsys} {
		reopened, err := Open(fsys, cfg, now)
		if err != nil {
			t.Fatalf("Open again: %v", err)
		}
		if fsys != again && (!reopened.Recovery().Clean || reopened.Recovery().WalkedBytes > 0) {
			t.Fatalf("Recovery after Close = %+v, want clean", reopened.Recovery())
		}
		if reopened.EndOffset() != a.NextOffset {
			t.Fatalf("log ends at %d, want %d", reopened.EndOffset(), a.NextOffset)
		}
		got, err := values(reopened, a.BaseOffset, a.NextOffset, 1<<20)
		if err != nil || !cmp.Equal(got, []string{"after"}) {
			t.Fatalf("appended after the crash: %q, %v", got, err)
		}
		if err := reopened.Verify(); err != nil {
			t.Fatalf("Verify: %v", err)
		}
		if err := reopened.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
}

// die ends the process, but not the machine, and opens the log; then the power fails
// before anybody flushes. What the log called flushed must be there.
func (h *history) die(t *testing.T, fsys *vfs.Mem, cfg Config) {
	t.Helper()
	fsys = fsys.Clone()
	l, err := Open(fsys, cfg, epoch)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if l.EndOffset() < int64(len(h.values))-4 {
		t.Fatalf("log ends at %d, but nothing was lost yet", l.EndOffset())
	}
	after := *h
	after.durable = l.FlushedOffset()
	after.check(t, fsys.CrashClone(0, rand.New(rand.NewPCG(0, 0))), cfg, epoch)
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// crashWhileOpening lets the power fail again, before each operation of a recovery.
func (h *history) crashWhileOpening(t *testing.T, fsys *vfs.Mem, seed uint64) {
	t.Helper()
	fsys = fsys.Clone()
	rng := rand.New(rand.NewPCG(seed, 7))
	var clones []*vfs.Mem
	faults := faultfs.New(fsys)
	faults.Hook(func(op faultfs.Op) error {
		if slices.Contains(faultfs.Mutating(), op.Kind) {
			clones = append(clones, fsys.CrashClone(50, rng))
		}
		return nil
	})
	l, err := Open(faults, crashConfig, epoch)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	faults.Hook(nil)
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	for _, clone := range clones {
		h.check(t, clone, crashConfig, epoch)
	}
}

// checkSnapshots looks for snapshots of records that are not there.
func checkSnapshots(t *testing.T, fsys vfs.FS, l *Log) {
	t.Helper()
	names, err := fsys.List(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if offset, suffix, ok := parseFileName(name); ok && suffix == snapshotSuffix && offset > l.EndOffset() {
			t.Fatalf("%s is there, but the log ends at %d", name, l.EndOffset())
		}
	}
}

func (h *history) compare(t *testing.T, l *Log) {
	t.Helper()
	start, end := l.StartOffset(), l.EndOffset()
	got, err := values(l, start, end, 700)
	if err != nil {
		t.Fatalf("read [%d, %d): %v", start, end, err)
	}
	if !slices.Equal(h.values[start:end], got) { // cmp is slow, and thousands of crashes are compared
		t.Fatalf("records (-want +got):\n%s", cmp.Diff(h.values[start:end], got))
	}
	if err := l.Verify(); err != nil {
		t.Fatalf("Verify: %v", err)
	}
}

// resend repeats the last batch of each producer that survived. It must be taken for
// what it is.
func (h *history) resend(t *testing.T, l *Log, now time.Time) {
	t.Helper()
	last := make(map[int64]sent)
	for _, s := range h.sent {
		if s.base+int64(len(s.values)) <= l.EndOffset() {
			last[s.producer] = s
		}
	}
	for _, s := range last {
		if s.base < l.StartOffset() {
			continue // forgotten with its records, if the snapshot went, too
		}
		a, err := l.Append(batchFrom(s.producer, s.sequence, 0, s.values...), now)
		if err != nil || !a.Duplicate || a.BaseOffset != s.base {
			t.Fatalf("resend of %+v = %+v, %v, want a duplicate", s, a, err)
		}
	}
}

// TestCrashAnywhere lets the machine lose power before each operation that changes
// the disk, with nothing, half and all of the unsynced data surviving; for
// make reliability also with a quarter and three.
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	percents := []int{0, 50, 100, 25, 75}[:reliability.Figure(3, 5)]
	mem := vfs.NewMem()
	faults := faultfs.New(mem)
	s := newStory(t, faults, crashConfig)
	ops := 0
	faults.Hook(func(op faultfs.Op) error {
		if !slices.Contains(faultfs.Mutating(), op.Kind) {
			return nil
		}
		ops++
		for _, percent := range percents {
			seed := uint64(ops)
			clone := mem.CrashClone(percent, rand.New(rand.NewPCG(seed, uint64(percent))))
			t.Logf("crash before operation %d (%s) with %d%% surviving", ops, op, percent)
			if percent == 0 {
				s.die(t, mem, crashConfig)
			}
			if ops%25 == 0 {
				s.crashWhileOpening(t, clone, seed)
			}
			s.check(t, clone, crashConfig, s.now)
		}
		return nil
	})
	s.play(reliability.Figure(45, 60))
	if least := reliability.Figure(400, 500); ops < least {
		t.Errorf("%d operations, want at least %d", ops, least)
	}
	t.Logf("%d operations, %d crashes, %d records", ops, len(percents)*ops, len(s.values))
	faults.Hook(nil)
	s.close()
}

// TestCrashAtRandom is TestCrashAnywhere for many other lives: each ends at one random
// operation, with a random part of the unsynced data surviving.
func TestCrashAtRandom(t *testing.T) {
	t.Parallel()
	crashes := reliability.Figure(40, 2000)
	for i := range crashes {
		seed := uint64(i)
		rng := rand.New(rand.NewPCG(seed, 3))
		mem := vfs.NewMem()
		faults := faultfs.New(mem)
		s := newStory(t, faults, crashConfig)
		s.rng = rand.New(rand.NewPCG(seed, 4))
		at, ops := 1+rng.IntN(300), 0
		faults.Hook(func(op faultfs.Op) error {
			if !slices.Contains(faultfs.Mutating(), op.Kind) {
				return nil
			}
			if ops++; ops == at {
				percent := rng.IntN(101)
				clone := mem.CrashClone(percent, rng)
				t.Logf("seed %d: crash before operation %d (%s) with %d%% surviving", seed, ops, op, percent)
				s.check(t, clone, crashConfig, s.now)
			}
			return nil
		})
		s.play(35)
		faults.Hook(nil)
		s.close()
		if ops < at {
			t.Fatalf("seed %d: the life had %d operations, the crash was to come at %d", seed, ops, at)
		}
	}
	t.Logf("%d crashes", crashes)
}
