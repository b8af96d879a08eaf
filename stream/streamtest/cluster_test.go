package streamtest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

var (
	visits = stream.NewTopic("visits", serde.String, serde.String)
	pages  = stream.NewTopic("pages", serde.String, serde.Int64)

	perPage = state.NewTableStore("per-page", serde.String, serde.Int64)
)

// counter counts the visits of each page: they come by visitor, and go to the tasks of the pages by a repartition topic.
func counter(t testing.TB) *stream.Topology {
	t.Helper()
	b := stream.NewBuilder("counter")
	b.From(visits).
		Rekey("by-page", serde.String, serde.String, func(_, page string) string { return page }).
		Count(perPage).To(pages)
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

// visit returns n visits of three pages by so many visitors, and adds them to want.
func visit(n int, want map[string][]int64) []stream.Record[string, string] {
	var records []stream.Record[string, string]
	for i := range n {
		page := fmt.Sprint("page-", i%3)
		records = append(records, stream.Record[string, string]{Key: fmt.Sprint("visitor-", i%5), Value: page, Time: at(int64(i))})
		want[page] = append(want[page], int64(len(want[page]))+1)
	}
	return records
}

func byPage(records []stream.Record[string, int64], to map[string][]int64) {
	for _, r := range records {
		to[r.Key] = append(to[r.Key], r.Value)
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := streamtest.NewCluster(t, counter(t), streamtest.ClusterConfig{Instances: 3, Partitions: 4})
		want, got := make(map[string][]int64), make(map[string][]int64)
		c.Write(visits, visit(60, want)...)
		c.Settle()
		c.Crash(1)
		c.Write(visits, visit(60, want)...)
		c.Settle() // the group misses the instance after its session timeout, and the others take over
		c.Restart(1)
		c.Stop(0)
		c.Write(visits, visit(60, want)...)
		c.Settle()
		byPage(c.Read(pages), got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		if n, found := c.Get(perPage, "page-1"); n.Value != 60 || !found {
			t.Errorf("page-1 has %d, %v, want 60", n.Value, found)
		}
	})
}

// An instance that dies at any step of a commit, and comes back with or without its state, counts each visit once.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	for _, p := range streamtest.Points {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/lost=%v", p, lost), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := streamtest.NewCluster(t, counter(t), streamtest.ClusterConfig{Instances: 2, Partitions: 2})
					want, got := make(map[string][]int64), make(map[string][]int64)
					c.Write(visits, visit(30, want)...)
					c.Settle()
					c.CrashAt(0, p)
					c.CrashAt(1, p)
					c.Write(visits, visit(30, want)...)
					c.AwaitCrash(0)
					c.AwaitCrash(1)
					for i := range 2 {
						if lost {
							c.Lose(i)
						} else {
							c.Restart(i)
						}
					}
					c.Settle()
					byPage(c.Read(pages), got)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("counts (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

// The wall clock of a bubble moves when everything waits.
func TestClusterClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := streamtest.NewCluster(t, counter(t), streamtest.ClusterConfig{Instances: 2, Partitions: 2, App: stream.Config{SessionTimeout: 20 * time.Second}})
		c.Write(visits, visit(10, make(map[string][]int64))...)
		c.Settle()
		tasks := func() int { return len(c.App(1).Stats().Tasks) }
		if n := tasks(); n != 2 {
			t.Fatalf("one of two instances has %d of four tasks", n)
		}
		c.Crash(0)
		c.Advance(15 * time.Second)
		if n := tasks(); n != 2 {
			t.Errorf("before the end of the session the other instance has %d tasks", n)
		}
		c.Advance(15 * time.Second)
		if n := tasks(); n != 4 {
			t.Errorf("after the end of the session the other instance has %d tasks, want all 4", n)
		}
	})
}

func TestClusterDeadLetters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := streamtest.NewCluster(t, topology(t), streamtest.ClusterConfig{})
		c.Write(in, stream.Record[string, int64]{Key: "a", Value: 1, Time: at(1)}, stream.Record[string, int64]{Key: "a", Value: -1, Time: at(2)})
		c.Settle()
		if diff := cmp.Diff([]int64{1}, c.Values(out)); diff != "" {
			t.Errorf("sums (-want +got):\n%s", diff)
		}
		letters := c.DeadLetters()
		if len(letters) != 1 || letters[0].Topic != "in" || letters[0].Offset != 1 || letters[0].Node != "sum" || string(letters[0].Key) != "a" || letters[0].Cause.Error() != errNegative.Error() {
			t.Errorf("dead letters %+v, want the second record", letters)
		}
		if again := c.DeadLetters(); len(again) > 0 {
			t.Errorf("they are returned again: %+v", again)
		}
	})
}

// What a test forgets fails it: input that is never processed, an instance that is not there.
func TestClusterFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		do   func(c *streamtest.Cluster)
		want string
	}{
		"no instance": {func(c *streamtest.Cluster) { c.Stop(0); c.Settle() }, "no instance runs"},
		"no crash":    {func(c *streamtest.Cluster) { c.CrashAt(0, streamtest.BeforeEnd); c.AwaitCrash(0) }, "did it have anything to commit"},
		"restart":     {func(c *streamtest.Cluster) { c.Restart(0) }, "Stop or Crash it first"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fake{T: t}
				func() {
					defer func() {
						if p := recover(); p != nil && p != f {
							panic(p)
						}
					}()
					tt.do(streamtest.NewCluster(f, counter(t), streamtest.ClusterConfig{}))
				}()
				for _, cleanup := range f.cleanups {
					cleanup()
				}
				if got := strings.Join(f.messages, "\n"); !strings.Contains(got, tt.want) {
					t.Errorf("messages %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// When an instance dies, the one that keeps copies of its state goes on without reading the changelogs anew.
func TestStandbySurvivesCrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := streamtest.NewCluster(t, counter(t), streamtest.ClusterConfig{Instances: 3, Partitions: 4, App: stream.Config{Standbys: 1}})
		want, got := make(map[string][]int64), make(map[string][]int64)
		for range 5 {
			c.Write(visits, visit(60, want)...)
			c.Settle()
		}
		c.Advance(time.Second) // the copies follow
		kept := make(map[string]bool)
		var restored int64
		for i := range 3 {
			stats := c.App(i).Stats()
			if stats.StandbyLag > 0 {
				t.Errorf("the copies of instance %d lack %d records", i, stats.StandbyLag)
			}
			if i > 0 {
				restored += stats.Restored
				for _, task := range stats.Standbys {
					kept[task] = true
				}
			}
		}
		for _, task := range c.App(0).Stats().Tasks {
			if !kept[task] && task[0] == '1' { // sub-topology 1 has the store
				t.Errorf("nobody keeps a copy of the state of task %s", task)
			}
		}
		c.Crash(0)
		c.Write(visits, visit(60, want)...)
		c.Settle()
		if again := c.App(1).Stats().Restored + c.App(2).Stats().Restored; again != restored {
			t.Errorf("the others restored %d records to take over, want 0", again-restored)
		}
		byPage(c.Read(pages), got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})
}
