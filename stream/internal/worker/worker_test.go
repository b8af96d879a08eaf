package worker

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTaskSets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		subs []Sub
		want [][]string
	}{
		{"apart", []Sub{{Inputs: []string{"b", "a"}}, {Inputs: []string{"c"}}}, [][]string{{"a", "b"}, {"c"}}},
		{"shared", []Sub{{Inputs: []string{"a", "b"}}, {Inputs: []string{"c"}}, {Inputs: []string{"b", "d"}}}, [][]string{{"c"}, {"a", "b", "d"}}},
		{"chained", []Sub{{Inputs: []string{"a"}}, {Inputs: []string{"b"}}, {Inputs: []string{"a", "b"}}}, [][]string{{"a", "b"}}},
	} {
		if diff := cmp.Diff(tt.want, taskSets(tt.subs)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// State is told by the co-partitioned set of its task, and only for sub-topologies that keep some.
func TestHeldUnits(t *testing.T) {
	t.Parallel()
	store := []state.Spec{{Name: "s"}}
	subs := []Sub{{ID: 0, Inputs: []string{"b"}, Stores: store}, {ID: 1, Inputs: []string{"c", "b"}, Stores: store}, {ID: 2, Inputs: []string{"d"}}}
	at := func(offset int64) map[string]state.Position {
		return map[string]state.Position{"s": {Offset: offset}, "dropped": {Offset: 100}}
	}
	local := map[state.TaskID]map[string]state.Position{
		{SubTopology: 0, Partition: 1}: at(5), {SubTopology: 1, Partition: 1}: at(7), {SubTopology: 1, Partition: 2}: at(1),
		{SubTopology: 1, Partition: 3}: at(4), {SubTopology: 1, Partition: 4}: at(0), {SubTopology: 2}: at(9), {SubTopology: 8}: at(9),
	}
	inUse := map[state.TaskID]client.Held{
		{SubTopology: 0, Partition: 2}: {Position: 20, Lag: 2}, {SubTopology: 0, Partition: 3}: {Position: 30, Lag: 0}, {SubTopology: 1, Partition: 3}: {Position: 6, Lag: 1},
	}
	want := map[client.Unit]client.Held{
		{Topic: "b", Partition: 1}: {Position: 12, Lag: -1},
		{Topic: "b", Partition: 2}: {Position: 21, Lag: -1}, // nobody knows of one of its tasks
		{Topic: "b", Partition: 3}: {Position: 36, Lag: 1},
	}
	sets := taskSets(subs)
	if diff := cmp.Diff([]bool{true, false}, statefulSets(subs, sets)); diff != "" {
		t.Errorf("sets with state (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, heldUnits(subs, sets, local, inUse)); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
}

// queueTask is a task that only counts. It takes the lowest input first.
type queueTask struct {
	next   map[string]int64
	queued map[string][]int64
}

func (q *queueTask) Add(b client.Batch) error {
	for _, r := range b.Records {
		q.queued[b.Topic] = append(q.queued[b.Topic], r.Offset)
	}
	return nil
}

func (q *queueTask) Run(limit int, _ time.Time) (n int, _ error) {
	for topic, offsets := range q.queued {
		for len(offsets) > 0 && n < limit {
			q.next[topic] = offsets[0] + 1
			offsets = offsets[1:]
			n++
		}
		q.queued[topic] = offsets
	}
	return n, nil
}

func (q *queueTask) Queued() (n int) {
	for _, offsets := range q.queued {
		n += len(offsets)
	}
	return n
}
func (q *queueTask) Offsets() map[string]int64 { return q.next }
func (q *queueTask) StreamTime() int64         { return 0 }
func (q *queueTask) Counts() Counts            { return Counts{} }
func (q *queueTask) Ended(string)              {}
func (q *queueTask) Close()                    {}
func (q *queueTask) Wake() (time.Time, bool)   { return time.Time{}, false }
func (q *queueTask) Held() bool                { return false }

func batch(topic string, next int64, offsets ...int64) client.Batch {
	b := client.Batch{Topic: topic, First: next - 1, Next: next, End: next}
	if len(offsets) > 0 {
		b.First = offsets[0]
	}
	for _, o := range offsets {
		b.Records = append(b.Records, client.Record{Offset: o})
	}
	return b
}

// The position of an input is that of its first unprocessed record; behind the last one, control records and gaps
// count as processed.
func TestPositions(t *testing.T) {
	t.Parallel()
	q := &queueTask{next: make(map[string]int64), queued: make(map[string][]int64)}
	r := &running{id: state.TaskID{Partition: 3}, task: q, logger: slog.New(slog.DiscardHandler), inputs: newInputs([]string{"a", "b"})}
	check := func(step string, want map[string]int64) {
		t.Helper()
		got := make(map[string]int64)
		for _, in := range r.inputOffsets() {
			if in.Partition != 3 {
				t.Errorf("%s: partition %d, want the task's", step, in.Partition)
			}
			got[in.Topic] = in.Offset
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step, diff)
		}
	}
	add := func(b client.Batch) {
		t.Helper()
		if err := r.add(b); err != nil {
			t.Fatal(err)
		}
	}
	run := func(limit int) {
		t.Helper()
		r.begin(limit)
		if _, _, err := r.run(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	check("nothing is known", map[string]int64{})
	r.inputs[0].start = 5
	check("resumed", map[string]int64{"a": 5})
	add(batch("a", 12, 7, 8, 10))
	check("queued", map[string]int64{"a": 5})
	run(2)
	check("in the middle", map[string]int64{"a": 9})
	if !r.full || !r.dirty {
		t.Errorf("full is %v and dirty is %v after a run at its limit", r.full, r.dirty)
	}
	run(2)
	check("at the end, behind a control record", map[string]int64{"a": 12})
	if r.full {
		t.Error("full after a run that found less than its limit")
	}
	add(batch("b", 4))
	check("an input of control records only", map[string]int64{"a": 12, "b": 4})
	add(batch("a", 20, 15))
	check("queued again: a control record may be passed twice", map[string]int64{"a": 11, "b": 4})
	run(1)
	check("drained again", map[string]int64{"a": 20, "b": 4})
}

func TestReached(t *testing.T) {
	t.Parallel()
	ends := client.Offsets{"a": {0: 10, 1: 4}}
	starts := client.Offsets{"a": {0: 2, 1: 4}}
	for _, tt := range []struct {
		name      string
		committed client.Offsets
		want      bool
	}{
		{"nothing committed", nil, false},
		{"an empty partition needs no commit", client.Offsets{"a": {0: 10}}, true},
		{"one short", client.Offsets{"a": {0: 9, 1: 4}}, false},
		{"no commit is not offset 0", client.Offsets{"a": {0: 10, 1: -1}}, true},
		{"retention has removed what was not read", client.Offsets{"a": {0: 10, 1: 1}}, true},
		{"beyond", client.Offsets{"a": {0: 11, 1: 5}}, true},
	} {
		if got := reached(ends, tt.committed, starts); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Workers: -2, CommitInterval: -1})
	if err == nil {
		t.Fatal("New took a negative number of workers")
	}
	for _, want := range []string{"Workers is -2", "CommitInterval is -1", "must be set"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}
