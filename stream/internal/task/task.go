package task

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

// Source is the typed end of an input. It holds one decoded record at a time.
type Source interface {
	// Decode decodes r, keeps the result, and returns the record's event time in milliseconds.
	Decode(r *client.Record, partition int32) (eventTime int64, err error)
	// Process sends the record decoded last through the nodes. Failures are noted in the Frame.
	Process()
}

// Program is a topology that can be run: its description, and its user functions.
type Program struct {
	Graph *graph.Topology
	// Open makes the sources of a sub-topology for one task, in the order of its inputs. The frame is the task's.
	Open func(sub *graph.SubTopology, f *Frame) []Source
	// Policy says what becomes of what fails.
	Policy Policy
}

// Config says what a task runs and where it stands.
type Config struct {
	ID      state.TaskID
	Program *Program
	// State holds the stores of the sub-topology. It may be nil if there are none.
	State  state.Task
	Output Output
	// Globals are the global tables of the topology, by topic. One that is missing has no rows.
	Globals map[string]*Global
	// Refused returns why the cluster takes no outputs for a topic at present, or nil. It may be left out.
	Refused func(topic string) error
	// StoreObserver returns what is told of the operations of a store. It may be left out.
	StoreObserver func(store string) StoreObserver
	// Background is where calls of asynchronous steps run. It may be left out where there are none.
	Background Background

	// Offsets are the next offsets of the inputs, by topic. Records below are ignored; without an entry, an input
	// begins with the first record it is given.
	Offsets map[string]int64
	// StreamTime is the stream time at Offsets, in milliseconds since the epoch (see state.Position).
	StreamTime int64

	// MaxWait is how long the other inputs wait for one that holds nothing although its end is not reached.
	// The default is 100 ms; a negative value never waits.
	MaxWait time.Duration
	// Takes says what a topic takes, of outputs and of the changelogs of stores; what does not fit makes its input a dead letter.
	// How far an output's time may lie ahead of the clock is judged by the time that Run is given.
	// The default is 1,000,000 bytes, which leaves room for the batch around it under Kafka's default limit.
	Takes func(topic string) client.Takes

	// Now is the wall-clock time at which the task begins: what it does by the wall clock counts from there.
	Now time.Time
	// IdleClose is after how long without a record stream time goes on by itself, period by period, as far as something
	// is due. The default is never. IdleCloseFunc is asked before, notes it in the log, and may refuse: then the task asks
	// again a period later.
	IdleClose     time.Duration
	IdleCloseFunc func(IdleClose) (bool, error)
	// IdleCloses are those that the log has of places at or behind Offsets, in order. They are done again; before the last
	// one's place the task decides nothing by itself.
	IdleCloses []IdleClose
}

func (c Config) withDefaults() Config {
	if c.MaxWait == 0 {
		c.MaxWait = 100 * time.Millisecond
	}
	if c.Takes == nil {
		c.Takes = func(string) client.Takes { return client.Takes{RecordBytes: 1_000_000} }
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Program == nil || c.ID.SubTopology < 0 || c.ID.SubTopology >= len(c.Program.Graph.Subs) {
		errs = append(errs, fmt.Errorf("no sub-topology %d", c.ID.SubTopology))
	}
	if c.IdleClose > 0 && c.IdleCloseFunc == nil {
		errs = append(errs, errors.New("no function to note idle closes"))
	}
	if c.Output == nil {
		errs = append(errs, errors.New("no output"))
	}
	return errors.Join(errs...)
}

// Task runs one sub-topology on one partition of its inputs.
type Task struct {
	cfg     Config
	sub     *graph.SubTopology
	frame   Frame
	inputs  []*input
	aheads  []*input    // those whose records are prepared before their turn
	due     []*schedule // what happens between records, in the order of the nodes
	clock   clock
	counts  Counts
	target  int64        // stream time is to reach it without a record, in milliseconds
	now     time.Time    // of Run
	until   time.Time    // nothing is done before: something that failed is tried again then
	parking *parking     // nil unless keys are parked
	held    bool         // because a dead letter cannot be written
	panics  map[int]bool // nodes that panicked before
	err     error        // why the task stopped
}

// New returns a task that holds no records.
func New(cfg Config) (*Task, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("task %s: %w", cfg.ID, err)
	}
	t := &Task{cfg: cfg, sub: cfg.Program.Graph.Subs[cfg.ID.SubTopology], panics: make(map[int]bool)}
	t.frame = Frame{
		streamTime: cfg.StreamTime, partition: cfg.ID.Partition, takes: cfg.Takes,
		stores: make(map[string]*store), background: cfg.Background, refused: cfg.Refused,
	}
	for _, spec := range t.sub.Stores {
		var inner state.Store
		if cfg.State != nil {
			inner, _ = cfg.State.Store(spec.Name)
		}
		if inner == nil {
			return nil, fmt.Errorf("task %s: store %q is not open", cfg.ID, spec.Name)
		}
		s := newStore(spec.Name, inner, &t.frame)
		s.changelog = graph.ChangelogTopic(cfg.Program.Graph.Name, spec.Name)
		s.limit = cfg.Takes(s.changelog).RecordBytes
		if cfg.StoreObserver != nil {
			s.observed.by = cfg.StoreObserver(spec.Name)
		}
		t.frame.stores[spec.Name] = s
	}
	t.frame.globals = make(map[string]*Global)
	for _, topic := range cfg.Program.Graph.Globals() {
		if t.frame.globals[topic] = cfg.Globals[topic]; t.frame.globals[topic] == nil {
			t.frame.globals[topic] = NewGlobal()
		}
	}
	if on := t.frame.stores[t.sub.Parking]; on != nil {
		t.parking = &parking{store: on, frame: &t.frame}
	}
	for i, topic := range t.sub.Outputs {
		takes := cfg.Takes(topic)
		if i == 0 || takes.RecordBytes < t.frame.fits {
			t.frame.fits = takes.RecordBytes
		}
		if takes.Ahead > 0 && (t.frame.ahead == 0 || takes.Ahead < t.frame.ahead) {
			t.frame.ahead = takes.Ahead
		}
	}
	sources := cfg.Program.Open(t.sub, &t.frame)
	if err := t.openSchedules(); err != nil {
		return nil, fmt.Errorf("task %s: %w", cfg.ID, err)
	}
	for i, in := range t.sub.Inputs {
		next, known := cfg.Offsets[in.Topic]
		opened := &input{topic: in.Topic, node: in.Node, source: sources[i], next: next, known: known}
		t.inputs = append(t.inputs, opened)
		if source, ok := sources[i].(AheadSource); ok {
			if opened.ahead = source.Ahead(); opened.ahead != nil {
				t.aheads = append(t.aheads, opened)
			}
		}
	}
	t.openClock()
	return t, nil
}

// ID returns the task's name.
func (t *Task) ID() state.TaskID { return t.cfg.ID }

// Add queues a batch of one of the task's inputs. Batches of an input come in the order of their offsets; records
// that are already queued or processed are ignored. A batch without records tells the input's high watermark.
// The task keeps b.Records, and the bytes they point into, until they are processed.
func (t *Task) Add(b client.Batch) error {
	for _, in := range t.inputs {
		if in.topic == b.Topic {
			if b.Partition != t.cfg.ID.Partition {
				return fmt.Errorf("task %s: a batch of %s-%d is not of this task's partition", t.cfg.ID, b.Topic, b.Partition)
			}
			if t.parking != nil {
				in.takeReplays(b.Records)
			}
			in.add(b)
			return nil
		}
	}
	return fmt.Errorf("task %s: topic %q is not an input", t.cfg.ID, b.Topic)
}

// Ended says that nothing more of an input will be added, whatever its end: it is not waited for.
func (t *Task) Ended(topic string) {
	for _, in := range t.inputs {
		if in.topic == topic {
			in.ended = true
		}
	}
}

// Queued returns the number of records that were added and not yet processed.
func (t *Task) Queued() int {
	n := 0
	for _, in := range t.inputs {
		n += in.queued
	}
	return n
}

// Offsets returns the next offset of each input, by topic. An input of which nothing is known has no entry.
func (t *Task) Offsets() map[string]int64 {
	offsets := make(map[string]int64, len(t.inputs))
	for _, in := range t.inputs {
		if in.known {
			offsets[in.topic] = in.next
		}
	}
	return offsets
}

// StreamTime returns the largest event time seen, in milliseconds since the epoch; 0 if there was none.
func (t *Task) StreamTime() int64 { return t.frame.streamTime }

// Late returns how many records came too late for a window, once for each step that had to leave them out.
func (t *Task) Late() int64 { return t.frame.droppedBefore[DroppedLate] }

// Advance has stream time reach a time, in milliseconds, without a record: the next Run first does what is due until
// then. A time that is passed already is ignored.
func (t *Task) Advance(to int64) { t.target = max(t.target, to) }

// Run takes up to limit steps, and those that finish a time, and returns how many it took; less than limit if there was nothing more to do. A step
// processes a queued record, dead letters included, or does one thing that is due between records. now is the wall-clock
// time: for MaxWait, wall-clock punctuations and idle inputs. After an error the task has stopped: it returns the same error again.
func (t *Task) Run(limit int, now time.Time) (int, error) {
	t.now = now
	t.frame.looksAt(now)
	for n := range limit {
		if took, err := t.step(); err != nil || !took {
			return n, err
		}
	}
	if t.waits() {
		return limit, nil
	}
	n, err := t.finishTime()
	return limit + n, err
}

// waitEnds returns when the wait for a lagging input ends. It is false if the task holds no records, or waits for nothing.
func (t *Task) waitEnds() (time.Time, bool) {
	if t.Queued() == 0 {
		return time.Time{}, false
	}
	var wake time.Time
	for _, in := range t.inputs {
		if in.lags() && !in.emptySince.IsZero() {
			if until := in.emptySince.Add(t.cfg.MaxWait); until.After(wake) {
				wake = until
			}
		}
	}
	return wake, !wake.IsZero()
}

// step takes a step, unless the task pauses.
func (t *Task) step() (took bool, err error) {
	if t.err != nil {
		return false, t.err
	}
	if t.waits() {
		return false, nil
	}
	if took, err = t.goOn(); took {
		t.held = false
	}
	return took, err
}

// goOn does what is due at the present stream time or, if nothing is, takes the next record: once everything that is
// due until its time has been done, step by step.
func (t *Task) goOn() (took bool, err error) {
	if took, err = t.doDue(t.frame.streamTime); took || err != nil || t.waits() {
		return took, err
	}
	if t.target > t.frame.streamTime {
		if took, err = t.doDue(t.target); t.waits() {
			return took, err
		}
		if !took && err == nil {
			t.frame.streamTime = t.target
		}
		return err == nil, err
	}
	if took, err = t.doWall(t.now); took || err != nil || t.waits() {
		return took, err
	}
	if len(t.aheads) > 0 {
		t.prepareAhead()
	}
	first, took, err := t.first()
	switch {
	case took || err != nil:
		t.busy(t.now)
		return took, err
	case t.waits():
		return false, nil
	case t.repeatIdle(first):
		return true, nil
	case first == nil:
		return t.closeIdle(t.now)
	case first.ahead != nil && !first.ahead.Ready():
		return false, nil
	}
	if took, err = t.doDue(first.eventTime); took || err != nil || t.waits() {
		return took, err
	}
	if took, err = t.process(first); took {
		t.busy(t.now)
	}
	return took, err
}

// first returns the input that holds the record with the lowest event time: nil if nothing is held, or if an input is
// waited for. A record that does not decode has no time: it becomes a dead letter as soon as it is found, which counts
// as taken.
func (t *Task) first() (first *input, took bool, err error) {
	for _, in := range t.inputs {
		switch {
		case in.queued == 0:
			if len(t.inputs) > 1 && in.wait(t.now, t.cfg.MaxWait) {
				return nil, false, nil
			}
			continue
		case !in.decoded:
			if free, took, err := t.park(in); !free {
				return nil, took, err
			}
			if ok, took, err := t.decode(in); !ok {
				return nil, took, err
			}
		}
		if first == nil || in.eventTime < first.eventTime {
			first = in
		}
	}
	return first, false, nil
}

// decode decodes the first record of in, or decides what becomes of it.
func (t *Task) decode(in *input) (ok, took bool, err error) {
	f := &t.frame
	f.failed, f.output, f.inStore = nil, "", false
	f.Enter(in.node.ID)
	t.callDecode(in)
	if f.failed == nil {
		in.decoded = true
		return true, false, nil
	}
	took, err = t.reject(in, f.streamTime)
	return false, took, err
}

// process sends the first record of in through the nodes. It then takes effect as a whole, or not at all.
func (t *Task) process(in *input) (took bool, err error) {
	f := &t.frame
	before := f.streamTime
	t.counts.Lateness = max(t.counts.Lateness, f.streamTime-in.eventTime)
	f.begin(in.eventTime)
	t.callProcess(in)
	if f.fatal != nil {
		return false, t.stop(in, f.fatal)
	}
	if f.failed != nil {
		return t.reject(in, before)
	}
	if in.place.isFirst() {
		t.parking.pass(in, in.place)
	}
	if err := f.takeEffect(t.cfg.Output); err != nil {
		return false, t.stop(in, err)
	}
	in.advance()
	return true, nil
}

// stop ends the task: the first record of in was not processed; without an input, what was due between records was not
// done.
func (t *Task) stop(in *input, err error) error {
	f := &t.frame
	f.drop()
	e := &Error{Task: t.cfg.ID, Node: t.cfg.Program.Graph.Node(f.node).Name, Partition: t.cfg.ID.Partition, Offset: -1, Err: err}
	if in != nil {
		e.Topic, e.Offset = in.topic, in.first().Offset
	}
	t.err = e
	return t.err
}

func (t *Task) callDecode(in *input) {
	defer t.recovered()
	var err error
	if in.eventTime, err = in.source.Decode(in.first(), t.cfg.ID.Partition); err != nil {
		t.frame.Fail(err)
	}
}

func (t *Task) callProcess(in *input) {
	defer t.recovered()
	in.source.Process()
}

// recovered, deferred, turns a panic into a failure of the record, or into a stop if it comes from the state layer.
func (t *Task) recovered() {
	p := recover()
	if p == nil {
		return
	}
	f := &t.frame
	err := &PanicError{Value: p, Stack: debug.Stack(), First: !t.panics[f.node]}
	t.panics[f.node] = true
	t.counts.Panics++
	if f.inStore {
		f.inStore = false
		f.Stop(err)
		return
	}
	f.Fail(err)
}
