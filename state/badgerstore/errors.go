package badgerstore

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/riffle-stream/riffle/state"
)

var (
	// ErrInUse means that another process has the directory.
	ErrInUse = errors.New("badgerstore: directory is in use by another process")
	// ErrNoSpace means that the disk has less free space than Config.MinFreeBytes.
	ErrNoSpace = errors.New("badgerstore: not enough free disk space")
)

// translate turns an error of Badger into one of ours. Badger's own wrapper cuts the
// chain, so nothing above could ask for the cause; what it says is kept.
func translate(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, state.ErrCorrupt):
		return fmt.Errorf("badgerstore: %s: %w", op, err)
	case errors.Is(err, badger.ErrDBClosed), errors.Is(err, badger.ErrBlockedWrites):
		return fmt.Errorf("badgerstore: %s: %w", op, state.ErrClosed)
	}
	return fmt.Errorf("badgerstore: %s: %v", op, err) //nolint:errorlint // the boundary: see above
}
