package catalog

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

// golden is a catalog that an earlier release may have left: it must be read for
// ever.
func golden(t testing.TB) ([]byte, *state) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "catalog"))
	if err != nil {
		t.Fatal(err)
	}
	s := newState("2jwAUUIzRKC5xJzFdQ6X8w")
	s.nextProducerID, s.changes = 1000, 2
	s.add(Topic{Name: "__consumer_offsets", ID: [16]byte{1}, Partitions: 8, Configs: map[string]string{"cleanup.policy": "compact"}, Internal: true})
	s.add(Topic{Name: "orders", ID: [16]byte{0xff, 15: 0xfe}, Partitions: 3, Configs: map[string]string{"retention.ms": "-1", "riffle.flush": "os"}})
	s.add(Topic{Name: "payments", ID: [16]byte{3}, Partitions: 1})
	return b, s
}

func write(t testing.TB, fsys vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fsys.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close(), fsys.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
}

func TestFileFormat(t *testing.T) {
	t.Parallel()
	want, s := golden(t)
	body, err := encode(s)
	if err != nil {
		t.Fatal(err)
	}
	got := fileSpec.Seal(body)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the format has changed (-want +got):\n%s", diff)
	}
	back, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back, cmp.AllowUnexported(state{})); diff != "" {
		t.Errorf("decode (-want +got):\n%s", diff)
	}
}

// Each flip and each cut of the file is found, and the error says what to do.
func TestOpenRefusesDamage(t *testing.T) {
	t.Parallel()
	good, _ := golden(t)
	refuse := func(what string, b []byte) {
		t.Helper()
		mem := vfs.NewMem()
		write(t, mem, fileName, b)
		_, err := Open(mem)
		var refused *FileError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), refused.Remedy) || refused.Remedy == "" {
			t.Errorf("%s: %v, want a FileError with a remedy", what, err)
			return
		}
		f, err := mem.Open(fileName)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		left := make([]byte, len(b))
		if size, _ := f.Size(); size != int64(len(b)) {
			t.Errorf("%s: the file has %d bytes, had %d", what, size, len(b))
		}
		if len(b) > 0 {
			if _, err := f.ReadAt(left, 0); err != nil || !slices.Equal(left, b) {
				t.Errorf("%s: the refused file has changed", what)
			}
		}
	}
	for i := range good {
		refuse("cut", good[:i])
		b := slices.Clone(good)
		b[i] ^= 1 << (i % 8)
		refuse("flip", b)
	}
	refuse("more", append(slices.Clone(good), '\n'))
}

func TestOpenRefusesStrangers(t *testing.T) {
	t.Parallel()
	sealed := func(body string) string { return string(fileSpec.Seal([]byte(body))) }
	for _, c := range []struct{ name, file, want string }{
		{"another program", "broker.id=0\n", "another program"},
		{"a later format", strings.Replace(sealed(`{}`), " 1 ", " 2 ", 1), "format version 2, this release reads 1; start the release"},
		{"no version", "riffle-catalog\n{}", "first line"},
		{"version 0", "riffle-catalog 0 crc32c=00000000\n", "first line"},
		{"no cluster id", sealed(`{"clusterId":"","nextProducerId":0,"topics":[]}`), "cluster id is empty"},
		{"negative producer id", sealed(`{"clusterId":"c","nextProducerId":-1,"topics":[]}`), "next producer id is -1"},
		{"negative changes", sealed(`{"clusterId":"c","nextProducerId":0,"changes":-1,"topics":[]}`), "changed -1 times"},
		{"unknown member", sealed(`{"clusterId":"c","nextProducerId":0,"topics":[],"x":1}`), "unknown object member"},
		{"short id", sealed(`{"clusterId":"c","nextProducerId":0,"topics":[{"name":"t","id":"AAAA","partitions":1}]}`), "16 bytes"},
		{"bad name", sealed(`{"clusterId":"c","nextProducerId":0,"topics":[{"name":"../t","id":"AQAAAAAAAAAAAAAAAAAAAA","partitions":1}]}`), "invalid topic name"},
		{"no partitions", sealed(`{"clusterId":"c","nextProducerId":0,"topics":[{"name":"t","id":"AQAAAAAAAAAAAAAAAAAAAA","partitions":0}]}`), "invalid number of partitions"},
		{"bad config", sealed(`{"clusterId":"c","nextProducerId":0,"topics":[{"name":"t","id":"AQAAAAAAAAAAAAAAAAAAAA","partitions":1,"configs":{"riffle.flush":"no"}}]}`), "riffle.flush"},
		{"same id", sealed(`{"clusterId":"c","nextProducerId":0,"topics":[{"name":"t","id":"AQAAAAAAAAAAAAAAAAAAAA","partitions":1},{"name":"u","id":"AQAAAAAAAAAAAAAAAAAAAA","partitions":1}]}`), "same id"},
		{"same name", sealed(`{"clusterId":"c","nextProducerId":0,"topics":[{"name":"t","id":"AQAAAAAAAAAAAAAAAAAAAA","partitions":1},{"name":"t","id":"AgAAAAAAAAAAAAAAAAAAAA","partitions":1}]}`), "topic exists"},
	} {
		mem := vfs.NewMem()
		write(t, mem, fileName, []byte(c.file))
		if _, err := Open(mem); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `"catalog"`) {
			t.Errorf("%s: %v, want it to name the file and say %q", c.name, err, c.want)
		}
	}
}

// A lost catalog is not a new broker.
func TestOpenRefusesTopicsWithoutCatalog(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	if err := mem.MkdirAll("topics"); err != nil {
		t.Fatal(err)
	}
	c := open(t, mem.Clone()) // empty: nothing to lose
	if err := mem.MkdirAll(create(t, c, "orders").Dir()); err != nil {
		t.Fatal(err)
	}
	var refused *FileError
	if _, err := Open(mem); !errors.As(err, &refused) || !strings.Contains(err.Error(), "holds 1 topics") {
		t.Errorf("Open: %v, want a FileError", err)
	}
	if _, err := mem.Open(fileName); err == nil {
		t.Error("the refused directory has a catalog now")
	}
}

// contents is what a catalog shows to the outside.
type contents struct {
	ClusterID      string
	NextProducerID int64
	Topics         []Topic
}

func contentsOf(c *Catalog) contents {
	s := c.current.Load()
	return contents{s.clusterID, s.nextProducerID, s.sorted()}
}

// The machine may lose power before any operation on the disk, with any part of
// what was not synced: the catalog then holds what it held before the change or
// after it, and after it once the change was acknowledged.
func TestCrashes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		mem := vfs.NewMem()
		faulty := faultfs.New(mem)
		c, err := Open(faulty)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		reopen := func() contents {
			percent := rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "percent")
			clone := mem.CrashClone(percent, rng)
			again, err := Open(clone)
			if err != nil {
				t.Fatalf("after a crash: %v", err)
			}
			return contentsOf(again)
		}
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			before := contentsOf(c)
			var crashed []contents
			faulty.Hook(func(op faultfs.Op) error {
				if slices.Contains(faultfs.Mutating(), op.Kind) {
					crashed = append(crashed, reopen())
				}
				return nil
			})
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "topic")
			if _, ok := c.Lookup(name); ok {
				_, err = c.Delete(name)
			} else if rapid.Bool().Draw(t, "ids") {
				_, err = c.ReserveProducerIDs(10)
			} else {
				_, err = c.Create(name, 1, map[string]string{"retention.ms": "-1"})
			}
			if err != nil {
				t.Fatal(err)
			}
			after := contentsOf(c)
			if len(crashed) < 4 {
				t.Fatalf("%d operations on the disk: the test sees too few", len(crashed))
			}
			for i, got := range crashed {
				if !cmp.Equal(got, before) && !cmp.Equal(got, after) {
					t.Fatalf("crash before operation %d: %+v, want\n%+v or\n%+v", i, got, before, after)
				}
			}
			if diff := cmp.Diff(after, reopen()); diff != "" {
				t.Fatalf("an acknowledged change is lost (-want +got):\n%s", diff)
			}
		}
	})
}

// Each operation on the disk may fail. The error reaches the caller, and lookups
// show the old state. If it is certain that nothing happened the change can be
// tried again; if it is not, the catalog is fenced until it is opened again.
func TestFailures(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("disk")
	for _, kind := range []faultfs.Kind{faultfs.Create, faultfs.Write, faultfs.Sync, faultfs.Rename, faultfs.SyncDir} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			faulty := faultfs.New(mem)
			c := open(t, faulty)
			create(t, c, "kept")
			before := contentsOf(c)

			faulty.Inject(faultfs.Fault{Kinds: []faultfs.Kind{kind}, Err: errDisk, Partial: 50})
			if _, err := c.Create("orders", 1, nil); !errors.Is(err, errDisk) {
				t.Fatalf("Create: %v, want the error of the disk", err)
			}
			if faulty.Injected() != 1 {
				t.Fatalf("%d operations failed, want 1", faulty.Injected())
			}
			if diff := cmp.Diff(before, contentsOf(c)); diff != "" {
				t.Errorf("after the failure (-want +got):\n%s", diff)
			}

			_, err := c.Create("orders", 1, nil)
			if fenced := kind == faultfs.Rename || kind == faultfs.SyncDir; fenced {
				if !errors.Is(err, ErrFenced) || !errors.Is(err, errDisk) {
					t.Errorf("the next change: %v, want ErrFenced and the cause", err)
				}
				for _, percent := range []int{0, 100} {
					again := open(t, mem.CrashClone(percent, rand.New(rand.NewPCG(1, 2))))
					if _, ok := again.Lookup("kept"); !ok {
						t.Error("an acknowledged topic is lost")
					}
					create(t, again, "afterwards")
				}
				return
			}
			if err != nil {
				t.Fatalf("trying again: %v", err)
			}
			if diff := cmp.Diff(contentsOf(c), contentsOf(open(t, mem.CrashClone(0, nil)))); diff != "" {
				t.Errorf("reopened (-want +got):\n%s", diff)
			}
		})
	}
}

// On a full disk nothing changes, and what the attempt wrote is taken away.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	c := open(t, mem)
	create(t, c, "kept")
	used := mem.Used()
	mem.SetCapacity(used + 10)
	if _, err := c.Create("orders", 1, nil); !vfs.IsNoSpace(err) {
		t.Errorf("Create: %v, want no space", err)
	}
	if mem.Used() != used {
		t.Errorf("%d bytes in use, were %d", mem.Used(), used)
	}
	mem.SetCapacity(1 << 20)
	create(t, c, "orders")
}

// decode never panics, and what it accepts it can write and read again.
func FuzzDecode(f *testing.F) {
	b, _ := golden(f)
	_, body, _ := strings.Cut(string(b), "\n")
	f.Add([]byte(body))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decode(b)
		if err != nil {
			var refused *FileError
			if !errors.As(err, &refused) {
				t.Fatalf("decode: %v, want a FileError", err)
			}
			return
		}
		again, err := encode(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, back, cmp.AllowUnexported(state{})); diff != "" {
			t.Errorf("written and read again (-want +got):\n%s", diff)
		}
	})
}
