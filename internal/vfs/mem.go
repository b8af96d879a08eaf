package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

var (
	errNotDir   = errors.New("not a directory")
	errIsDir    = errors.New("is a directory")
	errNotEmpty = errors.New("directory not empty")
)

// Mem is a file system in memory that remembers what would survive a crash. It is
// for tests, and for brokers that keep nothing. The zero value is not usable; see
// NewMem.
type Mem struct {
	disk   *disk
	prefix string // of names, "." for the root
}

var _ FS = (*Mem)(nil)

// disk is what all Subs of a Mem share.
type disk struct {
	mu struct {
		sync.Mutex
		root     *node
		used     int64           // bytes in all files that have a name or are open
		capacity int64           // bytes that fit
		locks    map[string]bool // names that are locked
	}
}

// node is a file or a directory. The disk's mu guards it.
type node struct {
	children map[string]*node // nil for a file
	pending  []rename         // names that changed since SyncDir, in order
	durable  map[string]*node // names as of the last SyncDir

	data  []byte
	saved map[int64][]byte // sectors that changed since Sync, as they were then
	size  int64            // length of data at the last Sync
	names int              // directory entries and open files that refer to it
}

// rename is one change of a directory: names disappear and appear in one step.
type rename struct {
	gone  string // "" for none
	name  string // "" for none
	child *node
}

// NewMem returns an empty file system of unlimited capacity.
func NewMem() *Mem {
	d := &disk{}
	d.mu.root = newDir()
	d.mu.capacity = math.MaxInt64
	d.mu.locks = make(map[string]bool)
	return &Mem{disk: d, prefix: "."}
}

func newDir() *node {
	return &node{children: make(map[string]*node), durable: make(map[string]*node)}
}

// SetCapacity limits the bytes in all files. Writes that do not fit are done as far
// as they do and return syscall.ENOSPC.
func (m *Mem) SetCapacity(bytes int64) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	m.disk.mu.capacity = bytes
}

// Used is the number of bytes in all files.
func (m *Mem) Used() int64 {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	return m.disk.mu.used
}

// full is the path of name from the root of the disk.
func (m *Mem) full(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return path.Join(m.prefix, name), nil
}

// findLocked returns the node at a full path, or nil.
func (d *disk) findLocked(full string) *node {
	n := d.mu.root
	if full == "." {
		return n
	}
	for elem := range strings.SplitSeq(full, "/") {
		if n = n.children[elem]; n == nil {
			return nil
		}
	}
	return n
}

// parentLocked returns the directory that holds, or is to hold, a full path.
func (d *disk) parentLocked(op, full string) (*node, string, error) {
	dir, base := path.Split(full)
	parent := d.findLocked(path.Clean(dir))
	if parent == nil || full == "." {
		return nil, "", &fs.PathError{Op: op, Path: full, Err: fs.ErrNotExist}
	}
	if parent.children == nil {
		return nil, "", &fs.PathError{Op: op, Path: full, Err: errNotDir}
	}
	return parent, base, nil
}

// applyLocked changes the names of a directory and notes the change for SyncDir.
func (d *disk) applyLocked(dir *node, r rename) {
	if r.gone != "" {
		d.unrefLocked(dir.children[r.gone])
		delete(dir.children, r.gone)
	}
	if r.name != "" {
		r.child.names++
		d.unrefLocked(dir.children[r.name])
		dir.children[r.name] = r.child
	}
	dir.pending = append(dir.pending, r)
}

func (d *disk) unrefLocked(n *node) {
	if n == nil {
		return
	}
	if n.names--; n.names == 0 {
		d.mu.used -= int64(len(n.data))
	}
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	full, err := m.full("create", name)
	if err != nil {
		return nil, err
	}
	d := m.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	parent, base, err := d.parentLocked("create", full)
	if err != nil {
		return nil, err
	}
	n := parent.children[base]
	switch {
	case n == nil:
		n = &node{saved: make(map[int64][]byte)}
		d.applyLocked(parent, rename{name: base, child: n})
	case n.children != nil:
		return nil, &fs.PathError{Op: "create", Path: full, Err: errIsDir}
	default:
		d.truncateLocked(n, 0)
	}
	n.names++
	return &memFile{disk: d, node: n, name: full}, nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) {
	full, err := m.full("open", name)
	if err != nil {
		return nil, err
	}
	d := m.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.findLocked(full)
	switch {
	case n == nil:
		return nil, &fs.PathError{Op: "open", Path: full, Err: fs.ErrNotExist}
	case n.children != nil:
		return nil, &fs.PathError{Op: "open", Path: full, Err: errIsDir}
	}
	n.names++
	return &memFile{disk: d, node: n, name: full}, nil
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	from, err := m.full("rename", oldName)
	if err != nil {
		return err
	}
	to, err := m.full("rename", newName)
	if err != nil {
		return err
	}
	d := m.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	oldDir, oldBase, err := d.parentLocked("rename", from)
	if err != nil {
		return err
	}
	newDir, newBase, err := d.parentLocked("rename", to)
	if err != nil {
		return err
	}
	n := oldDir.children[oldBase]
	switch {
	case n == nil:
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	case from == to:
		return nil
	case oldDir == newDir:
		n.names++ // keeps its bytes counted while it has no name
		d.applyLocked(oldDir, rename{gone: oldBase, name: newBase, child: n})
		n.names--
	default:
		d.applyLocked(newDir, rename{name: newBase, child: n})
		d.applyLocked(oldDir, rename{gone: oldBase})
	}
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	full, err := m.full("remove", name)
	if err != nil {
		return err
	}
	d := m.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	parent, base, err := d.parentLocked("remove", full)
	if err != nil {
		return err
	}
	n := parent.children[base]
	switch {
	case n == nil:
		return &fs.PathError{Op: "remove", Path: full, Err: fs.ErrNotExist}
	case len(n.children) > 0:
		return &fs.PathError{Op: "remove", Path: full, Err: errNotEmpty}
	}
	d.applyLocked(parent, rename{gone: base})
	return nil
}

// RemoveAll implements FS. Each name below goes on its own, as on disk, so that a
// crash may find any part of them.
func (m *Mem) RemoveAll(name string) error {
	full, err := m.full("remove", name)
	if err != nil {
		return err
	}
	d := m.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.findLocked(full)
	if n == nil {
		return nil
	}
	parent, base, err := d.parentLocked("remove", full)
	if err != nil {
		return err
	}
	d.removeChildrenLocked(n)
	d.applyLocked(parent, rename{gone: base})
	return nil
}

func (d *disk) removeChildrenLocked(dir *node) {
	for _, name := range slices.Sorted(maps.Keys(dir.children)) {
		d.removeChildrenLocked(dir.children[name])
		d.applyLocked(dir, rename{gone: name})
	}
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string) error {
	full, err := m.full("mkdir", name)
	if err != nil {
		return err
	}
	d := m.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.mu.root
	if full == "." {
		return nil
	}
	for elem := range strings.SplitSeq(full, "/") {
		child := n.children[elem]
		if child == nil {
			child = newDir()
			d.applyLocked(n, rename{name: elem, child: child})
		}
		if child.children == nil {
			return &fs.PathError{Op: "mkdir", Path: full, Err: errNotDir}
		}
		n = child
	}
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	full, err := m.full("list", dir)
	if err != nil {
		return nil, err
	}
	d := m.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.dirLocked("list", full)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(n.children)), nil
}

func (d *disk) dirLocked(op, full string) (*node, error) {
	n := d.findLocked(full)
	switch {
	case n == nil:
		return nil, &fs.PathError{Op: op, Path: full, Err: fs.ErrNotExist}
	case n.children == nil:
		return nil, &fs.PathError{Op: op, Path: full, Err: errNotDir}
	}
	return n, nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	full, err := m.full("sync", dir)
	if err != nil {
		return err
	}
	d := m.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.dirLocked("sync", full)
	if err != nil {
		return err
	}
	n.pending = n.pending[:0]
	n.durable = maps.Clone(n.children)
	return nil
}

// Sub implements FS.
func (m *Mem) Sub(dir string) (FS, error) {
	full, err := m.full("sub", dir)
	if err != nil {
		return nil, err
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if _, err := m.disk.dirLocked("sub", full); err != nil {
		return nil, err
	}
	return &Mem{disk: m.disk, prefix: full}, nil
}

// Lock implements FS. Locks do not outlive a crash.
func (m *Mem) Lock(name string) (io.Closer, error) {
	full, err := m.full("lock", name)
	if err != nil {
		return nil, err
	}
	if f, err := m.Open(name); err == nil {
		if err := f.Close(); err != nil {
			return nil, err
		}
	} else if f, err := m.Create(name); err != nil {
		return nil, err
	} else if err := f.Close(); err != nil {
		return nil, err
	}
	d := m.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.locks[full] {
		return nil, fmt.Errorf("%w: %s", ErrLocked, full)
	}
	d.mu.locks[full] = true
	return &memLock{disk: d, name: full}, nil
}

type memLock struct {
	disk *disk
	name string
	once sync.Once
}

func (l *memLock) Close() error {
	l.once.Do(func() {
		l.disk.mu.Lock()
		defer l.disk.mu.Unlock()
		delete(l.disk.mu.locks, l.name)
	})
	return nil
}

// Free implements FS.
func (m *Mem) Free() (uint64, error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	return uint64(max(0, m.disk.mu.capacity-m.disk.mu.used)), nil
}

// noSpace is the error of a write to a full disk.
func noSpace(name string) error {
	return &fs.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
}
