package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/state"
)

// DB is the state of one application instance on disk: a [state.Backend].
type DB struct {
	dir    string
	cfg    Config
	log    *slog.Logger
	fs     *vfs.Dir
	lock   io.Closer
	badger *badger.DB
	writer writer
	free   func() (uint64, error) // free disk space

	wake    chan struct{} // a checkpoint is due
	sweep   chan struct{} // a generation is to be removed
	closing chan struct{}
	done    sync.WaitGroup

	openStores atomic.Int64 // of all open tasks

	mu struct {
		sync.Mutex
		tasks   map[state.TaskID]*task // open ones
		stores  map[string]uint32      // ids of store names
		dirty   int64                  // bytes committed and not in the database
		room    *sync.Cond             // dirty became less, or all is over
		failed  error                  // a checkpoint failed: nothing is written any more
		closed  bool
		stats   Stats
		noticed time.Time // when lack of space was logged last
		lastRun time.Time // when a run of checkpoints began last
		pace    float64   // seconds per byte that the present one may take
	}
}

// Stats are counters and gauges of a database.
type Stats struct {
	// Wiped counts databases and tasks thrown away because they were in doubt.
	Wiped int64
	// Checkpoints counts checkpoints of tasks, and CheckpointedBytes what they wrote.
	Checkpoints       int64
	CheckpointedBytes int64
	// CheckpointSeconds is the time they took in sum, CommitWaitSeconds the time that
	// commits waited for them.
	CheckpointSeconds float64
	CommitWaitSeconds float64
	// DirtyBytes is what is committed and not in the database.
	DirtyBytes int64
	// Learned counts stores that had keys when they were opened, and of which it is known by now which.
	Learned int64
	// Paused is true while checkpoints wait for disk space.
	Paused bool
}

// Open opens the database in dir, which it makes if it is missing. A database that
// is damaged, or whose opening killed the process last time, is thrown away: stores
// then stand at the zero position. It returns an error that matches [ErrInUse] if
// another process has the directory, and [ErrNoSpace] if the disk is full.
func Open(dir string, cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	fsys, err := vfs.OpenDir(dir)
	if err != nil {
		return nil, fmt.Errorf("badgerstore: %w", err)
	}
	db := &DB{dir: dir, cfg: cfg, log: cfg.Logger, fs: fsys, free: fsys.Free}
	if err := db.open(); err != nil {
		return nil, errors.Join(err, db.release())
	}
	db.wake, db.sweep, db.closing = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	db.sweep <- struct{}{} // what the last process did not finish
	db.done.Go(db.runCheckpoints)
	db.done.Go(db.runSweeps)
	return db, nil
}

func (db *DB) open() (err error) {
	if db.lock, err = db.fs.Lock(lockName); err != nil {
		if errors.Is(err, vfs.ErrLocked) {
			return fmt.Errorf("%w: %s: stop that process, or give this one a state directory of its own", ErrInUse, db.dir)
		}
		return fmt.Errorf("badgerstore: lock %s: %w", db.dir, err)
	}
	if err := db.checkSpace(0); err != nil {
		return err
	}
	o, err := open(db.dir, db.fs, db.cfg)
	if err != nil {
		return err
	}
	db.badger = o.badger
	db.writer.db, db.writer.commit, db.writer.mu.seq = o.badger, (*badger.Txn).CommitWith, o.seq
	if o.wiped != "" {
		db.mu.stats.Wiped++
	}
	db.mu.room = sync.NewCond(&db.mu)
	db.mu.tasks = make(map[state.TaskID]*task)
	db.mu.stores = make(map[string]uint32)
	db.mu.lastRun = time.Now()
	return db.loadStores()
}

// release lets go of the directory.
func (db *DB) release() (err error) {
	if db.badger != nil {
		err = translate("close", db.badger.Close())
	}
	if db.lock != nil {
		err = errors.Join(err, db.lock.Close())
	}
	return errors.Join(err, db.fs.Close())
}

// Stats returns the counters and gauges of now.
func (db *DB) Stats() Stats {
	db.mu.Lock()
	defer db.mu.Unlock()
	s := db.mu.stats
	s.DirtyBytes = db.mu.dirty
	return s
}

// Close closes the tasks that are still open, each with a last checkpoint, and the
// database. No task may be in use.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.mu.closed {
		db.mu.Unlock()
		return nil
	}
	db.mu.closed = true
	var tasks []*task
	for _, t := range db.mu.tasks {
		tasks = append(tasks, t)
	}
	db.mu.room.Broadcast()
	db.mu.Unlock()
	close(db.closing)
	db.done.Wait()
	var errs []error
	for _, t := range tasks {
		errs = append(errs, t.layers.Close())
	}
	return errors.Join(append(errs, db.release())...)
}

// loadStores reads the ids of the store names.
func (db *DB) loadStores() error {
	return translate("read store names", db.scan([]byte{kindStore}, func(key, value []byte) error {
		if len(value) != 4 {
			return fmt.Errorf("%w: store id of %d bytes", state.ErrCorrupt, len(value))
		}
		db.mu.stores[string(key[1:])] = binary.BigEndian.Uint32(value)
		return nil
	}))
}

// storeIDs returns the ids of the stores, and gives new ones to new names. The caller
// holds mu.
func (db *DB) storeIDsLocked(specs []state.Spec) ([]uint32, error) {
	ids := make([]uint32, len(specs))
	b := db.writer.batch()
	defer b.txn.Discard()
	for i, spec := range specs {
		id, known := db.mu.stores[spec.Name]
		if !known {
			id = uint32(len(db.mu.stores))
			db.mu.stores[spec.Name] = id
			if err := b.set(nameKey(spec.Name), binary.BigEndian.AppendUint32(nil, id)); err != nil {
				return nil, translate("write store name", err)
			}
		}
		ids[i] = id
	}
	if b.count == 0 {
		return ids, nil
	}
	return ids, translate("write store name", db.writer.write(b))
}

// scan calls yield for each key with the prefix; the slices are valid during the
// call.
func (db *DB) scan(prefix []byte, yield func(key, value []byte) error) error {
	return db.badger.View(func(txn *badger.Txn) error {
		opts := badger.DefaultIteratorOptions
		opts.Prefix, opts.PrefetchValues = prefix, false
		it := txn.NewIterator(opts)
		defer it.Close()
		var buf []byte
		for it.Rewind(); it.Valid(); it.Next() {
			var err error
			if buf, err = it.Item().ValueCopy(buf); err != nil {
				return err
			}
			value, err := verified(it.Item().Key(), buf)
			if err == nil {
				err = yield(it.Item().Key(), value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// distrust makes the next open begin with an empty database.
func (db *DB) distrust(reason string) {
	db.log.Error("state: the local database is damaged: it is thrown away at the next start", "dir", db.dir, "reason", reason)
	if err := writeFile(db.fs, doubtName, reason); err != nil {
		db.log.Error("state: cannot mark the local database as damaged: delete the directory by hand", "dir", db.dir, "error", err)
	}
}

// Size is about how many bytes the stores take on disk, as Badger saw it within the last minute.
func (db *DB) Size() int64 {
	lsm, values := db.badger.Size()
	return lsm + values
}

// Local implements state.Backend, as of the last checkpoints. What cannot be read is left out.
func (db *DB) Local() map[state.TaskID]map[string]state.Position {
	local := make(map[state.TaskID]map[string]state.Position)
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.mu.closed {
		return local
	}
	names := make(map[uint32]string, len(db.mu.stores))
	for name, id := range db.mu.stores {
		names[id] = name
	}
	generations := make(map[state.TaskID]uint32)
	_ = db.scan([]byte{kindGeneration}, func(key, value []byte) error {
		if id, ok := taskOf(key); ok && len(value) == 4 {
			generations[id] = binary.BigEndian.Uint32(value)
		}
		return nil
	})
	_ = db.scan([]byte{kindPosition}, func(key, value []byte) error {
		id, ok := taskOf(key)
		if !ok || len(key) != positionKeyBytes || len(value) == 0 || binary.BigEndian.Uint32(key[9:]) != generations[id] {
			return nil
		}
		p, err := state.ParsePosition(value[1:])
		name, known := names[binary.BigEndian.Uint32(key[13:])]
		if err != nil || !known || p.IsZero() {
			return nil
		}
		if local[id] == nil {
			local[id] = make(map[string]state.Position)
		}
		local[id][name] = p
		return nil
	})
	return local
}
