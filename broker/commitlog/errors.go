package commitlog

import (
	"errors"
	"fmt"
)

var (
	// ErrOffsetOutOfRange means that an offset is below the log start offset or
	// past the log end offset.
	ErrOffsetOutOfRange = errors.New("commitlog: offset out of range")

	// ErrFenced means that a write or an fsync failed earlier. What the disk holds
	// since then is unknown, so the log takes no appends and acknowledges nothing
	// until it is opened again, which reads back what is really there.
	ErrFenced = errors.New("commitlog: fenced after a failed write, reopen the log")

	// ErrQuarantined means that the active segment is damaged below the position
	// that was fsynced. The log is served, except for the damaged part, but takes
	// no appends, because acknowledged records are missing.
	ErrQuarantined = errors.New("commitlog: active segment is damaged, appends are refused")

	// ErrNoSpace means that the disk is full. The append left nothing behind and
	// can be repeated once there is space.
	ErrNoSpace = errors.New("commitlog: no space left on the disk")

	// ErrBatchTooLarge means that a batch is larger than Config.MaxBatchBytes.
	ErrBatchTooLarge = errors.New("commitlog: batch is too large")

	// ErrClosed means that the log or the flusher was closed.
	ErrClosed = errors.New("commitlog: closed")

	// ErrExceedsMaxBytes means that the batch at the offset asked for is larger than
	// ReadSpec.MaxBytes and ReadSpec.WholeFirst is not set.
	ErrExceedsMaxBytes = errors.New("commitlog: first batch exceeds the maximum of the read")
)

// CorruptError reports records that cannot be served: their bytes fail a check,
// or are missing. They are neither cut nor skipped silently.
type CorruptError struct {
	Segment    string // file name
	Position   int64  // byte position of the first bad byte or of the bad batch
	Offset     int64  // first offset that cannot be read
	NextOffset int64  // where reading can go on; a batch begins there, or the log ends
	Err        error  // what was wrong
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("commitlog: %s is damaged at position %d, offsets %d to %d cannot be read: %v",
		e.Segment, e.Position, e.Offset, e.NextOffset-1, e.Err)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }
