package commitlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// FlusherConfig tunes a Flusher. The zero value is a working configuration.
type FlusherConfig struct {
	// MaxWaiting is how many calls of Wait may be under way; further ones wait for
	// their turn. The default is 65,536.
	MaxWaiting int

	// FlushedFunc, if set, is told of every flush: of how long it took and how many
	// waiters it served. It is called by the flusher's goroutine and must not block.
	FlushedFunc func(took time.Duration, waiters int, err error)

	// Logger gets failures. The default discards them.
	Logger *slog.Logger
}

func (c FlusherConfig) withDefaults() FlusherConfig {
	if c.MaxWaiting <= 0 {
		c.MaxWaiting = 65_536
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Flusher makes appends durable by group commit: one goroutine flushes, one after
// the other, all logs that somebody waits for, and one fsync serves everybody who
// waits for that log. Fsyncs in parallel would be slower in sum than one at a time.
// While one is under way, the next group gathers.
type Flusher struct {
	cfg   FlusherConfig
	slots chan struct{} // one per call of Wait that is under way
	wake  chan struct{} // capacity one: there is something in queue, or the end
	done  chan struct{} // closed when the goroutine has ended

	mu struct {
		sync.Mutex
		queue    []*Log             // logs that somebody waits for, each once, in order
		waiting  map[*Log][]*waiter // by log in queue
		flushing []*waiter          // those whom the flush under way serves; nil: gave up
		free     []*waiter
		spare    [][]*waiter
		closed   bool
	}
}

type waiter struct {
	offset int64
	result chan error // capacity one
}

// NewFlusher starts a flusher. It must be closed.
func NewFlusher(cfg FlusherConfig) *Flusher {
	cfg = cfg.withDefaults()
	f := &Flusher{
		cfg:   cfg,
		slots: make(chan struct{}, cfg.MaxWaiting),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	f.mu.waiting = make(map[*Log][]*waiter)
	go f.run()
	return f
}

// Wait returns when FlushedOffset of l is at least offset. It returns ErrFenced if
// the flush failed, now or earlier, ErrClosed, or the error of ctx; then the records
// must not be acknowledged.
func (f *Flusher) Wait(ctx context.Context, l *Log, offset int64) error {
	if l.FlushedOffset() >= offset {
		return nil
	}
	if end := l.EndOffset(); offset > end {
		return fmt.Errorf("%w: wait for %d, the log ends at %d", ErrOffsetOutOfRange, offset, end)
	}
	select {
	case f.slots <- struct{}{}:
	case <-f.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-f.slots }()
	w, err := f.enqueue(l, offset)
	if err != nil {
		return err
	}
	select {
	case err = <-w.result:
	case <-ctx.Done():
		if f.withdraw(l, w) {
			err = ctx.Err()
		} else { // it was served meanwhile
			err = <-w.result
		}
	}
	f.recycle(w)
	return err
}

func (f *Flusher) enqueue(l *Log, offset int64) (*waiter, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.closed {
		return nil, ErrClosed
	}
	var w *waiter
	if n := len(f.mu.free); n > 0 {
		w, f.mu.free = f.mu.free[n-1], f.mu.free[:n-1]
	} else {
		w = &waiter{result: make(chan error, 1)}
	}
	w.offset = offset
	waiters, queued := f.mu.waiting[l]
	if n := len(f.mu.spare); !queued && n > 0 {
		waiters, f.mu.spare = f.mu.spare[n-1], f.mu.spare[:n-1]
	}
	f.mu.waiting[l] = append(waiters, w)
	if !queued {
		f.mu.queue = append(f.mu.queue, l)
		f.signal()
	}
	return w, nil
}

func (f *Flusher) recycle(w *waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.free = append(f.mu.free, w)
}

// withdraw takes w out of the queue. It reports false if w has its result already.
func (f *Flusher) withdraw(l *Log, w *waiter) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.mu.waiting[l], w); i >= 0 {
		f.mu.waiting[l] = slices.Delete(f.mu.waiting[l], i, i+1)
		return true
	}
	if i := slices.Index(f.mu.flushing, w); i >= 0 {
		f.mu.flushing[i] = nil
		return true
	}
	return false
}

func (f *Flusher) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *Flusher) run() {
	defer close(f.done)
	for range f.wake {
		for l := f.take(); l != nil; l = f.take() {
			start := time.Now()
			err := l.Flush()
			served := f.serve(l.FlushedOffset(), err)
			if err != nil && !errors.Is(err, ErrClosed) {
				f.cfg.Logger.Error("flush failed", "err", err)
			}
			if f.cfg.FlushedFunc != nil {
				f.cfg.FlushedFunc(time.Since(start), served, err)
			}
		}
		if f.ended() {
			return
		}
	}
}

// take removes the first log from the queue. Those who begin to wait for it from now
// on put it there again.
func (f *Flusher) take() *Log {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.closed || len(f.mu.queue) == 0 {
		return nil
	}
	l := f.mu.queue[0]
	f.mu.queue = slices.Delete(f.mu.queue, 0, 1)
	f.mu.flushing = f.mu.waiting[l]
	delete(f.mu.waiting, l)
	return l
}

// serve answers those who waited for the flush that has ended.
func (f *Flusher) serve(flushed int64, err error) (served int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.mu.flushing {
		switch {
		case w == nil:
		case w.offset <= flushed:
			w.result <- nil
			served++
		default:
			w.result <- err
		}
	}
	clear(f.mu.flushing)
	f.mu.spare = append(f.mu.spare, f.mu.flushing[:0])
	f.mu.flushing = nil
	return served
}

// ended answers everybody if the flusher was closed.
func (f *Flusher) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.mu.closed {
		return false
	}
	for _, l := range f.mu.queue {
		for _, w := range f.mu.waiting[l] {
			w.result <- ErrClosed
		}
		delete(f.mu.waiting, l)
	}
	f.mu.queue = nil
	return true
}

// Close ends the goroutine. Calls of Wait that are under way return ErrClosed.
func (f *Flusher) Close() {
	f.mu.Lock()
	f.mu.closed = true
	f.mu.Unlock()
	f.signal()
	<-f.done
}
