package state_test

import (
	"fmt"
	"testing"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/state/statetest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	statetest.Run(t, func(*testing.T) state.Backend { return state.NewMemory() })
}

// After a crash a task stands where its last checkpoint left it.
func TestMemoryCrash(t *testing.T) {
	t.Parallel()
	b := state.NewMemory()
	open := func() state.Task {
		task, err := b.OpenTask(state.TaskID{}, []state.Spec{{Name: "s"}})
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	commit := func(task state.Task, n int64) {
		s, _ := task.Store("s")
		if err := s.Put([]byte("k"), fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
		if err := task.Commit(map[string]state.Position{"s": {Commit: n, Offset: n}}); err != nil {
			t.Fatal(err)
		}
	}
	task := open()
	commit(task, 1)
	if err := task.Close(); err != nil {
		t.Fatal(err)
	}
	task = open()
	commit(task, 2)
	b.Crash()
	commit(task, 3)
	if err := task.Close(); err != nil {
		t.Fatal(err)
	}
	b.Restart()
	task = open()
	s, _ := task.Store("s")
	if v, _, err := s.Get([]byte("k")); string(v) != "1" || task.Position("s").Commit != 1 || err != nil {
		t.Errorf("after the crash k=%s at commit %d (%v), want what the first close left", v, task.Position("s").Commit, err)
	}
}
