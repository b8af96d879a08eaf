package worker

import (
	"errors"
	"sync"
	"time"
)

// turns has the tasks of a round take turns on up to Workers goroutines. A task that is handed something takes its turn as soon
// as a goroutine is free, and another one if it is handed more: no stage of a chain waits for the slowest task of the one before.
type turns struct {
	w   *Worker
	now time.Time

	mu      sync.Mutex
	changed sync.Cond  // there are tasks to run, or none runs
	ready   []*running // in the order in which they take their turns
	busy    int        // tasks that run
	workers int        // goroutines
	others  sync.WaitGroup
	records int           // that were processed
	took    time.Duration // by them, on all goroutines together
	err     error
}

// run returns when no task can go on, or may do more in this round, or when one has failed.
func (t *turns) run(ready []*running) error {
	t.changed.L = &t.mu
	t.mu.Lock()
	t.workers = 1
	t.add(ready...)
	t.mu.Unlock()
	t.work()
	t.others.Wait()
	for _, r := range t.ready { // another one has failed
		r.ready = false
	}
	if t.records > 0 {
		t.w.recordTime = t.took / time.Duration(t.records)
	}
	return t.err
}

// add has tasks take a turn, and starts goroutines for them, unless there is little to do.
func (t *turns) add(tasks ...*running) {
	for _, r := range tasks {
		if !r.ready && !r.full {
			r.ready = true
			t.ready = append(t.ready, r)
		}
	}
	for t.workers < t.w.cfg.Workers && len(t.ready) > t.workers-t.busy && !t.little() {
		t.workers++
		t.others.Go(t.work)
	}
	t.changed.Broadcast()
}

// little reports whether what is to do would be done before another goroutine has begun with it.
func (t *turns) little() bool {
	queued := 0
	for _, r := range t.ready {
		queued += r.task.Queued()
	}
	return t.w.recordTime > 0 && time.Duration(queued)*t.w.recordTime < littleTime
}

// work runs tasks until there are no more.
func (t *turns) work() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for r := t.next(); r != nil; r = t.next() {
		t.mu.Unlock()
		start := time.Now()
		n, again, err := r.run(t.now)
		took := time.Since(start)
		t.w.cfg.Metrics.ran(r, n, took)
		if t.w.stop != nil {
			t.w.cfg.Metrics.replays.Add(float64(n))
		}
		t.mu.Lock()
		r.busy = false
		t.busy--
		t.records += n
		t.took += took
		t.err = errors.Join(t.err, err)
		if again {
			t.add(r)
		}
		t.hand()
	}
	t.changed.Broadcast() // for those who wait, too, this is the end
}

// next returns the task whose turn it is, and waits for it if need be; nil if there will be none.
func (t *turns) next() *running {
	for t.err == nil && len(t.ready) == 0 && t.busy > 0 {
		t.changed.Wait()
	}
	if t.err != nil || len(t.ready) == 0 {
		return nil
	}
	r := t.ready[0]
	t.ready = t.ready[1:]
	r.ready, r.busy = false, true
	t.busy++
	return r
}

// hand gives tasks what was handed over to them. Those that merge topics get it when no other task goes on: they have to see
// together what was written together.
func (t *turns) hand() {
	to, err := t.w.loopback.deliver(false)
	if err == nil && len(to) == 0 && t.busy == 0 && len(t.ready) == 0 {
		to, err = t.w.loopback.deliver(true)
	}
	t.err = errors.Join(t.err, err)
	if len(to) > 0 {
		t.add(to...)
	}
}
