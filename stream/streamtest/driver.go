package streamtest

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// TB is what a driver needs of a test. A *testing.T, *testing.B, *testing.F and *rapid.T have it.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Driver runs a topology. Make one with [New].
type Driver struct {
	t       TB
	program *task.Program
	backend state.Backend
	subs    []*running
	topics  map[string]*topic
	globals map[string]*task.Global // by topic
	dead    []DeadLetter
	skipped []DeadLetter
	calls   sync.WaitGroup
	woken   chan struct{} // holds a token if a task that waited for calls may go on
	now     time.Time     // by the wall clock
}

// topic is a topic of one partition.
type topic struct {
	records []client.Record
	read    int // records that Read has returned
}

// running is a sub-topology with its task.
type running struct {
	sub    *graph.SubTopology
	task   *task.Task
	state  state.Task // nil without stores
	commit int64
}

// DeadLetter is a record that could not be processed, as it was read, or a timer or punctuation that failed: that has
// no topic, the offset -1, and of a timer the key.
type DeadLetter struct {
	Topic      string
	Offset     int64
	Key, Value []byte
	Timers     string // the store of a timer
	Node       string // where it failed
	Stage      stream.Stage
	Time       time.Time
	Headers    []stream.Header
	Parked     bool // its key is parked: Replay puts it back in its place
	number     int64
	Cause      error
}

// New returns a driver. It closes itself when the test ends, and fails the test if there are dead letters that
// [Driver.DeadLetters] was not asked for.
func New(t TB, topology *stream.Topology) *Driver {
	t.Helper()
	d := &Driver{t: t, program: topology.Program(), backend: state.NewMemory(), topics: make(map[string]*topic), woken: make(chan struct{}, 1)}
	d.now = time.UnixMilli(0).UTC()
	d.globals = make(map[string]*task.Global)
	for _, topic := range d.program.Graph.Globals() {
		d.globals[topic] = task.NewGlobal()
	}
	for _, sub := range d.program.Graph.Subs {
		d.subs = append(d.subs, d.start(sub, nil, state.Position{}))
	}
	t.Cleanup(func() {
		for _, l := range d.DeadLetters() {
			t.Errorf("dead letter %s@%d, node %q: %v", l.Topic, l.Offset, l.Node, l.Cause)
		}
		for _, r := range d.subs {
			r.task.Close()
		}
		d.calls.Wait()
		if err := d.backend.Close(); err != nil {
			t.Errorf("close the stores: %v", err)
		}
	})
	return d
}

// start opens the task of a sub-topology, where it stood.
func (d *Driver) start(sub *graph.SubTopology, offsets map[string]int64, at state.Position) *running {
	d.t.Helper()
	r := &running{sub: sub, commit: at.Commit}
	id := state.TaskID{SubTopology: sub.ID}
	var err error
	if sub.Stateful() {
		if r.state, err = d.backend.OpenTask(id, sub.Stores); err != nil {
			d.t.Fatalf("open the stores of task %s: %v", id, err)
		}
	}
	r.task, err = task.New(task.Config{
		ID: id, Program: d.program, State: r.state, Output: output{d}, Globals: d.globals,
		Offsets: offsets, StreamTime: at.StreamTimeMillis, MaxWait: -1, Now: d.now,
		Background: task.Background{Context: context.Background(), Go: d.calls.Go, Wake: d.wake},
	})
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	return r
}

// Restart drops everything but the stores and the topics, and goes on where it stood.
func (d *Driver) Restart() {
	d.t.Helper()
	for i, r := range d.subs {
		r.task.Close()
		offsets := r.task.Offsets()
		at := state.Position{Commit: r.commit, StreamTimeMillis: r.task.StreamTime()}
		if r.state != nil {
			if err := r.state.Close(); err != nil {
				d.t.Fatalf("close the stores of task %s: %v", r.task.ID(), err)
			}
		}
		d.subs[i] = d.start(r.sub, offsets, at)
	}
}

// Pipe writes a record to a topic, and has the topology process it and all that follows from it.
func (d *Driver) Pipe[K, V any](t stream.Topic[K, V], key K, value V, at time.Time) {
	d.t.Helper()
	d.PipeRecord(t, stream.Record[K, V]{Key: key, Value: value, Time: at})
}

// PipeRecord is Pipe for a record with headers. Topic, partition and offset of r are ignored.
func (d *Driver) PipeRecord[K, V any](t stream.Topic[K, V], r stream.Record[K, V]) {
	d.t.Helper()
	key, err := t.Key.Encode(nil, r.Key)
	if err != nil {
		d.t.Fatalf("pipe to %s: key: %v", t.Name, err)
	}
	value, err := t.Value.Encode(nil, r.Value)
	if err != nil {
		d.t.Fatalf("pipe to %s: value: %v", t.Name, err)
	}
	headers := make([]client.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = client.Header(h)
	}
	d.pipe(t.Name, client.Record{Key: notNil(key), Value: notNil(value), Headers: headers, Timestamp: r.Time.UnixMilli()})
}

// Replay puts dead letters back where they were read, as riffle dlq replay does. They are those of records, not of timers.
func (d *Driver) Replay(letters ...DeadLetter) {
	d.t.Helper()
	d.putBack(letters, "")
}

// Discard gives dead letters up, as riffle dlq replay --discard does with those that failed: where their keys are parked, the
// topology is told.
func (d *Driver) Discard(letters ...DeadLetter) {
	d.t.Helper()
	parked := slices.DeleteFunc(slices.Clone(letters), func(l DeadLetter) bool { return !l.Parked })
	d.putBack(parked, "discard:")
}

func (d *Driver) putBack(letters []DeadLetter, how string) {
	d.t.Helper()
	for _, l := range letters {
		r := client.Record{Key: l.Key, Value: l.Value, Timestamp: l.Time.UnixMilli()}
		for _, h := range l.Headers {
			if !stream.IsDeadLetterHeader(h.Key) {
				r.Headers = append(r.Headers, client.Header(h))
			}
		}
		if l.Parked {
			r.Headers = append(r.Headers, client.Header{Key: stream.HeaderReplayed, Value: strconv.AppendInt([]byte(how), l.number, 10)})
		}
		d.pipe(l.Topic, r)
	}
}

// Delete is Pipe for a null value: a tombstone, if the topic is read as a table.
func (d *Driver) Delete[K, V any](t stream.Topic[K, V], key K, at time.Time) {
	d.t.Helper()
	b, err := t.Key.Encode(nil, key)
	if err != nil {
		d.t.Fatalf("delete from %s: key: %v", t.Name, err)
	}
	d.pipe(t.Name, client.Record{Key: notNil(b), Timestamp: at.UnixMilli()})
}

// PipeBytes is Pipe for bytes that no serde would write. A nil key or value is null.
func (d *Driver) PipeBytes(topic string, key, value []byte, at time.Time) {
	d.t.Helper()
	d.pipe(topic, client.Record{Key: key, Value: value, Timestamp: at.UnixMilli()})
}

// Advance has the stream time of every task reach a time, as a record with that event time would, and has the topology
// do what is due until then. A task that has seen that time already stays where it is.
func (d *Driver) Advance(to time.Time) {
	d.t.Helper()
	for _, r := range d.subs {
		r.task.Advance(to.UnixMilli())
		d.run() // what the tasks above sent comes before their time
	}
}

// AdvanceWallClock moves the wall clock, which begins in 1970 and stands still otherwise, and has the topology do what is
// due by it: each wall-clock punctuation once at most. Stream time stays where it is.
func (d *Driver) AdvanceWallClock(by time.Duration) {
	d.t.Helper()
	d.now = d.now.Add(by)
	d.run()
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (d *Driver) pipe(topic string, r client.Record) {
	d.t.Helper()
	if d.reader(topic) == nil && d.globals[topic] == nil {
		d.t.Fatalf("pipe to %s: the topology does not read it", topic)
	}
	d.append(topic, r)
	d.run()
}

// run processes until nothing is left. Sub-topologies take turns, so that a record has passed the first before the
// next sees what came of it.
func (d *Driver) run() {
	d.t.Helper()
	for again := true; again; {
		again = false
		for _, r := range d.subs {
			n, err := r.task.Run(1000, d.now)
			if err != nil {
				d.t.Fatalf("%v", err)
			}
			again = again || n > 0
			if n > 0 {
				d.commit(r)
			}
		}
		switch {
		case again:
		case d.calling():
			<-d.woken
			again = true
		default:
			again = d.resume()
		}
	}
}

// resume ends the pauses in which tasks wait to try something again, and reports whether there were any.
func (d *Driver) resume() (resumed bool) {
	for _, r := range d.subs {
		resumed = r.task.Resume() || resumed
	}
	return resumed
}

// calling reports whether a task waits for calls of an asynchronous step.
func (d *Driver) calling() bool {
	return slices.ContainsFunc(d.subs, func(r *running) bool { return r.task.Calling() })
}

func (d *Driver) wake() {
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

func (d *Driver) commit(r *running) {
	d.t.Helper()
	if r.state == nil {
		return
	}
	r.commit++
	at := make(map[string]state.Position)
	for _, s := range r.sub.Stores {
		at[s.Name] = state.Position{Offset: r.commit, Commit: r.commit, StreamTimeMillis: r.task.StreamTime()}
	}
	if err := r.state.Commit(at); err != nil {
		d.t.Fatalf("commit task %s: %v", r.task.ID(), err)
	}
}

// reader returns the sub-topology that reads a topic, or nil.
func (d *Driver) reader(topic string) *running {
	for _, r := range d.subs {
		for _, in := range r.sub.Inputs {
			if in.Topic == topic {
				return r
			}
		}
	}
	return nil
}

// append adds a record to a topic, and queues it where it is read.
func (d *Driver) append(name string, r client.Record) {
	d.t.Helper()
	t := d.topic(name)
	r.Offset = int64(len(t.records))
	t.records = append(t.records, r)
	if global := d.globals[name]; global != nil {
		global.Apply([]client.Record{r})
	}
	if reader := d.reader(name); reader != nil {
		b := client.Batch{Topic: name, Records: []client.Record{r}, End: r.Offset + 1}
		if err := reader.task.Add(b); err != nil {
			d.t.Fatalf("%v", err)
		}
	}
}

func (d *Driver) topic(name string) *topic {
	t := d.topics[name]
	if t == nil {
		t = new(topic)
		d.topics[name] = t
	}
	return t
}

// output is where the tasks write.
type output struct{ d *Driver }

func (o output) Emit(r task.OutRecord) error {
	key, value := clone(r.Key), clone(r.Value)
	headers := append([]client.Header(nil), r.Headers...)
	o.d.append(r.Topic, client.Record{Key: key, Value: value, Headers: headers, Timestamp: r.Timestamp})
	return nil
}

func (o output) DeadLetter(l task.DeadLetter) error {
	o.d.dead = append(o.d.dead, deadLetter(l))
	return nil
}

func (o output) Skip(l task.DeadLetter) { o.d.skipped = append(o.d.skipped, deadLetter(l)) }

func deadLetter(l task.DeadLetter) DeadLetter {
	return DeadLetter{
		Topic: l.Topic, Offset: l.Record.Offset, Key: clone(l.Record.Key), Value: clone(l.Record.Value),
		Timers: l.Timers, Node: l.Node, Stage: l.Stage, Cause: l.Cause,
		Time: time.UnixMilli(l.Record.Timestamp).UTC(), Parked: l.Parked, number: l.Number,
		Headers: fromHeaders(l.Record.Headers),
	}
}

func fromHeaders(in []client.Header) (headers []stream.Header) {
	for _, h := range in {
		headers = append(headers, stream.Header{Key: h.Key, Value: clone(h.Value)})
	}
	return headers
}

// clone copies b; null stays null, and empty stays empty.
func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

// Read returns the records of a topic that it has not returned yet: outputs, and what was piped in.
func (d *Driver) Read[K, V any](t stream.Topic[K, V]) []stream.Record[K, V] {
	d.t.Helper()
	topic := d.topic(t.Name)
	var records []stream.Record[K, V]
	for ; topic.read < len(topic.records); topic.read++ {
		in := topic.records[topic.read]
		r := stream.Record[K, V]{
			Key: decode(d.t, t.Name, t.Key, in.Key), Value: decode(d.t, t.Name, t.Value, in.Value),
			Time: time.UnixMilli(in.Timestamp).UTC(), Topic: t.Name, Offset: in.Offset,
		}
		for _, h := range in.Headers {
			r.Headers = append(r.Headers, stream.Header(h))
		}
		records = append(records, r)
	}
	return records
}

// Values is Read for tests that look at nothing but the values.
func (d *Driver) Values[K, V any](t stream.Topic[K, V]) []V {
	d.t.Helper()
	var values []V
	for _, r := range d.Read(t) {
		values = append(values, r.Value)
	}
	return values
}

// ReadBytes is Read for what a serde does not show: null, and the repartition topics of the topology.
func (d *Driver) ReadBytes(name string) []stream.Record[[]byte, []byte] {
	d.t.Helper()
	return d.Read(stream.NewTopic(name, serde.Bytes, serde.Bytes))
}

// decode decodes b; null is the zero value.
func decode[T any](t TB, topic string, s serde.Serde[T], b []byte) (v T) {
	t.Helper()
	if b == nil {
		return v
	}
	v, err := s.Decode(b)
	if err != nil {
		t.Fatalf("read %s: %v", topic, err)
	}
	return v
}

// Skipped returns the records that failed and were left out, as a handler decided, and that it has not returned yet.
func (d *Driver) Skipped() []DeadLetter {
	skipped := d.skipped
	d.skipped = nil
	return skipped
}

// DeadLetters returns the dead letters that it has not returned yet.
func (d *Driver) DeadLetters() []DeadLetter {
	letters := d.dead
	d.dead = nil
	return letters
}
