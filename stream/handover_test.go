package stream

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/state"
)

// slowClose is a backend whose tasks, once it is told so, take as long to close as the test wants.
type slowClose struct {
	state.Backend
	slow    atomic.Bool
	release chan struct{}
}

type slowTask struct {
	state.Task
	backend *slowClose
}

func (b *slowClose) OpenTask(id state.TaskID, stores []state.Spec) (state.Task, error) {
	task, err := b.Backend.OpenTask(id, stores)
	return slowTask{task, b}, err
}

func (t slowTask) Close() error {
	if t.backend.slow.Load() {
		<-t.backend.release
	}
	return t.Task.Close()
}

// An instance that stops hands its tasks over as soon as its last commit is done, and not after the last checkpoint of its
// stores.
func TestStopHandsOverFirst(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 4, "lines")
		topology := counting(t)
		y := &tally{t: t, c: c, want: make(map[string][]int64)}
		slow := &slowClose{Backend: state.NewMemory(), release: make(chan struct{})}
		first, stopFirst := background(t, topology, c, Config{Backend: slow, CommitInterval: 10 * time.Millisecond})
		second, stopSecond := background(t, topology, c, Config{CommitInterval: 10 * time.Millisecond})
		eventually(t, "each instance has two tasks", func() bool { return len(first.Stats().Tasks) == 2 && len(second.Stats().Tasks) == 2 })
		y.write(300, 13)
		y.processed()

		slow.slow.Store(true)
		stopped := make(chan error, 1)
		go func() { stopped <- stopFirst() }()
		eventually(t, "the second instance has all tasks", func() bool { return len(second.Stats().Tasks) == 4 })
		select {
		case err := <-stopped:
			t.Errorf("the first instance has ended with its stores open: %v", err)
		default:
		}
		y.write(300, 13)
		y.processed()
		close(slow.release)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if err := stopSecond(); err != nil {
			t.Error(err)
		}
		y.check()
	})
}
