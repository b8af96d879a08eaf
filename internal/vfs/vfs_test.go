package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// both runs a test on a directory of the system and in memory: what holds for one
// holds for the other.
func both(t *testing.T, f func(t *testing.T, fsys FS)) {
	t.Run("dir", func(t *testing.T) {
		t.Parallel()
		d, err := OpenDir(filepath.Join(t.TempDir(), "made", "on", "the", "way"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { must(t, d.Close()) })
		f(t, d)
	})
	t.Run("mem", func(t *testing.T) {
		t.Parallel()
		f(t, NewMem())
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, fsys FS, name, content string) File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	_, err = f.WriteAt([]byte(content), 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// contents is the content of a file, or what is wrong with it.
func contents(fsys FS, name string) string {
	f, err := fsys.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "missing"
		}
		return err.Error()
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestFiles(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fsys FS) {
		f := write(t, fsys, "a", "hello")
		if _, err := f.WriteAt([]byte("!"), 8); err != nil {
			t.Fatal(err)
		}
		if got, want := contents(fsys, "a"), "hello\x00\x00\x00!"; got != want {
			t.Errorf("contents = %q, want %q", got, want)
		}
		must(t, f.Truncate(2))
		must(t, f.Truncate(4))
		if got, want := contents(fsys, "a"), "he\x00\x00"; got != want {
			t.Errorf("contents after Truncate = %q, want %q", got, want)
		}
		if size, err := f.Size(); size != 4 || err != nil {
			t.Errorf("Size = %d, %v, want 4", size, err)
		}
		b := make([]byte, 3)
		if n, err := f.ReadAt(b, 2); n != 2 || !errors.Is(err, io.EOF) {
			t.Errorf("ReadAt over the end = %d, %v, want 2, EOF", n, err)
		}
		if n, err := f.ReadAt(b, 9); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("ReadAt behind the end = %d, %v, want 0, EOF", n, err)
		}
		must(t, f.Sync())
		must(t, f.Close())
		if _, err := f.ReadAt(b, 0); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("ReadAt after Close = %v, want ErrClosed", err)
		}
		write(t, fsys, "a", "")
		if got := contents(fsys, "a"); got != "" {
			t.Errorf("contents after Create = %q, want none", got)
		}
		if _, err := fsys.Open("missing"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open of a missing file = %v", err)
		}
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fsys FS) {
		must(t, fsys.MkdirAll("x/y"))
		must(t, fsys.MkdirAll("x/y"))
		write(t, fsys, "x/y/b", "b")
		write(t, fsys, "x/y/a", "a")
		sub, err := fsys.Sub("x/y")
		must(t, err)
		names, err := sub.List(".")
		must(t, err)
		if diff := cmp.Diff([]string{"a", "b"}, names); diff != "" {
			t.Errorf("List (-want +got):\n%s", diff)
		}
		open, err := sub.Open("b")
		must(t, err)
		defer open.Close()
		must(t, sub.Rename("a", "b"))
		if a, b := contents(fsys, "x/y/a"), contents(fsys, "x/y/b"); a != "missing" || b != "a" {
			t.Errorf("after Rename: %q and %q", a, b)
		}
		b := make([]byte, 1)
		if _, err := open.ReadAt(b, 0); err != nil || b[0] != 'b' {
			t.Errorf("a replaced file that is open = %q, %v", b, err)
		}
		must(t, sub.SyncDir("."))
		if err := fsys.Remove("x"); err == nil {
			t.Error("Remove of a directory that is not empty succeeds")
		}
		must(t, sub.Remove("b"))
		if err := sub.Remove("b"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Remove of a missing file = %v", err)
		}
		must(t, fsys.RemoveAll("x"))
		must(t, fsys.RemoveAll("x"))
		if _, err := fsys.Sub("x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Sub of a missing directory = %v", err)
		}
		if _, err := fsys.Create("no/such/file"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Create in a missing directory = %v", err)
		}
		if _, err := fsys.Free(); err != nil {
			t.Errorf("Free = %v", err)
		}
	})
}

// TestNoWayOut: no name leads out of the root, nor out of a Sub.
func TestNoWayOut(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fsys FS) {
		must(t, fsys.MkdirAll("sub"))
		write(t, fsys, "secret", "secret")
		sub, err := fsys.Sub("sub")
		must(t, err)
		for _, name := range []string{"../secret", "a/../../secret", "/secret", "/etc/passwd", "..", "", "./x", "x/"} {
			for op, err := range map[string]error{
				"Open":      second(sub.Open(name)),
				"Create":    second(sub.Create(name)),
				"Rename":    sub.Rename(name, "here"),
				"Rename to": sub.Rename("here", name),
				"Remove":    sub.Remove(name),
				"RemoveAll": sub.RemoveAll(name),
				"MkdirAll":  sub.MkdirAll(name),
				"List":      second(sub.List(name)),
				"SyncDir":   sub.SyncDir(name),
				"Sub":       second(sub.Sub(name)),
				"Lock":      second(sub.Lock(name)),
			} {
				if !errors.Is(err, fs.ErrInvalid) {
					t.Errorf("%s(%q) = %v, want ErrInvalid", op, name, err)
				}
			}
		}
		if got := contents(fsys, "secret"); got != "secret" {
			t.Errorf("secret = %q", got)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestSymbolicLink(t *testing.T) {
	t.Parallel()
	outside, inside := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	if err := os.Symlink(outside, filepath.Join(inside, "link")); err != nil {
		t.Skip(err)
	}
	d, err := OpenDir(inside)
	must(t, err)
	defer d.Close()
	if f, err := d.Open("link/secret"); err == nil {
		f.Close()
		t.Error("a symbolic link leads out")
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	d, err := OpenDir(dir)
	must(t, err)
	defer d.Close()
	must(t, d.MkdirAll("x"))
	write(t, d, "x/f", "")
	for name, want := range map[string]fs.FileMode{"": 0o700, "x": 0o700, "x/f": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%q has mode %v, want %v", name, got, want)
		}
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fsys FS) {
		l, err := fsys.Lock("LOCK")
		must(t, err)
		if _, err := fsys.Lock("LOCK"); !errors.Is(err, ErrLocked) {
			t.Errorf("second Lock = %v, want ErrLocked", err)
		}
		must(t, l.Close())
		l, err = fsys.Lock("LOCK")
		must(t, err)
		must(t, l.Close())
	})
}

func TestCapacity(t *testing.T) {
	t.Parallel()
	m := NewMem()
	f := write(t, m, "a", "12345")
	m.SetCapacity(8)
	n, err := f.WriteAt([]byte("678910"), 5)
	if n != 3 || !errors.Is(err, syscall.ENOSPC) || !IsNoSpace(err) {
		t.Errorf("WriteAt on a full disk = %d, %v, want 3, ENOSPC", n, err)
	}
	if _, err := f.WriteAt([]byte("over"), 0); err != nil {
		t.Errorf("overwriting on a full disk: %v", err)
	}
	if free, err := m.Free(); free != 0 || err != nil || m.Used() != 8 {
		t.Errorf("Free = %d, %v, Used = %d", free, err, m.Used())
	}
	must(t, f.Truncate(2))
	write(t, m, "b", "123456")
	must(t, m.Remove("b"))
	if m.Used() != 8 {
		t.Errorf("Used = %d while a removed file is open, want 8", m.Used())
	}
}

func crashed(m *Mem, percent int, seed uint64) *Mem {
	return m.CrashClone(percent, rand.New(rand.NewPCG(seed, 0)))
}

// TestCrashKeepsWhatWasSynced: contents by Sync, names by SyncDir, each on its own.
func TestCrashKeepsWhatWasSynced(t *testing.T) {
	t.Parallel()
	m := NewMem()
	must(t, m.MkdirAll("d"))
	f := write(t, m, "synced", "old")
	must(t, f.Sync())
	write(t, m, "empty", "never synced")
	must(t, m.SyncDir("."))
	_, err := f.WriteAt([]byte("new and longer"), 0)
	must(t, err)
	must(t, write(t, m, "noname", "synced, but without a name").Sync())
	must(t, m.Rename("synced", "renamed"))

	lost := crashed(m, 0, 1)
	for name, want := range map[string]string{
		"synced": "old", "renamed": "missing", "empty": "", "noname": "missing",
	} {
		if got := contents(lost, name); got != want {
			t.Errorf("with nothing surviving: %s = %q, want %q", name, got, want)
		}
	}
	kept := crashed(m, 100, 1)
	for name, want := range map[string]string{
		"synced": "missing", "renamed": "new and longer", "empty": "never synced", "noname": "synced, but without a name",
	} {
		if got := contents(kept, name); got != want {
			t.Errorf("with all surviving: %s = %q, want %q", name, got, want)
		}
	}
	// What a crash left is on disk, so the next crash leaves it, too.
	if got := contents(crashed(crashed(m, 100, 1), 0, 1), "renamed"); got != "new and longer" {
		t.Errorf("after the second crash = %q", got)
	}
}

// TestCrashTears: of many sectors each one survives on its own, whole or not at all.
func TestCrashTears(t *testing.T) {
	t.Parallel()
	const sectors = 64
	fill := func(c byte) []byte {
		b := make([]byte, sectors*sector)
		for i := range b {
			b[i] = c
		}
		return b
	}
	m := NewMem()
	f := write(t, m, "f", string(fill('o')))
	must(t, f.Sync())
	must(t, m.SyncDir("."))
	_, err := f.WriteAt(fill('n'), 0)
	must(t, err)
	_, err = f.WriteAt(fill('a'), sectors*sector)
	must(t, err)
	sizes := make(map[int]bool)
	kinds := make(map[string]int)
	for seed := range uint64(100) {
		got := contents(crashed(m, 50, seed), "f")
		sizes[len(got)] = true
		for at := 0; at < len(got); at += sector {
			s := got[at:min(len(got), at+sector)]
			for i := range s {
				if s[i] != s[0] {
					t.Fatalf("sector at %d is torn", at)
				}
			}
			kinds[s[:1]]++
		}
	}
	if len(kinds) != 4 || len(sizes) < 10 || !sizes[sectors*sector] || !sizes[2*sectors*sector] {
		t.Errorf("100 crashes left sectors %v and %d sizes; want old, new, appended and zeros, and many sizes", kinds, len(sizes))
	}
}

// TestCrashRename: a rename is one step. With the replaced file and the new one
// synced, a crash finds one of the two.
func TestCrashRename(t *testing.T) {
	t.Parallel()
	m := NewMem()
	must(t, write(t, m, "f", "old").Sync())
	must(t, m.SyncDir("."))
	must(t, write(t, m, "f.tmp", "new").Sync())
	must(t, m.Rename("f.tmp", "f"))
	seen := make(map[string]int)
	for seed := range uint64(100) {
		c := crashed(m, 50, seed)
		seen[contents(c, "f")+", "+contents(c, "f.tmp")]++
	}
	for state := range seen {
		switch state {
		case "old, missing", "old, new", "new, missing":
		default:
			t.Errorf("a crash left %q", state)
		}
	}
	if len(seen) != 3 {
		t.Errorf("100 crashes left %v, want three states", seen)
	}
}

// TestClone: it is a copy down to what is not synced.
func TestClone(t *testing.T) {
	t.Parallel()
	m := NewMem()
	must(t, m.MkdirAll("d"))
	f := write(t, m, "d/f", "old")
	must(t, f.Sync())
	must(t, m.SyncDir("."))
	must(t, m.SyncDir("d"))
	_, err := f.WriteAt([]byte("new"), 0)
	must(t, err)
	write(t, m, "d/g", "g")
	c := m.Clone()
	_, err = f.WriteAt([]byte("xxx"), 0)
	must(t, err)
	if got := contents(c, "d/f") + contents(c, "d/g"); got != "newg" {
		t.Errorf("clone holds %q", got)
	}
	if c.Used() != 4 {
		t.Errorf("Used = %d, want 4", c.Used())
	}
	lost := crashed(c, 0, 1)
	if got := contents(lost, "d/f") + " " + contents(lost, "d/g"); got != "old missing" {
		t.Errorf("after a crash the clone holds %q", got)
	}
}
