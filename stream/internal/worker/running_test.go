package worker

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

func newRunning(task Task, topics ...string) *running {
	r := &running{task: task, logger: slog.New(slog.DiscardHandler), inputs: newInputs(topics)}
	r.begin(10_000)
	return r
}

// A log that begins anew below the position is another log: the old position says nothing about it.
func TestLogThatGoesBack(t *testing.T) {
	t.Parallel()
	stores, err := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{{Name: "s"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		state state.Task
		add   []client.Batch
		fails string
		want  int64 // position
	}{
		{"without state", nil, []client.Batch{batch("a", 3, 0, 1, 2)}, "", 3},
		{"with state", stores, []client.Batch{batch("a", 3, 0, 1, 2)}, "made again; its state", 0},
		{"while running", nil, []client.Batch{batch("a", 102, 100, 101), batch("a", 3, 0, 1, 2)}, "goes back from offset 102 to 0", 0},
		{"as expected", stores, []client.Batch{batch("a", 102, 100, 101), batch("a", 104, 103)}, "", 104},
	} {
		r := newRunning(&queueTask{next: make(map[string]int64), queued: make(map[string][]int64)}, "a")
		r.state = tt.state
		r.inputs[0].start = 100
		var err error
		for _, b := range tt.add {
			if err = r.add(b); err != nil {
				break
			}
			if _, _, err := r.run(time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case tt.fails == "" && err != nil, tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)):
			t.Errorf("%s: add returned %v, want %q", tt.name, err, tt.fails)
		case tt.fails == "":
			if in := r.inputOffsets(); len(in) != 1 || in[0].Offset != tt.want {
				t.Errorf("%s: the position is %v, want %d", tt.name, in, tt.want)
			}
		}
	}
}

// slowTask needs a while for each record.
type slowTask struct {
	queueTask
	each time.Duration
}

func (s *slowTask) Run(limit int, now time.Time) (int, error) {
	n, err := s.queueTask.Run(limit, now)
	time.Sleep(time.Duration(n) * s.each)
	return n, err
}

// A slow function does not hold up the rounds: commits, rebalances and the end of the run wait for them.
func TestSlowTaskYields(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		task := &slowTask{queueTask{next: make(map[string]int64), queued: make(map[string][]int64)}, 20 * time.Millisecond}
		r := newRunning(task, "a")
		offsets := make([]int64, 10_000)
		for i := range offsets {
			offsets[i] = int64(i)
		}
		if err := r.add(batch("a", 10_000, offsets...)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		n, _, err := r.run(start)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < maxRun || took > 2*maxRun {
			t.Errorf("a run over 200 s of work took %v, want about %v", took, maxRun)
		}
		if n == 0 || !r.full {
			t.Errorf("the run did %d records and is full: %v, want some, and to go on at once", n, r.full)
		}
	})
}

// What some tasks do not need of a round goes to the others, in equal parts.
func TestFairShare(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		queued      []int
		total, want int
	}{
		{[]int{5}, 10, 10},
		{[]int{50}, 10, 10},
		{[]int{1, 2, 3}, 10, 10},    // all can do everything
		{[]int{100, 100}, 10, 5},    // equal parts
		{[]int{100, 1, 100}, 11, 5}, // of what the one leaves
		{[]int{2, 2, 2}, 6, 6},
		{[]int{3, 100, 4}, 100, 93},  // one has all the rest
		{[]int{9, 9, 9}, 2, 1},       // nobody stands still
		{[]int{0, 0, 0, 40}, 20, 20}, // timers may be due where nothing is queued
	} {
		var ready []*running
		for _, n := range tt.queued {
			ready = append(ready, newRunning(&queueTask{queued: map[string][]int64{"a": make([]int64, n)}}))
		}
		if got := fairShare(ready, tt.total); got != tt.want {
			t.Errorf("fairShare of %v and %d is %d, want %d", tt.queued, tt.total, got, tt.want)
		}
	}
}
