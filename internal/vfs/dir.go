package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
)

// What the process makes is the user's alone.
const (
	filePerm = 0o600
	dirPerm  = 0o700
)

// Dir is a directory of the operating system. All access goes through an os.Root,
// so that no name and no symbolic link leads out of it.
type Dir struct {
	root   *os.Root
	prefix string // of names, below the root; "." for the root itself
}

var _ FS = (*Dir)(nil)

// OpenDir opens the directory and makes it first, with its parents, if it is
// missing.
func OpenDir(dir string) (*Dir, error) {
	if err := os.MkdirAll(dir, dirPerm); err != nil {
		return nil, fmt.Errorf("vfs: open directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("vfs: open directory: %w", err)
	}
	return &Dir{root: root, prefix: "."}, nil
}

// Close releases the directory. Open files stay open; a Dir from Sub shares its
// parent's root and needs no Close.
func (d *Dir) Close() error { return d.root.Close() }

// path is name below the root. Names are checked although the root is closed to
// the outside, because a Sub must not lead to its parent either.
func (d *Dir) path(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return path.Join(d.prefix, name), nil
}

// Create implements FS.
func (d *Dir) Create(name string) (File, error) {
	return d.open("create", name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

// Open implements FS.
func (d *Dir) Open(name string) (File, error) { return d.open("open", name, os.O_RDWR) }

func (d *Dir) open(op, name string, flag int) (File, error) {
	p, err := d.path(op, name)
	if err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(p, flag, filePerm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Rename implements FS.
func (d *Dir) Rename(oldName, newName string) error {
	from, err := d.path("rename", oldName)
	if err != nil {
		return err
	}
	to, err := d.path("rename", newName)
	if err != nil {
		return err
	}
	return d.root.Rename(from, to)
}

// Remove implements FS.
func (d *Dir) Remove(name string) error {
	p, err := d.path("remove", name)
	if err != nil {
		return err
	}
	return d.root.Remove(p)
}

// RemoveAll implements FS.
func (d *Dir) RemoveAll(name string) error {
	p, err := d.path("remove", name)
	if err != nil {
		return err
	}
	return d.root.RemoveAll(p)
}

// MkdirAll implements FS.
func (d *Dir) MkdirAll(name string) error {
	p, err := d.path("mkdir", name)
	if err != nil {
		return err
	}
	return d.root.MkdirAll(p, dirPerm)
}

// List implements FS.
func (d *Dir) List(dir string) ([]string, error) {
	p, err := d.path("list", dir)
	if err != nil {
		return nil, err
	}
	f, err := d.root.Open(p)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, f.Close())
}

// SyncDir implements FS.
func (d *Dir) SyncDir(dir string) error {
	p, err := d.path("sync", dir)
	if err != nil {
		return err
	}
	f, err := d.root.Open(p)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(f), f.Close())
}

// Sub implements FS.
func (d *Dir) Sub(dir string) (FS, error) {
	p, err := d.path("sub", dir)
	if err != nil {
		return nil, err
	}
	info, err := d.root.Stat(p)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "sub", Path: dir, Err: errors.New("not a directory")}
	}
	return &Dir{root: d.root, prefix: p}, nil
}

// Lock implements FS.
func (d *Dir) Lock(name string) (io.Closer, error) {
	p, err := d.path("lock", name)
	if err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(p, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: p, Err: err}, f.Close())
	}
	return held{f}, nil
}

// held is a lock that is held.
type held struct{ f *os.File }

func (h held) Close() error { return errors.Join(unlock(h.f), h.f.Close()) }

// Free implements FS.
func (d *Dir) Free() (uint64, error) {
	f, err := d.root.Open(d.prefix)
	if err != nil {
		return 0, err
	}
	n, err := free(f)
	return n, errors.Join(err, f.Close())
}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return datasync(f.File) }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
