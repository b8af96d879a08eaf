package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/riffle-stream/riffle/internal/reliability"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

// journaledLogs are logs that are flushed together, with what was promised of them.
type journaledLogs struct {
	t       testing.TB
	cfg     Config
	journal *Journal
	flusher *Flusher
	logs    []*Log

	mu       sync.Mutex
	appended [][]string // values by log
	durable  []int      // how many of them were acknowledged
}

func logDir(i int) string { return fmt.Sprintf("logs/%d", i) }

// openJournaled opens n logs on a file system, after the journal.
func openJournaled(t testing.TB, fsys vfs.FS, n int, journal JournalConfig, cfg Config) *journaledLogs {
	t.Helper()
	s := &journaledLogs{t: t, cfg: cfg, appended: make([][]string, n), durable: make([]int, n)}
	var err error
	if s.journal, err = OpenJournal(fsys, journal); err != nil {
		t.Fatalf("OpenJournal: %v", err)
	}
	for i := range n {
		if err := errors.Join(fsys.MkdirAll(logDir(i)), fsys.SyncDir("logs"), fsys.SyncDir(".")); err != nil {
			t.Fatal(err)
		}
		sub, err := fsys.Sub(logDir(i))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Dir = logDir(i)
		l, err := Open(sub, cfg, epoch)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		s.logs = append(s.logs, l)
	}
	s.flusher = NewFlusher(FlusherConfig{Journal: s.journal})
	return s
}

// append appends a value to each of some logs, and waits for all of them.
func (s *journaledLogs) append(to ...int) error {
	asked := make(map[int]Pending)
	for _, i := range to {
		s.mu.Lock()
		value := fmt.Sprintf("%d-%05d", i, len(s.appended[i]))
		s.appended[i] = append(s.appended[i], value)
		s.mu.Unlock()
		a, err := s.logs[i].Append(batchOf(0, value), epoch)
		if err != nil {
			return err
		}
		asked[i] = s.flusher.Start(s.t.Context(), s.logs[i], a.NextOffset)
	}
	var errs []error
	for i, p := range asked {
		err := p.Wait(s.t.Context())
		if err == nil {
			s.mu.Lock()
			s.durable[i] = len(s.appended[i])
			s.mu.Unlock()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *journaledLogs) mustAppend(to ...int) {
	s.t.Helper()
	if err := s.append(to...); err != nil {
		s.t.Fatalf("append to %v: %v", to, err)
	}
}

// close ends everything in the order of a broker.
func (s *journaledLogs) close() error {
	var errs []error
	for _, l := range s.logs {
		errs = append(errs, l.Close())
	}
	s.flusher.Close()
	return errors.Join(append(errs, s.journal.Close())...)
}

// promise is what must be there after a crash at some moment.
type promise struct {
	disk     *vfs.Mem
	appended [][]string
	durable  []int
}

// promiseOf lets the power fail now. It may be called while a log is flushed.
func (s *journaledLogs) promiseOf(mem *vfs.Mem, percent int, rng *rand.Rand) promise {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := promise{appended: slices.Clone(s.appended), durable: slices.Clone(s.durable)}
	p.disk = mem.CrashClone(percent, rng)
	return p
}

// check opens what the crash left.
func (p *promise) check(t *testing.T, cfg Config) {
	t.Helper()
	s := openJournaled(t, p.disk, len(p.durable), JournalConfig{}, cfg)
	for i, l := range s.logs {
		if r := l.Recovery(); r.Quarantined || len(r.Corrupt) > 0 || r.CheckpointLost {
			t.Fatalf("log %d: Recovery = %+v, want no damage", i, r)
		}
		got := mustValues(t, l)
		all := p.appended[i]
		if len(got) > len(all) || len(got) < p.durable[i] || !slices.Equal(got, all[:len(got)]) {
			t.Fatalf("log %d has %d records, of %d of which %d were acknowledged:\n%q", i, len(got), len(all), p.durable[i], got)
		}
		s.appended[i] = got
	}
	// What is acknowledged now is there after another crash.
	for i := range s.logs {
		s.mustAppend(i)
	}
	again := s.promiseOf(p.disk, 0, rand.New(rand.NewPCG(0, 0)))
	if err := s.close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if files := journalFiles(t, p.disk); len(files) > 0 {
		t.Fatalf("%v are left after a clean close", files)
	}
	s = openJournaled(t, again.disk, len(p.durable), JournalConfig{}, cfg)
	for i, l := range s.logs {
		if got := mustValues(t, l); !slices.Equal(got, again.appended[i]) {
			t.Fatalf("log %d after two crashes has %q, want %q", i, got, again.appended[i])
		}
	}
	if err := s.close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func journalFiles(t testing.TB, fsys vfs.FS) (files []string) {
	t.Helper()
	names, err := fsys.List(".")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "journal") })
}

// TestJournalCrashAnywhere lets the power fail before each operation that changes the disk, while five logs
// roll and the journal writes over itself, and again before each operation of the replay.
func TestJournalCrashAnywhere(t *testing.T) {
	t.Parallel()
	percents := []int{0, 50, 100, 25, 75}[:reliability.Figure(3, 5)]
	cfg := Config{SegmentBytes: 1500, MarkBytes: 700}
	mem := vfs.NewMem()
	faults := faultfs.New(mem)
	s := openJournaled(t, faults, 5, JournalConfig{FileBytes: 3000}, cfg)
	rng := rand.New(rand.NewPCG(1, 2))
	hooked := rand.New(rand.NewPCG(3, 4))
	var promises []promise
	faults.Hook(func(op faultfs.Op) error {
		if slices.Contains(faultfs.Mutating(), op.Kind) && hooked.IntN(3) == 0 {
			for _, percent := range percents {
				promises = append(promises, s.promiseOf(mem, percent, hooked))
			}
		}
		return nil
	})
	for range reliability.Figure(60, 200) {
		to := rng.Perm(len(s.logs))
		s.mustAppend(to[:1+rng.IntN(len(to))]...)
	}
	faults.Hook(nil)
	if s.logs[0].Segments() < 3 || s.journal.mu.files[0].generation < 5 {
		t.Fatalf("%d segments, generation %d: the test does too little", s.logs[0].Segments(), s.journal.mu.files[0].generation)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	for i := range promises {
		if i%7 == 0 {
			promises[i].crashWhileReplaying(t, cfg)
		}
		promises[i].check(t, cfg)
	}
}

// crashWhileReplaying lets the power fail once more, before each operation of the replay.
func (p *promise) crashWhileReplaying(t *testing.T, cfg Config) {
	t.Helper()
	disk := p.disk.Clone()
	faults := faultfs.New(disk)
	var again []promise
	rng := rand.New(rand.NewPCG(5, 6))
	faults.Hook(func(op faultfs.Op) error {
		if slices.Contains(faultfs.Mutating(), op.Kind) {
			again = append(again, promise{disk.CrashClone(50, rng), p.appended, p.durable})
		}
		return nil
	})
	if _, err := OpenJournal(faults, JournalConfig{}); err != nil {
		t.Fatal(err)
	}
	for i := range again {
		again[i].check(t, cfg)
	}
}

// One fsync serves all logs, and the logs' own files are not fsynced.
func TestJournalSharesAnFsync(t *testing.T) {
	t.Parallel()
	faults := faultfs.New(vfs.NewMem())
	s := openJournaled(t, faults, 20, JournalConfig{}, Config{})
	all := make([]int, len(s.logs))
	for i := range all {
		all[i] = i
	}
	s.mustAppend(all...) // makes the journal, and clears the bit that says that the logs are clean
	before := faults.Count(faultfs.Sync)
	s.mustAppend(all...)
	if n := faults.Count(faultfs.Sync) - before; n != 1 {
		t.Errorf("%d fsyncs for %d logs, want one", n, len(all))
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// A journal grows in steps, behind its header.
func TestJournalGrowsInSteps(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := openJournaled(t, mem, 1, JournalConfig{}, Config{})
	var sizes []int
	for range 20 {
		s.mustAppend(0)
		b, err := readAll(mem, journalName(s.journal.mu.current))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := parseJournalHeader(b); !ok || err != nil {
			t.Fatalf("the header is no good after %d bytes: %v", len(b), err)
		}
		if !slices.Contains(sizes, len(b)) {
			sizes = append(sizes, len(b))
		}
	}
	if want := []int{journalHeaderLen + journalStep}; !slices.Equal(sizes, want) {
		t.Errorf("the sizes of the file are %v, want %v", sizes, want)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// The logs of a full file are fsynced while the first half of the other one is written, and not before.
func TestJournalSpreadsFsyncs(t *testing.T) {
	t.Parallel()
	const logs, fileBytes = 8, 16 << 10
	s := openJournaled(t, vfs.NewMem(), logs, JournalConfig{FileBytes: fileBytes}, Config{})
	current := func() (file int, size int64, of map[*Log]int64) {
		s.journal.mu.Lock()
		defer s.journal.mu.Unlock()
		f := s.journal.mu.files[s.journal.mu.current]
		return s.journal.mu.current, f.size, maps.Clone(f.logs)
	}
	s.mustAppend(0, 1, 2, 3, 4, 5, 6, 7)
	first, _, ends := current()
	for file := first; file == first; {
		s.mustAppend(0, 1, 2, 3, 4, 5, 6, 7)
		var of map[*Log]int64
		if file, _, of = current(); file == first {
			ends = of
		}
	}
	for {
		synced := 0
		for l, end := range ends {
			if l.syncedOffset() >= end {
				synced++
			}
		}
		_, size, _ := current()
		if most := 1 + logs*size/(fileBytes/2); int64(synced) > most {
			t.Errorf("%d logs are synced when the other file has %d bytes, want at most %d", synced, size, most)
		}
		if size >= fileBytes/2 {
			break
		}
		s.mustAppend(0)
	}
	s.journal.settling.Wait()
	for l, end := range ends {
		if at := l.syncedOffset(); at < end {
			t.Errorf("%s is synced up to %d, want %d", l.dir, at, end)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// Entries of a segment that has a successor are not put back: it was synced, and may have been compacted.
func TestJournalLeavesSealedSegmentsAlone(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := openJournaled(t, mem, 1, JournalConfig{}, Config{SegmentBytes: 100})
	s.mustAppend(0)
	s.mustAppend(0) // rolls
	segment := logDir(0) + "/" + fileName(0, logSuffix)
	crashed := mem.CrashClone(0, rand.New(rand.NewPCG(1, 1)))
	editFile(t, crashed, segment, func([]byte) []byte { return []byte("compacted") })
	if _, err := OpenJournal(crashed, JournalConfig{}); err != nil {
		t.Fatal(err)
	}
	if b, err := readAll(crashed, segment); err != nil || string(b) != "compacted" {
		t.Errorf("the sealed segment has %q, %v", b, err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// A directory or a segment that is gone since needs no entries.
func TestJournalOfDeletedLogs(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := openJournaled(t, mem, 3, JournalConfig{}, Config{})
	s.mustAppend(0, 1, 2)
	crashed := mem.CrashClone(0, rand.New(rand.NewPCG(1, 1)))
	if err := errors.Join(crashed.RemoveAll(logDir(0)), crashed.Remove(logDir(1)+"/"+fileName(0, logSuffix))); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(crashed, JournalConfig{}); err != nil {
		t.Fatal(err)
	}
	if _, err := crashed.Open(logDir(1) + "/" + fileName(0, logSuffix)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a segment was made by the replay: %v", err)
	}
	if got, err := readAll(crashed, logDir(2)+"/"+fileName(0, logSuffix)); err != nil || len(got) == 0 {
		t.Errorf("log 2 has %d bytes, %v", len(got), err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// A journal that fails acknowledges nothing by itself, is not used again, and what it has acknowledged before
// stays there.
func TestJournalFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   faultfs.Kind
		fences bool
	}{{faultfs.Write, false}, {faultfs.Sync, true}} {
		t.Run(string(c.kind), func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			faults := faultfs.New(mem)
			s := openJournaled(t, faults, 3, JournalConfig{}, Config{})
			s.mustAppend(0, 1, 2)
			faults.Inject(faultfs.Fault{Kinds: []faultfs.Kind{c.kind}, Name: journalName(1), Err: errDisk, Partial: 50})
			err := s.append(0)
			if c.fences != errors.Is(err, ErrFenced) || !c.fences && err != nil {
				t.Errorf("append = %v, want the log to be fenced: %v", err, c.fences)
			}
			s.mustAppend(1, 2) // by themselves
			if faults.Injected() != 1 {
				t.Fatalf("%d faults, want one", faults.Injected())
			}
			after := s.promiseOf(mem, 0, rand.New(rand.NewPCG(1, 1)))
			if err := s.close(); c.fences != errors.Is(err, ErrFenced) {
				t.Errorf("close = %v", err)
			}
			after.check(t, Config{})
		})
	}
}

// A log whose own file cannot be fsynced is fenced, and keeps in the journal what was acknowledged: the
// journal does not write over it.
func TestJournalKeepsWhatALogCannotSync(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	faults := faultfs.New(mem)
	s := openJournaled(t, faults, 2, JournalConfig{FileBytes: 1500}, Config{})
	s.mustAppend(0, 1)
	faults.Inject(faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Sync}, Name: logDir(0) + "/" + fileName(0, logSuffix), Err: errDisk})
	for range 50 {
		s.mustAppend(1) // the journal turns to its other file, and the logs of the first are synced
	}
	s.journal.settling.Wait()
	if err := s.append(0); !errors.Is(err, ErrFenced) {
		t.Fatalf("append to the log that cannot be synced = %v", err)
	}
	after := s.promiseOf(mem, 0, rand.New(rand.NewPCG(1, 1)))
	if err := s.close(); !errors.Is(err, ErrFenced) {
		t.Errorf("close = %v, want ErrFenced", err)
	}
	if len(journalFiles(t, mem)) == 0 {
		t.Error("the journal was removed, and has the only copy of an acknowledged record")
	}
	after.check(t, Config{})
}

// A damaged journal is reported, and what follows the damage counts.
func TestJournalIsDamaged(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := openJournaled(t, mem, 2, JournalConfig{}, Config{})
	s.mustAppend(0)
	s.mustAppend(1)
	for _, at := range []int{8, journalHeaderLen + 10, journalHeaderLen + 60} {
		crashed := mem.CrashClone(0, rand.New(rand.NewPCG(1, 1)))
		editFile(t, crashed, journalName(1), func(b []byte) []byte { b[at] ^= 1; return b })
		var logged strings.Builder
		if _, err := OpenJournal(crashed, JournalConfig{Logger: slog.New(slog.NewTextHandler(&logged, nil))}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(logged.String(), "the journal is damaged") {
			t.Errorf("byte %d: the log says %q", at, logged.String())
		}
		if b, err := readAll(crashed, logDir(1)+"/"+fileName(0, logSuffix)); err != nil || len(b) == 0 {
			t.Errorf("byte %d: the log behind the damage has %d bytes, %v", at, len(b), err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// Whatever lies in the journal's files, a replay does not panic and ends.
func FuzzJournal(f *testing.F) {
	mem := vfs.NewMem()
	s := openJournaled(f, mem, 2, JournalConfig{}, Config{})
	s.mustAppend(0, 1)
	b, err := readAll(mem, journalName(1))
	if err = errors.Join(err, s.close()); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:50])
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := vfs.NewMem()
		if err := errors.Join(writeAt(fsys, journalName(0), b, 0, true), fsys.MkdirAll(logDir(0))); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenJournal(fsys, JournalConfig{}); err == nil && len(journalFiles(t, fsys)) > 0 {
			t.Error("the journal is still there")
		}
	})
}
