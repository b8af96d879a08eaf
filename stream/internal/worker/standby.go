package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// A standby is the state of a task that another instance runs: it is brought up to its changelogs as that of an own task
// is, and then follows them. When the group gives the task to this instance, it is opened with that state, and what has been
// read of the changelogs need not be read again.

// standbys are those of this instance. They are guarded by the turn.
type standbys struct {
	wanted    map[state.TaskID]bool // what the group wants kept; true: to be given the task when it has caught up
	following *following            // nil while none are kept
	failed    time.Time             // when following failed last
	wait      time.Duration         // how long to wait before it is tried again
	probed    time.Time             // when a rebalance was asked for
}

// following reads the changelogs of standbys beside the loop.
type following struct {
	tasks  map[state.TaskID]*running // without tasks; used by the goroutine until done
	cancel context.CancelFunc
	done   chan struct{}
	err    error // after done, if it ended by itself
}

const (
	// followBackoff is the first pause after following has failed, maxFollowBackoff the longest.
	followBackoff    = time.Second
	maxFollowBackoff = time.Minute
)

// follows reports whether a task is kept as a standby.
func (s *standbys) follows(id state.TaskID) bool {
	return s.following != nil && s.following.tasks[id] != nil
}

// wantStandbys takes over what the group wants kept.
func (w *Worker) wantStandbys(given []client.Standby) {
	wanted := make(map[state.TaskID]bool)
	sets := taskSets(w.cfg.Subs)
	for _, s := range given {
		for _, sub := range w.cfg.Subs {
			if len(sub.Stores) > 0 && sets[setOf(sub, sets)][0] == s.Topic {
				wanted[state.TaskID{SubTopology: sub.ID, Partition: s.Partition}] = s.WarmUp
			}
		}
	}
	if !maps.Equal(wanted, w.standbys.wanted) {
		w.standbys.probed = time.Time{}
	}
	w.standbys.wanted = wanted
}

// stepStandbys is called after each round: it follows what is wanted, and asks for the tasks that have warmed up.
func (w *Worker) stepStandbys() error {
	if w.running.Err() != nil {
		return nil
	}
	s := &w.standbys
	if f := s.following; f != nil {
		select {
		case <-f.done:
			if err := w.followFailed(f.err); err != nil {
				return err
			}
		default:
		}
	}
	if time.Since(s.failed) < s.wait {
		return nil
	}
	tasks := w.wantedStandbys()
	if !sameTasks(tasks, s.following) {
		if err := w.stopFollowing(tasks); err != nil {
			return err
		}
		w.startFollowing(tasks)
	}
	w.probe()
	return nil
}

// wantedStandbys are the tasks to be followed: those that the group wants and that are not open, nor about to be. One
// that is followed and about to be opened goes on until then.
func (w *Worker) wantedStandbys() map[state.TaskID]*running {
	tasks := make(map[state.TaskID]*running)
	soon := w.newTasks(w.wanted)
	for id := range w.standbys.wanted {
		if w.tasks[id] == nil && soon[id] == nil && (w.opening == nil || w.opening.tasks[id] == nil) {
			tasks[id] = nil
		}
	}
	if f := w.standbys.following; f != nil {
		for id, r := range f.tasks {
			if _, wanted := tasks[id]; wanted || soon[id] != nil {
				tasks[id] = r
			}
		}
	}
	for id := range tasks {
		for i := range w.cfg.Subs {
			if sub := &w.cfg.Subs[i]; tasks[id] == nil && sub.ID == id.SubTopology {
				tasks[id] = &running{id: id, sub: sub, commit: 1, logger: w.cfg.Logger, inputs: newInputs(sub.Inputs)}
			}
		}
	}
	return tasks
}

func sameTasks(tasks map[state.TaskID]*running, f *following) bool {
	if f == nil {
		return len(tasks) == 0
	}
	return maps.Equal(tasks, f.tasks)
}

// startFollowing follows tasks beside the loop.
func (w *Worker) startFollowing(tasks map[state.TaskID]*running) {
	if len(tasks) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(w.running)
	f := &following{tasks: tasks, cancel: cancel, done: make(chan struct{})}
	w.standbys.following = f
	w.cfg.Metrics.setStandbys(tasks)
	go func() {
		defer close(f.done)
		defer cancel()
		if err := w.follow(ctx, f); ctx.Err() == nil {
			f.err = err
			w.endPoll()
		}
	}()
}

// stopFollowing ends the reading, and closes the state of the tasks that are not kept.
func (w *Worker) stopFollowing(kept map[state.TaskID]*running) error {
	f := w.standbys.following
	if f == nil {
		return nil
	}
	f.cancel()
	<-f.done
	w.standbys.following = nil
	var errs []error
	for id, r := range f.tasks {
		if kept[id] != r {
			errs = append(errs, r.close())
		}
	}
	w.cfg.Metrics.setStandbys(nil)
	w.holdRunning()
	return errors.Join(errs...)
}

// closeStandbys gives up all standbys. Their state stays on disk.
func (w *Worker) closeStandbys() error { return w.stopFollowing(nil) }

// followFailed decides what an error of following means: damaged state ends the run, anything else is tried again.
func (w *Worker) followFailed(err error) error {
	closeErr := w.closeStandbys()
	if errors.Is(err, state.ErrCorrupt) || closeErr != nil {
		return errors.Join(err, closeErr)
	}
	s := &w.standbys
	if time.Since(s.failed) > 2*maxFollowBackoff {
		s.wait = 0 // it went well for a while
	}
	s.failed, s.wait = time.Now(), min(max(2*s.wait, followBackoff), maxFollowBackoff)
	w.cfg.Logger.Warn("the copies of other instances' state cannot be kept up to date, trying again", "app", w.cfg.App, "after", s.wait, "err", err)
	return nil
}

// takeStandbys hands the state of standbys to tasks that are being opened.
func (w *Worker) takeStandbys(tasks map[state.TaskID]*running) {
	f := w.standbys.following
	if f == nil {
		return
	}
	taken, kept := make(map[state.TaskID]*running), make(map[state.TaskID]*running)
	for id, r := range f.tasks {
		if tasks[id] != nil {
			taken[id] = r
		} else {
			kept[id] = r
		}
	}
	if len(taken) == 0 {
		return
	}
	f.cancel()
	<-f.done
	if f.err != nil {
		// What it left is not to be built on. The tasks open their state anew.
		if err := w.followFailed(f.err); err != nil {
			w.fail(err)
		}
		return
	}
	for id, r := range taken {
		to := tasks[id]
		to.state, to.stores, to.replays = r.state, r.stores, r.replays
		for _, rp := range to.replays {
			rp.r = to
		}
	}
	w.standbys.following = nil
	w.cfg.Metrics.setStandbys(nil)
	w.startFollowing(kept)
	w.holdRunning()
}

// probe asks for a rebalance if a task has warmed up that waits to be given to this instance.
func (w *Worker) probe() {
	s := &w.standbys
	if s.following == nil || !s.probed.IsZero() && time.Since(s.probed) < w.cfg.ProbeInterval {
		return
	}
	w.mu.Lock()
	warm := false
	for id, waits := range s.wanted {
		h, ok := w.mu.held[id]
		warm = warm || waits && ok && s.follows(id) && h.Lag >= 0 && h.Lag <= w.cfg.AcceptableLag
	}
	w.mu.Unlock()
	if warm {
		s.probed = time.Now()
		w.cfg.Logger.Info("state has warmed up, asking the group for its tasks", "app", w.cfg.App)
		w.client.Rebalance()
	}
}

// follow opens the state of standbys and keeps it up to date until ctx ends.
func (w *Worker) follow(ctx context.Context, f *following) error {
	found, err := w.client.Admin().Topics(ctx, inputsOf(f.tasks)...)
	if err != nil {
		return err
	}
	tasks := existing(f.tasks, found)
	for _, r := range tasks {
		if r.state != nil {
			continue
		}
		if r.state, err = w.cfg.Backend.OpenTask(r.id, r.sub.Stores); err != nil {
			return fmt.Errorf("worker: open the state of task %s: %w", r.id, err)
		}
	}
	for wiped := make(map[*running]bool); ; {
		doubted, err := w.followOnce(ctx, tasks)
		if err != nil || ctx.Err() != nil {
			return err
		}
		for r, why := range doubted {
			if wiped[r] {
				return fmt.Errorf("worker: follow the state of task %s: the changelog itself is damaged: %w", r.id, why)
			}
			w.cfg.Logger.Warn("a copy of another instance's state does not fit its changelog, restoring it from the beginning",
				"app", w.cfg.App, "task", r.id.String(), "why", why)
			if err := w.wipe(r); err != nil {
				return err
			}
			wiped[r] = true
		}
	}
}

// inputsOf are the input topics of tasks.
func inputsOf(tasks map[state.TaskID]*running) (topics []string) {
	for _, r := range tasks {
		topics = append(topics, r.sub.Inputs...)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// existing are those of the tasks that there are, in order: of the sub-topologies that share a unit some may have fewer partitions.
// Of a task that there is not there is no changelog partition either, and following it would fail those of all others.
func existing(wanted map[state.TaskID]*running, found map[string]client.Topic) (tasks []*running) {
	for id, r := range wanted {
		if slices.ContainsFunc(r.sub.Inputs, func(topic string) bool { return id.Partition < found[topic].Partitions }) {
			tasks = append(tasks, r)
		}
	}
	slices.SortFunc(tasks, func(a, b *running) int { return compareTasks(a.id, b.id) })
	return tasks
}

// followOnce follows the changelogs until ctx ends, or local data turn out not to fit them.
func (w *Worker) followOnce(ctx context.Context, tasks []*running) (doubted map[*running]error, err error) {
	replays, err := w.planRestore(ctx, tasks)
	if err != nil {
		return nil, err
	}
	doubted = make(map[*running]error)
	var spans []client.Span
	byPartition := make(map[partition]*replay)
	for _, rp := range replays {
		if rp.doubt != nil {
			doubted[rp.r] = rp.doubt
		}
		spans = append(spans, rp.span)
		byPartition[partition{rp.span.Topic, rp.span.Partition}] = rp
	}
	if len(doubted) > 0 {
		return doubted, nil
	}
	for _, r := range tasks {
		w.holdStandby(r)
	}
	reader, err := client.NewReader(w.cfg.Client.Conn)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	err = reader.Follow(ctx, spans, func(b client.Batch) error {
		rp := byPartition[partition{b.Topic, b.Partition}]
		if err := rp.feed(b); err != nil {
			return err
		}
		if rp.doubt != nil {
			doubted[rp.r] = rp.doubt
			return errDoubted
		}
		if err := rp.replayer.Apply(rp.r.state); err != nil {
			return err
		}
		rp.since, rp.span.To = 0, max(b.End, b.Next)
		w.holdStandby(rp.r)
		return nil
	})
	if errors.Is(err, errDoubted) {
		err = nil
	}
	return doubted, err
}

var errDoubted = errors.New("worker: local data do not fit the changelog")

// holdStandby notes how far a standby is.
func (w *Worker) holdStandby(r *running) {
	var h client.Held
	for _, rp := range r.replays {
		lag := max(rp.span.To-rp.span.From, 0)
		h.Position += rp.span.From
		h.Lag += lag
		w.cfg.Metrics.standbyLag(rp.store.spec.Name, r.id.Partition, lag)
	}
	w.mu.Lock()
	before, known := w.mu.held[r.id]
	w.mu.held[r.id] = h
	w.mu.Unlock()
	if h.Lag <= w.cfg.AcceptableLag && (!known || before.Lag < 0 || before.Lag > w.cfg.AcceptableLag) {
		w.endPoll() // the loop asks for the task, if this instance waits for it
	}
}
