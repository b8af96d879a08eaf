package faultfs

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/internal/vfs"
)

var errDisk = errors.New("disk error")

func TestFault(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	fsys := New(mem)
	f, err := fsys.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	fsys.Inject(Fault{Kinds: []Kind{Write}, After: 1, Times: 2, Err: errDisk, Partial: 50})
	var failed []int
	for i := range 5 {
		if n, err := f.WriteAt([]byte{byte(i), byte(i)}, int64(2*i)); errors.Is(err, errDisk) {
			failed = append(failed, i)
			if n != 1 {
				t.Errorf("write %d did %d bytes, want 1", i, n)
			}
		}
	}
	if diff := cmp.Diff([]int{1, 2}, failed); diff != "" {
		t.Errorf("failed writes (-want +got):\n%s", diff)
	}
	if fsys.Injected() != 2 || fsys.Count(Write) != 5 || fsys.Count(Create, Sync) != 1 {
		t.Errorf("injected %d, %d writes, %d others", fsys.Injected(), fsys.Count(Write), fsys.Count(Create, Sync))
	}
}

// TestKinds: every operation can fail, in subdirectories, too, and is then not done.
func TestKinds(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	if err := mem.MkdirAll("sub"); err != nil {
		t.Fatal(err)
	}
	root := New(mem)
	fsys, err := root.Sub("sub")
	if err != nil {
		t.Fatal(err)
	}
	f, err := fsys.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	ops := map[Kind]func() error{
		Create:   func() error { _, err := fsys.Create("g"); return err },
		Open:     func() error { _, err := fsys.Open("f"); return err },
		Rename:   func() error { return fsys.Rename("f", "g") },
		Remove:   func() error { return errors.Join(fsys.RemoveAll("f"), fsys.Remove("f")) },
		Mkdir:    func() error { return fsys.MkdirAll("d") },
		List:     func() error { _, err := fsys.List("."); return err },
		SyncDir:  func() error { return fsys.SyncDir(".") },
		Lock:     func() error { _, err := fsys.Lock("LOCK"); return err },
		Read:     func() error { _, err := f.ReadAt(make([]byte, 1), 0); return err },
		Write:    func() error { _, err := f.WriteAt([]byte("x"), 0); return err },
		Truncate: func() error { return f.Truncate(5) },
		Sync:     f.Sync,
	}
	var seen []Op
	root.Hook(func(op Op) error { seen = append(seen, op); return nil })
	for kind, do := range ops {
		root.Inject(Fault{Kinds: []Kind{kind}, Times: -1, Err: errDisk})
		if err := do(); !errors.Is(err, errDisk) {
			t.Errorf("%s = %v, want the fault", kind, err)
		}
	}
	if names, err := mem.List("sub"); err != nil || !cmp.Equal(names, []string{"f"}) {
		t.Errorf("after the faults there is %v, %v", names, err)
	}
	for _, op := range seen {
		if op.Name != "sub/f" && op.Name != "sub/g" && op.Name != "sub/d" && op.Name != "sub/." && op.Name != "sub/LOCK" {
			t.Errorf("%v has an odd name", op)
		}
	}
	root.Heal()
	for _, kind := range []Kind{Write, Truncate, Sync, Rename, Mkdir} {
		if err := ops[kind](); err != nil {
			t.Errorf("%s after Heal = %v", kind, err)
		}
	}
}
