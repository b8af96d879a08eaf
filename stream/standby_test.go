package stream

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tally is what counting should have sent.
type tally struct {
	t    *testing.T
	c    *Cluster
	want map[string][]int64
	n    int64
}

// write writes n lines with so many keys.
func (y *tally) write(n, keys int) {
	y.t.Helper()
	in := someLines(n, keys)
	write(y.t, y.c, lines, in...)
	for _, r := range in {
		y.want[r.Key] = append(y.want[r.Key], int64(len(y.want[r.Key]))+1)
	}
	y.n += int64(n)
}

func (y *tally) processed() {
	y.t.Helper()
	eventually(y.t, "all is committed", func() bool { return committed(y.t, y.c, "counting", "lines") >= y.n })
}

func (y *tally) check() {
	y.t.Helper()
	if diff := cmp.Diff(y.want, byKey(read(y.t, y.c, counts))); diff != "" {
		y.t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// Each instance keeps the state of the other's tasks. When one stops, the other goes on without reading what it had read.
func TestStandbysTakeOver(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 4, "lines")
		topology := counting(t)
		y := &tally{t: t, c: c, want: make(map[string][]int64)}
		cfg := func() Config { return Config{CommitInterval: 10 * time.Millisecond, Standbys: 1} }
		first, stopFirst := background(t, topology, c, cfg())
		second, stopSecond := background(t, topology, c, cfg())
		shared := func() bool {
			a, b := first.Stats(), second.Stats()
			return len(a.Tasks) == 2 && len(b.Tasks) == 2 && slices.Equal(a.Tasks, b.Standbys) && slices.Equal(b.Tasks, a.Standbys)
		}
		eventually(t, "each instance has two tasks, and copies of the others", shared)
		for range 3 {
			y.write(400, 13)
			y.processed()
		}
		eventually(t, "the copies have caught up", func() bool { return shared() && second.Stats().StandbyLag == 0 })
		before := second.Stats()
		if err := stopFirst(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the second instance has all tasks", func() bool { return len(second.Stats().Tasks) == 4 })
		after := second.Stats()
		if n := after.Restored - before.Restored; n > 0 {
			t.Errorf("it restored %d changelog records to take over, want 0", n)
		}
		if len(after.Standbys) > 0 || after.StandbyLag != 0 {
			t.Errorf("it still keeps copies of %v, %d records behind", after.Standbys, after.StandbyLag)
		}
		y.write(400, 13)
		y.processed()

		// Who comes back finds the state that it had, and both are again what they were.
		third, stopThird := background(t, topology, c, cfg())
		first = third
		eventually(t, "each instance has two tasks, and copies of the others", shared)
		y.write(400, 13)
		y.processed()
		for _, stop := range []func() error{stopSecond, stopThird} {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
		y.check()
	})
}

// A task with much state stays where it is until its new instance has that state, too; then it moves by itself.
func TestWarmUp(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 4, "lines")
		topology := counting(t)
		y := &tally{t: t, c: c, want: make(map[string][]int64)}
		const acceptable = 20
		cfg := Config{CommitInterval: 10 * time.Millisecond, AcceptableLag: acceptable, MaxWarmups: 1}
		first, stopFirst := background(t, topology, c, cfg)
		y.write(2000, 1000)
		y.processed()

		second, stopSecond := background(t, topology, c, cfg)
		eventually(t, "each instance has two tasks", func() bool { return len(first.Stats().Tasks) == 2 && len(second.Stats().Tasks) == 2 })
		// Two tasks moved, each when it lacked no more than that.
		if n := second.Stats().Restored; n > 2*acceptable {
			t.Errorf("the second instance restored %d records while it had the tasks, want %d at most", n, 2*acceptable)
		}
		y.write(400, 13)
		y.processed()
		for _, stop := range []func() error{stopFirst, stopSecond} {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
		y.check()
		wantCounts(t, topology, c, y.want)
	})
}

// A copy whose local data do not fit the changelog is restored from its beginning, and a task that moves to it counts on.
func TestForeignStandby(t *testing.T) {
	t.Parallel()
	c := openCluster(t, Embedded(t.TempDir()))
	elsewhere := openCluster(t, Embedded(t.TempDir()))
	topology := counting(t)
	dir := t.TempDir()
	for _, at := range []*Cluster{c, elsewhere} {
		createTopics(t, at, 1, "lines")
		write(t, at, lines, Record[string, string]{Key: "foreign", Value: fmt.Sprint(at == c)})
	}
	foreign, stop := background(t, topology, elsewhere, Config{StateDir: dir})
	eventually(t, "the foreign state is there", func() bool { return foreign.Stats().Commits > 0 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	y := &tally{t: t, c: c, want: map[string][]int64{"foreign": {1}}, n: 1}
	_, stopFirst := background(t, topology, c, Config{Standbys: 1})
	y.write(300, 13)
	y.processed()
	app, stopSecond := background(t, topology, c, Config{Standbys: 1, StateDir: dir})
	eventually(t, "the copy has caught up", func() bool {
		s := app.Stats()
		return len(s.Standbys) == 1 && s.StateWipes == 1 && s.StandbyLag == 0
	})
	if err := stopFirst(); err != nil {
		t.Fatal(err)
	}
	y.write(300, 13)
	y.processed()
	if err := stopSecond(); err != nil {
		t.Fatal(err)
	}
	y.check()
}
