package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// Worker runs the tasks of one application instance. Make it with New and call Run once.
type Worker struct {
	cfg       Config
	client    *client.Client
	committer committer
	loopback  *loopback
	stop      *stopper // nil unless the run ends by itself
	watch     *watch
	orphans   *orphans

	// turn is held by the loop from the return of a poll to the end of the round, and by a callback of the
	// group while it runs: they use the tasks in turns. (A poll that comes back empty does not hold callbacks
	// off by itself.)
	turn       sync.Mutex
	tasks      map[state.TaskID]*running
	routes     map[partition][]*running
	order      []*running // by id
	lastCommit time.Time
	commitTook time.Duration // the last one
	recordTime time.Duration // what a record took in the last run of tasks, about
	waiting    time.Time     // since when there is something processed and not committed; zero if there is not
	committed  bool          // in the last round
	pollTime   time.Duration // how long the next poll may wait
	joined     bool          // the group has dealt out partitions
	closing    bool
	// wanted are partitions that the group has given to this instance and whose tasks are not open, and not being opened:
	// they are new, or were dropped without a commit. opening is nil while no tasks are being opened.
	wanted   map[string][]int32
	opening  *opening
	standbys standbys

	// ctx ends when the worker gives up what it holds; the caller's context only asks it to finish.
	ctx    context.Context
	cancel context.CancelCauseFunc
	// running ends when the worker is asked to finish, or has to. wake ends it, and the poll under way.
	running context.Context
	wake    context.CancelCauseFunc

	// calls are the functions that tasks have called beside the loop.
	calls sync.WaitGroup

	mu struct {
		sync.Mutex
		err     error                        // of a callback
		markers map[partition]int64          // where the inputs of opened tasks resume
		held    map[state.TaskID]client.Held // state of tasks that run, and of those that are followed
		changed chan struct{}                // closed when there are more markers
		endPoll context.CancelFunc           // of the poll under way
		woken   bool                         // a task can go on: no poll may wait before the next round
	}
}

const (
	// stopPoll is how long a poll may wait in a run that ends by itself: the end is looked for after a poll that
	// brought nothing.
	stopPoll = 10 * time.Millisecond
	// morePoll is how long a poll may wait for what was appended during a commit.
	morePoll = time.Millisecond
	// waitPoll is how long a poll may wait while a task holds records and waits for its other inputs, which it does
	// for a moment only.
	waitPoll = 20 * time.Millisecond
)

// partition names a partition of a topic.
type partition struct {
	topic     string
	partition int32
}

// New checks the configuration and returns a worker that does not run yet.
func New(cfg Config) (*Worker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	w := &Worker{
		cfg:    cfg,
		tasks:  make(map[state.TaskID]*running),
		routes: make(map[partition][]*running),
		// The first poll returns soon: it finds no partitions yet.
		pollTime: stopPoll,
	}
	w.mu.changed = make(chan struct{})
	w.mu.markers = make(map[partition]int64)
	w.mu.held = make(map[state.TaskID]client.Held)
	return w, nil
}

// Run processes until ctx ends, or until everything is processed if the configuration says so. Then it finishes
// what was polled, commits, leaves the group and returns nil. Any error means that the last commit counts: what
// came after it will be done again by the next run.
func (w *Worker) Run(ctx context.Context) error {
	w.ctx, w.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	defer w.cancel(nil)

	cfg := w.cfg.Client
	cfg.Group = w.cfg.App
	cfg.Logger = w.cfg.Logger
	cfg.Sets = taskSets(w.cfg.Subs)
	cfg.Stateful = statefulSets(w.cfg.Subs, cfg.Sets)
	cfg.Standbys = client.Standbys{Count: w.cfg.Standbys, AcceptableLag: w.cfg.AcceptableLag, MaxWarmups: w.cfg.MaxWarmups}
	cfg.Held = func() map[client.Unit]client.Held { return w.heldUnits(cfg.Sets) }
	if w.cfg.AtLeastOnce {
		cfg.TransactionalID = ""
	}
	cfg.Note = w.note
	cfg.Assigned, cfg.Revoked, cfg.Lost, cfg.Resume = w.assigned, w.revoked, w.lost, w.resume
	w.running, w.wake = context.WithCancelCause(ctx)
	defer w.wake(nil)
	if err := w.open(cfg); err != nil {
		return err
	}

	defer w.limitShutdown()()
	err := w.loop(w.running)
	w.wake(nil)
	w.closing = true // the group hands us nothing more
	err = errors.Join(err, w.stopOpening())
	if err == nil {
		err = w.finish()
	}
	w.turn.Unlock()
	// The others take over now. The last checkpoints of the stores, which may take a while, are not for them to wait for.
	w.closeClient()
	w.turn.Lock()
	defer w.turn.Unlock()
	err = errors.Join(err, w.closeTasks(), w.closeStandbys())
	w.calls.Wait() // their contexts have ended with the tasks
	return err
}

// open joins the group. The group may call back before the client is there: it waits for its turn.
func (w *Worker) open(cfg client.Config) (err error) {
	w.turn.Lock()
	defer w.turn.Unlock()
	if w.client, err = client.Open(w.ctx, cfg); err != nil {
		return err
	}
	if w.cfg.AtLeastOnce {
		w.loopback = newLoopback(nil, 0)
		w.committer = &atLeastOnce{client: w.client, cfg: &w.cfg}
	} else {
		w.loopback = newLoopback(w.cfg.OwnInputs, w.cfg.MaxPollRecords)
		w.committer = &exactlyOnce{client: w.client, cfg: &w.cfg, loopback: w.loopback}
	}
	w.watch = newWatch(w.cfg.Subs)
	w.orphans = &orphans{logger: w.cfg.Logger}
	if w.cfg.StopAtEnd || w.cfg.InputsDone != nil {
		w.stop = newStopper(w)
	}
	return nil
}

// closeClient leaves the group. A cluster that did not answer in time is not asked to end a transaction either.
func (w *Worker) closeClient() {
	if w.ctx.Err() != nil {
		w.client.Abort()
	}
	w.client.Close()
}

// background is where tasks have slow functions called.
func (w *Worker) background() Background {
	return Background{Context: w.ctx, Go: w.calls.Go, Wake: func() {
		w.mu.Lock()
		w.mu.woken = true
		w.mu.Unlock()
		w.endPoll()
	}}
}

// limitShutdown makes the worker give up ShutdownTimeout after it has begun to finish: whatever waits for the cluster then
// fails, the group's answer to a member that joins and is about to leave included. The function it returns ends the watch.
func (w *Worker) limitShutdown() (stop func()) {
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-done:
			return
		case <-w.running.Done():
		}
		timeout := time.NewTimer(w.cfg.ShutdownTimeout)
		defer timeout.Stop()
		select {
		case <-done:
		case <-timeout.C:
			w.cancel(fmt.Errorf("worker: the last commit did not end within %v", w.cfg.ShutdownTimeout))
		}
	})
	return func() {
		close(done)
		watch.Wait()
	}
}

// loop runs rounds until ctx ends or there is nothing more to do. It returns with the turn held.
func (w *Worker) loop(ctx context.Context) error {
	for {
		polled, err := w.round(ctx)
		if errors.Is(err, client.ErrAborted) || w.refused(err) {
			err = w.rewind(err)
		}
		if err == nil {
			err = w.callbackError()
		}
		if err == nil {
			err = w.reopen(ctx)
		}
		if err == nil {
			err = w.stepStandbys()
		}
		if err == nil {
			err = w.watch.step(ctx, w.client.Admin())
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		w.orphans.step(ctx, w.client, w.watch.counts)
		if w.stop != nil {
			if done, err := w.stop.step(w.ctx, polled); done || err != nil {
				return err
			}
		}
		w.turn.Unlock()
		w.client.AllowRebalance()
	}
}

// round polls once, runs the tasks and commits if it is time. It returns with the turn held.
func (w *Worker) round(ctx context.Context) (polled int, err error) {
	pollCtx, cancel := context.WithTimeout(ctx, w.pollTime)
	w.mu.Lock()
	w.mu.endPoll = cancel
	if w.mu.woken {
		cancel()
	}
	w.mu.Unlock()
	// A fetch is answered as soon as there is anything. One that was answered during the last commit has only the first of
	// what was appended meanwhile: a commit of that alone would keep the rest waiting for the one after it.
	early := w.committed && w.client.Buffered() > 0
	var batches []client.Batch
	err = w.client.Poll(pollCtx, func(b client.Batch) { batches = append(batches, b) })
	cancel()
	w.mu.Lock()
	w.mu.woken = false // what it was about is seen in this round
	w.mu.Unlock()
	w.turn.Lock()
	moved, adoptErr := w.adopt()
	if err = errors.Join(err, adoptErr); err != nil {
		return 0, err
	}
	for _, b := range batches {
		if _, void := moved[partition{b.Topic, b.Partition}]; void {
			continue
		}
		polled += len(b.Records)
		w.loopback.fetched(b)
		for _, r := range w.routes[partition{b.Topic, b.Partition}] {
			err = errors.Join(err, r.add(b))
		}
	}
	if err != nil {
		return polled, err
	}
	if err := w.runTasks(); err != nil {
		return polled, err
	}
	w.throttle()
	w.committed = w.commitDue(early)
	if w.committed {
		err = w.commit(w.ctx)
	}
	// If tasks have more to do, the next poll does not wait.
	w.pollTime = w.cfg.CommitInterval
	if early && !w.committed {
		w.pollTime = min(w.pollTime, morePoll)
	}
	if w.stop != nil {
		w.pollTime = min(w.pollTime, stopPoll)
	}
	for _, r := range w.order {
		switch {
		case r.full:
			w.pollTime = 0
		case r.task.Queued() > 0:
			w.pollTime = min(w.pollTime, waitPoll)
		}
		if wake, ok := r.task.Wake(); ok {
			w.pollTime = min(w.pollTime, max(time.Until(wake), time.Millisecond))
		}
	}
	if w.loopback.waiting() {
		w.pollTime = 0
	}
	return polled, err
}

// refused reports whether an error says that the cluster takes no records for a topic, and that the tasks can do without.
func (w *Worker) refused(err error) bool {
	var refused *client.RefusedError
	return errors.As(err, &refused) && w.cfg.Refused != nil && w.cfg.Refused(refused)
}

// throttle stops fetching inputs of which a task holds too much: while it waits for its other inputs, or has more than it could do
// in this round.
func (w *Worker) throttle() {
	for _, r := range w.order {
		limit := int64(w.cfg.MaxQueuedRecords)
		if r.full {
			limit = min(limit, int64(w.cfg.MaxPollRecords))
		}
		r.positions(func(in *input, at int64) {
			switch held := in.last - at; {
			case !in.paused && held > limit:
				in.paused = true
				w.client.Pause(in.topic, r.id.Partition)
			case in.paused && held <= limit/2:
				in.paused = false
				if !in.ended {
					w.client.Unpause(in.topic, r.id.Partition)
				}
			}
		})
	}
}

// commitDue reports whether there is something to commit and it is time. early says that more input is on its way.
func (w *Worker) commitDue(early bool) bool {
	bytes, records, dirty := int64(0), 0, false
	drained, processed := w.committer.prompt(), false
	for _, r := range w.order {
		dirty = dirty || r.dirty
		drained = drained && !r.full && r.caughtUp()
		processed = processed || r.processed > 0
		bytes += r.uncommittedBytes()
		records += max(r.sink.to.Sent(), r.processed)
	}
	if !dirty {
		return false
	}
	now := time.Now()
	if processed && w.waiting.IsZero() {
		w.waiting = now
	}
	if now.Sub(w.lastCommit) >= w.cfg.CommitInterval ||
		bytes >= int64(w.cfg.MaxUncommittedBytes) || records >= w.cfg.MaxUncommittedRecords {
		return true
	}
	// Positions that moved past the end of a transaction, and nothing else, can wait.
	if !drained || !processed {
		return false
	}
	// What has come meanwhile is taken along, but does not hold up the rest for longer than a commit takes.
	return !early && w.client.Buffered() == 0 || now.Sub(w.waiting) >= w.commitTook
}

// commit makes permanent what the tasks did. If that fails in a way that doing it again remedies, the tasks are dropped and
// no error is reported.
func (w *Worker) commit(ctx context.Context) error {
	var dirty []*running
	for _, r := range w.order {
		if r.dirty {
			dirty = append(dirty, r)
		}
	}
	w.lastCommit = time.Now()
	if len(dirty) == 0 {
		return nil
	}
	err := w.committer.commit(ctx, dirty, w.groupOffsets(dirty))
	if errors.Is(err, client.ErrFenced) || errors.Is(err, client.ErrAborted) || w.refused(err) {
		return w.rewind(err)
	}
	if err != nil {
		return errors.Join(err, context.Cause(w.ctx))
	}
	for _, r := range dirty {
		w.cfg.Metrics.deadLetters(r.id, r.sink.dead)
		w.cfg.Metrics.skip(r.id, r.sink.skipped, r.sink.undecoded)
		if r.sink.oldest > 0 {
			w.cfg.Metrics.outputs(r, r.sink.oldest)
		}
		r.sink.reset()
		r.dirty, r.processed = false, 0
	}
	w.holdRunning()
	w.commitTook, w.waiting = time.Since(w.lastCommit), time.Time{}
	w.cfg.Metrics.committed(w.commitTook)
	w.observe()
	return nil
}

// groupOffsets is what the group commits: for a partition that several tasks read, the lowest of their positions.
func (w *Worker) groupOffsets(dirty []*running) client.Offsets {
	wanted := make(map[partition]bool)
	for _, r := range dirty {
		for _, in := range r.inputs {
			wanted[partition{in.topic, r.id.Partition}] = true
		}
	}
	offsets := make(client.Offsets)
	for _, r := range w.order {
		r.positions(func(in *input, at int64) {
			if !wanted[partition{in.topic, r.id.Partition}] {
				return
			}
			if other, ok := offsets[in.topic][r.id.Partition]; !ok || at < other {
				offsets.Set(in.topic, r.id.Partition, at)
			}
		})
	}
	return offsets
}

// observe tells the metrics where the inputs stand.
func (w *Worker) observe() {
	now := time.Now()
	for _, r := range w.order {
		w.cfg.Metrics.stands(r)
		r.positions(func(in *input, at int64) {
			if in.next < 0 {
				return
			}
			lag, age := max(in.end-at, 0), time.Duration(0)
			if lag > 0 && in.lastTime > 0 {
				age = now.Sub(time.UnixMilli(in.lastTime))
			}
			w.cfg.Metrics.lag(in.topic, r.id.Partition, lag)
			w.cfg.Metrics.inputAge(in.topic, r.id.Partition, age)
		})
	}
	if disk, ok := w.cfg.Backend.(interface{ Size() int64 }); ok {
		w.cfg.Metrics.bytes.Set(float64(disk.Size()))
	}
}

// finish processes what was polled, as far as half of ShutdownTimeout and MaxPollRecords allow, and commits it.
func (w *Worker) finish() error {
	start, polled := time.Now(), 0
	for before := -1; time.Since(start) < w.cfg.ShutdownTimeout/2; {
		queued, full := 0, false
		for _, r := range w.order {
			queued += r.task.Queued()
			full = full || r.full
		}
		if !full && (queued == 0 || queued == before) {
			break // what is left waits for another input
		}
		if before, polled = queued, max(polled, queued); polled-queued >= w.cfg.MaxPollRecords {
			break // the rest is left to whoever comes next
		}
		err := w.runTasks()
		if errors.Is(err, client.ErrAborted) || w.refused(err) {
			return w.rewind(err) // the next run does it again
		}
		if err != nil {
			return err
		}
	}
	return w.commit(w.ctx)
}

// setTasks replaces the tasks of the loop.
func (w *Worker) setTasks(tasks map[state.TaskID]*running) {
	w.tasks = tasks
	w.order = w.order[:0]
	clear(w.routes)
	for _, r := range tasks {
		w.order = append(w.order, r)
	}
	slices.SortFunc(w.order, func(a, b *running) int { return compareTasks(a.id, b.id) })
	for _, r := range w.order {
		for _, in := range r.inputs {
			at := partition{in.topic, r.id.Partition}
			w.routes[at] = append(w.routes[at], r)
		}
	}
	w.loopback.setTasks(w.routes)
	w.holdRunning()
	w.cfg.Metrics.setTasks(w.order)
}

func compareTasks(a, b state.TaskID) int {
	return cmp.Or(cmp.Compare(a.SubTopology, b.SubTopology), cmp.Compare(a.Partition, b.Partition))
}

// closeTasks drops the tasks and what they have not committed.
func (w *Worker) closeTasks() error {
	return w.release(func(*running) bool { return true })
}

// release closes some of the tasks and drops what they have not committed.
func (w *Worker) release(wanted func(*running) bool) error {
	var errs []error
	kept := make(map[state.TaskID]*running)
	for _, r := range w.order {
		if !wanted(r) {
			kept[r.id] = r
			continue
		}
		for _, in := range r.inputs {
			if (in.paused || in.ended) && !w.closing {
				w.client.Unpause(in.topic, r.id.Partition)
			}
		}
		if err := r.close(); err != nil {
			errs = append(errs, fmt.Errorf("worker: close task %s: %w", r.id, err))
		}
	}
	w.setTasks(kept)
	return errors.Join(errs...)
}

// callbackError returns what went wrong in a callback of the group.
func (w *Worker) callbackError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.err
}

// fail ends the loop with an error from a callback.
func (w *Worker) fail(err error) {
	w.mu.Lock()
	w.mu.err = errors.Join(w.mu.err, err)
	w.mu.Unlock()
	w.wake(err)
}
