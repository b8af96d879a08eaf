package badgerstore

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config tunes a database. The zero value is a working configuration.
type Config struct {
	// CheckpointBytes is how much committed state may wait in memory, over all tasks,
	// before a checkpoint begins. At twice as much commits wait. It bounds memory and
	// what a restart has to replay. The default is 64 MiB.
	CheckpointBytes int64
	// CheckpointAge is how long committed state waits for a checkpoint at most. The
	// default is 10 s.
	CheckpointAge time.Duration
	// MinFreeBytes is how much disk space must be free for a checkpoint. The default
	// is 512 MiB. Badger dies on a full disk; do not go below a few memtables.
	MinFreeBytes int64
	// MemTableBytes is the size of a memtable; there are two, and their files on disk
	// are twice as large. The default is 16 MiB, the least 8 MiB.
	MemTableBytes int64
	// ReadCacheBytes is how much of what was read from the database is kept in memory, over all tasks: each open store
	// has an equal part. The default is 16 MiB; a negative number keeps nothing.
	ReadCacheBytes int64
	// KeyFilterBytes is how much memory is for knowing which keys the database does not have, over all tasks: each open store has an equal
	// part, and does without where that is too little. A key takes some two bytes. The default is 128 MiB; with a negative
	// number the database is asked for every key.
	KeyFilterBytes int64
	// Logger hears of checkpoints that pause, and of databases thrown away. The
	// default is slog.Default.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	set := func(v *int64, def int64) {
		if *v == 0 {
			*v = def
		}
	}
	set(&c.CheckpointBytes, 64<<20)
	set(&c.MinFreeBytes, 512<<20)
	set(&c.MemTableBytes, 16<<20)
	set(&c.ReadCacheBytes, 16<<20)
	set(&c.KeyFilterBytes, 128<<20)
	if c.CheckpointAge == 0 {
		c.CheckpointAge = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("badgerstore: "+format, args...))
		}
	}
	check(c.CheckpointBytes > 0, "CheckpointBytes is %d, want more than 0", c.CheckpointBytes)
	check(c.CheckpointAge > 0, "CheckpointAge is %v, want more than 0", c.CheckpointAge)
	check(c.MinFreeBytes > 0, "MinFreeBytes is %d, want more than 0", c.MinFreeBytes)
	check(c.MemTableBytes >= 8<<20, "MemTableBytes is %d, want at least 8 MiB", c.MemTableBytes)
	return errors.Join(errs...)
}
