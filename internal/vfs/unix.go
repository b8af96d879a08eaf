//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package vfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// control calls do with f's descriptor, which stays open meanwhile.
func control(f *os.File, op string, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	if failed != nil {
		return &fs.PathError{Op: op, Path: f.Name(), Err: failed}
	}
	return nil
}

func syncDir(f *os.File) error { return f.Sync() }

// lock uses flock, which the kernel releases when the process ends, however it
// ends.
func lock(f *os.File) error {
	err := control(f, "flock", func(fd int) error {
		return syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
	})
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// unlock gives the lock back at once. Closing the file alone would not while a
// child that is being forked still has a copy of the descriptor.
func unlock(f *os.File) error {
	return control(f, "unlock", func(fd int) error { return syscall.Flock(fd, syscall.LOCK_UN) })
}
