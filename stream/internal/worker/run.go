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

// runTasks runs every task that has records, may have timers that are due, or is woken by the clock, and those that are
// handed something by them.
func (w *Worker) runTasks() error {
	now := time.Now()
	if err := w.loopback.begin(len(w.order), now); err != nil {
		return err
	}
	var ready []*running
	for _, r := range w.order {
		if wake, ok := r.task.Wake(); r.task.Queued() > 0 || r.full || ok && !wake.After(now) {
			ready = append(ready, r)
		}
		r.begin(w.cfg.MaxPollRecords)
	}
	if len(ready) == 0 {
		return nil
	}
	defer w.tellHeld()
	if err := w.committer.begin(w.ctx); err != nil {
		return err
	}
	// Where there is more than is to be done at a time, each task does its share: a backlog of one must not keep the
	// goroutines of others waiting.
	share := fairShare(ready, w.cfg.MaxPollRecords)
	for _, r := range ready {
		r.begin(share)
	}
	t := turns{w: w, now: now}
	return t.run(ready)
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
