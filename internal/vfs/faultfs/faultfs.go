package faultfs

import (
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/riffle-stream/riffle/internal/vfs"
)

// Kind is a kind of operation.
type Kind string

// The kinds. Those of Mutating change the disk or make a change last.
const (
	Create   Kind = "create"
	Open     Kind = "open"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	Mkdir    Kind = "mkdir"
	List     Kind = "list"
	SyncDir  Kind = "syncdir"
	Lock     Kind = "lock"
	Read     Kind = "read"
	Write    Kind = "write"
	Truncate Kind = "truncate"
	Sync     Kind = "sync"
)

// Mutating returns the kinds that change the disk or make a change last.
func Mutating() []Kind {
	return []Kind{Create, Rename, Remove, Mkdir, SyncDir, Lock, Write, Truncate, Sync}
}

// Op is an operation that is about to be done.
type Op struct {
	Kind Kind
	Name string // below the root of the file system that New got
}

func (o Op) String() string { return fmt.Sprintf("%s %s", o.Kind, o.Name) }

// Fault says which operations fail, and how.
type Fault struct {
	// Kinds are the kinds that fail. Empty means all.
	Kinds []Kind
	// Name restricts the fault to a file. Empty means all.
	Name string
	// After is how many matching operations succeed first.
	After int
	// Times is how many fail then. Zero means one, a negative number all.
	Times int
	// Err is what they return. It must be set.
	Err error
	// Partial is how much of a failing write is done all the same, in percent.
	Partial int
}

func (f *Fault) matches(op Op) bool {
	return (len(f.Kinds) == 0 || slices.Contains(f.Kinds, op.Kind)) && (f.Name == "" || f.Name == op.Name)
}

// FS is a file system whose operations can fail. It is safe for concurrent use.
type FS struct {
	inner  vfs.FS
	prefix string
	state  *state
}

var _ vfs.FS = (*FS)(nil)

type state struct {
	mu struct {
		sync.Mutex
		hook     func(Op) error
		faults   []*Fault
		counts   map[Kind]int
		injected int
	}
}

// New returns a file system that does what inner does.
func New(inner vfs.FS) *FS {
	s := &state{}
	s.mu.counts = make(map[Kind]int)
	return &FS{inner: inner, state: s}
}

// Hook calls f before each operation. If f returns an error, the operation is not
// done and returns it. Calls of f are serialised; f must not use the file system.
func (f *FS) Hook(hook func(Op) error) {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	f.state.mu.hook = hook
}

// Inject adds a fault.
func (f *FS) Inject(fault Fault) {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	if fault.Times == 0 {
		fault.Times = 1
	}
	f.state.mu.faults = append(f.state.mu.faults, &fault)
}

// Heal removes all faults.
func (f *FS) Heal() {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	f.state.mu.faults = nil
}

// Injected is the number of operations that failed because of a Fault.
func (f *FS) Injected() int {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	return f.state.mu.injected
}

// Count is the number of operations of the kinds so far, those that failed included.
func (f *FS) Count(kinds ...Kind) int {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	n := 0
	for _, k := range kinds {
		n += f.state.mu.counts[k]
	}
	return n
}

// before counts an operation and returns the fault that hits it.
func (f *FS) before(kind Kind, name string) (*Fault, error) {
	if f.prefix != "" {
		name = f.prefix + "/" + name
	}
	op := Op{Kind: kind, Name: name}
	s := f.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.counts[kind]++
	if s.mu.hook != nil {
		if err := s.mu.hook(op); err != nil {
			return nil, err
		}
	}
	for _, fault := range s.mu.faults {
		switch {
		case !fault.matches(op):
		case fault.After > 0:
			fault.After--
		case fault.Times != 0:
			fault.Times--
			s.mu.injected++
			return fault, fmt.Errorf("faultfs: %s: %w", op, fault.Err)
		}
	}
	return nil, nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	return f.open(Create, name, f.inner.Create)
}

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) {
	return f.open(Open, name, f.inner.Open)
}

func (f *FS) open(kind Kind, name string, open func(string) (vfs.File, error)) (vfs.File, error) {
	if _, err := f.before(kind, name); err != nil {
		return nil, err
	}
	inner, err := open(name)
	if err != nil {
		return nil, err
	}
	return &file{File: inner, fs: f, name: name}, nil
}

// Rename implements vfs.FS. Its Op names the new name.
func (f *FS) Rename(oldName, newName string) error {
	if _, err := f.before(Rename, newName); err != nil {
		return err
	}
	return f.inner.Rename(oldName, newName)
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	if _, err := f.before(Remove, name); err != nil {
		return err
	}
	return f.inner.Remove(name)
}

// RemoveAll implements vfs.FS.
func (f *FS) RemoveAll(name string) error {
	if _, err := f.before(Remove, name); err != nil {
		return err
	}
	return f.inner.RemoveAll(name)
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(name string) error {
	if _, err := f.before(Mkdir, name); err != nil {
		return err
	}
	return f.inner.MkdirAll(name)
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) {
	if _, err := f.before(List, dir); err != nil {
		return nil, err
	}
	return f.inner.List(dir)
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	if _, err := f.before(SyncDir, dir); err != nil {
		return err
	}
	return f.inner.SyncDir(dir)
}

// Sub implements vfs.FS. Faults and counts are shared.
func (f *FS) Sub(dir string) (vfs.FS, error) {
	inner, err := f.inner.Sub(dir)
	if err != nil {
		return nil, err
	}
	if f.prefix != "" {
		dir = f.prefix + "/" + dir
	}
	return &FS{inner: inner, prefix: dir, state: f.state}, nil
}

// Lock implements vfs.FS.
func (f *FS) Lock(name string) (io.Closer, error) {
	if _, err := f.before(Lock, name); err != nil {
		return nil, err
	}
	return f.inner.Lock(name)
}

// Free implements vfs.FS. It never fails.
func (f *FS) Free() (uint64, error) { return f.inner.Free() }

type file struct {
	vfs.File
	fs   *FS
	name string
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if _, err := f.fs.before(Read, f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	fault, err := f.fs.before(Write, f.name)
	if err == nil {
		return f.File.WriteAt(p, off)
	}
	n := 0
	if fault != nil && fault.Partial > 0 {
		n, _ = f.File.WriteAt(p[:len(p)*fault.Partial/100], off)
	}
	return n, err
}

func (f *file) Truncate(size int64) error {
	if _, err := f.fs.before(Truncate, f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *file) Sync() error {
	if _, err := f.fs.before(Sync, f.name); err != nil {
		return err
	}
	return f.File.Sync()
}
