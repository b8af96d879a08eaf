package vfs

import (
	"errors"
	"os"
	"syscall"
)

// datasync is fdatasync: unlike fsync it does not wait for the file's times.
func datasync(f *os.File) error {
	return control(f, "fdatasync", func(fd int) error {
		for {
			if err := syscall.Fdatasync(fd); !errors.Is(err, syscall.EINTR) {
				return err
			}
		}
	})
}

func free(f *os.File) (n uint64, err error) {
	err = control(f, "statfs", func(fd int) error {
		var st syscall.Statfs_t
		if err := syscall.Fstatfs(fd, &st); err != nil {
			return err
		}
		n = st.Bavail * uint64(st.Bsize)
		return nil
	})
	return n, err
}
