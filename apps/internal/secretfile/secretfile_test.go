package secretfile

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Of several that make a file at once, one succeeds, and all read the same.
func TestCreate(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a", "secret")
	var made atomic.Int64
	var making sync.WaitGroup
	for i := range 8 {
		making.Go(func() {
			ok, err := Create(file, []byte{byte('a' + i)})
			if err != nil {
				t.Error(err)
			}
			if ok {
				made.Add(1)
			}
			if b, err := Read(file); err != nil || len(b) != 1 {
				t.Errorf("read %q, %v", b, err)
			}
		})
	}
	making.Wait()
	if made.Load() != 1 {
		t.Errorf("%d of 8 made the file", made.Load())
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v, want mode 0600", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("other files are left: %v, %v", left, err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil || !strings.Contains(err.Error(), "chmod 600 "+file) {
		t.Errorf("a file that others can read: %v", err)
	}
}

func TestPairs(t *testing.T) {
	t.Parallel()
	got, err := Pairs([]byte("# comment\n\n a = b=c \nd=e"))
	if diff := cmp.Diff([]Pair{{3, "a", "b=c"}, {4, "d", "e"}}, got); diff != "" || err != nil {
		t.Errorf("pairs (-want +got)\n%s%v", diff, err)
	}
	for _, text := range []string{"secret", "= secret", "secret ="} {
		if _, err := Pairs([]byte("a = b\n" + text)); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("Pairs(%q) error = %v", text, err)
		}
	}
}
