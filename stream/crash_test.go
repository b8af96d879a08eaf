package stream

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

var crashSeed = flag.Uint64("crash.seed", 0, "seed of the crash tests; 0 picks one")

// line is the network of one incarnation of an application. It can be cut for ever, after a number of writes: what
// the incarnation then believes it has done, the cluster never hears of.
type line struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	dead context.CancelFunc

	mu struct {
		sync.Mutex
		left  int  // writes until the cut
		after bool // the last write still arrives, only its answer is lost
		cut   bool
		conns []net.Conn
	}
}

var errCut = errors.New("the line is cut")

func (l *line) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := l.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.cut {
		conn.Close()
		return nil, errCut
	}
	l.mu.conns = append(l.mu.conns, conn)
	return &cutConn{conn, l}, nil
}

// write counts a write, and cuts the line if its time has come.
func (l *line) write(conn net.Conn, b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.cut {
		return 0, errCut
	}
	if l.mu.left--; l.mu.left > 0 {
		return conn.Write(b)
	}
	if l.mu.after {
		_, _ = conn.Write(b)
	}
	l.mu.cut = true
	for _, c := range l.mu.conns {
		c.Close()
	}
	l.dead()
	return 0, errCut
}

type cutConn struct {
	net.Conn
	line *line
}

func (c *cutConn) Write(b []byte) (int, error) { return c.line.write(c.Conn, b) }

// crashing runs a topology until its line is cut, and reports whether that happened before the end of the inputs.
func crashing(t *testing.T, topology *Topology, c *Cluster, cfg Config, rng *rand.Rand) bool {
	t.Helper()
	conn := c.conn()
	dial := conn.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l := &line{dial: dial, dead: cancel}
	l.mu.left, l.mu.after = 12+rng.IntN(80), rng.IntN(2) == 0
	app, err := NewApp(topology, &Cluster{seeds: conn.Seeds, dial: l.Dial}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = app.Run(ctx)
	l.mu.Lock()
	cut := l.mu.cut
	l.mu.Unlock()
	if !cut && err != nil {
		t.Fatalf("a run that was not disturbed: %v", err)
	}
	if !cut && ctx.Err() != nil {
		t.Fatalf("the run did not reach the end of its inputs: %+v", app.Stats())
	}
	return cut
}

// An application that is cut off at any moment and started again leaves the state of an undisturbed run and loses no
// output. Exactly once it repeats none, at least once only in their order per key.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for name, guarantee := range map[string]Guarantee{"exactly-once": ExactlyOnce, "at-least-once": AtLeastOnce} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testCrashes(t, guarantee)
		})
	}
}

func testCrashes(t *testing.T, guarantee Guarantee) {
	eachBroker(t, func(t *testing.T, c *Cluster) {
		seed := *crashSeed
		if seed == 0 {
			seed = rand.Uint64()
		}
		t.Logf("-crash.seed=%d", seed)
		rng := rand.New(rand.NewPCG(seed, 1))
		createTopics(t, c, 2, "lines")

		b := NewBuilder("crashes")
		first := state.NewKeyValueStore("first", serde.String, serde.Int64)
		counted := b.From(lines).Process("count", count, seenStore)
		counted.To(counts)
		// A second store that few records write: its changelog has other commits than the first.
		counted.Process("tens", func(c *Context[string, int64], r Record[string, int64]) error {
			if r.Value%10 != 0 {
				return nil
			}
			return first.In(c).Put(r.Key, r.Value)
		}, first)
		topology := build(t, b)

		memory, dir := state.NewMemory(), t.TempDir()
		crashes, written := 0, 0
		want := make(map[string][]int64)
		for crashes < 20 {
			in := someLines(200, 9)
			write(t, c, lines, in...)
			for _, r := range in {
				want[r.Key] = append(want[r.Key], int64(len(want[r.Key]))+1)
			}
			written += len(in)
			// Local data of the last incarnation, of an older one, or none.
			var backend state.Backend
			switch rng.IntN(8) {
			case 0:
				backend = state.NewMemory()
			case 1:
			default:
				backend = memory
			}
			cfg := Config{
				Guarantee: guarantee, Backend: backend, StateDir: dir, Instance: "one", StopAtEnd: true, Workers: 1 + rng.IntN(2),
				Logger: slog.New(slog.DiscardHandler), MaxPollRecords: 20 + rng.IntN(100), CommitInterval: time.Millisecond, ShutdownTimeout: 50 * time.Millisecond,
			}
			if crashing(t, topology, c, cfg, rng) {
				crashes++
			}
		}
		runToEnd(t, topology, c, Config{Guarantee: guarantee, Backend: memory, Instance: "one"})

		got := byKey(read(t, c, counts))
		repeated := 0
		for key, values := range got {
			distinct, err := dedup(values)
			if err != nil {
				t.Errorf("outputs of %s: %v", key, err)
			}
			repeated += len(values) - len(distinct)
			got[key] = distinct
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("outputs without repetitions (-want +got):\n%s", diff)
		}
		t.Logf("%d crashes, %d records, %d outputs repeated", crashes, written, repeated)
		if guarantee == ExactlyOnce && repeated > 0 {
			t.Error("outputs are repeated")
		}

		// The state, restored from nothing but the changelogs.
		gotState := dump(t, topology, c, seenStore)
		wantState, wantTens := make(map[string]int64), make(map[string]int64)
		for key, values := range want {
			n := values[len(values)-1]
			wantState[key] = n
			if n >= 10 {
				wantTens[key] = n / 10 * 10
			}
		}
		if diff := cmp.Diff(wantState, gotState); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(wantTens, dump(t, topology, c, first)); diff != "" {
			t.Errorf("second store (-want +got):\n%s", diff)
		}
	})
}

// dedup removes repetitions. Each value must come for the first time after the one before it, and a repetition
// must go back to a value and on from there without a gap.
func dedup(values []int64) ([]int64, error) {
	var distinct []int64
	for i, v := range values {
		switch n := int64(len(distinct)); {
		case v == n+1:
			distinct = append(distinct, v)
		case v > n:
			return distinct, fmt.Errorf("value %d at %d follows %d", v, i, n)
		}
		if i > 0 && v > values[i-1]+1 {
			return distinct, fmt.Errorf("value %d at %d follows %d", v, i, values[i-1])
		}
	}
	return distinct, nil
}

// dump returns what a store holds, read by an application that starts without local data.
func dump(t *testing.T, topology *Topology, c *Cluster, store state.KeyValueStore[string, int64]) map[string]int64 {
	t.Helper()
	held := make(map[string]int64)
	seen := false
	backend := &peekBackend{Backend: state.NewMemory(), peek: func(id state.TaskID, task state.Task) {
		seen = true
		s, _ := task.Store(store.Spec().Name)
		for kv, err := range s.Range(nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			n, err := serde.Int64.Decode(kv.Value)
			if err != nil {
				t.Fatal(err)
			}
			held[string(kv.Key)] = n
		}
	}}
	for !seen { // there is nothing to process: a run may end before it has joined the group
		runToEnd(t, topology, c, Config{Backend: backend, Instance: "one"})
	}
	return held
}

// peekBackend shows each task as it is closed.
type peekBackend struct {
	state.Backend
	peek func(state.TaskID, state.Task)
}

func (b *peekBackend) OpenTask(id state.TaskID, stores []state.Spec) (state.Task, error) {
	task, err := b.Backend.OpenTask(id, stores)
	return &peekTask{task, id, b.peek}, err
}

type peekTask struct {
	state.Task
	id   state.TaskID
	peek func(state.TaskID, state.Task)
}

func (t *peekTask) Close() error {
	t.peek(t.id, t.Task)
	return t.Task.Close()
}
