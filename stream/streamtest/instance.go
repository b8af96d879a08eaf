package streamtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Point is a step of a commit at which an instance can be made to crash.
type Point int

const (
	// BeforeOutputs is before the first output or change of state of a commit arrives.
	BeforeOutputs Point = iota
	// AfterOutputs is when some have arrived.
	AfterOutputs
	// BeforeOffsets is before the positions in the inputs are added to the transaction.
	BeforeOffsets
	// AfterOffsets is when they have been, and the instance does not know it.
	AfterOffsets
	// BeforeEnd is before the transaction ends.
	BeforeEnd
	// AfterEnd is when it has ended, and the instance does not know it: the outputs are there.
	AfterEnd
)

// Points are all of them, in the order of a commit.
var Points = []Point{BeforeOutputs, AfterOutputs, BeforeOffsets, AfterOffsets, BeforeEnd, AfterEnd}

func (p Point) String() string {
	return [...]string{"before-outputs", "after-outputs", "before-offsets", "after-offsets", "before-end", "after-end"}[p]
}

// request is the Kafka request that the point is before or after.
func (p Point) request() (key int16, after bool) {
	keys := [...]kmsg.Key{kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn}
	return keys[p/2].Int16(), p%2 == 1
}

// instance is one of a cluster's.
type instance struct {
	backend *state.Memory
	app     *stream.App
	line    *line
	cancel  context.CancelFunc
	done    chan struct{} // closed when Run has returned
	err     error         // of Run
	stopped bool          // on purpose
}

func (in *instance) ended() bool {
	select {
	case <-in.done:
		return true
	default:
		return false
	}
}

// Start starts another instance, with no local state, and returns its number; the first is 0.
func (c *Cluster) Start() int {
	c.t.Helper()
	c.instances = append(c.instances, &instance{backend: state.NewMemory()})
	i := len(c.instances) - 1
	c.run(i)
	return i
}

// Restart starts an instance that was stopped or has crashed, with the local state that was left of it.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	in := c.instances[i]
	if !in.stopped && !in.line.isCut() {
		c.t.Fatalf("restart of instance %d, which runs: Stop or Crash it first", i)
	}
	c.wait(i)
	in.backend.Restart()
	c.run(i)
}

// Lose is Restart for an instance that has lost its local state.
func (c *Cluster) Lose(i int) {
	c.t.Helper()
	c.wait(i)
	c.instances[i].backend = state.NewMemory()
	c.Restart(i)
}

func (c *Cluster) run(i int) {
	c.t.Helper()
	in := c.instances[i]
	ctx, cancel := context.WithCancel(context.Background())
	in.cancel, in.done, in.err, in.stopped = cancel, make(chan struct{}), nil, false
	in.line = &line{dead: func() {
		in.backend.Crash()
		cancel()
	}, cut: make(chan struct{})}
	cfg := c.cfg.App
	cfg.Backend = in.backend
	var err error
	if in.app, err = stream.NewApp(c.topology, c.cluster.Over(in.line.wrap), cfg); err != nil {
		c.t.Fatalf("%v", err)
	}
	go func() {
		defer close(in.done)
		in.err = in.app.Run(ctx)
	}()
}

// Stop stops an instance as a deployment does: it finishes what it holds, commits, and leaves the group.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	c.stop(i)
}

func (c *Cluster) stop(i int) {
	c.t.Helper()
	in := c.instances[i]
	in.stopped = true
	in.cancel()
	c.wait(i)
	// One that was about to start has nothing to finish.
	if in.err != nil && !in.line.isCut() && !errors.Is(in.err, context.Canceled) {
		c.t.Errorf("instance %d ended with %v", i, in.err)
	}
}

// wait waits until an instance has ended.
func (c *Cluster) wait(i int) {
	c.t.Helper()
	c.await(c.instances[i].ended, func() string { return fmt.Sprintf("instance %d has not ended", i) })
}

// Crash kills an instance: the cluster hears nothing more of it, and its local state is what its last checkpoint left. The
// others take over when the group has noticed, after SessionTimeout, or at once if it is restarted.
func (c *Cluster) Crash(i int) {
	c.t.Helper()
	c.instances[i].line.kill()
	c.wait(i)
}

// CrashAt makes an instance crash when it next comes to a point of a commit. See [Cluster.AwaitCrash].
func (c *Cluster) CrashAt(i int, p Point) { c.instances[i].line.arm(p) }

// AwaitCrash waits until an instance has crashed.
func (c *Cluster) AwaitCrash(i int) {
	c.t.Helper()
	in := c.instances[i]
	c.await(in.line.isCut, func() string {
		return fmt.Sprintf("instance %d has not come to the point where it was to crash: did it have anything to commit?", i)
	})
	c.wait(i)
}

// App returns an instance's application, to look at its Stats or stores.
func (c *Cluster) App(i int) *stream.App { return c.instances[i].app }

// look reports whether all running instances have joined the group, and how many tasks they have. It fails the test if an
// instance failed, or if none is left.
func (c *Cluster) look() (joined bool, tasks int) {
	c.t.Helper()
	running := 0
	joined = true
	for i, in := range c.instances {
		switch {
		case !in.ended():
			stats := in.app.Stats()
			joined = joined && stats.Rebalances > 0
			tasks += len(stats.Tasks)
			running++
		case !in.stopped && !in.line.isCut():
			c.t.Fatalf("instance %d ended with %v", i, in.err)
		}
	}
	if running == 0 {
		c.t.Fatalf("no instance runs")
	}
	return joined, tasks
}

var errCut = errors.New("streamtest: the instance has crashed")

// line is what connects an instance with the brokers. When it is cut, what the instance believes to have done the cluster
// never hears of.
type line struct {
	dead func()
	cut  chan struct{} // closed when it is

	mu struct {
		sync.Mutex
		conns []net.Conn
		armed *Point // where to crash; nil is nowhere
	}
}

func (l *line) isCut() bool {
	select {
	case <-l.cut:
		return true
	default:
		return false
	}
}

func (l *line) arm(p Point) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.armed = &p
}

func (l *line) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut() {
		return
	}
	close(l.cut)
	for _, conn := range l.mu.conns {
		conn.Close()
	}
	l.dead()
}

func (l *line) wrap(conn net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut() {
		return nil, errCut
	}
	l.mu.conns = append(l.mu.conns, conn)
	return lineConn{conn, l}, nil
}

type lineConn struct {
	net.Conn
	line *line
}

// Write sends a request, unless the line is cut before or with it. The client library writes whole requests: their size, and
// then their key.
func (c lineConn) Write(b []byte) (int, error) {
	if c.line.isCut() {
		return 0, errCut
	}
	p := c.line.reached(b)
	if p == nil {
		return c.Conn.Write(b)
	}
	if _, after := p.request(); after {
		// It arrives; the answer is lost.
		if _, err := c.Conn.Write(b); err != nil {
			return 0, err
		}
	}
	c.line.kill()
	return 0, errCut
}

// reached returns the point at which the instance is to crash, if a request is at it.
func (l *line) reached(request []byte) *Point {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.armed == nil || len(request) < 6 {
		return nil
	}
	if key, _ := l.mu.armed.request(); int16(binary.BigEndian.Uint16(request[4:])) != key {
		return nil
	}
	p := l.mu.armed
	l.mu.armed = nil
	return p
}
