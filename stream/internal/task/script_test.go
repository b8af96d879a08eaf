package task

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

// TestScripts drives a task whose records are little programs. Commands:
//
//	new [inputs=a,b] [stores=s] [timers=t] [every=MS] [wall=MS] [offsets=a:3] [maxwait=DURATION] [limit=BYTES]
//	    [broken=S] [idle=DURATION] [busy]
//	    Makes a task on empty stores. Its one node is called "node"; timers and punctuations call it. With idle
//	    stream time goes on after that time without records, unless the cluster has more of the inputs (busy).
//	due
//	STATEMENT; ...
//	    What the node does from now on when a timer or punctuation calls it.
//	add topic=T [end=N]
//	OFFSET TIME [STATEMENT; ...]
//	    Queues a batch; "bad" instead of statements does not decode. end is the high watermark.
//	advance to=TIME
//	    Has stream time move without a record.
//	run [limit=N] [now=DURATION]
//	    Prints what the node traced and what came out, then where the task stands.
//	replay
//	    Makes a task on empty stores that begins with the first records, and repeats the idle closes that were noted.
//	restart
//	    Commits, and makes a new task where the old one stood.
//	store NAME
//	    Prints what is in a store.
//
// Statements: timer TIMERS KEY TIME, cancel TIMERS KEY, out TOPIC KEY VALUE [HEADER], put STORE KEY VALUE, del STORE KEY, get STORE KEY, range STORE [del],
// fail MESSAGE, swallow MESSAGE (fails, and goes on), panic MESSAGE, use STORE (which the node did not name),
// break STORE (its next read fails), crash STORE (its next read panics), emit-fails (the output fails).
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		e := &env{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			e.out.Reset()
			switch d.Cmd {
			case "new":
				e.create(d)
			case "add":
				e.add(d)
			case "run":
				e.run(d)
			case "due":
				e.due = strings.TrimSpace(d.Input)
			case "advance":
				var to int64
				d.ScanArgs(t, "to", &to)
				e.task.Advance(to)
			case "restart":
				e.restart()
			case "replay":
				e.replay()
			case "store":
				e.printStore(d.CmdArgs[0].Key)
			default:
				t.Fatalf("unknown command %q", d.Cmd)
			}
			return e.out.String()
		})
	})
}

type env struct {
	t       *testing.T
	backend state.Backend
	state   state.Task
	stores  map[string]*faultyStore
	cfg     Config
	task    *Task
	out     strings.Builder
	broken  error // of Emit
	due     string
	idle    []IdleClose // that were noted
	busy    bool
}

func (e *env) create(d *datadriven.TestData) {
	inputs, stores, timers, offsets, maxWait := "a", "", "", "", "100ms"
	var every, wall int64
	idle := "0s"
	e.cfg = Config{Output: e, Now: time.Unix(1000, 0), IdleCloseFunc: e.noteIdle}
	e.idle, e.busy = nil, d.HasArg("busy")
	d.MaybeScanArgs(e.t, "every", &every)
	d.MaybeScanArgs(e.t, "wall", &wall)
	d.MaybeScanArgs(e.t, "idle", &idle)
	if d.HasArg("limit") {
		var takes client.Takes
		d.ScanArgs(e.t, "limit", &takes.RecordBytes)
		e.cfg.Takes = func(string) client.Takes { return takes }
	}
	d.MaybeScanArgs(e.t, "maxwait", &maxWait)
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "inputs":
			inputs = strings.Join(arg.Vals, ",")
		case "stores":
			stores = strings.Join(arg.Vals, ",")
		case "timers":
			timers = strings.Join(arg.Vals, ",")
		case "offsets":
			offsets = arg.Vals[0]
		}
	}
	var err error
	if e.cfg.MaxWait, err = time.ParseDuration(maxWait); err != nil {
		e.t.Fatal(err)
	}
	if e.cfg.IdleClose, err = time.ParseDuration(idle); err != nil {
		e.t.Fatal(err)
	}
	e.cfg.Program = program(e, strings.Split(inputs, ","), stores, timers, every, wall)
	if topic, offset, ok := strings.Cut(offsets, ":"); ok {
		n, err := strconv.ParseInt(offset, 10, 64)
		if err != nil {
			e.t.Fatal(err)
		}
		e.cfg.Offsets = map[string]int64{topic: n}
	}
	e.backend, e.broken = state.NewMemory(), nil
	e.open()
	if broken := ""; d.HasArg("broken") {
		d.ScanArgs(e.t, "broken", &broken)
		e.stores[broken].err = errors.New("disk is full")
	}
}

// program is a topology of one node below all inputs.
func program(e *env, inputs []string, stores, timers string, every, wall int64) *Program {
	b := graph.NewBuilder("app")
	var edges []graph.Edge
	for _, topic := range inputs {
		edges = append(edges, graph.Edge{From: b.Add(graph.Node{Kind: graph.Source, Op: "from", Name: topic, Topic: topic})})
	}
	n := graph.Node{Kind: graph.Processor, Op: "process", Name: "node", Inputs: edges, Leaf: true}
	for s := range strings.SplitSeq(stores, ",") {
		if s != "" {
			n.Stores = append(n.Stores, graph.Store{Spec: state.Spec{Name: s}})
		}
	}
	for s := range strings.SplitSeq(timers, ",") {
		if s != "" {
			n.Stores = append(n.Stores, graph.Store{Spec: state.Spec{Name: s, Kind: state.KindTimers}})
			n.Fires = append(n.Fires, s)
		}
	}
	node := b.Add(n)
	g, err := b.Build()
	if err != nil {
		e.t.Fatal(err)
	}
	return &Program{Graph: g, Open: func(sub *graph.SubTopology, f *Frame) []Source {
		sources := make([]Source, len(sub.Inputs))
		for i := range sources {
			sources[i] = &scriptSource{env: e, frame: f, node: node.ID}
		}
		called := func(what string, at int64) {
			fmt.Fprintf(&e.out, "  %s at %d, stream time %d, record time %d\n", what, at, f.StreamTime(), f.RecordTime())
			due := &scriptSource{env: e, frame: f, node: node.ID, r: client.Record{Value: []byte(e.due), Timestamp: at}}
			due.Process()
		}
		for _, s := range n.Fires {
			f.OnTimers(node.ID, s, func(at int64, key []byte) { called(fmt.Sprintf("timer %s %s", s, key), at) })
		}
		if every > 0 {
			f.OnPunctuation(node.ID, every, func(at int64) { called("punctuation", at) })
		}
		if wall > 0 {
			f.OnWallClock(node.ID, wall, func(at int64) { called("wall-clock punctuation", at-1_000_000) })
		}
		return sources
	}}
}

func (e *env) open() {
	sub := e.cfg.Program.Graph.Subs[0]
	e.cfg.State = nil
	if sub.Stateful() {
		var err error
		if e.state, err = e.backend.OpenTask(e.cfg.ID, sub.Stores); err != nil {
			e.t.Fatal(err)
		}
		e.stores = make(map[string]*faultyStore)
		e.cfg.State = faultyTask{e.state, e}
	}
	var err error
	if e.task, err = New(e.cfg); err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) add(d *datadriven.TestData) {
	b := client.Batch{}
	d.ScanArgs(e.t, "topic", &b.Topic)
	d.MaybeScanArgs(e.t, "end", &b.End)
	for line := range strings.Lines(d.Input) {
		var r client.Record
		fields := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if _, err := fmt.Sscan(fields[0]+" "+fields[1], &r.Offset, &r.Timestamp); err != nil {
			e.t.Fatalf("%q: %v", line, err)
		}
		r.Key = []byte("k" + fields[0])
		if len(fields) > 2 {
			r.Value = []byte(fields[2])
		}
		b.Records = append(b.Records, r)
	}
	if err := e.task.Add(b); err != nil {
		fmt.Fprintln(&e.out, err)
	}
}

func (e *env) run(d *datadriven.TestData) {
	limit, now := 100, "0s"
	d.MaybeScanArgs(e.t, "limit", &limit)
	d.MaybeScanArgs(e.t, "now", &now)
	at, err := time.ParseDuration(now)
	if err != nil {
		e.t.Fatal(err)
	}
	n, err := e.task.Run(limit, time.Unix(1000, 0).Add(at))
	if err != nil {
		fmt.Fprintln(&e.out, "error:", err)
	}
	fmt.Fprintf(&e.out, "took %d, next %v, queued %d, stream time %d", n, e.task.Offsets(), e.task.Queued(), e.task.StreamTime())
	if wake, ok := e.task.Wake(); ok {
		fmt.Fprintf(&e.out, ", wakes at %v", wake.Sub(time.Unix(1000, 0)))
	}
	fmt.Fprintln(&e.out)
}

func (e *env) noteIdle(c IdleClose) (bool, error) {
	if e.busy {
		fmt.Fprintln(&e.out, "  not idle: the cluster has more")
		return false, nil
	}
	fmt.Fprintf(&e.out, "  idle at %v: stream time %d\n", c.Offsets, c.StreamTime)
	e.idle = append(e.idle, c)
	return true, nil
}

func (e *env) replay() {
	e.cfg.Offsets, e.cfg.StreamTime, e.cfg.IdleCloses, e.idle = nil, 0, e.idle, nil
	e.backend = state.NewMemory()
	e.open()
}

func (e *env) restart() {
	e.cfg.Offsets, e.cfg.StreamTime = e.task.Offsets(), e.task.StreamTime()
	if e.state != nil {
		if err := e.state.Commit(map[string]state.Position{}); err != nil {
			e.t.Fatal(err)
		}
		if err := e.state.Close(); err != nil {
			e.t.Fatal(err)
		}
	}
	e.open()
}

func (e *env) printStore(name string) {
	s, _ := e.state.Store(name)
	for kv, err := range s.Range(nil, nil) {
		if err != nil {
			e.t.Fatal(err)
		}
		if at, key, ok := state.ParseTimer(kv.Key); ok && len(kv.Value) == 0 {
			fmt.Fprintf(&e.out, "timer %s at %d\n", key, at)
			continue
		}
		fmt.Fprintf(&e.out, "%s=%s\n", kv.Key, kv.Value)
	}
}

func (e *env) Emit(r OutRecord) error {
	if e.broken != nil {
		return e.broken
	}
	fmt.Fprintf(&e.out, "  out %s %s=%s time %d", r.Topic, r.Key, r.Value, r.Timestamp)
	for _, h := range r.Headers {
		fmt.Fprintf(&e.out, " %s:%s", h.Key, h.Value)
	}
	fmt.Fprintln(&e.out)
	return nil
}

func (*env) Skip(DeadLetter) {}

func (e *env) DeadLetter(l DeadLetter) error {
	if e.broken != nil {
		return e.broken
	}
	where := fmt.Sprintf("%s@%d", l.Topic, l.Record.Offset)
	switch {
	case l.Topic != "":
	case l.Timers == "":
		where = fmt.Sprintf("punctuation at %d", l.Record.Timestamp)
	default:
		where = fmt.Sprintf("timer %s %s at %d", l.Timers, l.Record.Key, l.Record.Timestamp)
	}
	fmt.Fprintf(&e.out, "  dead %s node %s: %v\n", where, l.Node, l.Cause)
	var p *PanicError
	if errors.As(l.Cause, &p) {
		where := strings.Contains(string(p.Stack), "script_test.go")
		fmt.Fprintf(&e.out, "    first %t, stack with the function: %t\n", p.First, where)
	}
	return nil
}

// scriptSource runs the statements of a record.
type scriptSource struct {
	env   *env
	frame *Frame
	node  int
	r     client.Record
}

func (s *scriptSource) Decode(r *client.Record, _ int32) (int64, error) {
	s.r = *r
	switch string(r.Value) {
	case "bad":
		return 0, errors.New("not a program")
	case "panic while decoding":
		panic("no parser")
	}
	return r.Timestamp, nil
}

func (s *scriptSource) Process() {
	s.frame.Enter(s.node)
	for statement := range strings.SplitSeq(string(s.r.Value), ";") {
		words := strings.Fields(statement)
		if len(words) == 0 {
			continue
		}
		if err := s.do(words); err != nil {
			s.frame.Fail(err)
			return
		}
	}
}

func (s *scriptSource) do(w []string) error {
	rest := strings.Join(w[1:], " ")
	switch w[0] {
	case "out":
		if len(w) > 4 {
			s.frame.Header(w[4], []byte("1"))
		}
		buf := append(s.frame.Buffer(), w[2]...)
		end := len(buf)
		return s.frame.Emit(append(buf, w[3]...), Out{Topic: w[1], KeyEnd: end, Timestamp: s.r.Timestamp})
	case "fail":
		return errors.New(rest)
	case "swallow":
		s.frame.Fail(errors.New(rest))
		return nil
	case "panic":
		panic(rest)
	case "use":
		if s.frame.Store(w[1]) == nil {
			s.frame.UnknownStore(w[1])
		}
		return nil
	case "timer", "cancel":
		timers := state.NewTimers(w[1], serde.String).In(frameContext{s.frame})
		if w[0] == "cancel" {
			return timers.Cancel(w[2])
		}
		at, err := strconv.ParseInt(w[3], 10, 64)
		if err != nil {
			return err
		}
		return timers.Set(w[2], time.UnixMilli(at))
	case "break":
		s.env.stores[w[1]].err = errors.New("disk is full")
		return nil
	case "crash":
		s.env.stores[w[1]].crash = true
		return nil
	case "emit-fails":
		s.env.broken = errors.New("broker is gone")
		return nil
	}
	return s.store(w)
}

// frameContext opens typed stores.
type frameContext struct{ *Frame }

func (c frameContext) StreamTime() time.Time { return time.UnixMilli(c.Frame.StreamTime()) }
func (c frameContext) RecordTime() time.Time { return time.UnixMilli(c.Frame.RecordTime()) }

func (s *scriptSource) store(w []string) error {
	store := s.frame.Store(w[1])
	switch w[0] {
	case "put":
		return store.Put([]byte(w[2]), []byte(w[3]))
	case "del":
		return store.Delete([]byte(w[2]))
	case "get":
		v, found, err := store.Get([]byte(w[2]))
		fmt.Fprintf(&s.env.out, "  get %s: %s %t\n", w[2], v, found)
		return err
	case "range":
		var seen []string
		for kv, err := range store.Range(nil, nil) {
			if err != nil {
				return err
			}
			seen = append(seen, fmt.Sprintf("%s=%s", kv.Key, kv.Value))
			if slices.Contains(w, "del") {
				if err := store.Delete(slices.Clone(kv.Key)); err != nil {
					return err
				}
			}
		}
		fmt.Fprintf(&s.env.out, "  range: %s\n", strings.Join(seen, " "))
		return nil
	}
	return fmt.Errorf("no statement %q", w[0])
}

// faultyTask gives the task stores that can fail.
type faultyTask struct {
	state.Task
	env *env
}

func (t faultyTask) Store(name string) (state.Store, bool) {
	inner, ok := t.Task.Store(name)
	s := &faultyStore{Store: inner}
	t.env.stores[name] = s
	return s, ok
}

type faultyStore struct {
	state.Store
	err   error
	crash bool
}

func (s *faultyStore) Get(key []byte) ([]byte, bool, error) {
	if s.crash {
		panic("mmap is gone")
	}
	if s.err != nil {
		return nil, false, s.err
	}
	return s.Store.Get(key)
}

func (s *faultyStore) Range(from, to []byte) iter.Seq2[state.KV, error] {
	if s.err != nil {
		return func(yield func(state.KV, error) bool) { yield(state.KV{}, s.err) }
	}
	return s.Store.Range(from, to)
}

func (s *faultyStore) Put(key, value []byte) error {
	if s.err != nil {
		return s.err
	}
	return s.Store.Put(key, value)
}
