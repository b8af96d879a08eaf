//go:build !linux

package vfs

import (
	"errors"
	"os"
)

// datasync is fsync, which on macOS asks the disk to empty its cache, too.
func datasync(f *os.File) error { return f.Sync() }

func free(*os.File) (uint64, error) { return 0, errors.ErrUnsupported }
