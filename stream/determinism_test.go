package stream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/task"
	"github.com/riffle-stream/riffle/stream/window"
)

// recorder is an output that writes down everything as text.
type recorder struct{ lines []string }

func (r *recorder) Emit(o task.OutRecord) error {
	r.lines = append(r.lines, fmt.Sprintf("%s %q=%q %v @%d", o.Topic, o.Key, o.Value, o.Headers, o.Timestamp))
	return nil
}

func (*recorder) Skip(task.DeadLetter) {}

func (r *recorder) DeadLetter(l task.DeadLetter) error {
	r.lines = append(r.lines, fmt.Sprintf("dead %d %q @%d %s %v", l.Record.Offset, l.Record.Key, l.Record.Timestamp, l.Node, l.Cause))
	return nil
}

// recently counts a key over the last ten seconds it was seen in; values of it fail in three ways.
var recent = state.NewKeyValueStore("recent", serde.String, serde.Int64).TTL(10 * time.Second)

func recently(c *stream.Context[string, int64], r stream.Record[string, string]) error {
	n, _, err := recent.In(c).Get(r.Key)
	if err != nil {
		return err
	}
	if err := recent.In(c).Put(r.Key, n+1); err != nil {
		return err
	}
	if err := c.Forward(r.Key, n+1); err != nil {
		return err
	}
	switch {
	case strings.Contains(r.Value, "e"):
		return errors.New("an e")
	case strings.Contains(r.Value, "p"):
		panic("a p")
	}
	return nil
}

// quiet reports a key that was not seen for five seconds, and each half minute.
var alarms = state.NewTimers("alarms", serde.String)

var quiet = stream.OnRecord(func(c *stream.Context[string, string], r stream.Record[string, string]) error {
	if strings.Contains(r.Value, "a") {
		return alarms.In(c).Cancel(r.Key)
	}
	return alarms.In(c).Set(r.Key, r.Time.Add(5*time.Second))
}).OnTimer(alarms, func(c *stream.Context[string, string], t state.Timer[string]) error {
	if err := c.Forward(t.Key, fmt.Sprint("quiet at ", c.StreamTime().UnixMilli())); err != nil {
		return err
	}
	if t.Time.UnixMilli()%3 == 0 {
		return errors.New("a three")
	}
	return alarms.In(c).Set(t.Key, t.Time.Add(20*time.Second))
}).Punctuate(30*time.Second, func(c *stream.Context[string, string], at time.Time) error {
	return c.Forward("", fmt.Sprint("half a minute at ", c.StreamTime().UnixMilli()))
})

var perWindow = stream.NewTopic("windows", window.KeySerde(serde.String), serde.String)

var (
	inWindow  = state.NewWindowStore("in-window", serde.String, serde.String).Retention(30 * time.Second)
	inSession = state.NewSessionStore("in-session", serde.String, serde.String).Retention(10 * time.Second)
	atTime    = state.NewWindowStore("at-time", serde.String, serde.String).Retention(20 * time.Second)
)

func add(row, v string) string { return row + "+" + v }

// runner is what runLogs needs of a test.
type runner interface {
	Helper()
	Fatal(args ...any)
}

// run is runLogs for a topology that reads the topic lines.
func run(t runner, topology *stream.Topology, records []client.Record, next func(limit int) int, restart func() bool) []string {
	t.Helper()
	return runLogs(t, topology, map[string][]client.Record{"lines": records}, next, restart)
}

// runLogs feeds a task with the records of its inputs in batches of the sizes given, running it after each batch for as
// many records as the next number says, and restarting it, through its committed state, where restart says so.
func runLogs(t runner, topology *stream.Topology, logs map[string][]client.Record, next func(limit int) int, restart func() bool) []string {
	t.Helper()
	backend := state.NewMemory()
	out := &recorder{}
	id := state.TaskID{}
	sub := topology.Program().Graph.Subs[0]
	var stores state.Task
	var running *task.Task
	woken := make(chan struct{}, 1)
	background := task.Background{Wake: func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	}}
	start := func(offsets map[string]int64, streamTime int64) {
		var err error
		if stores, err = backend.OpenTask(id, sub.Stores); err != nil {
			t.Fatal(err)
		}
		running, err = task.New(task.Config{
			ID: id, Program: topology.Program(), State: stores, Output: out, Offsets: offsets, StreamTime: streamTime,
			Background: background,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	process := func(limit int) {
		if _, err := running.Run(limit, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	start(nil, 0)
	at := make(map[string]int64)
	for left := true; left; {
		left = false
		for _, topic := range sub.Topics() {
			log := logs[topic][at[topic]:]
			n := min(next(20), len(log))
			if err := running.Add(client.Batch{Topic: topic, Records: log[:n], End: int64(len(logs[topic]))}); err != nil {
				t.Fatal(err)
			}
			at[topic] += int64(n)
			left = left || n < len(log)
			process(next(20))
		}
		if restart() {
			offsets := running.Offsets()
			running.Close()
			store := sub.Stores[0].Name
			if err := stores.Commit(map[string]state.Position{store: {Commit: 1, StreamTimeMillis: running.StreamTime()}}); err != nil {
				t.Fatal(err)
			}
			streamTime := stores.Position(store).StreamTimeMillis
			if err := stores.Close(); err != nil {
				t.Fatal(err)
			}
			start(offsets, streamTime)
			clear(at)
			for topic, offset := range offsets {
				at[topic] = offset
			}
			left = true
		}
	}
	for again := true; again; {
		n, err := running.Run(100, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		again = n == 100
		if !again && running.Calling() {
			<-woken
			again = true
		}
	}
	running.Close()
	return append(out.lines, fmt.Sprint("stream time ", running.StreamTime()))
}

// The same log gives the same output, byte for byte, however it is cut into batches and runs, and wherever the task
// is restarted.
func TestSameLogSameOutput(t *testing.T) {
	t.Parallel()
	topology := build(t, func(b *stream.Builder) {
		in := b.From(lines)
		counted := in.Process("recently", recently, recent)
		many, few := counted.Branch(func(n int64) bool { return n > 2 })
		many.To(counts)
		in.ProcessWith("quiet", quiet).To(others)
		windows := in.Window(window.Hopping(10*time.Second, 4*time.Second).Grace(5*time.Second)).
			Aggregate(inWindow, add)
		windows.Stream().To(perWindow)
		windows.OnClose().To(perWindow)
		windows.Late().To(others)
		sessions := in.Sessions(window.Session(3*time.Second).Grace(2*time.Second)).
			Aggregate(inSession, add, add)
		sessions.To(perWindow)
		sessions.OnClose().To(perWindow)
		sliding := in.Sliding(window.Sliding(4*time.Second, 9*time.Second).Grace(10*time.Second)).
			Aggregate(atTime, add, add)
		sliding.To(perWindow)
		sliding.OnClose().To(perWindow)
		few.Map(func(n int64) string { return fmt.Sprint(n) }).To(words)
		in.FlatMap(strings.Fields).Rekey("by-word", serde.String, serde.String, func(_, w string) string { return w }).To(others)
	})
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(rt, "records")
		records := make([]client.Record, n)
		for i := range records {
			records[i] = client.Record{
				Key:       []byte(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key")),
				Value:     []byte(rapid.StringMatching(`[abep ]{0,4}`).Draw(rt, "value")),
				Timestamp: rapid.Int64Range(0, 60_000).Draw(rt, "time"),
				Offset:    int64(i),
			}
			if rapid.IntRange(0, 9).Draw(rt, "null") == 0 {
				records[i].Value = nil
			}
		}
		want := run(rt, topology, records, func(int) int { return n }, func() bool { return false })
		got := run(rt, topology, records,
			func(limit int) int { return rapid.IntRange(1, limit).Draw(rt, "next") },
			func() bool { return rapid.IntRange(0, 3).Draw(rt, "restart") == 0 })
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("outputs (-at once +in pieces):\n%s", diff)
		}
	})
}

// The same holds of tables and joins, which read several inputs in one task.
func TestSameLogsSameJoins(t *testing.T) {
	t.Parallel()
	topology := build(t, func(b *stream.Builder) {
		left, right := b.From(modelLeft), b.From(modelRight)
		table := left.Reduce(textStore("last"), func(_, v string) string { return v })
		third := b.Table(words)
		right.LeftJoin(table, func(r string, l stream.Optional[string]) string { return fmt.Sprint("row ", l, r) }).To(modelOut)
		table.OuterJoin(third, func(l, w stream.Optional[string]) string { return fmt.Sprint("rows ", l, w) }).To(modelOut)
		joined := left.OuterJoinStream(right, window.Within(5*time.Second).Grace(2*time.Second),
			state.NewJoinStore("pairs", serde.String, serde.String, serde.String),
			func(l, r stream.Optional[string]) string { return fmt.Sprint("pair ", l, r) })
		joined.Merge(joined.LateLeft(), joined.LateRight()).To(modelOut)
	})
	rapid.Check(t, func(rt *rapid.T) {
		logs := make(map[string][]client.Record)
		for _, topic := range topology.Program().Graph.Sources() {
			for i := range rapid.IntRange(0, 25).Draw(rt, "records") {
				r := client.Record{
					Key: []byte(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key")), Value: []byte(fmt.Sprint(topic[:1], i)),
					Timestamp: rapid.Int64Range(0, 30).Draw(rt, "time") * 1000, Offset: int64(i),
				}
				if topic == "words" && rapid.IntRange(0, 3).Draw(rt, "delete") == 0 {
					r.Value = nil
				}
				logs[topic] = append(logs[topic], r)
			}
		}
		want := runLogs(rt, topology, logs, func(int) int { return 100 }, func() bool { return false })
		got := runLogs(rt, topology, logs,
			func(limit int) int { return rapid.IntRange(1, limit).Draw(rt, "next") },
			func() bool { return rapid.IntRange(0, 5).Draw(rt, "restart") == 0 })
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("outputs (-at once +in pieces):\n%s", diff)
		}
	})
}
