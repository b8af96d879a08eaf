package task

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

// TestTimersModel compares what fires between records, and when, with a model that keeps the timers in a list and
// searches it for the lowest each time. Records come late and at equal times, in batches of any size; timers are set
// by records and by timers; the task is restarted; and the queue holds so few timers that it reads anew all the time.
func TestTimersModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		actions := rapid.SliceOfN(rapid.Custom(drawAction), 1, 80).Draw(t, "actions")
		limit := rapid.IntRange(1, 4).Draw(t, "queue limit")
		want := &timerModel{timers: make(map[string]int64)}
		for i, a := range actions {
			want.record(i, a)
		}
		got := runActions(t, actions, limit)
		if diff := cmp.Diff(want.trace, got); diff != "" {
			t.Fatalf("trace (-model +task):\n%s", diff)
		}
	})
}

// action is what a record does: it sets timers, cancels those with a negative time, and may fail after that.
type action struct {
	time int64
	sets map[string]int64
	fail bool
}

func drawAction(t *rapid.T) action {
	return action{
		time: rapid.Int64Range(1, 100).Draw(t, "time"),
		sets: rapid.MapOfN(rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e", "f", "g", "h"}), rapid.Int64Range(-30, 150), 0, 4).Draw(t, "sets"),
		fail: rapid.IntRange(0, 9).Draw(t, "fail") == 0,
	}
}

// again is what a timer does: some come again, until a time.
func again(key string, at int64) (next int64, ok bool) {
	next = at + 7
	return next, key > "e" && next < 140
}

// timerModel is too simple to be wrong.
type timerModel struct {
	timers map[string]int64
	now    int64
	trace  []string
}

func (m *timerModel) record(i int, a action) {
	m.fireUntil(a.time)
	m.now = max(m.now, a.time)
	m.trace = append(m.trace, fmt.Sprintf("record %d at %d", i, m.now))
	if !a.fail {
		for key, at := range a.sets {
			if at < 0 {
				delete(m.timers, key)
			} else {
				m.timers[key] = at
			}
		}
	}
	m.fireUntil(m.now)
}

func (m *timerModel) fireUntil(limit int64) {
	for {
		first, at := "", int64(-1)
		for key, t := range m.timers {
			if t <= limit && (at < 0 || t < at || t == at && key < first) {
				first, at = key, t
			}
		}
		if at < 0 {
			return
		}
		delete(m.timers, first)
		m.now = max(m.now, at)
		m.trace = append(m.trace, fmt.Sprintf("timer %q %d at %d", first, at, m.now))
		if next, ok := again(first, at); ok {
			m.timers[first] = next
		}
	}
}

// runActions has a task do what the model does.
func runActions(t *rapid.T, actions []action, limit int) []string {
	r := &actionRun{actions: actions, timers: state.NewTimers("t", serde.String)}
	program := r.program(t)
	backend := state.NewMemory()
	var stores state.Task
	var running *Task
	start := func(offsets map[string]int64, streamTime int64) {
		var err error
		if stores, err = backend.OpenTask(state.TaskID{}, program.Graph.Subs[0].Stores); err != nil {
			t.Fatal(err)
		}
		running, err = New(Config{Program: program, State: stores, Output: r, Offsets: offsets, StreamTime: streamTime})
		if err != nil {
			t.Fatal(err)
		}
		running.due[0].timers.limit = limit
		b := client.Batch{Topic: "a"}
		for i, a := range actions {
			b.Records = append(b.Records, client.Record{Offset: int64(i), Timestamp: a.time})
		}
		if err := running.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	start(nil, 0)
	for more := true; more; {
		steps := rapid.IntRange(1, 10).Draw(t, "steps")
		n, err := running.Run(steps, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		more = n == steps
		if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
			if err := stores.Commit(nil); err != nil {
				t.Fatal(err)
			}
			if err := stores.Close(); err != nil {
				t.Fatal(err)
			}
			start(running.Offsets(), running.StreamTime())
		}
	}
	return r.trace
}

type actionRun struct {
	actions []action
	timers  state.Timers[string]
	trace   []string
}

func (r *actionRun) Emit(OutRecord) error { return nil }
func (*actionRun) Skip(DeadLetter)        {}

func (r *actionRun) DeadLetter(DeadLetter) error { return nil }

func (r *actionRun) program(t *rapid.T) *Program {
	b := graph.NewBuilder("app")
	from := b.Add(graph.Node{Kind: graph.Source, Op: "from", Name: "a", Topic: "a"})
	node := b.Add(graph.Node{
		Kind: graph.Processor, Op: "process", Name: "node", Inputs: []graph.Edge{{From: from}}, Leaf: true,
		Stores: []graph.Store{{Spec: r.timers.Spec()}}, Fires: []string{"t"},
	})
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return &Program{Graph: g, Open: func(_ *graph.SubTopology, f *Frame) []Source {
		f.OnTimers(node.ID, "t", func(at int64, key []byte) {
			r.trace = append(r.trace, fmt.Sprintf("timer %q %d at %d", key, at, f.StreamTime()))
			if next, ok := again(string(key), at); ok {
				f.Fail(r.timers.In(frameContext{f}).Set(string(key), time.UnixMilli(next)))
			}
		})
		return []Source{&actionSource{run: r, frame: f}}
	}}
}

type actionSource struct {
	run   *actionRun
	frame *Frame
	at    int
}

func (s *actionSource) Decode(r *client.Record, _ int32) (int64, error) {
	s.at = int(r.Offset)
	return r.Timestamp, nil
}

func (s *actionSource) Process() {
	s.run.trace = append(s.run.trace, fmt.Sprintf("record %d at %d", s.at, s.frame.StreamTime()))
	a := s.run.actions[s.at]
	timers := s.run.timers.In(frameContext{s.frame})
	for key, at := range a.sets {
		if at < 0 {
			s.frame.Fail(timers.Cancel(key))
		} else {
			s.frame.Fail(timers.Set(key, time.UnixMilli(at)))
		}
	}
	if a.fail {
		s.frame.Fail(fmt.Errorf("no"))
	}
}

// What a store removes after its time to live is removed, also if the record that would have removed it failed.
func TestFailedRecordsDoNotLoseRemovals(t *testing.T) {
	t.Parallel()
	store := state.NewKeyValueStore("s", serde.Int64, serde.Int64).TTL(time.Second)
	b := graph.NewBuilder("app")
	from := b.Add(graph.Node{Kind: graph.Source, Op: "from", Name: "a", Topic: "a"})
	b.Add(graph.Node{
		Kind: graph.Processor, Op: "process", Name: "node", Inputs: []graph.Edge{{From: from}}, Leaf: true,
		Stores: []graph.Store{{Spec: store.Spec()}},
	})
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	stores, err := state.NewMemory().OpenTask(state.TaskID{}, g.Subs[0].Stores)
	if err != nil {
		t.Fatal(err)
	}
	const old = 1000
	program := &Program{Graph: g, Open: func(_ *graph.SubTopology, f *Frame) []Source {
		return []Source{&funcSource{process: func(r *client.Record) {
			f.Fail(store.In(frameContext{f}).Put(r.Offset, 0))
			if r.Offset >= old && r.Offset%2 == 0 {
				f.Fail(fmt.Errorf("no"))
			}
		}}}
	}}
	task, err := New(Config{Program: program, State: stores, Output: &actionRun{}})
	if err != nil {
		t.Fatal(err)
	}
	const records = 4 * old
	batch := client.Batch{Topic: "a"}
	for i := range int64(records) {
		r := client.Record{Offset: i, Timestamp: 1}
		if i >= old {
			r.Timestamp = 10_000 + i
		}
		batch.Records = append(batch.Records, r)
	}
	if err := task.Add(batch); err != nil {
		t.Fatal(err)
	}
	if n, err := task.Run(records, time.Time{}); n != records || err != nil {
		t.Fatal(n, err)
	}
	left := 0
	s, _ := stores.Store("s")
	for kv, err := range s.Range(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if at, _, ok := state.ParseTimer(kv.Key); ok && at == 1 {
			left++
		}
	}
	if left > 0 {
		t.Errorf("%d entries whose time is over are left", left)
	}
}

// funcSource is a source that is a function.
type funcSource struct {
	process func(*client.Record)
	record  client.Record
}

func (s *funcSource) Decode(r *client.Record, _ int32) (int64, error) {
	s.record = *r
	return r.Timestamp, nil
}

func (s *funcSource) Process() { s.process(&s.record) }
