package worker

import (
	"strings"
	"testing"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// timed is a task of which only stream time counts.
type timed struct {
	Task
	at int64
}

func (t timed) StreamTime() int64 { return t.at }

// The stream times of tasks without stores come back from the notes beside their offsets. The text must not change: other instances,
// older and newer, read it.
func TestNotedTimes(t *testing.T) {
	t.Parallel()
	r := func(sub int, at int64, stores state.Task, inputs ...string) *running {
		return &running{id: state.TaskID{SubTopology: sub, Partition: 3}, task: timed{at: at}, state: stores, inputs: newInputs(inputs)}
	}
	stored, err := state.NewMemory().OpenTask(state.TaskID{SubTopology: 1, Partition: 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tasks := []*running{r(0, 1_700_000_000_000, nil, "a"), r(1, 99, stored, "a", "b"), r(12, 1_700_000_000_123, nil, "a", "c"), r(2, 0, nil, "d")}
	w := &Worker{cfg: Config{Notes: map[string]string{"a": "riffle stores s", "d": "riffle stores t"}}, routes: make(map[partition][]*running)}
	notes := make(client.PartitionNotes)
	for _, r := range tasks {
		for _, in := range r.inputs {
			w.routes[partition{in.topic, 3}] = append(w.routes[partition{in.topic, 3}], r)
		}
	}
	for topic, want := range map[string]string{
		"a": "riffle stores s\nriffle times 1 0=1700000000000 12=1700000000123",
		"b": "",
		"c": "\nriffle times 1 12=1700000000123",
		"d": "riffle stores t",
		"e": "",
	} {
		got := w.note(topic, 3)
		if got != want {
			t.Errorf("the note of %s is %q, want %q", topic, got, want)
		}
		notes[topic] = map[int32]string{3: got}
	}
	for _, r := range tasks {
		want := r.task.StreamTime()
		if r.state != nil {
			want = 0
		}
		if got := notedTime(notes, r); got != want {
			t.Errorf("task %s has the noted time %d, want %d", r.id, got, want)
		}
	}
	// The input that moved last has the time; a version of later, and what is not a number, are none.
	notes["c"][3] = "\nriffle times 1 12=1700000000999"
	if got := notedTime(notes, tasks[2]); got != 1_700_000_000_999 {
		t.Errorf("the noted time is %d, want the largest", got)
	}
	for _, note := range []string{"", "riffle times 2 12=5", "riffle times 1 12=x", "riffle times 1 2=5 112=6", "12=5"} {
		if got := timeIn(note, 12); got != 0 {
			t.Errorf("the note %q has the time %d, want none", note, got)
		}
	}
	w.cfg.Notes["a"] = strings.Repeat("x", noteBytes-10)
	if got := w.note("a", 3); got != w.cfg.Notes["a"] {
		t.Errorf("a note of %d bytes, above the limit", len(got))
	}
}
