package calls

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a pool makes calls. All limits must be set.
type Config struct {
	MaxInFlight int           // calls at a time
	Unordered   bool          // calls of one key may be made at a time
	Timeout     time.Duration // of an attempt
	Attempts    int           // of a call, the first included
	// Backoff is the pause after the first failure. It doubles with each further one, up to MaxBackoff.
	Backoff, MaxBackoff time.Duration
	// Permanent reports whether an error will not go away by another attempt. Nil is never.
	Permanent func(error) bool

	// Context is that of the calls.
	Context context.Context
	// Go runs f on a goroutine of its own.
	Go func(f func())
	// Began and Ended are told of each call: that it takes its place, and that it is over, how long that took, and how many
	// attempts failed. They may be nil.
	Began func()
	Ended func(took time.Duration, failures int)
}

// Pool makes calls.
type Pool struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc

	mu struct {
		sync.Mutex
		next    int64 // number of the next call
		running int
		ready   []*Call            // have their key and wait for a place, in order
		keys    map[string][]*Call // calls that wait for a key, in order; an entry for each key that is taken
	}
}

// Call is a call that was given to a pool.
type Call struct {
	number int64
	key    string
	keyed  bool
	do     func(context.Context) error
	then   func()

	err  error
	done atomic.Bool
}

// Done reports whether the call is over. Err is there then.
func (c *Call) Done() bool { return c.done.Load() }

// Err is why the last attempt failed, or nil.
func (c *Call) Err() error { return c.err }

// New returns a pool that has nothing to call.
func New(cfg Config) *Pool {
	p := &Pool{cfg: cfg}
	p.ctx, p.cancel = context.WithCancel(cfg.Context)
	p.mu.keys = make(map[string][]*Call)
	return p
}

// Go has do called, and then called once the call is over. A nil key has no order.
func (p *Pool) Go(key []byte, do func(context.Context) error, then func()) *Call {
	c := &Call{do: do, then: then, keyed: key != nil && !p.cfg.Unordered}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.number = p.mu.next
	p.mu.next++
	if c.keyed {
		c.key = string(key)
		if waiting, taken := p.mu.keys[c.key]; taken {
			p.mu.keys[c.key] = append(waiting, c)
			return c
		}
		p.mu.keys[c.key] = nil
	}
	p.mu.ready = append(p.mu.ready, c)
	if p.mu.running < p.cfg.MaxInFlight {
		p.mu.running++
		p.cfg.Go(p.work)
	}
	return c
}

// Do calls do and waits for it, whatever else the pool has under way.
func (p *Pool) Do(do func(context.Context) error) error {
	c := &Call{do: do}
	p.call(c)
	return c.err
}

// Close cancels the calls under way, and those that wait. It does not wait for them.
func (p *Pool) Close() { p.cancel() }

// work makes calls until none is ready.
func (p *Pool) work() {
	for c := p.take(nil); c != nil; c = p.take(c) {
		p.call(c)
		c.done.Store(true)
		c.then()
	}
}

// take lets go of a call that is over, and returns the next one, or nil: its place is free then.
func (p *Pool) take(over *Call) *Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	if over != nil && over.keyed {
		p.releaseLocked(over.key)
	}
	if len(p.mu.ready) == 0 {
		p.mu.running--
		return nil
	}
	c := p.mu.ready[0]
	p.mu.ready[0] = nil
	p.mu.ready = p.mu.ready[1:]
	return c
}

// releaseLocked gives a key to the call that waits for it longest. That one was given earlier than others that are ready
// by now, and goes first.
func (p *Pool) releaseLocked(key string) {
	waiting := p.mu.keys[key]
	if len(waiting) == 0 {
		delete(p.mu.keys, key)
		return
	}
	p.mu.keys[key] = waiting[1:]
	at, _ := slices.BinarySearchFunc(p.mu.ready, waiting[0], func(a, b *Call) int { return int(a.number - b.number) })
	p.mu.ready = slices.Insert(p.mu.ready, at, waiting[0])
}

// call makes the attempts of a call.
func (p *Pool) call(c *Call) {
	start := time.Now()
	if p.cfg.Began != nil {
		p.cfg.Began()
	}
	attempt, pause := 1, p.cfg.Backoff
	for ; ; attempt++ {
		if c.err = p.attempt(c.do); c.err == nil || attempt == p.cfg.Attempts || p.cfg.Permanent != nil && p.cfg.Permanent(c.err) {
			break
		}
		if !p.wait(pause) {
			break
		}
		pause = min(2*pause, p.cfg.MaxBackoff)
	}
	failures := attempt
	switch {
	case c.err == nil:
		failures--
	case attempt > 1:
		c.err = fmt.Errorf("%w (attempt %d)", c.err, attempt)
	}
	if p.cfg.Ended != nil {
		p.cfg.Ended(time.Since(start), failures)
	}
}

// attempt calls do once.
func (p *Pool) attempt(do func(context.Context) error) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.Timeout)
	defer cancel()
	err := do(ctx)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil && p.ctx.Err() == nil {
		err = fmt.Errorf("no answer within %v: %w", p.cfg.Timeout, err)
	}
	return err
}

// wait pauses, and reports whether the pool is still open.
func (p *Pool) wait(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}
