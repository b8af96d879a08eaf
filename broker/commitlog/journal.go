package commitlog

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/riffle-stream/riffle/internal/vfs"
)

// JournalConfig tunes a Journal. The zero value is a working configuration.
type JournalConfig struct {
	// FileBytes is how long each of the two files may become. The default is 16 MiB.
	FileBytes int64

	// Logger gets what a replay found, and why the journal is not used any more. The
	// default discards it.
	Logger *slog.Logger
}

func (c JournalConfig) withDefaults() JournalConfig {
	setDefault(&c.FileBytes, 16<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// journalStep is by how much a file grows at a time. An fsync of bytes that lie where some were before does not wait for the file system
// to note where the file has its new ones.
const journalStep = 1 << 20

var zeros [journalStep]byte

// maxJournaled is how much of a log may be unflushed for the journal to take it: with
// more, an fsync of its own is cheaper than writing it twice.
const maxJournaled = 32 << 10

// Journal makes the ends of many logs durable with one fsync: it writes them once more,
// one behind the other, into a file of its own. The logs' own files are fsynced later,
// before the journal writes over what it has of them. After a crash of the machine
// OpenJournal puts back into the logs what the journal has, before they are opened.
//
// There are two files, used in turn: while one is written, the logs of the other are
// fsynced in the background, one now and one then: all at once they would hold up who
// waits for the journal.
//
// A Flusher uses it, from one goroutine at a time. Its files are described in
// docs/format/journal.md.
type Journal struct {
	fsys vfs.FS
	cfg  JournalConfig

	// The following belong to the flush under way.
	buf   []byte
	tails []journaled

	settling sync.WaitGroup
	mu       struct {
		sync.Mutex
		files   [2]journalFile
		current int   // which one is written
		failed  error // why the journal is not used any more, or nil
		closing bool
	}
	moved *sync.Cond // of mu: more of the current file is written, or closing is set
}

// journalFile is one of the files. What it holds counts until its logs are synced.
type journalFile struct {
	file       vfs.File // nil until it is needed
	generation uint64
	size       int64
	room       int64          // bytes that are on disk, whatever they hold
	logs       map[*Log]int64 // up to which offset of them it has entries
}

// journaled is the end of a log that is being written.
type journaled struct {
	log  *Log
	tail tail
}

func journalName(i int) string { return fmt.Sprintf("journal-%d", i) }

// OpenJournal replays what a crash has left in the journal of a file system, and returns
// an empty one. The logs lie below it, at Config.Dir, and are opened afterwards.
//
// An error is one of reading or writing the disk.
func OpenJournal(fsys vfs.FS, cfg JournalConfig) (*Journal, error) {
	j := &Journal{fsys: fsys, cfg: cfg.withDefaults()}
	j.moved = sync.NewCond(&j.mu)
	for i := range j.mu.files {
		j.mu.files[i].logs = make(map[*Log]int64)
	}
	if err := replayJournal(fsys, j.cfg.Logger); err != nil {
		return nil, err
	}
	return j, nil
}

// takes reports whether the journal is to make a log durable. There may be no journal.
func (j *Journal) takes(l *Log) bool {
	if j == nil || l.dir == "" || l.unflushedBytes() > maxJournaled {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.failed == nil
}

// flush makes durable what the logs hold. Where that fails, and where there is too much
// of a log, it stays to be flushed by the log itself; after a failed fsync the log is fenced.
func (j *Journal) flush(logs []*Log) {
	defer func() {
		for i := range j.tails {
			j.tails[i].log.flushMu.Unlock()
		}
		clear(j.tails)
		j.tails = j.tails[:0]
	}()
	j.buf = j.buf[:0]
	entries := 0
	for _, l := range logs {
		l.flushMu.Lock()
		t, err := l.unflushed()
		n := t.size - t.position
		if err == nil && n > 0 && n <= maxJournaled {
			j.buf, err = appendEntry(j.buf, l, t)
		}
		if err != nil || n <= 0 || n > maxJournaled {
			l.flushMu.Unlock()
			continue
		}
		j.tails = append(j.tails, journaled{l, t})
		entries++
	}
	if entries == 0 {
		return
	}
	f, at, generation := j.reserve(int64(len(j.buf)))
	if f == nil {
		return
	}
	finishEntries(j.buf, generation, at)
	if err := j.makeRoom(f, at+int64(len(j.buf))); err != nil {
		j.fail(fmt.Errorf("make room: %w", err))
		return
	}
	if _, err := f.file.WriteAt(j.buf, at); err != nil {
		j.fail(fmt.Errorf("write: %w", err)) // the logs have what was to be written
		return
	}
	if err := f.file.Sync(); err != nil {
		j.fail(fmt.Errorf("fsync: %w", err))
		for _, t := range j.tails {
			_ = t.log.fence("fsync of the journal", err)
		}
		return
	}
	for _, t := range j.tails {
		_ = t.log.noteFlushed(t.tail, false) // who waits is told by the flusher
	}
}

// makeRoom lets a file grow beyond end, if it is shorter.
func (j *Journal) makeRoom(f *journalFile, end int64) error {
	for f.room < end {
		n := min(journalStep, j.cfg.FileBytes-f.room)
		if _, err := f.file.WriteAt(zeros[:n], f.room); err != nil {
			return err
		}
		f.room += n
	}
	return nil
}

// reserve returns where n bytes are to be written, and notes the logs that they are of. A nil
// file means that the journal cannot take them.
func (j *Journal) reserve(n int64) (f *journalFile, at int64, generation uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.mu.failed != nil || n > j.cfg.FileBytes-journalHeaderLen {
		return nil, 0, 0
	}
	to := &j.mu.files[j.mu.current]
	if to.file == nil || to.size+n > j.cfg.FileBytes {
		if !j.turnLocked() {
			return nil, 0, 0
		}
		to = &j.mu.files[j.mu.current]
	}
	at = to.size
	to.size += n
	j.moved.Broadcast()
	for _, t := range j.tails {
		to.logs[t.log] = t.tail.end
	}
	return to, at, to.generation
}

// turnLocked begins to write the other file, if its logs are synced, and has those of this
// one synced. The caller holds mu.
func (j *Journal) turnLocked() bool {
	old := j.mu.current
	next := 1 - old
	to := &j.mu.files[next]
	if len(to.logs) > 0 {
		return false
	}
	generation := j.mu.files[old].generation + 1
	if err := j.begin(to, journalName(next), generation); err != nil {
		j.failLocked(fmt.Errorf("begin %s: %w", journalName(next), err))
		return false
	}
	to.size, to.generation = journalHeaderLen, generation
	to.room = max(to.room, journalHeaderLen)
	j.mu.current = next
	if len(j.mu.files[old].logs) > 0 {
		j.settling.Go(func() { j.settle(old) })
	}
	return true
}

// begin makes a file ready for a generation. What it held before counts until then, and not from then on.
func (j *Journal) begin(to *journalFile, name string, generation uint64) (err error) {
	made := to.file == nil
	if made {
		if to.file, err = j.fsys.Create(name); err != nil {
			return err
		}
	}
	if _, err := to.file.WriteAt(appendJournalHeader(nil, generation), 0); err != nil {
		return err
	}
	if err := to.file.Sync(); err != nil || !made {
		return err
	}
	return j.fsys.SyncDir(".")
}

// settle syncs the logs of a file that is not written any more, in the time in which the first half of the other one is.
func (j *Journal) settle(i int) {
	j.mu.Lock()
	logs := j.mu.files[i].logs
	j.mu.Unlock()
	done := 0
	for l, end := range logs { // nobody adds to it
		j.awaitWritten(1-i, j.cfg.FileBytes/2*int64(done)/int64(len(logs)))
		done++
		if err := l.syncTo(end); err != nil {
			j.mu.Lock()
			j.failLocked(fmt.Errorf("a log that it has records of cannot be synced: %w", err))
			j.mu.Unlock()
			return
		}
	}
	j.mu.Lock()
	j.mu.files[i].logs = make(map[*Log]int64, len(logs))
	j.mu.Unlock()
}

// awaitWritten waits until a file is so long, or the journal is closed or fails.
func (j *Journal) awaitWritten(i int, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.mu.files[i].size < size && !j.mu.closing && j.mu.failed == nil {
		j.moved.Wait()
	}
}

// fail ends the use of the journal. What it has is kept for the next start.
func (j *Journal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failLocked(err)
}

func (j *Journal) failLocked(err error) {
	if j.mu.failed == nil {
		j.mu.failed = err
		j.moved.Broadcast()
		j.cfg.Logger.Error("the journal is not used any more until the next start: each log is flushed by itself", "err", err)
	}
}

// Close ends the journal. The logs were closed before: if they are synced it leaves nothing behind,
// and otherwise what the next OpenJournal needs.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.mu.closing = true
	j.moved.Broadcast()
	j.mu.Unlock()
	j.settling.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	needed := j.mu.failed != nil
	var errs []error
	made := false
	for i := range j.mu.files {
		f := &j.mu.files[i]
		for l, end := range f.logs {
			needed = needed || l.syncedOffset() < end
		}
		if f.file != nil {
			made = true
			errs = append(errs, f.file.Close())
		}
	}
	if made && !needed {
		errs = append(errs, removeJournal(j.fsys))
	}
	return errors.Join(errs...)
}
