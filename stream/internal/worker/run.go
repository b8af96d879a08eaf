package worker

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// littleTime and littleBytes are work that is done before another goroutine has begun with it, and has grown its stack.
	littleTime  = 300 * time.Microsecond
	littleBytes = 32 << 10
)

// runTasks runs every task that has records, may have timers that are due, or is woken by the clock, and then those that
// were handed something by the ones before.
func (w *Worker) runTasks() error {
	now := time.Now()
	if _, err := w.loopback.deliver(len(w.order), now); err != nil {
		return err
	}
	var ready []*running
	for _, r := range w.order {
		if wake, ok := r.task.Wake(); r.task.Queued() > 0 || r.full || ok && !wake.After(now) {
			ready = append(ready, r)
		}
		r.full = false
	}
	if len(ready) == 0 {
		return nil
	}
	defer w.tellHeld()
	if err := w.committer.begin(w.ctx); err != nil {
		return err
	}
	for range w.cfg.Subs { // no chain is longer, unless it goes in a circle
		if err := w.runReady(ready, now); err != nil {
			return err
		}
		var err error
		if ready, err = w.loopback.deliver(len(w.order), now); err != nil {
			return err
		}
		if len(ready) == 0 {
			return nil
		}
	}
	return nil
}

// runReady runs tasks, up to Workers of them in parallel, unless there is little to do. Where there is more than is to be done at a
// time, each task does its share: a backlog of one must not keep the goroutines of others waiting.
func (w *Worker) runReady(ready []*running, now time.Time) error {
	queued, limit := 0, w.cfg.Workers
	for _, r := range ready {
		queued += r.task.Queued()
	}
	if w.recordTime > 0 && time.Duration(queued)*w.recordTime < littleTime {
		limit = 1
	}
	share := fairShare(ready, w.cfg.MaxPollRecords)
	start := time.Now()
	err := parallel(len(ready), limit, func(i int) error {
		r, start := ready[i], time.Now()
		n, err := r.run(share, now)
		w.cfg.Metrics.ran(r, n, time.Since(start))
		if w.stop != nil {
			w.cfg.Metrics.replays.Add(float64(n))
		}
		return err
	})
	if queued > 0 {
		w.recordTime = time.Since(start) / time.Duration(queued)
	}
	return err
}

// fairShare is how much each task may do so that all together do about total: what some do not need goes to the others.
func fairShare(ready []*running, total int) int {
	queued := make([]int, len(ready))
	for i, r := range ready {
		queued[i] = r.task.Queued()
	}
	slices.Sort(queued)
	left := total
	for i, n := range queued {
		if share := left / (len(queued) - i); n > share {
			return max(share, 1)
		}
		left -= n
	}
	return total // all can do everything
}

// tellHeld tells the metrics how many tasks do not go on.
func (w *Worker) tellHeld() {
	held := 0
	for _, r := range w.order {
		if r.task.Held() {
			held++
		}
	}
	w.cfg.Metrics.hold(held)
}

// parallel calls f with 0 to n-1, by up to limit goroutines. One of them is the caller's.
func parallel(n, limit int, f func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			errs[i] = f(i)
		}
	}
	var others sync.WaitGroup
	for range min(n, limit) - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
	return errors.Join(errs...)
}
