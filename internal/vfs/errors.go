package vfs

import (
	"errors"
	"syscall"
)

// ErrLocked means that somebody else holds a lock.
var ErrLocked = errors.New("vfs: locked by another process")

// IsNoSpace reports whether an operation failed because the disk, or the user's
// share of it, is full. Such an operation may be repeated once there is space.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
