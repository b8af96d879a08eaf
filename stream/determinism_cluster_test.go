package stream_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
	"github.com/riffle-stream/riffle/stream/window"
)

// replay is one way to process a log.
type replay struct {
	name    string
	cfg     streamtest.ClusterConfig
	commits int64                                  // the least number of them, where the interval decides
	disturb func(c *streamtest.Cluster, slice int) // before a slice of the input is written
	after   func(c *streamtest.Cluster, slice int) // when it is written
}

// replays are ways that must not make a difference: how many tasks run in parallel, how much is processed between two
// commits, how many instances there are, and what happens to them.
func replays() []replay {
	cluster := func(instances, workers, poll, uncommitted int) streamtest.ClusterConfig {
		return streamtest.ClusterConfig{Instances: instances, Partitions: 4, App: stream.Config{
			Workers: workers, MaxPollRecords: poll, MaxUncommittedRecords: uncommitted, MaxInputWait: 10 * time.Second, Standbys: instances - 1,
		}}
	}
	// A round of five records takes as many milliseconds: see slowly.
	byInterval := cluster(1, 2, 5, 0)
	byInterval.App.CommitInterval = 3 * time.Millisecond
	crash := func(lost bool) func(*streamtest.Cluster, int) {
		return func(c *streamtest.Cluster, slice int) {
			c.AwaitCrash(slice % 2)
			if lost {
				c.Lose(slice % 2)
			} else {
				c.Restart(slice % 2)
			}
		}
	}
	arm := func(c *streamtest.Cluster, slice int) {
		c.Settle() // both instances have tasks, and so something to commit
		c.CrashAt(slice%2, streamtest.Points[slice%len(streamtest.Points)])
	}
	return []replay{
		{name: "2 workers, small commits", cfg: cluster(1, 2, 10, 10)},
		{name: "4 workers, small rounds", cfg: cluster(1, 4, 7, 0)},
		{name: "commits by the interval", cfg: byInterval, commits: 60},
		{name: "3 instances", cfg: cluster(3, 2, 50, 37)},
		{name: "restarts", cfg: cluster(1, 2, 10, 20), after: func(c *streamtest.Cluster, slice int) {
			c.Stop(0)
			if slice%3 == 0 {
				c.Lose(0)
			} else {
				c.Restart(0)
			}
		}},
		{name: "crashes", cfg: cluster(2, 4, 10, 10), disturb: arm, after: crash(false)},
		{name: "crashes that lose the state", cfg: cluster(2, 1, 10, 10), disturb: arm, after: crash(true)},
		{name: "instances come and go", cfg: cluster(2, 2, 10, 20), after: func(c *streamtest.Cluster, slice int) {
			if slice%2 == 0 {
				c.Stop(1)
			} else {
				c.Restart(1)
			}
		}},
	}
}

// outputs processes slices of input, and returns what out says of the result.
func (r replay) outputs(t *testing.T, topology *stream.Topology, slices int, write func(c *streamtest.Cluster, slice int), out func(c *streamtest.Cluster) []string) (lines []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := streamtest.NewCluster(t, topology, r.cfg)
		for i := range slices {
			if r.disturb != nil {
				r.disturb(c, i)
			}
			write(c, i)
			if r.after != nil {
				r.after(c, i)
			}
			c.Settle()
		}
		if r.commits > 0 {
			if n := c.App(0).Stats().Commits; n < r.commits {
				t.Errorf("there were %d commits, want %d at least: the interval decides nothing", n, r.commits)
			}
		}
		lines = out(c)
	})
	return lines
}

// slowly has each record take a millisecond of the bubble, so that the commit interval ends in the middle of the input.
func slowly(string) { <-time.After(time.Millisecond) }

// same demands that every replay gives what a plain one does.
func same(t *testing.T, topology *stream.Topology, slices int, write func(c *streamtest.Cluster, slice int), out func(c *streamtest.Cluster) []string) {
	t.Helper()
	plain := replay{cfg: streamtest.ClusterConfig{Partitions: 4, App: stream.Config{Workers: 1, MaxInputWait: 10 * time.Second}}}
	want := plain.outputs(t, topology, slices, write, out)
	if len(want) < 100 {
		t.Fatalf("only %d outputs: %q", len(want), want)
	}
	for _, r := range replays() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(want, r.outputs(t, topology, slices, write, out)); diff != "" {
				t.Errorf("outputs (-of one worker +of this replay):\n%s", diff)
			}
		})
	}
}

// unwindowed sends what comes of windows under the plain key, so that it stays in its partition.
func unwindowed(c *stream.Context[string, string], r stream.Record[window.Key[string], string]) error {
	return c.Forward(r.Key.Key, fmt.Sprint(r.Key, "=", r.Value))
}

// Where tasks read one input each, the outputs are the same byte for byte, in every partition in the same order: of windows
// of every kind and what comes too late for them, of timers, punctuation and TTL, and the dead letters.
func TestReplaysAreTheSame(t *testing.T) {
	t.Parallel()
	topology := build(t, func(b *stream.Builder) {
		in := b.From(lines).Peek(slowly)
		in.Process("recently", recently, recent).Map(func(n int64) string { return fmt.Sprint("seen ", n) }).To(others)
		in.ProcessWith("quiet", quiet).To(others)
		in.Process("dedup", processors.Dedup(func(v string) string { return v }, unseen), unseen).To(others)
		tumbling := in.Window(window.Tumbling(7*time.Second).Grace(5*time.Second)).Aggregate(inTumbling, add)
		tumbling.Stream().Process("tumbling", unwindowed).To(others)
		tumbling.OnClose().Process("tumbled", unwindowed).To(others)
		tumbling.Late().To(others)
		hopping := in.Window(window.Hopping(10*time.Second, 4*time.Second).Grace(5*time.Second)).Aggregate(inWindow, add)
		hopping.OnClose().Process("hopped", unwindowed).To(others)
		sessions := in.Sessions(window.Session(3*time.Second).Grace(2*time.Second)).Aggregate(inSession, add, add)
		sessions.Stream().Process("session", unwindowed).To(others)
		sessions.OnClose().Process("sessions", unwindowed).To(others)
		sliding := in.Sliding(window.Sliding(4*time.Second, 9*time.Second).Grace(10*time.Second)).Aggregate(atTime, add, add)
		sliding.OnClose().Process("slid", unwindowed).To(others)
	})
	const slices = 6
	rng := rand.New(rand.NewPCG(7, 7))
	records := make([][]stream.Record[string, string], slices)
	for i := range records {
		for j := range 60 {
			key, value := fmt.Sprint("key-", rng.IntN(12)), string(rune('a'+rng.IntN(8)))
			second := i*20 + j/3 - rng.IntN(12) // some are late
			records[i] = append(records[i], stream.Record[string, string]{Key: key, Value: value, Time: at(second)})
		}
	}
	same(t, topology, slices,
		func(c *streamtest.Cluster, slice int) { c.Write(lines, records[slice]...) },
		func(c *streamtest.Cluster) []string {
			var out []string
			all := deadLetters(c) // and punctuations: of all tasks, in one partition
			for _, r := range c.ReadBytes(others.Name) {
				line := fmt.Sprintf("%d %q=%q %v @%v", r.Partition, r.Key, r.Value, r.Headers, r.Time)
				if len(r.Key) == 0 {
					all = append(all, line)
				} else {
					out = append(out, line)
				}
			}
			return append(out, sorted(all)...)
		})
}

// deadLetters are those of all tasks.
func deadLetters(c *streamtest.Cluster) (lines []string) {
	for _, l := range c.DeadLetters() {
		lines = append(lines, fmt.Sprintf("dead %q=%q %s@%d %s %s %v", l.Key, l.Value, l.Topic, l.Offset, l.Timers, l.Node, l.Cause))
	}
	return lines
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}

var (
	unseen     = processors.NewDedupStore("unseen", serde.String).TTL(15 * time.Second)
	inTumbling = state.NewWindowStore("in-tumbling", serde.String, serde.String).Retention(30 * time.Second)

	sales  = stream.NewTopic("sales", serde.String, serde.String) // item and number, by customer
	views  = stream.NewTopic("views", serde.String, serde.String)
	prices = stream.NewTopic("prices", serde.String, serde.String)
)

// item is what a sale or view is about.
func item(_, v string) string { name, _, _ := strings.Cut(v, "/"); return name }

// Behind repartition topics, where the records of several tasks interleave as they arrive, and of tasks with several inputs,
// the results by event time are the same, if no record comes later than the grace: closed windows, joins, tables, TTL.
func TestRepartitionedReplaysAreTheSame(t *testing.T) {
	t.Parallel()
	const grace = 60 * time.Second
	numbers := func(name string) state.WindowStore[string, int64] {
		return state.NewWindowStore(name, serde.String, serde.Int64).Retention(2 * grace)
	}
	one := func(n int64, _ string) int64 { return n + 1 }
	text := func(name string) func(c *stream.Context[string, string], r stream.Record[window.Key[string], int64]) error {
		return func(c *stream.Context[string, string], r stream.Record[window.Key[string], int64]) error {
			return c.Forward(r.Key.Key, fmt.Sprint(name, " ", r.Key, "=", r.Value))
		}
	}
	ids := processors.NewDedupStore("ids", serde.String).TTL(grace)
	bought := state.NewTableStore("bought", serde.String, serde.Int64)
	topology := build(t, func(b *stream.Builder) {
		sold := b.From(sales).Peek(slowly).Rekey("sold", serde.String, serde.String, item)
		seen := b.From(views).Rekey("seen", serde.String, serde.String, item)
		sold.Window(window.Tumbling(7*time.Second).Grace(grace)).Aggregate(numbers("tumbling"), one).
			OnClose().Process("tumbled", text("tumbling")).To(others)
		sold.Sessions(window.Session(3*time.Second).Grace(grace)).
			Aggregate(state.NewSessionStore("sessions", serde.String, serde.Int64).Retention(2*grace), one, func(a, b int64) int64 { return a + b }).
			OnClose().Process("sessioned", text("session")).To(others)
		sold.Sliding(window.Sliding(5*time.Second).Grace(grace)).Aggregate(numbers("sliding"), one, func(a, b int64) int64 { return a + b }).
			OnClose().Process("slid", text("sliding")).To(others)
		sold.Process("dedup", processors.Dedup(func(v string) string { return v }, ids), ids).
			Map(func(v string) string { return "new " + v }).To(others)
		sold.OuterJoinStream(seen, window.Within(4*time.Second).Grace(grace), state.NewJoinStore("pairs", serde.String, serde.String, serde.String),
			func(s, v stream.Optional[string]) string { return fmt.Sprint("pair ", s, v) }).To(others)
		sold.LeftJoin(b.Table(prices), func(s string, p stream.Optional[string]) string { return fmt.Sprint("price ", s, p) }).To(others)
		sold.Count(bought)
	})

	// A slice is ten seconds of sales and views, or new prices. A customer's sale is repeated after a second, and again when
	// it is forgotten.
	const slices, perSlice = 15, 20
	rng := rand.New(rand.NewPCG(8, 8))
	sell, view, price := make([][]stream.Record[string, string], slices), make([][]stream.Record[string, string], slices), make([][]stream.Record[string, string], slices)
	say := func(to *[]stream.Record[string, string], key, value string, second int) {
		*to = append(*to, stream.Record[string, string]{Key: key, Value: value, Time: at(second)})
	}
	for i := range slices - 1 {
		if i%6 == 0 {
			for k := range 6 {
				say(&price[i], fmt.Sprint("item-", k), fmt.Sprint(i*10+k), i*10)
			}
			continue
		}
		for j := range perSlice {
			customer, sale, second := fmt.Sprint("customer-", rng.IntN(9)), fmt.Sprintf("item-%d/%d", rng.IntN(6), i*100+j), i*10+j/2
			say(&sell[i], customer, sale, second)
			if j%4 == 0 {
				say(&sell[i], customer, sale, second+1)
			}
			if later := i + 8; j%5 == 0 && later < slices-1 && later%6 > 0 {
				say(&sell[later], customer, sale, later*10)
			}
			say(&view[i], fmt.Sprint("viewer-", rng.IntN(9)), fmt.Sprintf("item-%d/%d", rng.IntN(6), j), second)
		}
	}
	// The last slice: far later, something on every partition closes what is open.
	for k := range 40 {
		say(&sell[slices-1], fmt.Sprint("flush-", k), fmt.Sprintf("flush-%d/0", k), 100_000)
	}
	same(t, topology, slices,
		func(c *streamtest.Cluster, slice int) {
			c.Write(sales, sell[slice]...)
			c.Write(views, view[slice]...)
			c.Write(prices, price[slice]...)
		},
		func(c *streamtest.Cluster) []string {
			var out []string
			for _, r := range c.Read(others) {
				if !strings.Contains(r.Value, "flush") {
					out = append(out, fmt.Sprintf("%s %s @%d", r.Key, r.Value, r.Time.Unix()))
				}
			}
			for k := range 6 {
				n, _ := c.Get(bought, fmt.Sprint("item-", k))
				out = append(out, fmt.Sprintf("bought item-%d %v", k, n))
			}
			return sorted(out)
		})
}
