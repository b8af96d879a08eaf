package state

import (
	"errors"
	"fmt"
)

// Kinds of errors; match them with errors.Is.
var (
	// ErrClosed means the backend or the task was closed.
	ErrClosed = errors.New("state: closed")
	// ErrTaskOpen means the task is open already.
	ErrTaskOpen = errors.New("state: task is open already")
	// ErrCorrupt means stored bytes fail their checksum or do not parse. The
	// remedy is to wipe the task and restore it from the changelog.
	ErrCorrupt = errors.New("state: corrupt")
	// ErrDecode means that the serde does not decode what is stored. The store was written with another one: declare
	// it as before, or give it a new name.
	ErrDecode = errors.New("state: stored bytes do not decode: was the store written with another serde?")
	// ErrTooLarge means a key or a value above MaxKeyBytes or MaxValueBytes.
	ErrTooLarge = errors.New("state: entry too large")
)

// Limits of an entry's encoded size. A changelog record has to fit a topic's
// max.message.bytes, 1 MiB by default.
const (
	MaxKeyBytes   = 32 << 10
	MaxValueBytes = 1<<20 - MaxKeyBytes - 1<<10
)

// UnknownStoreError reports the use of a store that the node did not name or the
// task does not have.
type UnknownStoreError struct{ Store string }

func (e *UnknownStoreError) Error() string {
	return fmt.Sprintf("state: store %q is not open in this processor: name it in Process(name, func, stores...)", e.Store)
}

// StoreError is what went wrong in a store.
type StoreError struct {
	Store string
	Op    string // such as "get" or "encode key"
	Err   error
}

func (e *StoreError) Error() string {
	return fmt.Sprintf("state: store %q: %s: %v", e.Store, e.Op, e.Err)
}

func (e *StoreError) Unwrap() error { return e.Err }

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
