package stream

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// eventually waits until a condition holds, as seen in the statistics of apps that run.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("after 30 s it still does not hold that %s", what)
		}
	}
}

// background runs an app until stop is called, which returns what Run returned.
func background(t testing.TB, topology *Topology, c *Cluster, cfg Config) (app *App, stop func() error) {
	t.Helper()
	app, err := NewApp(topology, c, quiet(cfg))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { _ = stop() })
	return app, stop
}

// Instances share the tasks; who joins gets some, who leaves hands his on, with their state.
func TestInstancesShareTasks(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 4, "lines")
		topology := counting(t)
		want := make(map[string][]int64)
		more := func() {
			write(t, c, lines, someLines(400, 13)...)
			for _, r := range someLines(400, 13) {
				want[r.Key] = append(want[r.Key], int64(len(want[r.Key]))+1)
			}
		}
		processed := func(apps ...*App) (n int64) {
			for _, app := range apps {
				n += app.Stats().Processed
			}
			return n
		}
		tasks := func(app *App) []string { return app.Stats().Tasks }

		first, stopFirst := background(t, topology, c, Config{CommitInterval: 10 * time.Millisecond})
		more()
		eventually(t, "the first instance has processed everything", func() bool { return processed(first) == 400 })

		second, stopSecond := background(t, topology, c, Config{CommitInterval: 10 * time.Millisecond})
		eventually(t, "each instance has two tasks", func() bool { return len(tasks(first)) == 2 && len(tasks(second)) == 2 })
		both := append(tasks(first), tasks(second)...)
		slices.Sort(both)
		if diff := cmp.Diff([]string{"0_0", "0_1", "0_2", "0_3"}, both); diff != "" {
			t.Errorf("tasks of both (-want +got):\n%s", diff)
		}
		more()
		eventually(t, "both have processed everything", func() bool { return processed(first, second) == 800 })

		if err := stopFirst(); err != nil {
			t.Errorf("the first instance ended with %v", err)
		}
		eventually(t, "the second instance has all tasks", func() bool { return len(tasks(second)) == 4 })
		more()
		eventually(t, "the second instance has processed the rest", func() bool { return processed(first, second) == 1200 })
		if err := stopSecond(); err != nil {
			t.Errorf("the second instance ended with %v", err)
		}
		if diff := cmp.Diff(want, byKey(read(t, c, counts))); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})
}

// A cancelled run finishes what it holds, commits, and returns nil; the next one goes on behind it.
func TestCancelCommits(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, "lines")
		backend := state.NewMemory()
		write(t, c, lines, someLines(1000, 5)...)
		app, stop := background(t, counting(t), c, Config{Backend: backend, CommitInterval: time.Hour})
		eventually(t, "records are processed", func() bool { return app.Stats().Processed == 1000 })
		// None is due within the hour, but a group that rebalances once more after the start brings one forward.
		early := app.Stats().Commits
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := app.Stats().Commits; n == 0 || n > early+1 {
			t.Errorf("%d commits, %d of them before the end, want one at the end", n, early)
		}
		write(t, c, lines, someLines(5, 5)...)
		if stats := runToEnd(t, counting(t), c, Config{Backend: backend}); stats.Processed != 5 {
			t.Errorf("the next run processed %d records, want the 5 new ones", stats.Processed)
		}
		want := make(map[string][]int64)
		for k := range 5 {
			for n := range 201 {
				key := fmt.Sprintf("key-%d", k)
				want[key] = append(want[key], int64(n+1))
			}
		}
		if diff := cmp.Diff(want, byKey(read(t, c, counts))); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})
}

// InputsDone ends a run at what the inputs hold when it is closed, not when the run began.
func TestInputsDone(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, "lines")
		done := make(chan struct{})
		app, err := NewApp(shout(t), c, quiet(Config{InputsDone: done}))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- app.Run(t.Context()) }()
		for i := range int64(3) {
			write(t, c, lines, someLines(100, 5)...)
			if i < 2 { // the last records are there, but not processed, when the channel is closed
				eventually(t, "what was written is processed", func() bool { return app.Stats().Processed == 100*(i+1) })
			}
		}
		close(done)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if n := app.Stats().Processed; n != 300 {
			t.Errorf("processed %d records, want 300", n)
		}
	})
}

// StopAtEnd ends a run at what the inputs held when it began, however much is written meanwhile.
func TestStopAtEndUnderWrites(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, "lines")
		write(t, c, lines, someLines(1000, 5)...)
		stopped, written := make(chan struct{}), make(chan error, 1)
		w, err := NewWriter(t.Context(), c, lines, WriterConfig{MaxBufferedRecords: 100})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stopped:
					written <- w.Close()
					return
				default:
				}
				if err := w.Write(t.Context(), Record[string, string]{Key: fmt.Sprint(i % 50), Value: "more"}); err != nil {
					written <- err
					return
				}
			}
		}()
		stats := runToEnd(t, counting(t), c, Config{})
		close(stopped)
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		if stats.Processed < 1000 {
			t.Errorf("processed %d records, want the 1000 that were there at least", stats.Processed)
		}
	})
}

// A topic of the user's that lies between two parts of the topology is drained as a repartition topic is: what comes into it during
// the run is processed by the run.
func TestStopAtEndDrainsTopicsBetween(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, "lines", "shouts")
		write(t, c, lines, someLines(1000, 5)...)
		b := NewBuilder("between")
		b.From(lines).Map(strings.ToUpper).To(shouts)
		b.From(shouts).Process("count", func(ctx *Context[string, int64], r Record[string, string]) error {
			if ctx.Partition() != r.Partition {
				return fmt.Errorf("a record of partition %d in the task of partition %d", r.Partition, ctx.Partition())
			}
			return count(ctx, r)
		}, seenStore).To(counts)
		stats := runToEnd(t, build(t, b), c, Config{})
		if stats.Processed != 2000 || stats.DeadLetters != 0 {
			t.Errorf("processed %d records, %d of them dead letters, want 2000 and none", stats.Processed, stats.DeadLetters)
		}
	})
}

// Two inputs of a task that holds little of each: it takes them by time, and neither starves.
func TestMergeWithLittleRoom(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines", "others")
		others := NewTopic("others", serde.String, serde.String)
		// The second input lies between the records of the first, and has a tail behind it.
		in := someLines(3000, 1)
		write(t, c, lines, in[:2000]...)
		late := slices.Clone(in)
		for i := range late {
			late[i].Time = late[i].Time.Add(time.Microsecond * 1500)
		}
		write(t, c, others, late...)
		b := NewBuilder("merged")
		b.From(lines).Merge(b.From(others)).To(shouts)
		runToEnd(t, build(t, b), c, Config{MaxQueuedRecords: 20, MaxPollRecords: 50})
		out := read(t, c, shouts)
		if len(out) != 5000 {
			t.Fatalf("%d outputs, want 5000", len(out))
		}
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	createTopics(t, c, 1, "lines")
	write(t, c, lines, someLines(50, 5)...)
	reg := prometheus.NewPedanticRegistry()
	app, stop := background(t, shout(t), c, Config{Registerer: reg, CommitInterval: time.Millisecond})
	eventually(t, "all is committed", func() bool {
		s := app.Stats()
		return s.Processed == 50 && s.Commits > 0 && s.Lag == 0
	})
	want := `
# HELP riffle_stream_records_processed_total Input records processed, dead letters included.
# TYPE riffle_stream_records_processed_total counter
riffle_stream_records_processed_total{app="shout",subtopology="0"} 50
# HELP riffle_stream_consumer_lag_records Records between the position of the application and the end of an input partition.
# TYPE riffle_stream_consumer_lag_records gauge
riffle_stream_consumer_lag_records{app="shout",partition="0",topic="lines"} 0
# HELP riffle_stream_tasks Tasks of this instance: those that it runs, those whose state it restores to run them, and those of others whose state it keeps a copy of.
# TYPE riffle_stream_tasks gauge
riffle_stream_tasks{app="shout",state="restoring"} 0
riffle_stream_tasks{app="shout",state="running"} 1
# HELP riffle_stream_task_state 1 for each task of this instance and the state that it is in: running, restoring, or standby for a copy of its state.
# TYPE riffle_stream_task_state gauge
riffle_stream_task_state{app="shout",state="running",task="0_0"} 1
`
	names := []string{"riffle_stream_records_processed_total", "riffle_stream_consumer_lag_records", "riffle_stream_tasks", "riffle_stream_task_state"}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if families, err := reg.Gather(); err != nil || len(families) != 0 {
		t.Errorf("after Run %d metrics are still registered (%v)", len(families), err)
	}
}
