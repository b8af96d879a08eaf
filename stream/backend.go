package stream

import (
	"fmt"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/state/badgerstore"
)

// openState opens the local stores of an application on disk.
func openState(cfg Config) (state.Backend, error) {
	db, err := badgerstore.Open(cfg.StateDir, badgerstore.Config{
		CheckpointBytes: cfg.CheckpointBytes, CheckpointAge: cfg.CheckpointAge, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("stream: open the state in %s: %w", cfg.StateDir, err)
	}
	return db, nil
}
