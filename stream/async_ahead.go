package stream

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/calls"
	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// asyncCalls is what the asynchronous steps of a task share: a step is opened twice, to begin calls before a record's
// turn, and to take their answers.
type asyncCalls struct {
	background task.Background
	onClose    func(stop func())
	pools      map[int]*calls.Pool // by node ID
	waiting    int                 // the smallest MaxWaiting

	preparing, processing *prepared
}

func newAsyncCalls(f *task.Frame) *asyncCalls {
	return &asyncCalls{background: f.Background(), onClose: f.OnClose, pools: make(map[int]*calls.Pool)}
}

// pool returns the pool of a step.
func (a *asyncCalls) pool(n *graph.Node, cfg Async) *calls.Pool {
	if p := a.pools[n.ID]; p != nil {
		return p
	}
	if a.waiting == 0 || cfg.MaxWaiting < a.waiting {
		a.waiting = cfg.MaxWaiting
	}
	c := calls.Config{
		MaxInFlight: cfg.MaxInFlight, Unordered: cfg.Unordered, Timeout: cfg.Timeout, Attempts: cfg.Attempts,
		Backoff: cfg.Backoff, MaxBackoff: cfg.MaxBackoff, Permanent: isPermanent,
		Context: a.background.Context, Go: a.background.Go,
	}
	if c.Context == nil {
		c.Context = context.Background()
	}
	if c.Go == nil {
		c.Go = func(f func()) { go f() }
	}
	if o := a.background.Calls; o != nil {
		c.Began = func() { o.CallBegan(n.Name) }
		c.Ended = func(took time.Duration, failures int) { o.CallEnded(n.Name, took, failures) }
	}
	p := calls.New(c)
	a.onClose(p.Close)
	a.pools[n.ID] = p
	return p
}

// prepared is a record whose calls have begun.
type prepared struct {
	key     []byte
	calls   []begun
	awaited atomic.Bool // the task waits for the calls
	wake    func()
}

// begun is a call of a record.
type begun struct {
	node  int
	call  any // *asyncCall of the node
	over  func() bool
	taken bool
}

// over is called when a call is over.
func (p *prepared) over() {
	if p.awaited.Load() && p.wake != nil {
		p.wake()
	}
}

func (p *prepared) ready() bool {
	for i := range p.calls {
		if !p.calls[i].over() {
			return false
		}
	}
	return true
}

// take returns the next call of a node, or nil.
func (p *prepared) take(node int) any {
	if p == nil {
		return nil
	}
	for i := range p.calls {
		if c := &p.calls[i]; c.node == node && !c.taken {
			c.taken = true
			return c.call
		}
	}
	return nil
}

// ahead prepares the records of a source. It implements task.Ahead.
type ahead[K, V any] struct {
	calls  *asyncCalls
	frame  *task.Frame   // of source
	source *source[K, V] // leads to asynchronous steps alone
	queue  []*prepared
}

// newAhead returns what prepares the records of a source, or nil if there is nothing to prepare.
func newAhead[K, V any](in *instance, t Topic[K, V], p *port[K, V]) *ahead[K, V] {
	if in.ahead || !p.leadsAhead() {
		return nil
	}
	frame := in.frame.Ahead()
	look := &instance{frame: frame, opened: make(map[any]any), calls: in.calls, ahead: true}
	return &ahead[K, V]{calls: in.calls, frame: frame, source: newSource(look, t, p)}
}

func (a *ahead[K, V]) Room() bool { return len(a.queue) < a.calls.waiting }

func (a *ahead[K, V]) Prepare(r *client.Record, partition int32) {
	p := &prepared{key: r.Key, wake: a.calls.background.Wake}
	a.queue = append(a.queue, p)
	a.frame.Begin()
	if _, err := a.source.Decode(r, partition); err != nil {
		return // it is told when the record's turn has come
	}
	a.calls.preparing = p
	a.source.Process()
}

func (a *ahead[K, V]) Ready() bool {
	p := a.queue[0]
	if p.ready() {
		return true
	}
	p.awaited.Store(true)
	return p.ready()
}

func (a *ahead[K, V]) Drop() {
	a.queue[0] = nil
	a.queue = a.queue[1:]
}

// process has the steps take the answers for the first record.
func (a *ahead[K, V]) process() {
	a.calls.processing = a.queue[0]
	for i := range a.queue[0].calls {
		a.queue[0].calls[i].taken = false
	}
}
