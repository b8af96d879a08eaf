package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/state"
)

// Names in the directory.
const (
	lockName   = "LOCK"
	formatName = "FORMAT"
	// openingName exists while the database is being opened. Found at the start, it
	// means that the last open killed the process.
	openingName = "OPENING"
	// doubtName says why the database must be thrown away at the next open.
	doubtName  = "DOUBT"
	badgerName = "badger"
)

// format is the content of the FORMAT file. It changes with the layout of keys or
// values.
const format = "riffle state 1\n"

// opened is a database that has passed its checks.
type opened struct {
	badger *badger.DB
	seq    uint64 // of the last batch
	wiped  string // why it was thrown away, "" if it was not
}

// open opens the database, or a new one if the old one is in doubt.
func open(dir string, fsys vfs.FS, cfg Config) (opened, error) {
	doubt := foundDoubt(fsys)
	for {
		if doubt != "" {
			cfg.Logger.Warn("state: the local database is thrown away, the state is restored from the changelogs",
				"dir", dir, "reason", doubt)
			if err := wipe(fsys); err != nil {
				return opened{}, fmt.Errorf("badgerstore: wipe %s: %w", dir, err)
			}
		}
		db, seq, err := tryOpen(dir, fsys, cfg)
		if err == nil {
			return opened{db, seq, doubt}, nil
		}
		if doubt != "" { // a new database does not open either: not a matter of its content
			return opened{}, translate("open "+dir, err)
		}
		doubt = err.Error()
	}
}

// foundDoubt returns what the files beside the database say against it, "" for
// nothing.
func foundDoubt(fsys vfs.FS) string {
	if reason, err := readFile(fsys, doubtName); err == nil {
		return reason
	}
	if _, err := readFile(fsys, openingName); err == nil {
		return "opening it ended the process last time"
	}
	got, err := readFile(fsys, formatName)
	names, _ := fsys.List(badgerName)
	switch {
	case err == nil && got != format:
		return fmt.Sprintf("it has format %q, not %q", got, format)
	case err != nil && len(names) > 0:
		return "it has no FORMAT file"
	}
	return ""
}

// wipe removes the database and what is said about it.
func wipe(fsys vfs.FS) error {
	for _, name := range []string{badgerName, formatName, openingName, doubtName} {
		if err := fsys.RemoveAll(name); err != nil {
			return err
		}
	}
	return fsys.SyncDir(".")
}

// tryOpen opens the database between making and removing the OPENING marker, and
// checks it. Badger is opened a second time if the first fails: a kill while it made
// a file leaves something that the first open cleans up.
func tryOpen(dir string, fsys vfs.FS, cfg Config) (*badger.DB, uint64, error) {
	if err := errors.Join(writeFile(fsys, openingName, ""), writeFile(fsys, formatName, format)); err != nil {
		return nil, 0, err
	}
	path := filepath.Join(dir, badgerName)
	if err := checkManifest(path); err != nil {
		return nil, 0, err
	}
	db, err := badger.Open(badgerOptions(path, cfg))
	if err != nil {
		if db, err = badger.Open(badgerOptions(path, cfg)); err != nil {
			return nil, 0, err
		}
	}
	seq, err := checkRing(db)
	if err == nil {
		err = removeFile(fsys, openingName)
	}
	if err != nil {
		return nil, 0, errors.Join(err, db.Close())
	}
	return db, seq, nil
}

func badgerOptions(path string, cfg Config) badger.Options {
	return badger.DefaultOptions(path).
		WithSyncWrites(true). // without it a crash may leave holes, not only a shorter log
		WithMemTableSize(cfg.MemTableBytes).
		WithNumMemtables(2).
		WithNumLevelZeroTables(2).
		WithNumLevelZeroTablesStall(4).
		WithBaseTableSize(8 << 20).
		WithNumCompactors(2).
		WithNumGoroutines(1).
		WithBlockCacheSize(0). // tables are mapped, and not compressed
		WithIndexCacheSize(0).
		WithCompression(options.None).
		WithValueLogFileSize(16 << 20). // unused: values are below the threshold
		WithDetectConflicts(false).     // no transaction reads
		// The default serves a flipped bit; the modes that check blocks turn corruption
		// into "not found" or into a panic.
		WithChecksumVerificationMode(options.OnTableRead).
		WithMetricsEnabled(false).
		WithBypassLockGuard(true). // the directory above has our lock
		WithLogger(badgerLogger{cfg.Logger})
}

// checkManifest finds a manifest with a torn end. Badger cuts it there and then
// deletes the tables that it no longer knows: the database opens, with less in it.
func checkManifest(path string) error {
	f, err := os.Open(filepath.Join(path, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, end, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions("").WithLogger(nil))
	if err != nil {
		return fmt.Errorf("manifest: %v", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != end {
		err = fmt.Errorf("manifest: %d of %d bytes can be read", end, info.Size())
	}
	return err
}

// checkRing checks that the numbers of the last batches have no gap, and returns the
// last one.
func checkRing(db *badger.DB) (last uint64, err error) {
	seqs := make(map[uint64]bool)
	err = db.View(func(txn *badger.Txn) error {
		opts := badger.DefaultIteratorOptions
		opts.Prefix = []byte{kindRing}
		it := txn.NewIterator(opts)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			b, err := item.ValueCopy(nil)
			if err == nil {
				b, err = verified(item.Key(), b)
			}
			if err != nil {
				return err
			}
			if len(b) != 8 {
				return fmt.Errorf("%w: ring entry of %d bytes", state.ErrCorrupt, len(b))
			}
			seq := binary.BigEndian.Uint64(b)
			seqs[seq] = true
			last = max(last, seq)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	want := min(last, ringSlots)
	for seq := last - want + 1; seq <= last; seq++ {
		if !seqs[seq] {
			return 0, fmt.Errorf("%w: batch %d of %d is missing: a hole in the log", state.ErrCorrupt, seq, last)
		}
	}
	if uint64(len(seqs)) != want {
		return 0, fmt.Errorf("%w: %d batches in the ring, want %d", state.ErrCorrupt, len(seqs), want)
	}
	return last, nil
}

// readFile reads a small file; an error that matches fs.ErrNotExist if there is none.
func readFile(fsys vfs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	const maxBytes = 4096
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxBytes))
	return string(b), err
}

// writeFile writes a small file durably.
func writeFile(fsys vfs.FS, name, content string) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(content), 0)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return fsys.SyncDir(".")
}

func removeFile(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fsys.SyncDir(".")
}
