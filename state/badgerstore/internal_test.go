package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/riffle-stream/riffle/state"
)

var id = state.TaskID{SubTopology: 1, Partition: 2}

func openTest(t *testing.T, dir string, cfg Config) *DB {
	t.Helper()
	cfg.MemTableBytes = 8 << 20
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	db, err := Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func openTask(t *testing.T, db *DB, specs ...state.Spec) state.Task {
	t.Helper()
	if specs == nil {
		specs = []state.Spec{{Name: "s"}}
	}
	task, err := db.OpenTask(id, specs)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// fill commits n entries and closes the database.
func fill(t *testing.T, dir string, n int) {
	t.Helper()
	db := openTest(t, dir, Config{})
	task := openTask(t, db)
	put(t, task, 0, n)
	commit(t, task, 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, task state.Task, from, n int) {
	t.Helper()
	store, _ := task.Store("s")
	for i := from; i < from+n; i++ {
		if err := store.Put(fmt.Appendf(nil, "key %06d", i), fmt.Appendf(nil, "value %0100d", i)); err != nil {
			t.Fatal(err)
		}
	}
}

func commit(t *testing.T, task state.Task, seq int64) {
	t.Helper()
	if err := task.Commit(map[string]state.Position{"s": {Offset: seq, Commit: seq}}); err != nil {
		t.Fatal(err)
	}
}

func wantEmpty(t *testing.T, task state.Task) {
	t.Helper()
	if p := task.Position("s"); !p.IsZero() {
		t.Errorf("the store stands at %+v, want the zero position", p)
	}
	store, _ := task.Store("s")
	for kv, err := range store.Range(nil, nil) {
		t.Fatalf("the store has %q, %v, want nothing", kv.Key, err)
	}
}

// TestDoubt opens databases that something speaks against.
func TestDoubt(t *testing.T) {
	t.Parallel()
	edit := func(t *testing.T, dir string, change func(txn *badger.Txn) error) {
		t.Helper()
		db, err := badger.Open(badgerOptions(filepath.Join(dir, badgerName), Config{MemTableBytes: 8 << 20}.withDefaults()).WithLogger(nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(change), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	write := func(t *testing.T, path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		do     func(t *testing.T, dir string)
		reason string // in the log; "" if nothing is thrown away
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"killed while opening", func(t *testing.T, dir string) { write(t, filepath.Join(dir, openingName), "") }, "ended the process"},
		{"marked", func(t *testing.T, dir string) { write(t, filepath.Join(dir, doubtName), "because") }, "because"},
		{"other format", func(t *testing.T, dir string) { write(t, filepath.Join(dir, formatName), "riffle state 9\n") }, "riffle state 9"},
		{"no format", func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, formatName)) }, "no FORMAT"},
		{"torn manifest", func(t *testing.T, dir string) {
			path := filepath.Join(dir, badgerName, badger.ManifestFilename)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, string(b[:len(b)-5]))
		}, "manifest"},
		{"gap in the ring", func(t *testing.T, dir string) {
			edit(t, dir, func(txn *badger.Txn) error { return txn.Delete(ringKey(2)) })
		}, "batch 2 of"},
		{"task record", func(t *testing.T, dir string) {
			edit(t, dir, func(txn *badger.Txn) error { return txn.Set(appendTaskKey(nil, kindGeneration, id), []byte("bad")) })
		}, "value of 3 bytes"},
		{"position", func(t *testing.T, dir string) {
			edit(t, dir, func(txn *badger.Txn) error {
				return txn.Set(appendStoreKey(nil, kindPosition, id, 0, 0), []byte("not a position"))
			})
		}, "checksum"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			fill(t, dir, 200)
			test.do(t, dir)
			log := &logBuffer{}
			db := openTest(t, dir, Config{Logger: slog.New(log)})
			task := openTask(t, db)
			if test.reason == "" {
				if p := task.Position("s"); p.Commit != 1 || db.Stats().Wiped != 0 {
					t.Errorf("a sound database stands at %+v, thrown away %d times", p, db.Stats().Wiped)
				}
				return
			}
			wantEmpty(t, task)
			if got := db.Stats().Wiped; got != 1 {
				t.Errorf("Stats().Wiped = %d, want 1", got)
			}
			if !strings.Contains(log.String(), test.reason) {
				t.Errorf("the log does not say %q:\n%s", test.reason, log)
			}
			// It is a working database, and the doubt does not come back.
			put(t, task, 0, 1)
			commit(t, task, 1)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = openTest(t, dir, Config{})
			if p := openTask(t, db).Position("s"); p.Commit != 1 || db.Stats().Wiped != 0 {
				t.Errorf("at the second opening the store stands at %+v, thrown away %d times", p, db.Stats().Wiped)
			}
		})
	}
}

// TestCorruptValue demands that a value which fails its checksum is an error, and
// that the next open does not trust the database.
func TestCorruptValue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir, 10)
	db := openTest(t, dir, Config{})
	task := openTask(t, db)
	key := append(appendStoreKey(nil, kindData, id, 0, 0), "key 000003"...)
	err := db.badger.Update(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		b, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		b[4] ^= 1
		return txn.Set(key, b)
	})
	if err != nil {
		t.Fatal(err)
	}
	store, _ := task.Store("s")
	if _, _, err := store.Get([]byte("key 000003")); !errors.Is(err, state.ErrCorrupt) || !strings.Contains(err.Error(), "store s") {
		t.Errorf("Get of a corrupt value: %v", err)
	}
	var last error
	n := 0
	for _, err := range store.Range(nil, nil) {
		last = err
		n++
	}
	if !errors.Is(last, state.ErrCorrupt) || n != 4 {
		t.Errorf("Range over a corrupt value ends after %d entries with %v", n, last)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, openTask(t, openTest(t, dir, Config{})))
}

func TestLayoutChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir, 10)
	db := openTest(t, dir, Config{})
	wantEmpty(t, openTask(t, db, state.Spec{Name: "s", TTL: time.Hour}))
	if got := db.Stats().Wiped; got != 1 {
		t.Errorf("Stats().Wiped = %d, want 1", got)
	}
}

func TestInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openTest(t, dir, Config{})
	_, err := Open(dir, Config{})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "stop") {
		t.Errorf("the second Open: %v, want ErrInUse with the directory and a remedy", err)
	}
}

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	_, err := Open(t.TempDir(), Config{CheckpointBytes: -1, CheckpointAge: -1, MinFreeBytes: -1, MemTableBytes: 1})
	for _, field := range []string{"CheckpointBytes", "CheckpointAge", "MinFreeBytes", "MemTableBytes"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("Open with a wrong %s: %v", field, err)
		}
	}
}

// TestSweep demands that what a wipe leaves behind is removed, also across a restart
// in the middle, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir, 5*sweepEntries)
	db := openTest(t, dir, Config{})
	task := openTask(t, db)
	if err := task.Wipe(); err != nil {
		t.Fatal(err)
	}
	put(t, task, 7, 3)
	commit(t, task, 1)
	if err := db.Close(); err != nil { // perhaps before the sweep, perhaps in it
		t.Fatal(err)
	}
	db = openTest(t, dir, Config{})
	if err := db.sweepAll(); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]int{
		string(appendGenerationKey(nil, kindData, id, 0)):     0,
		string(appendGenerationKey(nil, kindPosition, id, 0)): 0,
		string([]byte{kindWipe}):                              0,
		string(appendGenerationKey(nil, kindData, id, 1)):     3,
		string(appendGenerationKey(nil, kindPosition, id, 1)): 1,
	} {
		got := 0
		if err := db.scan([]byte(prefix), func(_, _ []byte) error { got++; return nil }); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%d keys begin with %q, want %d", got, prefix, want)
		}
	}
}

// TestNoSpace demands that a full disk pauses checkpoints and, when the overlay is
// full, commits; that this is said; and that both go on when there is space again.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		const limit = 64 << 10
		db := openTest(t, t.TempDir(), Config{CheckpointBytes: limit, Logger: slog.New(log)})
		var free atomic.Uint64
		synctest.Wait() // nobody asks for space now
		db.free = func() (uint64, error) { return free.Load(), nil }
		task := openTask(t, db)
		const commits = 40
		var done atomic.Int64
		go func() {
			store, _ := task.Store("s")
			for seq := int64(1); seq <= commits; seq++ {
				err := errors.Join(
					store.Put(fmt.Appendf(nil, "key %d", seq), make([]byte, 10<<10)),
					task.Commit(map[string]state.Position{"s": {Offset: seq, Commit: seq}}),
				)
				if err != nil {
					t.Error(err)
					return
				}
				done.Store(seq)
			}
		}()
		synctest.Wait() // all that can happen without time passing has happened
		if n := done.Load(); n != 12 {
			t.Errorf("on a full disk %d commits ended, want 12 of 10 KiB below 2 * 64 KiB", n)
		}
		if s := db.Stats(); !s.Paused || s.Checkpoints != 0 || s.DirtyBytes < 2*limit || s.DirtyBytes > 3*limit {
			t.Errorf("on a full disk: %+v", s)
		}
		if !strings.Contains(log.String(), "not enough free disk space") {
			t.Errorf("the log does not say that the disk is full:\n%s", log)
		}
		free.Store(1 << 40)
		time.Sleep(2 * retryEvery)
		synctest.Wait()
		if n := done.Load(); n != commits {
			t.Errorf("with space again %d commits ended, want %d", n, commits)
		}
		if s := db.Stats(); s.Paused || s.Checkpoints == 0 {
			t.Errorf("with space again: %+v", s)
		}
	})
}

// TestCheckpointByAge demands that what is committed does not wait for more.
func TestCheckpointByAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, t.TempDir(), Config{CheckpointAge: time.Minute})
		task := openTask(t, db)
		put(t, task, 0, 1)
		commit(t, task, 1)
		for _, step := range []struct {
			wait time.Duration
			want int64
		}{{59 * time.Second, 0}, {2 * time.Second, 1}, {5 * time.Minute, 1}} {
			time.Sleep(step.wait)
			synctest.Wait()
			if got := db.Stats().Checkpoints; got != step.want {
				t.Errorf("after %v more: %d checkpoints, want %d", step.wait, got, step.want)
			}
		}
		store, _ := task.Store("s")
		if _, found, err := store.Get([]byte("key 000000")); !found || err != nil {
			t.Errorf("Get after the checkpoint: %v, %v", found, err)
		}
	})
}

// A checkpoint that nothing presses for takes its time; who closes its task does not wait for that.
func TestCheckpointTakesItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, t.TempDir(), Config{CheckpointAge: time.Minute})
		task := openTask(t, db)
		const batches = 20
		put(t, task, 0, batches*batchEntries)
		commit(t, task, 1)
		time.Sleep(time.Minute + batches/2*maxRest)
		synctest.Wait()
		if got := db.Stats().Checkpoints; got != 0 {
			t.Errorf("%d checkpoints half way, want none", got)
		}
		time.Sleep(batches * maxRest)
		synctest.Wait()
		if got := db.Stats().Checkpoints; got != 1 {
			t.Errorf("%d checkpoints, want 1", got)
		}

		base := db.mu.tasks[id]
		rest := func() time.Duration {
			start := time.Now()
			db.rest(base, 1<<30)
			return time.Since(start)
		}
		if took := rest(); took != maxRest {
			t.Errorf("rest takes %v, want %v", took, maxRest)
		}
		base.closing.Store(true)
		if took := rest(); took != 0 {
			t.Errorf("rest takes %v while the task waits to close", took)
		}
	})
}

// What a checkpoint wrote is read also by a task that began to read while it was being written, and reads on when the next
// checkpoint has displaced its overlay.
func TestReadAcrossCheckpoints(t *testing.T) {
	t.Parallel()
	db := openTest(t, t.TempDir(), Config{CheckpointAge: time.Hour})
	task := openTask(t, db)
	writing, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	commitWith := db.writer.commit
	db.writer.commit = func(txn *badger.Txn, done func(error)) {
		once.Do(func() {
			close(writing)
			<-goOn
		})
		commitWith(txn, done)
	}
	put(t, task, 0, 10)
	commit(t, task, 1)
	first := make(chan error, 1)
	go func() { first <- db.checkpoint(db.mu.tasks[id]) }()
	<-writing
	put(t, task, 100, 1)
	commit(t, task, 2)
	store, _ := task.Store("s")
	if _, found, err := store.Get([]byte("nothing")); found || err != nil {
		t.Fatalf("Get of a key that is not there: %t, %v", found, err)
	}
	close(goOn)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if err := db.checkpoint(db.mu.tasks[id]); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 9, 100} {
		if _, found, err := store.Get(fmt.Appendf(nil, "key %06d", n)); !found || err != nil {
			t.Errorf("key %d is found: %t, %v", n, found, err)
		}
	}
}

func TestOpenWithoutSpace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Open(dir, Config{MinFreeBytes: 1 << 60})
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open on a full disk: %v, want ErrNoSpace with the directory", err)
	}
	if _, err := os.Stat(filepath.Join(dir, badgerName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it began a database all the same: %v", err)
	}
}

// TestFailedCheckpoint demands that after an error of the disk commits report it, that
// reads go on, and that the next start has a state from before it.
func TestFailedCheckpoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openTest(t, dir, Config{CheckpointBytes: 1})
	task := openTask(t, db)
	put(t, task, 0, 1)
	commit(t, task, 1)
	db.writer.mu.Lock()
	db.writer.commit = func(txn *badger.Txn, done func(error)) {
		txn.Discard()
		go done(errors.New("input/output error"))
	}
	db.writer.mu.Unlock()
	put(t, task, 1, 1)
	for range 2 {
		err := task.Commit(map[string]state.Position{"s": {Offset: 2, Commit: 2}})
		if err == nil || !strings.Contains(err.Error(), "checkpoint of task 1_2: input/output error") {
			t.Errorf("Commit over a broken disk: %v", err)
		}
	}
	store, _ := task.Store("s")
	if _, found, err := store.Get([]byte("key 000001")); !found || err != nil {
		t.Errorf("Get over a broken disk: %v, %v", found, err)
	}
	if err := db.Close(); err == nil {
		t.Error("Close does not say that there was no last checkpoint")
	}
	db = openTest(t, dir, Config{})
	if got := openTask(t, db).Position("s").Commit; got != 1 {
		t.Errorf("at the next start the store stands at commit %d, want 1", got)
	}
}

// logBuffer keeps what is logged, as text.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Enabled(context.Context, slog.Level) bool { return true }
func (b *logBuffer) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *logBuffer) WithGroup(string) slog.Handler            { return b }

func (b *logBuffer) Handle(_ context.Context, r slog.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprint(&b.text, r.Level, " ", r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprint(&b.text, " ", a)
		return true
	})
	fmt.Fprintln(&b.text)
	return nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
