package worker

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// stageTask calls a function for each record.
type stageTask struct {
	queueTask
	each func()
}

func (s *stageTask) Run(limit int, now time.Time) (int, error) {
	n, err := s.queueTask.Run(limit, now)
	for range n {
		s.each()
	}
	return n, err
}

// stages is a worker whose tasks hand records over without a cluster.
type stages struct {
	w    *Worker
	now  time.Time
	next atomic.Int64
}

func newStages(workers int, loops ...string) *stages {
	w := &Worker{cfg: Config{Workers: workers, MaxPollRecords: 1_000}.withDefaults(), routes: make(map[partition][]*running)}
	w.loopback = newLoopback(loops, w.cfg.MaxPollRecords)
	for _, t := range w.loopback.topics {
		t.lanes = make([]*lane, 8)
	}
	return &stages{w: w, now: time.Now()}
}

func (s *stages) task(sub int, p int32, each func(), topics ...string) *running {
	r := newRunning(&stageTask{queueTask{next: make(map[string]int64), queued: make(map[string][]int64)}, each}, topics...)
	r.id = state.TaskID{SubTopology: sub, Partition: p}
	for _, topic := range topics {
		s.w.routes[partition{topic, p}] = append(s.w.routes[partition{topic, p}], r)
	}
	s.w.order = append(s.w.order, r)
	s.w.loopback.setTasks(s.w.routes)
	return r
}

// hand is what a task does that writes a record.
func (s *stages) hand(topic string, p int32) {
	a := s.w.loopback.lanes[partition{topic, p}]
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keep(client.Record{Offset: s.next.Add(1)}) // they only have to rise
}

func (s *stages) run(t *testing.T, records int, tasks ...*running) {
	t.Helper()
	for _, r := range tasks {
		r.begin(s.w.cfg.MaxPollRecords)
		offsets := make([]int64, records)
		for i := range offsets {
			offsets[i] = int64(i)
		}
		if err := r.add(batch(r.inputs[0].topic, int64(records), offsets...)); err != nil {
			t.Fatal(err)
		}
	}
	turns := turns{w: s.w, now: s.now}
	if err := turns.run(tasks); err != nil {
		t.Fatal(err)
	}
}

// A task does not wait for all of those before it: here the slowest of them waits for what another one's record becomes.
func TestTurnsDoNotWaitForTheSlowest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, done := newStages(2, "b"), make(chan struct{})
		slow := s.task(0, 0, func() { <-done }, "a")
		fast := s.task(0, 1, func() { s.hand("b", 3) }, "a")
		after := s.task(1, 3, func() { close(done) }, "b")
		after.begin(10)
		s.run(t, 1, slow, fast)
		for _, r := range s.w.order {
			if r.task.Queued() > 0 || r.busy || r.ready {
				t.Errorf("task %s has %d records, is busy: %v and ready: %v after the round", r.id, r.task.Queued(), r.busy, r.ready)
			}
		}
	})
}

// What a task hands over in a turn is taken while it has more to do, by as many goroutines as may work.
func TestTurnsOfAChain(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 2, 5} {
		s := newStages(workers, "b", "c")
		var first, last []*running
		counts := make([]int, 4)
		for p := range int32(4) {
			first = append(first, s.task(0, p, func() { s.hand("b", 3-p) }, "a"))
		}
		for p := range int32(4) {
			s.task(1, p, func() { s.hand("c", p) }, "b").begin(1_000)
		}
		for p := range int32(4) {
			last = append(last, s.task(2, p, func() { counts[p]++ }, "c"))
			last[p].begin(1_000)
		}
		s.run(t, 900, first...)
		for p, r := range last {
			if counts[p] != 900 || r.left != 100 || r.full {
				t.Errorf("with %d workers task %s processed %d records and has %d steps left, full: %v; want 900 and 100", workers, r.id, counts[p], r.left, r.full)
			}
		}
		if s.w.loopback.waiting() {
			t.Errorf("with %d workers something was left", workers)
		}
	}
}

// A task that merges what several others write gets all of it at a time: a record of one would be too early before an older one of
// the other.
func TestTurnsKeepTogetherWhatIsMerged(t *testing.T) {
	t.Parallel()
	s := newStages(1, "b", "c", "d")
	merged := 0
	var merging *running
	short := s.task(0, 0, func() { s.hand("b", 0) }, "a")
	long := s.task(0, 1, func() { s.hand("c", 0) }, "a")
	s.task(1, 0, func() { s.hand("d", 0) }, "c").begin(10)
	merging = s.task(2, 0, func() {
		if merged++; merging.inputs[0].last < 0 || merging.inputs[1].last < 0 {
			t.Error("the merging task runs before it has what came of all records")
		}
	}, "b", "d")
	merging.begin(10)
	s.run(t, 1, short, long)
	if merged != 2 {
		t.Errorf("%d records were merged, want 2", merged)
	}
}

// Tasks that go in a circle take what is left to them in a round, and say that they could go on.
func TestTurnsOfACircleEnd(t *testing.T) {
	t.Parallel()
	s := newStages(2, "a")
	circle := s.task(0, 0, func() { s.hand("a", 0) }, "a")
	s.run(t, 1, circle)
	if !circle.full || circle.left != 0 {
		t.Errorf("after a round the task is full: %v, with %d steps left", circle.full, circle.left)
	}
	if !s.w.loopback.waiting() && circle.task.Queued() == 0 {
		t.Error("the record that goes round was lost")
	}
}
