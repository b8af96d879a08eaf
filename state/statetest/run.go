package statetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/state"
)

// Run runs the suite. Each call of open returns a new, empty backend, which the
// suite closes.
func Run(t *testing.T, open func(t *testing.T) state.Backend) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b state.Backend)
	}{
		{"reads its own writes", testOwnWrites},
		{"range merges the layers", testRange},
		{"range while writing", testRangeWhileWriting},
		{"changes", testChanges},
		{"abort", testAbort},
		{"restore and positions", testRestore},
		{"wipe", testWipe},
		{"local data", testLocal},
		{"tasks and stores are apart", testApart},
		{"reopen task", testReopenTask},
		{"misuse", testMisuse},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := open(t)
			t.Cleanup(func() {
				if err := b.Close(); err != nil {
					t.Errorf("Close() = %v", err)
				}
			})
			test.run(t, b)
		})
	}
	t.Run("model", func(t *testing.T) { testModel(t, open) })
}

// RunDurable runs what Run does not: data that outlive the backend. Each call of
// open opens the backend that keeps its data in dir.
func RunDurable(t *testing.T, open func(t *testing.T, dir string) state.Backend) {
	t.Run("reopen backend", func(t *testing.T) {
		dir := t.TempDir()
		want := map[string][]string{}
		for round := range 3 {
			b := open(t, dir)
			task := OpenTask(t, b, state.TaskID{SubTopology: 1, Partition: 2}, "a", "b")
			for _, name := range []string{"a", "b"} {
				if got := Dump(t, task, name); !slices.Equal(got, want[name]) {
					t.Fatalf("round %d: store %s: %s", round, name, cmp.Diff(want[name], got))
				}
				if got, want := task.Position(name).Commit, int64(round); got != want {
					t.Fatalf("round %d: store %s stands at commit %d, want %d", round, name, got, want)
				}
				for i := range 100 {
					put(t, task, name, fmt.Sprintf("%s%02d", name, i), fmt.Sprintf("round %d", round))
				}
				del(t, task, name, fmt.Sprintf("%s%02d", name, round))
			}
			commit(t, task, int64(round+1), "a", "b")
			put(t, task, "a", "uncommitted", "x")
			for _, name := range []string{"a", "b"} {
				want[name] = nil
				for i := range 100 {
					if i != round {
						want[name] = append(want[name], fmt.Sprintf("%s%02d=round %d", name, i, round))
					}
				}
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("wipe survives", func(t *testing.T) {
		dir := t.TempDir()
		id := state.TaskID{}
		b := open(t, dir)
		task := OpenTask(t, b, id, "a")
		put(t, task, "a", "k", "v")
		commit(t, task, 7, "a")
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = open(t, dir)
		task = OpenTask(t, b, id, "a")
		if err := task.Wipe(); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = open(t, dir)
		task = OpenTask(t, b, id, "a")
		if got := Dump(t, task, "a"); len(got) > 0 || !task.Position("a").IsZero() {
			t.Errorf("after Wipe and reopening: %v at %+v, want nothing at the zero position", got, task.Position("a"))
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// OpenTask opens a task with stores of the names given.
func OpenTask(t testing.TB, b state.Backend, id state.TaskID, stores ...string) state.Task {
	t.Helper()
	var specs []state.Spec
	for _, name := range stores {
		specs = append(specs, state.Spec{Name: name})
	}
	task, err := b.OpenTask(id, specs)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// Dump returns all entries of a store as "key=value", in order.
func Dump(t testing.TB, task state.Task, store string) []string {
	t.Helper()
	return dumpRange(t, task, store, nil, nil)
}

func dumpRange(t testing.TB, task state.Task, name string, from, to []byte) (dump []string) {
	t.Helper()
	for kv, err := range store(t, task, name).Range(from, to) {
		if err != nil {
			t.Fatal(err)
		}
		dump = append(dump, string(kv.Key)+"="+string(kv.Value))
	}
	return dump
}

func store(t testing.TB, task state.Task, name string) state.Store {
	t.Helper()
	s, ok := task.Store(name)
	if !ok {
		t.Fatalf("the task has no store %q", name)
	}
	return s
}

func put(t testing.TB, task state.Task, name, key, value string) {
	t.Helper()
	if err := store(t, task, name).Put([]byte(key), []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func del(t testing.TB, task state.Task, name, key string) {
	t.Helper()
	if err := store(t, task, name).Delete([]byte(key)); err != nil {
		t.Fatal(err)
	}
}

// wantGet checks the value of a key; want "" stands for none.
func wantGet(t testing.TB, task state.Task, name, key, want string) {
	t.Helper()
	got, found, err := store(t, task, name).Get([]byte(key))
	if err != nil || found != (want != "") || string(got) != want {
		t.Fatalf("%s: Get(%q) = %q, %v, %v, want %q", name, key, got, found, err, want)
	}
}

func commit(t testing.TB, task state.Task, seq int64, stores ...string) {
	t.Helper()
	positions := make(map[string]state.Position)
	for _, name := range stores {
		positions[name] = position(seq)
	}
	if err := task.Commit(positions); err != nil {
		t.Fatal(err)
	}
}

func position(seq int64) state.Position {
	return state.Position{
		TopicID: [16]byte{1, 2, 3}, Offset: 10 * seq, Commit: seq, StreamTimeMillis: 1000 * seq,
		Inputs: []state.InputOffset{{Topic: "in", Partition: 3, Offset: 100 * seq}},
	}
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}
