package peers

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// kgoBadger is the loop over franz-go that looks up each id in Badger and puts it there, in a transaction of its own. Badger
// forgets ids by the clock on the wall, which is all it can do.
type kgoBadger struct {
	kgoOffsets
	db *badger.DB
}

func newKgoBadger(p *plant, engine string) *kgoBadger {
	l := &kgoBadger{kgoOffsets: kgoOffsets{kgoLoop{onTopics: onTopics{p, engine}, durable: true}}}
	l.steps = func() step { return l.dedup }
	return l
}

func (l *kgoBadger) path() string { return filepath.Join(l.dir, l.group) }

// open opens the database with what makes it fast here: the settings of the engine's own, and no fsync.
func (l *kgoBadger) open(b *testing.B) {
	b.Helper()
	opts := badger.DefaultOptions(l.path()).
		WithLogger(nil).
		WithDetectConflicts(false).
		WithMemTableSize(16 << 20).WithNumMemtables(2).WithNumCompactors(2).
		WithCompression(options.None).WithBlockCacheSize(0).
		WithValueLogFileSize(64 << 20)
	db, err := badger.Open(opts)
	check(b, err)
	l.db = db
}

// prepare puts what was preloaded into the database, once.
func (l *kgoBadger) prepare(b *testing.B, n int) {
	b.Helper()
	if _, err := os.Stat(l.path()); errors.Is(err, os.ErrNotExist) {
		l.open(b)
		batch := l.db.NewWriteBatch()
		l.input.each(0, l.preload, func(e event) { check(b, batch.SetEntry(entry(e))) })
		check(b, errors.Join(batch.Flush(), l.db.Close()))
	}
	l.kgoOffsets.prepare(b, n)
}

func (l *kgoBadger) start(b *testing.B) {
	b.Helper()
	l.open(b)
	l.kgoOffsets.start(b)
}

func (l *kgoBadger) stop(b *testing.B) {
	b.Helper()
	l.kgoOffsets.stop(b)
	check(b, l.db.Close())
}

func entry(e event) *badger.Entry { return badger.NewEntry(idOf(e.value), nil).WithTTL(dedupTTL) }

func (l *kgoBadger) dedup(_ int, e event, emit func(key, value []byte)) {
	seen := false
	err := l.db.Update(func(txn *badger.Txn) error {
		_, err := txn.Get(idOf(e.value))
		switch {
		case err == nil:
			seen = true
			return nil
		case errors.Is(err, badger.ErrKeyNotFound):
			return txn.SetEntry(entry(e))
		}
		return err
	})
	l.fail(err)
	if !seen {
		emit(e.key, e.value)
	}
}
