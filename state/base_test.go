package state

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// countingBase is a base that holds one value, whatever the key, and notes what it is asked for.
type countingBase struct {
	Base
	value string // none if it is empty
	asked []string
}

func (b *countingBase) Get(_ int, key, dst []byte) ([]byte, bool, error) {
	b.asked = append(b.asked, string(key))
	return append(dst, b.value...), b.value != "", nil
}

func (b *countingBase) Grew(int64) error { return nil }

// A key is looked up in the base once in a row, until a commit may have changed what is there.
func TestBaseIsAskedOnce(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "v"} {
		base := &countingBase{value: value}
		task, err := NewLayers(TaskID{}, []Spec{{Name: "s"}}, nil, base)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := task.Store("s")
		get := func(key string) {
			t.Helper()
			v, found, err := s.Get([]byte(key))
			if err != nil || found != (base.value != "") || string(v) != base.value {
				t.Errorf("Get(%s) = %q, %t, %v, want %q", key, v, found, err, base.value)
			}
		}
		get("a")
		get("a")
		get("b")
		get("a")
		if err := s.Put([]byte("c"), nil); err != nil {
			t.Fatal(err)
		}
		get("a")
		base.value = "another"
		if err := task.Commit(nil); err != nil {
			t.Fatal(err)
		}
		get("a")
		if want := []string{"a", "b", "a", "a"}; !slices.Equal(base.asked, want) {
			t.Errorf("asked of the base (-want +got):\n%s", cmp.Diff(want, base.asked))
		}
	}
}
