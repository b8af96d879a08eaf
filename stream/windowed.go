package stream

import (
	"cmp"
	"math"
	"reflect"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
	"github.com/riffle-stream/riffle/stream/window"
)

// Windowed is a stream whose records are parted by windows of event time. Aggregate it.
type Windowed[K, V any] struct {
	s Stream[K, V]
	w window.Time
}

// Window parts the records of each key by tumbling, hopping or unlimited windows:
//
//	payments.Window(window.Hopping(5*time.Minute, time.Minute).Grace(30*time.Second)).Aggregate(spend, Spend.Add)
func (s Stream[K, V]) Window(w window.Time) Windowed[K, V] { return Windowed[K, V]{s, w} }

// WindowStore is a [state.WindowStore]. W is the type of the results' keys, window.Key[K]; it is inferred.
type WindowStore[K, A, W any] interface {
	state.Definition
	In(state.Context) state.Windows[K, A]
	Decode(key, value []byte) (K, A, error)
	Keys() window.Keys[K, W]
}

// WindowTable is a table of windows: of each key and window the aggregate of its values. As a [Table] it has every
// update of a window at once; the time of a row is that of the record that updated it, and the last millisecond of its
// window when it is looked up for a join.
//
// OnClose sends each window once, when it is closed. Late has what came after that: nothing is dropped without a trace.
type WindowTable[K, V, A, W any] struct {
	Table[W, A]
	late   *port[K, lateValue[V]]
	closed *port[W, A]
	never  bool // windows do not close
}

// lateValue is a value and the windows it missed.
type lateValue[V any] struct {
	value  V
	missed []window.Window
}

// Count counts the records of each key and window, in a store given by the user; the step is named after the store. A
// record with a null key or value is a dead letter.
//
// The store has to keep a window at least until it is closed: see [state.WindowStore.Retention].
func (w Windowed[K, V]) Count[W any](store WindowStore[K, int64, W]) WindowTable[K, V, int64, W] {
	return w.aggregate("window-count", store, false, func(n int64, _ bool, _ V) int64 { return n + 1 })
}

// Reduce combines the values of each key and window: the first one is the row, and f of the row and the next value the
// next row. For the rest see [Windowed.Count].
func (w Windowed[K, V]) Reduce[W any](store WindowStore[K, V, W], f func(row, v V) V) WindowTable[K, V, V, W] {
	return w.aggregate("window-reduce", store, f == nil, func(row V, found bool, v V) V {
		if !found {
			return v
		}
		return f(row, v)
	})
}

// Aggregate keeps of each key and window what add makes of the row so far, at first the zero A, and the next value. For
// the rest see [Windowed.Count].
func (w Windowed[K, V]) Aggregate[A, W any](store WindowStore[K, A, W], add func(A, V) A) WindowTable[K, V, A, W] {
	return w.aggregate("window-aggregate", store, add == nil, func(row A, _ bool, v V) A { return add(row, v) })
}

func (w Windowed[K, V]) aggregate[A, W any](op string, store WindowStore[K, A, W], missing bool, add func(row A, found bool, v V) A) WindowTable[K, V, A, W] {
	keys := store.Keys()
	after := w.w.ClosesAfter()
	out := windowTable[K, V, A](w.s, windowStep{op, w.w.String(), w.w.Err, after, missing}, store, keys)
	out.rows = rows[W, A]{
		stores: []graph.Store{graphStore(store)},
		open: func(in *instance) lookup[W, A] {
			f, windows := in.frame, store.In(storeContext{in.frame})
			return func(k W) (row state.Timed[A], found bool, err error) {
				key, w := keys.Split(k)
				row.Value, found, err = windows.Get(key, w.Start)
				row.Time = lastOf(w)
				return row, found, f.Fail(err)
			}
		},
	}
	w.s.consume(func(in *instance) handler[K, V] {
		if len(out.closed.consumers) > 0 && !out.never {
			sendClosed(in, out, store.Spec(), after, func(start int64, key, value []byte) (W, window.Window, A, error) {
				k, v, err := store.Decode(key, value)
				window := w.w.From(start)
				return keys.Join(k, window), window, v, err
			})
		}
		return newWindowAggregate(in, w.w, out, store, add).handle
	})
	return out
}

// OnClose is the stream of the windows' last values, each sent once, when the window is closed: when stream time has
// reached its end plus the grace, before the record that brings it there. Windows close in the order of time, those of one
// time in the order of their encoded keys.
//
// A value is sent with the last millisecond of its window as its time. Of headers it has the trace context (traceparent and
// tracestate) of the last record that counted in the window and had one: of a sliding window the record that it ends with. Nothing is held in memory for it: the
// values lie in the store until they are sent, and after that as long as the store keeps them. Stream time is the
// task's, so a window closes with the records of any key of its partition, and not without any, unless Config.IdleClose
// says so.
func (t WindowTable[K, V, A, W]) OnClose() Stream[W, A] {
	if t.never {
		t.b.mistake("%s %q: unlimited windows never close: use Stream", t.port.node.Op, t.port.node.Name)
	}
	return Stream[W, A]{t.b, t.closed}
}

// Late is the stream of the records that came too late for a window, or for several: they do not count there. Where a
// record belongs to several windows it may count in others. Late records are counted, whether or not this is used.
func (t WindowTable[K, V, A, W]) Late() Stream[K, V] {
	return t.LateWith(func(v V, _ []window.Window) V { return v })
}

// LateWith is the stream of what f makes of each record that came too late, and of the windows that it missed, in the
// order of their starts.
func (t WindowTable[K, V, A, W]) LateWith[R any](f func(v V, missed []window.Window) R) Stream[K, R] {
	n := t.b.step("late", f == nil, t.late.edge())
	out := newPort[K, R](n, "")
	t.late.consume(t.b, func(in *instance) handler[K, lateValue[V]] {
		frame, id, next := in.frame, n.ID, out.open(in)
		own := new(rec[K, R])
		return func(r *rec[K, lateValue[V]]) error {
			frame.Enter(id)
			relay(own, r)
			own.Value = f(r.Value.value, r.Value.missed)
			return next(own)
		}
	})
	return Stream[K, R]{t.b, out}
}

// lastOf is the last millisecond of a window.
func lastOf(w window.Window) time.Time { return w.End.Add(-time.Millisecond) }

// windowStep is what a windowed step is, for its description and checks.
type windowStep struct {
	op, windows string
	err         error
	after       int64 // how long the store has to keep a window
	missing     bool  // the function is nil
}

// windowTable adds a windowed step.
func windowTable[K, V, A, W any](s Stream[K, V], w windowStep, store state.Definition, keys window.Keys[K, W]) WindowTable[K, V, A, W] {
	b, spec := s.b, store.Spec()
	never := w.after == math.MaxInt64
	switch {
	case w.err != nil:
		b.mistake("%s %q: %w", w.op, spec.Name, w.err)
	case never && spec.TTL != state.Forever:
		b.mistake("%s %q: unlimited windows never close: declare the store with Retention(state.Forever)", w.op, spec.Name)
	case !never && spec.TTL != state.Forever && spec.TTL.Milliseconds() < w.after:
		b.mistake("%s %q: the store keeps windows for %v, but they are open for %v, grace included: declare it with a longer Retention",
			w.op, spec.Name, spec.TTL, time.Duration(w.after)*time.Millisecond)
	}
	if w.missing {
		b.mistake("%s %q: the function is nil", w.op, spec.Name)
	}
	n := b.add(graph.Node{
		Kind: graph.Processor, Op: w.op, Name: spec.Name, Windows: w.windows, Inputs: []graph.Edge{s.port.edge()},
		Stores: b.stores(spec.Name, []state.Definition{store}), Leaf: true,
	})
	return WindowTable[K, V, A, W]{
		Table: Table[W, A]{b: b, port: newPort[W, Change[A]](n, ""), key: keys.Serde},
		late:  newPort[K, lateValue[V]](n, "late"), closed: newPort[W, A](n, "closed"), never: never,
	}
}

// sendClosed has the windows of a store sent when they are closed. decode takes what the store knows a window by.
func sendClosed[K, V, A, W any](in *instance, t WindowTable[K, V, A, W], store state.Spec, after int64, decode func(at int64, key, value []byte) (W, window.Window, A, error)) {
	f, next := in.frame, t.closed.open(in)
	own := new(rec[W, A])
	f.OnClosed(t.port.node.ID, store, after, func(at int64, key, value, note []byte) {
		k, w, v, err := decode(at, key, value)
		headers, noteErr := tracedHeaders(note)
		if err = cmp.Or(err, noteErr); err != nil {
			f.Fail(err)
			return
		}
		own.Record = Record[W, A]{Key: k, Value: v, Time: lastOf(w), Headers: headers}
		_ = next(own) // the frame has the error
	})
}

// windowAggregate is a windowed step of a task.
type windowAggregate[K, V, A, W any] struct {
	frame   *task.Frame
	node    int
	w       window.Time
	windows state.Windows[K, A]
	add     func(row A, found bool, v V) A
	join    func(K, window.Window) W
	again   bool // add can change the old row in place: the change gets one of its own
	null    nulls[K, V]
	late    *lateRecords[K, V]
	trace   traceNotes
	next    handler[W, Change[A]]
	own     rec[W, Change[A]]

	note   []byte                   // of the present record
	value  V                        // of the present record
	update func(A, bool) (A, error) // of a window with it
}

func newWindowAggregate[K, V, A, W any](in *instance, w window.Time, t WindowTable[K, V, A, W], store WindowStore[K, A, W], add func(A, bool, V) A) *windowAggregate[K, V, A, W] {
	a := &windowAggregate[K, V, A, W]{
		frame: in.frame, node: t.port.node.ID, w: w, windows: store.In(storeContext{in.frame}), add: add, join: store.Keys().Join,
		again: mutable(reflect.TypeFor[A]()), null: newNulls[K, V](), late: newLateRecords(in, t.late), next: t.port.open(in),
		trace: traceNotes{used: len(t.closed.consumers) > 0},
	}
	a.update = func(row A, found bool) (A, error) {
		if !a.again {
			a.own.Value.Old = Optional[A]{row, found}
		}
		return a.add(row, found, a.value), nil
	}
	return a
}

func (a *windowAggregate[K, V, A, W]) handle(r *rec[K, V]) error {
	f := a.frame
	f.Enter(a.node)
	if err := a.null.aggregable(r); err != nil {
		return f.Fail(err)
	}
	a.value, a.note = r.Value, a.trace.of(r.Headers)
	first, last := a.w.Starts(r.Time.UnixMilli())
	open := first // start of the first window that is not closed
	if closed := f.StreamTime() - a.w.ClosesAfter(); closed >= first {
		open += (closed - first + a.w.Advance) / a.w.Advance * a.w.Advance
		if err := a.late.send(r, a.w, first, min(open, last+a.w.Advance)); err != nil {
			return err
		}
		f.Enter(a.node)
	}
	for start := open; start <= last; start += a.w.Advance {
		if err := a.window(r, start); err != nil || start == last {
			return err
		}
	}
	return nil
}

// window updates the window with a start, and sends the change.
func (a *windowAggregate[K, V, A, W]) window(r *rec[K, V], start int64) error {
	at := time.UnixMilli(start).UTC()
	c := &a.own.Value
	if a.again {
		old, found, err := a.windows.Get(r.Key, at)
		if err != nil {
			return a.frame.Fail(err)
		}
		c.Old = Optional[A]{old, found}
	}
	v, err := a.windows.Update(r.Key, at, a.update)
	if err != nil {
		return a.frame.Fail(err)
	}
	if len(a.note) > 0 {
		if err := a.windows.PutNote(r.Key, at, a.note); err != nil {
			return a.frame.Fail(err)
		}
	}
	c.New = some(v)
	passOn(&a.own, r)
	a.own.Key = a.join(r.Key, a.w.From(start))
	err = a.next(&a.own)
	a.frame.Enter(a.node)
	return err
}

// passOn copies everything but key and value.
func passOn[K, V, K2, V2 any](to *rec[K2, V2], from *rec[K, V]) {
	to.Time, to.Headers = from.Time, from.Headers
	to.Topic, to.Partition, to.Offset = from.Topic, from.Partition, from.Offset
}

// aggregable returns why an aggregate cannot take the record, or nil.
func (n *nulls[K, V]) aggregable(r *rec[K, V]) error {
	switch {
	case n.noKey(r):
		return errNullKey
	case n.noValue(r):
		return errNullInput
	}
	return nil
}

// lateRecords sends the records that came too late.
type lateRecords[K, V any] struct {
	frame *task.Frame
	used  bool
	next  handler[K, lateValue[V]]
	own   rec[K, lateValue[V]]
}

func newLateRecords[K, V any](in *instance, p *port[K, lateValue[V]]) *lateRecords[K, V] {
	return &lateRecords[K, V]{frame: in.frame, used: len(p.consumers) > 0, next: p.open(in)}
}

// send sends a record that missed the windows whose starts lie in [first, end).
func (l *lateRecords[K, V]) send(r *rec[K, V], w window.Time, first, end int64) error {
	l.frame.Late()
	if !l.used {
		return nil
	}
	var missed []window.Window
	for start := first; start < end; start += w.Advance {
		missed = append(missed, w.From(start))
	}
	return l.sendMissed(r, missed)
}

func (l *lateRecords[K, V]) sendMissed(r *rec[K, V], missed []window.Window) error {
	relay(&l.own, r)
	l.own.Value = lateValue[V]{r.Value, missed}
	return l.next(&l.own)
}
