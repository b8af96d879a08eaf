package state

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// countingBase is a base that holds one value, whatever the key, and notes what it is asked for.
type countingBase struct {
	Base
	value string // none if it is empty
	asked []string
	cache int64
	// filter is what a store may take to know which keys are not in the base
	filter int64
}

func (b *countingBase) Get(_ int, key, dst []byte) ([]byte, bool, error) {
	b.asked = append(b.asked, string(key))
	return append(dst, b.value...), b.value != "", nil
}

func (b *countingBase) Grew(int64) error { return nil }

func (b *countingBase) CacheBytes() int64 { return b.cache }

func (b *countingBase) FilterBytes() int64 { return b.filter }

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

// What was read of the base is kept until an overlay goes, in so many bytes; the longest unread goes first.
func TestReadsAreCached(t *testing.T) {
	t.Parallel()
	base := &countingBase{value: "v", cache: 8000}
	task, err := NewLayers(TaskID{}, []Spec{{Name: "s"}}, nil, base)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := task.Store("s")
	get := func(want int, keys ...string) {
		t.Helper()
		before := len(base.asked)
		for _, key := range keys {
			if v, found, err := s.Get([]byte(key)); err != nil || !found || string(v) != base.value {
				t.Errorf("Get(%s) = %q, %t, %v, want %q", key, v, found, err, base.value)
			}
		}
		if got := len(base.asked) - before; got != want {
			t.Errorf("the base was asked %d times for %q, want %d", got, keys, want)
		}
	}
	get(3, "a", "b", "c", "a", "b", "c")
	if err := s.Put([]byte("a"), []byte("w")); err != nil {
		t.Fatal(err)
	}
	commit := func() {
		t.Helper()
		if err := task.Commit(nil); err != nil {
			t.Fatal(err)
		}
	}
	commit()
	get(0, "b", "c")
	write := func(*Frozen) error { return nil }
	base.value = "w" // of a, and as good as any for the others
	for range 2 {    // the second drops the overlay that has a
		if err := s.Put([]byte("d"), []byte("w")); err != nil {
			t.Fatal(err)
		}
		commit()
		if _, err := task.Checkpoint(write); err != nil {
			t.Fatal(err)
		}
	}
	get(3, "a", "b", "c", "a")
	for n := range 1000 {
		get(1, fmt.Sprint(n))
		get(0, "a")
	}
	get(1, "b")
	if got := s.(*layerStore).base.cache; got.young.size()+got.old.size() > 9000 {
		t.Errorf("the cache has %d bytes, want at most about 8000", got.young.size()+got.old.size())
	}
}

// The base is not asked for keys that it cannot have: none, as long as it is not known what it had.
func TestBaseIsNotAskedInVain(t *testing.T) {
	t.Parallel()
	base := &countingBase{value: "v", filter: 1 << 20}
	task, err := NewLayers(TaskID{}, []Spec{{Name: "s"}}, nil, base)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := task.Store("s")
	asked := func(keys ...string) (asked []string) {
		t.Helper()
		for _, key := range keys {
			base.asked = nil
			if _, _, err := s.Get([]byte(key)); err != nil {
				t.Fatal(err)
			}
			asked = append(asked, base.asked...)
		}
		return asked
	}
	want := func(got []string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("asked of the base (-want +got):\n%s", diff)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want(asked("old", "new", "restored", "other"), "old", "new", "restored", "other")
	must(s.Put([]byte("new"), []byte("v")))
	must(s.Delete([]byte("deleted")))
	must(task.Commit(nil))
	must(task.Restore("s", []Change{{Key: []byte("restored"), Value: []byte("v")}}))
	for range 2 { // the second drops the overlay that has them
		must(s.Put([]byte("hot"), []byte("v")))
		must(task.Commit(nil))
		if _, err := task.Checkpoint(func(*Frozen) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	want(asked("old", "new", "restored", "deleted", "other"), "old", "new", "restored", "deleted", "other")
	var had KeyFilter
	had.Add([]byte("old"), 1<<20)
	task.Had(0, &had)
	want(asked("old", "new", "restored", "deleted", "other", "hot"), "old", "new", "restored", "deleted")
}

// What was put and deleted between two checkpoints does not reach the base, if it is known that the base does not have it.
func TestShortLivedKeysStayAbove(t *testing.T) {
	t.Parallel()
	task, err := NewLayers(TaskID{}, []Spec{{Name: "s"}}, nil, &countingBase{filter: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := task.Store("s")
	commit := func(value []byte, keys ...string) {
		t.Helper()
		for _, key := range keys {
			set := s.Delete([]byte(key))
			if value != nil {
				set = s.Put([]byte(key), value)
			}
			if set != nil {
				t.Fatal(set)
			}
		}
		if err := task.Commit(nil); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint := func(want ...string) {
		t.Helper()
		var got []string
		_, err := task.Checkpoint(func(f *Frozen) error {
			for c := range f.Changes(0) {
				got = append(got, fmt.Sprintf("%s=%s", c.Key, c.Value))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("written (-want +got):\n%s", diff)
		}
	}
	v := []byte("v")
	commit(v, "early")
	var had KeyFilter
	had.Add([]byte("old"), 1<<20)
	task.Had(0, &had)
	commit(v, "short", "kept", "again")
	commit(nil, "short", "again", "early", "old")
	commit(v, "again")
	checkpoint("early=", "kept=v", "again=v", "old=")
	commit(nil, "kept") // it is in the overlay that was written last
	commit(v, "short")
	checkpoint("kept=", "short=v")
	commit(nil, "short")
	commit(v, "other")
	commit(nil, "other")
	checkpoint("short=")
}

// A checkpoint may begin while the open writes are dropped. (The race detector looks at it.)
func TestAbortBesideCheckpoints(t *testing.T) {
	t.Parallel()
	task, err := NewLayers(TaskID{}, []Spec{{Name: "s"}}, nil, &countingBase{})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := task.Store("s")
	put := func(n int) {
		for i := range n {
			if err := s.Put(fmt.Append(nil, i), []byte("v")); err != nil {
				t.Error(err)
			}
		}
	}
	stop := make(chan struct{})
	var checkpoints sync.WaitGroup
	checkpoints.Go(func() {
		for {
			if _, err := task.Checkpoint(func(*Frozen) error { return nil }); err != nil {
				t.Error(err)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 300 {
		put(100)
		task.Abort()
		put(1) // so little that the next Abort lets go of the memory
		task.Abort()
		put(1)
		if err := task.Commit(nil); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	checkpoints.Wait()
}
