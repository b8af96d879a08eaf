package stream

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/calls"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// Async tunes an asynchronous step. The zero value is a working configuration. All limits are those of one task, which
// is a partition: an instance makes as many times the calls as it has tasks of the step.
type Async struct {
	// MaxInFlight is how many calls are made at a time. The default is 64.
	MaxInFlight int
	// MaxWaiting is how many records the task looks ahead: their calls are under way, wait for a place, or are over and
	// wait for those before them. The default is 1024, or 16 times MaxInFlight if that is more.
	MaxWaiting int
	// Unordered lets calls of one key be made at the same time. Their results go on in the order of the records all
	// the same. The default is one after the other, in order.
	Unordered bool
	// Timeout is how long an attempt may take: then its context ends. The default is 10 s.
	Timeout time.Duration
	// Attempts is how often a call is made until it succeeds, the first time included. The default is 3. An error that is
	// [Permanent] ends them.
	Attempts int
	// Backoff is the pause after the first attempt that failed. It doubles with each further one, up to MaxBackoff. A
	// call that pauses keeps its place and its key. The defaults are 100 ms and 10 s.
	Backoff, MaxBackoff time.Duration
}

func (a Async) withDefaults() Async {
	if a.MaxInFlight == 0 {
		a.MaxInFlight = 64
	}
	if a.MaxWaiting == 0 {
		a.MaxWaiting = max(1024, 16*a.MaxInFlight)
	}
	if a.Timeout == 0 {
		a.Timeout = 10 * time.Second
	}
	if a.Attempts == 0 {
		a.Attempts = 3
	}
	if a.MaxBackoff == 0 {
		a.MaxBackoff = max(10*time.Second, a.Backoff)
	}
	if a.Backoff == 0 {
		a.Backoff = min(100*time.Millisecond, a.MaxBackoff)
	}
	return a
}

func (a Async) validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxInFlight", int64(a.MaxInFlight)},
		{"MaxWaiting", int64(a.MaxWaiting)},
		{"Timeout", int64(a.Timeout)},
		{"Attempts", int64(a.Attempts)},
		{"Backoff", int64(a.Backoff)},
		{"MaxBackoff", int64(a.MaxBackoff)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("stream.Async has %s %d: want more than 0, or 0 for the default", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

// Permanent marks an error that another attempt would not remedy: a request that the service refuses. It may be nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

func isPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

// AsyncMap replaces the value by the answer of a slow call, to a service for instance. Calls for records of different
// keys are made at the same time, those of one key one after the other (see [Async]), and the answers go on in the order of the
// records.
//
// So a partition makes progress at the pace of its slowest calls, not of their sum: a call that hangs holds back the
// answers behind it, while further calls are made, up to Async.MaxWaiting records ahead, until it ends by its timeout. What waits is
// not committed, and is called again after a crash, a rebalance or a rewind: f is called at least once for each record, and the
// answer that is committed is that of one call. f is called by many goroutines at once, and must return when its context ends,
// which it does by the timeout and when the task is closed.
//
// A call whose last attempt failed or panicked fails its record, as an error of [Stream.TryMap] does.
//
// The calls begin before a record's turn. So the steps between an asynchronous one and its topic must depend on
// the record alone: Filter, Map, FlatMap, Branch, Merge, Peek, JoinGlobal and their kin; their functions are called twice, except that of Peek. Below
// any other step (one with a store, a Process, another AsyncMap) put a [Stream.Rekey] in between, which goes through
// a repartition topic then. Below AsyncMap everything is allowed.
//
// The name is unique in the topology; metrics and dead letters tell of it.
func (s Stream[K, V]) AsyncMap[R any](name string, f func(ctx context.Context, value V) (R, error), cfg Async) Stream[K, R] {
	return s.async(name, f == nil, func(ctx context.Context, r *Record[K, V]) (R, error) { return f(ctx, r.Value) }, cfg)
}

// AsyncMapRecord is AsyncMap with a function of the record. The key stays.
func (s Stream[K, V]) AsyncMapRecord[R any](name string, f func(ctx context.Context, r Record[K, V]) (R, error), cfg Async) Stream[K, R] {
	return s.async(name, f == nil, func(ctx context.Context, r *Record[K, V]) (R, error) { return f(ctx, *r) }, cfg)
}

func (s Stream[K, V]) async[R any](name string, missing bool, f func(context.Context, *Record[K, V]) (R, error), cfg Async) Stream[K, R] {
	b := s.b
	if name == "" {
		b.mistake("asyncmap below %q has no name", s.port.node.Name)
	}
	if missing {
		b.mistake("asyncmap %q: the function is nil", name)
	}
	if err := cfg.validate(); err != nil {
		b.mistake("asyncmap %q: %w", name, err)
	}
	cfg = cfg.withDefaults()
	n := b.add(graph.Node{Kind: graph.Processor, Op: "asyncmap", Name: name, Inputs: []graph.Edge{s.port.edge()}, Async: true})
	out := newPort[K, R](n, "")
	s.pass(n, func(in *instance) handler[K, V] {
		step := &asyncStep[K, V, R]{node: n.ID, f: f, calls: in.calls, pool: in.calls.pool(n, cfg)}
		if in.ahead {
			return step.begin
		}
		return step.process(in.frame, out.open(in))
	})
	return Stream[K, R]{b, out}
}

// asyncStep is an asynchronous step in one task.
type asyncStep[K, V, R any] struct {
	node  int
	f     func(context.Context, *Record[K, V]) (R, error)
	calls *asyncCalls
	pool  *calls.Pool
}

// asyncCall is a call, and its answer once it is over.
type asyncCall[R any] struct {
	*calls.Call
	answer R
}

// begin is what the step does with a record before its turn.
func (s *asyncStep[K, V, R]) begin(r *rec[K, V]) error {
	c := new(asyncCall[R])
	record := r.Record // r is used for the next one
	p := s.calls.preparing
	c.Call = s.pool.Go(p.key, s.attempt(&record, &c.answer), p.over)
	p.calls = append(p.calls, begun{node: s.node, call: c, over: c.Done})
	return nil
}

// attempt returns the function that makes one attempt.
func (s *asyncStep[K, V, R]) attempt(r *Record[K, V], answer *R) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = &task.PanicError{Value: p, Stack: debug.Stack(), First: true}
			}
		}()
		*answer, err = s.f(ctx, r)
		return err
	}
}

// process is what the step does with a record whose turn has come: its calls are over.
func (s *asyncStep[K, V, R]) process(frame *task.Frame, next handler[K, R]) handler[K, V] {
	own := new(rec[K, R])
	return func(r *rec[K, V]) error {
		frame.Enter(s.node)
		answer, err := s.take(r)
		if err != nil {
			return frame.Fail(Permanent(err)) // it had its attempts
		}
		relay(own, r)
		own.Value = answer
		return next(own)
	}
}

// take returns the answer for the next record of the step.
func (s *asyncStep[K, V, R]) take(r *rec[K, V]) (answer R, err error) {
	if c := s.calls.processing.take(s.node); c != nil {
		call := c.(*asyncCall[R])
		return call.answer, call.Err()
	}
	// A step in between sends more now than it did ahead of the record's turn.
	err = s.pool.Do(s.attempt(&r.Record, &answer))
	return answer, err
}
