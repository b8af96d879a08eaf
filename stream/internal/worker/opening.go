package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/riffle-stream/riffle/internal/failpoint"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// opening is the restore of tasks beside the loop: those that are open go on meanwhile.
type opening struct {
	partitions map[string][]int32
	tasks      map[state.TaskID]*running // without sinks, and not made yet
	cancel     context.CancelFunc
	done       chan struct{}

	// After done, if err is nil.
	restored map[state.TaskID]standing
	idle     map[state.TaskID][]IdleClose
	// Where the inputs begin and end of tasks that have several.
	starts, ends client.Offsets
	topics       map[string]client.Topic // the inputs of all tasks
	settled      client.Offsets
	notes        client.PartitionNotes // beside them
	err          error
}

// want notes partitions whose tasks are to be opened.
func (w *Worker) want(partitions map[string][]int32) {
	if w.wanted == nil {
		w.wanted = make(map[string][]int32)
	}
	for topic, ps := range partitions {
		w.wanted[topic] = append(w.wanted[topic], ps...)
	}
	w.clearMarkers(partitions)
}

// unwant takes partitions off those whose tasks are to be opened.
func (w *Worker) unwant(partitions map[string][]int32) {
	for topic, wanted := range w.wanted {
		wanted = slices.DeleteFunc(wanted, func(p int32) bool { return slices.Contains(partitions[topic], p) })
		if w.wanted[topic] = wanted; len(wanted) == 0 {
			delete(w.wanted, topic)
		}
	}
	w.clearMarkers(partitions)
}

func (w *Worker) clearMarkers(partitions map[string][]int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for topic, ps := range partitions {
		for _, p := range ps {
			delete(w.mu.markers, partition{topic, p})
		}
	}
}

// reopen begins to open tasks that are wanted and not yet being opened.
func (w *Worker) reopen(ctx context.Context) error {
	if len(w.wanted) == 0 || w.opening != nil {
		return nil
	}
	// A member that the group no longer knows must not end the transactions of who has its place now. It learns its
	// fate from a callback. A cluster that does not answer is asked again after the next poll.
	if err := w.client.Member(ctx); err != nil {
		return nil
	}
	return w.startOpening()
}

// startOpening begins to open the tasks of the wanted partitions, unless others are being opened.
func (w *Worker) startOpening() error {
	if len(w.wanted) == 0 || w.opening != nil {
		return nil
	}
	// From here on an earlier producer of this instance can commit nothing more. Earlier owners of the partitions cannot
	// once the offsets are settled. What the changelogs hold then is all there will be.
	if err := w.committer.begin(w.ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(w.running)
	o := &opening{partitions: w.wanted, tasks: w.newTasks(w.wanted), cancel: cancel, done: make(chan struct{})}
	w.wanted, w.opening = nil, o
	w.takeStandbys(o.tasks)
	w.cfg.Metrics.opening(o.tasks)
	go func() {
		defer w.endPoll()
		defer close(o.done)
		defer cancel()
		if o.err = w.restoreTasks(ctx, o); o.err != nil {
			o.err = errors.Join(o.err, o.close())
			return
		}
		w.setMarkers(o)
	}()
	return nil
}

// newTasks are the tasks whose inputs are among the partitions and that are not open.
func (w *Worker) newTasks(partitions map[string][]int32) map[state.TaskID]*running {
	tasks := make(map[state.TaskID]*running)
	for i := range w.cfg.Subs {
		sub := &w.cfg.Subs[i]
		for _, topic := range sub.Inputs {
			for _, p := range partitions[topic] {
				id := state.TaskID{SubTopology: sub.ID, Partition: p}
				if tasks[id] == nil && w.tasks[id] == nil {
					tasks[id] = &running{id: id, sub: sub, commit: 1, logger: w.cfg.Logger, inputs: newInputs(sub.Inputs)}
				}
			}
		}
	}
	return tasks
}

// restoreTasks opens the stores of the tasks and brings them up to date. It runs beside the loop.
func (w *Worker) restoreTasks(ctx context.Context, o *opening) (err error) {
	if o.settled, o.notes, err = w.client.Admin().Settled(ctx, w.cfg.App, o.partitions); err != nil {
		return err
	}
	for id, r := range o.tasks {
		if len(r.sub.Stores) == 0 || r.state != nil {
			continue
		}
		if r.state, err = w.cfg.Backend.OpenTask(id, r.sub.Stores); err != nil {
			return fmt.Errorf("worker: open the state of task %s: %w", id, err)
		}
	}
	if o.restored, err = w.restore(ctx, o.tasks); err != nil {
		return err
	}
	if o.idle, err = w.readIdleCloses(ctx, o.tasks, o.restored); err != nil {
		return fmt.Errorf("worker: read idle closes: %w", err)
	}
	if err := w.lookAtInputs(ctx, o); err != nil {
		return err
	}
	failpoint.Hit("restored")
	if o.topics, err = w.client.Admin().Topics(ctx, w.watch.topics...); err != nil {
		return err
	}
	return w.checkInputs(ctx, o.restored)
}

// lookAtInputs finds out what there is to read of inputs that are read together: a task waits for what it knows of.
func (w *Worker) lookAtInputs(ctx context.Context, o *opening) (err error) {
	var topics []string
	for _, r := range o.tasks {
		if len(r.inputs) > 1 {
			topics = append(topics, r.sub.Inputs...)
		}
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	if o.starts, err = w.client.Admin().StartOffsets(ctx, topics...); err != nil {
		return err
	}
	o.ends, err = w.client.Admin().StableOffsets(ctx, topics...)
	return err
}

// tellEnds tells a new task what there is to read of its inputs.
func (o *opening) tellEnds(r *running, markers map[partition]int64) error {
	if len(r.inputs) == 1 {
		return nil
	}
	for _, in := range r.inputs {
		b := client.Batch{Topic: in.topic, Partition: r.id.Partition, End: o.ends[in.topic][r.id.Partition]}
		b.Next = max(markers[partition{in.topic, r.id.Partition}], o.starts[in.topic][r.id.Partition])
		if err := r.task.Add(b); err != nil {
			return err
		}
	}
	return nil
}

func (o *opening) close() error {
	var errs []error
	for _, r := range o.tasks {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// setMarkers notes where the inputs of opened tasks resume: where their state stands, or at the group's offsets if those
// are further. -1 is the beginning.
func (w *Worker) setMarkers(o *opening) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, offset := range o.markers() {
		w.mu.markers[at] = offset
	}
	close(w.mu.changed)
	w.mu.changed = make(chan struct{})
}

func (o *opening) markers() map[partition]int64 {
	markers := make(map[partition]int64)
	for id, r := range o.tasks {
		for _, in := range r.inputs {
			at := partition{in.topic, id.Partition}
			offset := int64(-1)
			if o, ok := o.restored[id].offsets[in.topic]; ok {
				offset = o
			}
			if o, ok := o.settled[in.topic][id.Partition]; ok {
				offset = max(offset, o)
			}
			// Of several tasks that read a partition the one that is furthest behind decides; the others leave
			// out what they have seen.
			if other, ok := markers[at]; !ok || offset < other {
				markers[at] = offset
			}
		}
	}
	return markers
}

// stopOpening gives up the opening of tasks. Their partitions are wanted again.
func (w *Worker) stopOpening() error {
	o := w.opening
	if o == nil {
		return nil
	}
	o.cancel()
	<-o.done
	w.opening = nil
	w.cfg.Metrics.opening(nil)
	w.want(o.partitions)
	if o.err != nil {
		return nil // they are closed
	}
	return o.close()
}

// adopt takes over the tasks that have been opened, and returns the partitions whose inputs it moved: what was polled of
// them is void.
func (w *Worker) adopt() (map[partition]int64, error) {
	o := w.opening
	if o == nil {
		return nil, nil
	}
	select {
	case <-o.done:
	default:
		return nil, nil
	}
	w.opening = nil
	w.cfg.Metrics.opening(nil)
	if o.err != nil {
		if w.running.Err() != nil {
			return nil, nil // asked to finish during a long restore
		}
		return nil, o.err
	}
	markers := o.markers()
	if err := w.makeTasks(o, markers); err != nil {
		return nil, errors.Join(err, o.close())
	}
	w.cfg.Logger.Info("tasks assigned", "app", w.cfg.App, "tasks", len(o.tasks))
	maps.Copy(o.tasks, w.tasks)
	w.loopback.know(w.cfg.Subs, o.topics)
	w.setTasks(o.tasks)
	return markers, w.seek(w.ctx, markers)
}

// makeTasks makes the tasks of restored stores.
func (w *Worker) makeTasks(o *opening, markers map[partition]int64) (err error) {
	if err := w.committer.begin(w.ctx); err != nil {
		return err
	}
	for id, r := range o.tasks {
		r.replays = nil
		at := o.restored[id]
		if r.state == nil {
			at.streamTime = notedTime(o.notes, r)
		}
		r.sink = &Sink{to: w.client.NewSink(), ctx: w.ctx, loopback: w.loopback}
		r.task, err = w.cfg.NewTask(Setup{
			ID: id, State: r.state, Sink: r.sink, Offsets: at.offsets, StreamTime: at.streamTime,
			IdleCloses: o.idle[id], NoteIdle: func(c IdleClose) (bool, error) { return w.noteIdle(r, c) },
			Background: w.background(),
		})
		if err != nil {
			return fmt.Errorf("worker: make task %s: %w", id, err)
		}
		r.streamTime = at.streamTime
		if err := o.tellEnds(r, markers); err != nil {
			return err
		}
		for _, in := range r.inputs {
			in.start = max(in.start, markers[partition{in.topic, id.Partition}])
			// Where the marker is ahead of the group's offset, the group learns of it with the next commit.
			if group, ok := o.settled[in.topic][id.Partition]; in.start >= 0 && (!ok || group < in.start) {
				r.dirty = true
			}
		}
	}
	return nil
}

// seek moves the inputs of opened tasks to where they resume. The client leaves out those that it has not begun to read: it
// asks where they resume by itself.
func (w *Worker) seek(ctx context.Context, markers map[partition]int64) error {
	targets := make(client.Offsets)
	var unknown []string
	for at, offset := range markers {
		targets.Set(at.topic, at.partition, offset)
		if offset < 0 && !slices.Contains(unknown, at.topic) {
			unknown = append(unknown, at.topic)
		}
	}
	starts, err := w.client.Admin().StartOffsets(ctx, unknown...)
	if err != nil {
		return err
	}
	for topic, partitions := range targets {
		for p, offset := range partitions {
			start, ok := starts[topic][p]
			switch {
			case offset >= 0:
			case ok:
				partitions[p] = start
			default:
				delete(partitions, p) // a shorter topic of a task without state
			}
		}
	}
	w.client.Seek(targets)
	return nil
}

// endPoll lets a poll that is under way return.
func (w *Worker) endPoll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.endPoll != nil {
		w.mu.endPoll()
	}
}
