package statefile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/riffle-stream/riffle/broker/statefile"
	"github.com/riffle-stream/riffle/internal/vfs"
)

var spec = statefile.Spec{Name: "table", Kind: "table", Magic: "riffle-table", Version: 2, MaxBytes: 100, Restore: "restore it from a backup"}

// What was written is there, in this form, and a file that is not there is nil. How
// it fares in crashes and failures is tested by those who use it.
func TestReplace(t *testing.T) {
	t.Parallel()
	f := statefile.New(vfs.NewMem(), spec)
	if body, err := f.Read(); body != nil || err != nil {
		t.Errorf("no file: %q, %v", body, err)
	}
	for _, body := range []string{"longer than the next", "short", ""} {
		if err := f.Replace([]byte(body)); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Read(); string(got) != body || err != nil {
			t.Errorf("read %q, %v, want %q", got, err, body)
		}
	}
	if err := f.Replace(make([]byte, 101)); err != nil {
		t.Fatal(err)
	}
	var refused *statefile.Error
	if _, err := f.Read(); !errors.As(err, &refused) || !strings.Contains(err.Error(), "at most 100") {
		t.Errorf("a file that is too large: %v", err)
	}
}

// A sealed file says what it is; another version is refused with a remedy.
func ExampleSpec() {
	sealed := spec.Seal([]byte("{}\n"))
	fmt.Print(string(sealed))
	_, err := spec.Open([]byte(strings.Replace(string(sealed), "2", "3", 1)))
	fmt.Println(err)
	// Output:
	// riffle-table 2 crc32c=f01f9d27
	// {}
	// table: file "table" has format version 3, this release reads 2; start the release of Riffle that wrote it, or a later one
}
