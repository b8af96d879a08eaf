package statetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/state"
)

func testOwnWrites(t *testing.T, b state.Backend) {
	task := OpenTask(t, b, state.TaskID{}, "s")
	wantGet(t, task, "s", "k", "")
	put(t, task, "s", "k", "v1")
	wantGet(t, task, "s", "k", "v1")
	commit(t, task, 1, "s")
	wantGet(t, task, "s", "k", "v1")
	put(t, task, "s", "k", "v2 is longer")
	wantGet(t, task, "s", "k", "v2 is longer")
	del(t, task, "s", "k")
	wantGet(t, task, "s", "k", "")
	commit(t, task, 2, "s")
	wantGet(t, task, "s", "k", "")

	// An empty value is a value, an empty key a key, and nil is the empty value.
	s := store(t, task, "s")
	if err := errors.Join(s.Put(nil, nil), s.Put([]byte("empty"), []byte{})); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, key := range []string{"", "empty"} {
			if v, found, err := s.Get([]byte(key)); v == nil || len(v) > 0 || !found || err != nil {
				t.Errorf("Get(%q) = %#v, %v, %v, want an empty value that is not nil", key, v, found, err)
			}
		}
		for kv, err := range s.Range(nil, []byte("f")) {
			if err != nil || kv.Key == nil || kv.Value == nil || len(kv.Value) > 0 {
				t.Errorf("Range yields %#v, %v, want an empty value and nothing nil", kv, err)
			}
		}
		commit(t, task, 3, "s")
	}
}

// layered puts keys into a task such that some are in each layer: what was written
// long ago, in the last commits, and is still open.
func layered(t *testing.T, task state.Task) (want []string) {
	t.Helper()
	for i := range 30 {
		put(t, task, "s", fmt.Sprintf("k%02d", i), "old")
	}
	commit(t, task, 1, "s")
	for i := 0; i < 30; i += 2 {
		put(t, task, "s", fmt.Sprintf("k%02d", i), "newer")
	}
	del(t, task, "s", "k03")
	commit(t, task, 2, "s")
	for i := 0; i < 30; i += 5 {
		put(t, task, "s", fmt.Sprintf("k%02d", i), "open")
	}
	del(t, task, "s", "k04")
	for i := range 30 {
		value := "old"
		switch {
		case i == 3 || i == 4:
			continue
		case i%5 == 0:
			value = "open"
		case i%2 == 0:
			value = "newer"
		}
		want = append(want, fmt.Sprintf("k%02d=%s", i, value))
	}
	return want
}

func testRange(t *testing.T, b state.Backend) {
	task := OpenTask(t, b, state.TaskID{}, "s")
	want := layered(t, task) // 28 entries: k00 k01 k02 k05 ...
	if diff := cmp.Diff(want, Dump(t, task, "s")); diff != "" {
		t.Fatalf("all (-want +got):\n%s", diff)
	}
	for _, test := range []struct {
		from, to []byte
		want     []string
	}{
		{[]byte("k01"), []byte("k06"), want[1:4]},
		{[]byte("k03"), []byte("k05"), nil},
		{nil, []byte("k01"), want[:1]},
		{[]byte("k28"), nil, want[26:]},
		{[]byte("k28a"), []byte("k29"), nil},
		{[]byte("k05"), []byte("k05"), nil},
		{[]byte("k06"), []byte("k05"), nil},
		{nil, []byte{}, nil},
		{[]byte("z"), nil, nil},
	} {
		got := dumpRange(t, task, "s", test.from, test.to)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("[%q, %q) (-want +got):\n%s", test.from, test.to, diff)
		}
	}
	for range store(t, task, "s").Range(nil, nil) {
		break // must release what it holds
	}
}

func testRangeWhileWriting(t *testing.T, b state.Backend) {
	task := OpenTask(t, b, state.TaskID{}, "s")
	want := layered(t, task)
	s := store(t, task, "s")
	var got []string
	for kv, err := range s.Range(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		key := string(kv.Key)
		got = append(got, key+"="+string(kv.Value))
		switch key {
		case "k00":
			put(t, task, "s", "k00a", "was not there")
			put(t, task, "s", "k29", "changed ahead")
			put(t, task, "s", "k20", "changed ahead")
			put(t, task, "s", "k03", "was deleted") // by a commit
			put(t, task, "s", "k04", "was deleted") // by an open write
			put(t, task, "s", "k05", "changed")
			del(t, task, "s", "k05")
			put(t, task, "s", "k05", "deleted and put again")
			del(t, task, "s", "k07")
			del(t, task, "s", "k10")
			Dump(t, task, "s")
		case "k01", "k15":
			del(t, task, "s", key)
		case "k02":
			put(t, task, "s", key, "changed at")
		}
	}
	want = replace(want, "k05", "deleted and put again", "k07", "", "k10", "", "k20", "changed ahead", "k29", "changed ahead")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("while writing (-want +got):\n%s", diff)
	}
	want = replace(want, "k01", "", "k15", "", "k02", "changed at")
	want = append(want, "k00a=was not there", "k03=was deleted", "k04=was deleted")
	slices.Sort(want)
	if diff := cmp.Diff(want, Dump(t, task, "s")); diff != "" {
		t.Errorf("after it (-want +got):\n%s", diff)
	}
}

// replace sets the values of keys in a dump; an empty value removes the key.
func replace(dump []string, keyValues ...string) (out []string) {
	for _, entry := range dump {
		for i := 0; i < len(keyValues); i += 2 {
			if key, value := keyValues[i], keyValues[i+1]; entry[:3] == key {
				entry = ""
				if value != "" {
					entry = key + "=" + value
				}
				break
			}
		}
		if entry != "" {
			out = append(out, entry)
		}
	}
	return out
}

func testChanges(t *testing.T, b state.Backend) {
	task := OpenTask(t, b, state.TaskID{}, "s", "other")
	put(t, task, "s", "committed", "x")
	commit(t, task, 1, "s")
	put(t, task, "s", "b", "1")
	put(t, task, "s", "a", "1")
	put(t, task, "s", "b", "2")
	del(t, task, "s", "c")
	put(t, task, "s", "d", "")
	del(t, task, "s", "a")
	put(t, task, "s", "a", "3")
	put(t, task, "other", "o", "1")
	want := []state.Change{
		{Key: []byte("b"), Value: []byte("2")},
		{Key: []byte("a"), Value: []byte("3")},
		{Key: []byte("c")},
		{Key: []byte("d"), Value: []byte{}},
	}
	if diff := cmp.Diff(want, changes(task, "s")); diff != "" {
		t.Errorf("open changes (-want +got):\n%s", diff)
	}
	if n := len(changes(task, "other")); n != 1 {
		t.Errorf("the other store has %d changes, want 1", n)
	}
	commit(t, task, 2, "s")
	if got := changes(task, "s"); len(got) > 0 {
		t.Errorf("after Commit there are changes: %v", got)
	}
}

func changes(task state.Task, name string) (all []state.Change) {
	for c := range task.Changes(name) {
		c.Key = append([]byte{}, c.Key...)
		if c.Value != nil {
			c.Value = append([]byte{}, c.Value...)
		}
		all = append(all, c)
	}
	return all
}

func testAbort(t *testing.T, b state.Backend) {
	task := OpenTask(t, b, state.TaskID{}, "s")
	put(t, task, "s", "kept", "v")
	put(t, task, "s", "changed", "v")
	commit(t, task, 1, "s")
	put(t, task, "s", "changed", "w")
	put(t, task, "s", "new", "w")
	del(t, task, "s", "kept")
	task.Abort()
	if diff := cmp.Diff([]string{"changed=v", "kept=v"}, Dump(t, task, "s")); diff != "" {
		t.Errorf("after Abort (-want +got):\n%s", diff)
	}
	if got := changes(task, "s"); len(got) > 0 {
		t.Errorf("after Abort there are changes: %v", got)
	}
	if got := task.Position("s").Commit; got != 1 {
		t.Errorf("after Abort the store stands at commit %d, want 1", got)
	}
}

func testRestore(t *testing.T, b state.Backend) {
	task := OpenTask(t, b, state.TaskID{}, "s", "other")
	if p := task.Position("s"); !p.IsZero() {
		t.Errorf("a new store stands at %+v, want the zero position", p)
	}
	put(t, task, "s", "open", "above")
	err := task.Restore("s", []state.Change{
		{Key: []byte("a"), Value: []byte("1")},
		{Key: []byte("open"), Value: []byte("below")},
		{Key: []byte("gone"), Value: []byte("1")},
		{Key: []byte("gone")},
		{Key: []byte("empty"), Value: []byte{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(changes(task, "s")); n != 1 {
		t.Errorf("after Restore there are %d changes, want the one written", n)
	}
	if p := task.Position("s"); !p.IsZero() {
		t.Errorf("before SetPosition the store stands at %+v", p)
	}
	task.SetPosition("s", position(5))
	if diff := cmp.Diff(position(5), task.Position("s")); diff != "" {
		t.Errorf("after SetPosition (-want +got):\n%s", diff)
	}
	if p := task.Position("other"); !p.IsZero() {
		t.Errorf("the other store stands at %+v, want the zero position", p)
	}
	if diff := cmp.Diff([]string{"a=1", "empty=", "open=above"}, Dump(t, task, "s")); diff != "" {
		t.Errorf("after Restore (-want +got):\n%s", diff)
	}
	task.Abort()
	wantGet(t, task, "s", "open", "below")

	// A commit moves the stores it names, and only them.
	commit(t, task, 6, "other")
	if p := task.Position("s"); p.Commit != 5 {
		t.Errorf("the store stands at commit %d, want 5", p.Commit)
	}
}

func testWipe(t *testing.T, b state.Backend) {
	task := OpenTask(t, b, state.TaskID{}, "s", "other")
	neighbour := OpenTask(t, b, state.TaskID{Partition: 1}, "s", "other")
	for _, task := range []state.Task{task, neighbour} {
		put(t, task, "other", "k", "v")
		layered(t, task)
	}
	if err := task.Wipe(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"s", "other"} {
		if got := Dump(t, task, name); len(got) > 0 {
			t.Errorf("after Wipe %s has %v", name, got)
		}
		if p := task.Position(name); !p.IsZero() {
			t.Errorf("after Wipe %s stands at %+v", name, p)
		}
	}
	wantGet(t, task, "s", "k06", "")
	wantGet(t, neighbour, "s", "k06", "newer")
	put(t, task, "s", "k", "again")
	commit(t, task, 1, "s", "other")
	if err := task.Close(); err != nil {
		t.Fatal(err)
	}
	task = OpenTask(t, b, state.TaskID{}, "s", "other")
	if diff := cmp.Diff([]string{"k=again"}, Dump(t, task, "s")); diff != "" {
		t.Errorf("after Wipe and reopening (-want +got):\n%s", diff)
	}
}

func testLocal(t *testing.T, b state.Backend) {
	id, wiped := state.TaskID{SubTopology: 1, Partition: 2}, state.TaskID{Partition: 3}
	want := make(map[string]state.Position)
	for _, id := range []state.TaskID{id, wiped} {
		task := OpenTask(t, b, id, "s", "other", "none")
		for seq, name := range []string{"other", "s"} {
			put(t, task, name, "k", "v")
			commit(t, task, int64(seq+1), name)
			want[name] = task.Position(name)
		}
		if err := task.Close(); err != nil {
			t.Fatal(err)
		}
	}
	task := OpenTask(t, b, wiped, "s", "other", "none")
	if err := task.Wipe(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[state.TaskID]map[string]state.Position{id: want}, b.Local()); diff != "" {
		t.Errorf("Local after one of two tasks was wiped (-want +got):\n%s", diff)
	}
}

func testApart(t *testing.T, b state.Backend) {
	ids := []state.TaskID{{}, {Partition: 1}, {SubTopology: 1}, {SubTopology: 256, Partition: 70000}}
	names := []string{"s", "s2", "another"}
	var tasks []state.Task
	for _, id := range ids {
		task := OpenTask(t, b, id, names...)
		tasks = append(tasks, task)
		for _, name := range names {
			put(t, task, name, "k", id.String()+name)
			put(t, task, name, id.String()+name, "v")
		}
		commit(t, task, 1, names...)
	}
	for i, id := range ids {
		for _, name := range names {
			want := []string{id.String() + name + "=v", "k=" + id.String() + name}
			if diff := cmp.Diff(want, Dump(t, tasks[i], name)); diff != "" {
				t.Errorf("task %v store %s (-want +got):\n%s", id, name, diff)
			}
		}
	}
}

func testReopenTask(t *testing.T, b state.Backend) {
	id := state.TaskID{SubTopology: 3, Partition: 4}
	task := OpenTask(t, b, id, "s", "gone")
	want := layered(t, task)
	commit(t, task, 9, "s")
	put(t, task, "s", "open", "dropped")
	if err := task.Close(); err != nil {
		t.Fatal(err)
	}
	// Another order, one store more, one less: stores go by name.
	task = OpenTask(t, b, id, "new", "s")
	if diff := cmp.Diff(want, Dump(t, task, "s")); diff != "" {
		t.Errorf("after reopening (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(position(9), task.Position("s")); diff != "" {
		t.Errorf("position after reopening (-want +got):\n%s", diff)
	}
	if got := Dump(t, task, "new"); len(got) > 0 || !task.Position("new").IsZero() {
		t.Errorf("a new store has %v", got)
	}
}

func testMisuse(t *testing.T, b state.Backend) {
	task := OpenTask(t, b, state.TaskID{}, "s")
	_, err := b.OpenTask(state.TaskID{}, []state.Spec{{Name: "s"}})
	wantErr(t, "OpenTask twice", err, state.ErrTaskOpen)
	if _, err := b.OpenTask(state.TaskID{Partition: 1}, []state.Spec{{Name: "s"}, {Name: "s"}}); err == nil {
		t.Error("OpenTask with the same store twice succeeded")
	}
	var unknown *state.UnknownStoreError
	if err := task.Restore("x", nil); !errors.As(err, &unknown) {
		t.Errorf("Restore of an unknown store: %v", err)
	}
	if err := task.Commit(map[string]state.Position{"x": {}}); !errors.As(err, &unknown) {
		t.Errorf("Commit of an unknown store: %v", err)
	}
	if _, ok := task.Store("x"); ok {
		t.Error("Store returned an unknown store")
	}
	s := store(t, task, "s")
	wantErr(t, "Put of a large key", s.Put(make([]byte, state.MaxKeyBytes+1), nil), state.ErrTooLarge)
	wantErr(t, "Put of a large value", s.Put(nil, make([]byte, state.MaxValueBytes+1)), state.ErrTooLarge)
	if err := s.Put(make([]byte, state.MaxKeyBytes), make([]byte, state.MaxValueBytes)); err != nil {
		t.Errorf("Put of the largest entry: %v", err)
	}
	commit(t, task, 1, "s")
	if err := errors.Join(task.Close(), task.Close()); err != nil {
		t.Errorf("Close twice: %v", err)
	}
	wantErr(t, "Put after Close", s.Put(nil, nil), state.ErrClosed)
	wantErr(t, "Commit after Close", task.Commit(nil), state.ErrClosed)
	_, _, err = s.Get(nil)
	wantErr(t, "Get after Close", err, state.ErrClosed)
	for _, err := range s.Range(nil, nil) {
		wantErr(t, "Range after Close", err, state.ErrClosed)
	}
}
