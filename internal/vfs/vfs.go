package vfs

import "io"

// FS is a file system below one root directory. Names are slash-separated paths
// relative to the root and never leave it. Implementations are safe for
// concurrent use.
//
// Durability is explicit, as on disk: file contents survive a crash only after
// File.Sync, a created, renamed or removed name only after SyncDir of its
// directory.
type FS interface {
	// Create makes or truncates a file and opens it for reading and writing.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing. It returns an error
	// that matches fs.ErrNotExist if there is none.
	Open(name string) (File, error)
	// Rename replaces newName with oldName in one step.
	Rename(oldName, newName string) error
	// Remove deletes a file or an empty directory.
	Remove(name string) error
	// RemoveAll deletes a name and all below it; a missing name is no error.
	RemoveAll(name string) error
	// MkdirAll makes a directory and its parents.
	MkdirAll(name string) error
	// List returns the names directly inside a directory, sorted.
	List(dir string) ([]string, error)
	// SyncDir makes the names inside a directory durable.
	SyncDir(dir string) error
	// Sub returns the file system below dir, which must exist.
	Sub(dir string) (FS, error)
	// Lock takes an exclusive lock that ends when the process does. It returns
	// ErrLocked if somebody else holds it.
	Lock(name string) (io.Closer, error)
	// Free is the number of bytes that can still be written.
	Free() (uint64, error)
}

// File is an open file. Reads may run concurrently with one writer.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Truncate sets the size.
	Truncate(size int64) error
	// Sync makes the contents durable (fdatasync where there is one).
	Sync() error
	// Size is the current size in bytes.
	Size() (int64, error)
}
