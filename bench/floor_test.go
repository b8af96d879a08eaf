package bench

import (
	"os"
	"syscall"
	"testing"
)

// floor writes what a broker must write at least: the bytes of the batches, one after
// the other, to one file, with the same fsyncs. A file of segmentBytes is full: it is
// synced and replaced, as a log does with its segments.
type floor struct {
	b    *testing.B
	dir  string
	each bool // sync after each batch
	file *os.File
	size int64
}

func newFloor(b *testing.B, flush string) *floor {
	b.Helper()
	f := &floor{b: b, dir: b.TempDir(), each: flush == "each"}
	f.create()
	b.Cleanup(func() { f.file.Close() })
	return f
}

func (f *floor) create() {
	file, err := os.CreateTemp(f.dir, "floor")
	if err != nil {
		f.b.Fatal(err)
	}
	f.file, f.size = file, 0
}

func (f *floor) append(batch []byte) {
	if f.size+int64(len(batch)) > segmentBytes {
		f.sync()
		f.file.Close()
		os.Remove(f.file.Name())
		f.create()
	}
	if _, err := f.file.WriteAt(batch, f.size); err != nil {
		f.b.Fatal(err)
	}
	f.size += int64(len(batch))
	if f.each {
		f.sync()
	}
}

func (f *floor) sync() {
	if err := syscall.Fdatasync(int(f.file.Fd())); err != nil {
		f.b.Fatal(err)
	}
}
