package vfs

import (
	"io"
	"io/fs"
	"slices"
	"sync/atomic"
)

// sector is what a disk writes in one step. A crash may find any subset of the
// sectors that were written since the last Sync.
const sector = 512

// memFile is an open file of a Mem. It works on after its name is removed.
type memFile struct {
	disk   *disk
	node   *node
	name   string
	closed atomic.Bool
}

var _ File = (*memFile)(nil)

func (f *memFile) check(op string) error {
	if f.closed.Load() {
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check("read"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrInvalid}
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.check("write"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: fs.ErrInvalid}
	}
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	size := int64(len(f.node.data))
	if grow := off + int64(len(p)) - size; grow > 0 {
		if room := max(0, d.mu.capacity-d.mu.used); grow > room {
			p = p[:max(0, int64(len(p))-(grow-room))]
			err = noSpace(f.name)
		}
	}
	if len(p) > 0 {
		d.writeLocked(f.node, p, off)
	}
	return len(p), err
}

func (f *memFile) Truncate(size int64) error {
	if err := f.check("truncate"); err != nil {
		return err
	}
	if size < 0 {
		return &fs.PathError{Op: "truncate", Path: f.name, Err: fs.ErrInvalid}
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.truncateLocked(f.node, size)
	return nil
}

func (f *memFile) Sync() error {
	if err := f.check("sync"); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	clear(f.node.saved)
	f.node.size = int64(len(f.node.data))
	return nil
}

func (f *memFile) Size() (int64, error) {
	if err := f.check("stat"); err != nil {
		return 0, err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.node.data)), nil
}

func (f *memFile) Close() error {
	if f.closed.Swap(true) {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.unrefLocked(f.node)
	return nil
}

func (d *disk) writeLocked(n *node, p []byte, off int64) {
	if end := off + int64(len(p)); end > int64(len(n.data)) {
		d.truncateLocked(n, end)
	}
	n.save(off, off+int64(len(p)))
	copy(n.data[off:], p)
}

func (d *disk) truncateLocked(n *node, size int64) {
	old := int64(len(n.data))
	d.mu.used += size - old
	if size < old {
		n.save(size, old)
		clear(n.data[size:]) // the file may grow again, and then holds zeros there
		n.data = n.data[:size]
		return
	}
	n.data = slices.Grow(n.data, int(size-old))[:size]
}

// save keeps the sectors of [from, to) as they were at the last Sync, unless they
// are kept already.
func (n *node) save(from, to int64) {
	for s := from / sector; s*sector < min(to, n.size); s++ {
		if _, ok := n.saved[s]; ok {
			continue
		}
		content := make([]byte, sector)
		copy(content, n.data[s*sector:min((s+1)*sector, int64(len(n.data)))])
		n.saved[s] = content
	}
}
