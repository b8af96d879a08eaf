package badgerstore_test

import (
	"log/slog"
	"testing"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/state/badgerstore"
	"github.com/riffle-stream/riffle/state/statetest"
)

// small is a configuration for tests; what it logs is dropped.
func small() badgerstore.Config {
	return badgerstore.Config{MemTableBytes: 8 << 20, Logger: slog.New(slog.DiscardHandler)}
}

func open(t testing.TB, dir string, cfg badgerstore.Config) *badgerstore.DB {
	t.Helper()
	db, err := badgerstore.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestConformance runs the suite with data that stay in the overlays until the task
// closes, and with a checkpoint that every commit waits for.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		bytes int64
	}{{"overlays", 0}, {"checkpoints", 1}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := small()
			cfg.CheckpointBytes = test.bytes
			statetest.Run(t, func(t *testing.T) state.Backend { return open(t, t.TempDir(), cfg) })
			statetest.RunDurable(t, func(t *testing.T, dir string) state.Backend { return open(t, dir, cfg) })
		})
	}
}
