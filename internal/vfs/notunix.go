//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package vfs

import (
	"errors"
	"os"
)

// syncDir does nothing: directories cannot be synced here.
func syncDir(*os.File) error { return nil }

func lock(*os.File) error { return errors.ErrUnsupported }

func unlock(*os.File) error { return nil }
