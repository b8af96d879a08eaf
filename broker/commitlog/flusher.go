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
	// MaxWaiting is how many flushes may be asked for and not be done; further calls of
	// Start and Wait wait for their turn. The default is 65,536.
	MaxWaiting int

	// Parallel is how many logs are flushed at a time. The default is 8.
	Parallel int

	// Journal, if set, makes logs durable of which little is unflushed, many at a time. It is
	// closed after the flusher.
	Journal *Journal

	// FlushedFunc, if set, is told of every flush: of how long it took and how many
	// waiters it served. It is called by several goroutines and must not block.
	FlushedFunc func(took time.Duration, waiters int, err error)

	// Logger gets failures. The default discards them.
	Logger *slog.Logger
}

func (c FlusherConfig) withDefaults() FlusherConfig {
	if c.MaxWaiting <= 0 {
		c.MaxWaiting = 65_536
	}
	if c.Parallel <= 0 {
		c.Parallel = 8
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Flusher makes appends durable by group commit: a few goroutines flush all logs that
// somebody waits for, and one fsync serves everybody who waits for that log. While one
// is under way, the next group of that log gathers. Fsyncs of several files at a time
// share what the file system writes for them: its journal commits for all of them at once.
// With a Journal of ours one fsync serves all logs that wait and have little to flush.
type Flusher struct {
	cfg   FlusherConfig
	slots chan struct{} // one per waiter that has neither its result nor given up
	wake  chan struct{} // capacity one: somebody waits for what is in queue, or the end
	done  chan struct{} // closed when the goroutines have ended

	mu struct {
		sync.Mutex
		queue    []*Log             // logs that somebody waits for, each once, in order
		waiting  map[*Log][]*waiter // by log in queue
		flushing map[*Log]bool      // logs whose flush is under way
		// journaling means that the journal is being written. What could go there waits.
		journaling bool
		free       []*waiter
		spare      [][]*waiter
		closed     bool
	}
}

// waiter is what a Pending waits for. Its fields but the channel are guarded by Flusher.mu.
type waiter struct {
	offset int64
	gone   bool       // nobody waits any more
	served bool       // result has, or had, its value
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
	f.mu.flushing = make(map[*Log]bool)
	var running sync.WaitGroup
	for range cfg.Parallel {
		running.Go(f.run)
	}
	go func() {
		running.Wait()
		close(f.done)
	}()
	return f
}

// Wait returns when FlushedOffset of l is at least offset. It returns ErrFenced if
// the flush failed, now or earlier, ErrClosed, or the error of ctx; then the records
// must not be acknowledged.
func (f *Flusher) Wait(ctx context.Context, l *Log, offset int64) error {
	return f.Start(ctx, l, offset).Wait(ctx)
}

// Pending is a flush that was asked for.
type Pending struct {
	f   *Flusher
	w   *waiter // nil: err says it
	err error
}

// Start asks for what Wait waits for. The flush begins when somebody waits, so that the logs of a
// request are flushed at the same time. It waits only while MaxWaiting others do.
func (f *Flusher) Start(ctx context.Context, l *Log, offset int64) Pending {
	if l.FlushedOffset() >= offset {
		return Pending{}
	}
	if end := l.EndOffset(); offset > end {
		return Pending{err: fmt.Errorf("%w: wait for %d, the log ends at %d", ErrOffsetOutOfRange, offset, end)}
	}
	select {
	case f.slots <- struct{}{}:
	default:
		f.signal()
		select {
		case f.slots <- struct{}{}:
		case <-f.done:
			return Pending{err: ErrClosed}
		case <-ctx.Done():
			return Pending{err: ctx.Err()}
		}
	}
	w, err := f.enqueue(l, offset)
	if err != nil {
		<-f.slots
	}
	return Pending{f, w, err}
}

// Wait is Flusher.Wait for what was asked for. It may be called once.
func (p Pending) Wait(ctx context.Context) error {
	if p.w == nil {
		return p.err
	}
	var err error
	select {
	case err = <-p.w.result:
	default:
		p.f.signal()
		select {
		case err = <-p.w.result:
		case <-ctx.Done():
			if p.f.withdraw(p.w) {
				return ctx.Err()
			}
			err = <-p.w.result // it was served meanwhile
		}
	}
	p.f.recycle(p.w)
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
	w.offset, w.served = offset, false
	waiters, queued := f.mu.waiting[l]
	if n := len(f.mu.spare); !queued && n > 0 {
		waiters, f.mu.spare = f.mu.spare[n-1], f.mu.spare[:n-1]
	}
	f.mu.waiting[l] = append(waiters, w)
	if !queued {
		f.mu.queue = append(f.mu.queue, l)
	}
	return w, nil
}

func (f *Flusher) recycle(w *waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.free = append(f.mu.free, w)
}

// withdraw gives w up. It reports false if w has its result already.
func (f *Flusher) withdraw(w *waiter) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.served {
		return false
	}
	w.gone = true
	<-f.slots
	return true
}

func (f *Flusher) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *Flusher) run() {
	var w work
	for range f.wake {
		for f.take(&w) {
			if w.journal {
				f.journal(&w)
			} else {
				start := time.Now()
				err := w.logs[0].Flush()
				f.tell(start, f.finish(w.logs[0], w.waiters[0], err), err)
			}
		}
		if f.ended() {
			f.signal() // the next one ends too
			return
		}
	}
}

// work is what a goroutine of a Flusher does next: one log, or those that go into the journal.
type work struct {
	logs    []*Log
	waiters [][]*waiter // of each log
	journal bool
}

// maxJournaledLogs bounds what goes into the journal at a time.
const maxJournaledLogs = 256

// take moves into w the first log of the queue that no other goroutine flushes, with those who
// wait for it, or all that can go into the journal. Those who begin to wait from now on put their log
// there again, until the flush has been served. It reports whether there was something.
func (f *Flusher) take(w *work) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(w.logs)
	clear(w.waiters)
	w.logs, w.waiters, w.journal = w.logs[:0], w.waiters[:0], false
	if f.mu.closed {
		return false
	}
	f.mu.queue = slices.DeleteFunc(f.mu.queue, func(l *Log) bool {
		if f.mu.flushing[l] || len(w.logs) > 0 && !w.journal || len(w.logs) == maxJournaledLogs {
			return false
		}
		if f.cfg.Journal.takes(l) {
			if f.mu.journaling {
				return false
			}
			w.journal = true
		} else if w.journal {
			return false
		}
		w.logs, w.waiters = append(w.logs, l), append(w.waiters, f.mu.waiting[l])
		delete(f.mu.waiting, l)
		f.mu.flushing[l] = true
		return true
	})
	f.mu.journaling = f.mu.journaling || w.journal
	if len(w.logs) > 0 && len(f.mu.queue) > 0 {
		f.signal()
	}
	return len(w.logs) > 0
}

// journal has the journal make logs durable. What it does not take is flushed by itself.
func (f *Flusher) journal(w *work) {
	start := time.Now()
	f.cfg.Journal.flush(w.logs)
	f.mu.Lock()
	f.mu.journaling = false
	f.mu.Unlock()
	served := 0
	var errs []error
	for i, l := range w.logs {
		var err error
		if flushed := l.FlushedOffset(); slices.ContainsFunc(w.waiters[i], func(w *waiter) bool { return w.offset > flushed }) {
			err = l.Flush()
			errs = append(errs, err)
		}
		served += f.finish(l, w.waiters[i], err)
	}
	f.tell(start, served, errors.Join(errs...))
}

// finish answers those who waited for a flush that has ended.
func (f *Flusher) finish(l *Log, waiters []*waiter, err error) (served int) {
	if err != nil && !errors.Is(err, ErrClosed) {
		f.cfg.Logger.Error("flush failed", "err", err)
	}
	return f.serve(l, waiters, l.FlushedOffset(), err)
}

func (f *Flusher) tell(start time.Time, served int, err error) {
	if f.cfg.FlushedFunc != nil {
		f.cfg.FlushedFunc(time.Since(start), served, err)
	}
}

// serve answers those who waited for a flush that has ended.
func (f *Flusher) serve(l *Log, waiters []*waiter, flushed int64, err error) (served int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.mu.flushing, l)
	for _, w := range waiters {
		if w.offset > flushed {
			f.answer(w, err)
		} else if f.answer(w, nil) {
			served++
		}
	}
	clear(waiters)
	f.mu.spare = append(f.mu.spare, waiters[:0])
	return served
}

// answer gives a waiter its result, and reports whether it still waits. The caller holds the lock.
func (f *Flusher) answer(w *waiter, err error) bool {
	if w.gone {
		return false
	}
	w.served = true
	w.result <- err
	<-f.slots
	return true
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
			f.answer(w, ErrClosed)
		}
		delete(f.mu.waiting, l)
	}
	f.mu.queue = nil
	return true
}

// Close ends the goroutines. Calls of Wait that are under way return ErrClosed.
func (f *Flusher) Close() {
	f.mu.Lock()
	f.mu.closed = true
	f.mu.Unlock()
	f.signal()
	<-f.done
}
