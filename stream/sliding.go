package stream

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
	"github.com/riffle-stream/riffle/stream/window"
)

// SlidingWindowed is a stream of which each record has windows that end with it. Aggregate it.
type SlidingWindowed[K, V any] struct {
	s Stream[K, V]
	w window.Moving
}

// Sliding gives each record a window of each width that ends with it: (t-width, t], to the millisecond, of the records of its
// key. A record that comes out of order also updates the windows of the later ones that it belongs to. One that comes more than
// the grace behind stream time is late, and counts nowhere.
//
// The store holds one aggregate for each time at which a key has records, so what a record reads grows with the number of
// such times in its widest window. For windows of many thousand records use processors.Sliding.
func (s Stream[K, V]) Sliding(w window.Moving) SlidingWindowed[K, V] {
	return SlidingWindowed[K, V]{s, w}
}

// Count counts the records of each window, in a store given by the user; the step is named after the store. A record
// with a null key or value is a dead letter.
//
// The store has to keep what it holds as long as a window that is not closed reaches it: the widest width, the grace, and
// a millisecond. See [state.WindowStore.Retention].
func (w SlidingWindowed[K, V]) Count[W any](store WindowStore[K, int64, W]) WindowTable[K, V, int64, W] {
	return w.aggregate("sliding-count", store, false,
		func(n int64, _ bool, _ V) int64 { return n + 1 },
		func(a, b int64) int64 { return a + b })
}

// Reduce combines the values of each window with f, in the order of time. f must be associative. For the rest see
// [SlidingWindowed.Count].
func (w SlidingWindowed[K, V]) Reduce[W any](store WindowStore[K, V, W], f func(a, b V) V) WindowTable[K, V, V, W] {
	return w.aggregate("sliding-reduce", store, f == nil, func(row V, found bool, v V) V {
		if !found {
			return v
		}
		return f(row, v)
	}, f)
}

// Aggregate makes an aggregate of the records of each time with add, at first of the zero A, and of these a window's with
// merge, the earlier one first. For the rest see [SlidingWindowed.Count].
func (w SlidingWindowed[K, V]) Aggregate[A, W any](store WindowStore[K, A, W], add func(A, V) A, merge func(a, b A) A) WindowTable[K, V, A, W] {
	return w.aggregate("sliding-aggregate", store, add == nil || merge == nil,
		func(row A, _ bool, v V) A { return add(row, v) }, merge)
}

func (w SlidingWindowed[K, V]) aggregate[A, W any](op string, store WindowStore[K, A, W], missing bool, add func(row A, found bool, v V) A, merge func(a, b A) A) WindowTable[K, V, A, W] {
	step := windowStep{op: op, windows: w.w.String(), err: w.w.Err, after: w.w.Reach() + w.w.Lateness + 1, missing: missing}
	out := windowTable[K, V, A](w.s, step, store, store.Keys())
	out.rows = rows[W, A]{
		stores: []graph.Store{graphStore(store)},
		open: func(in *instance) lookup[W, A] {
			p := newPoints(in, w.w, store, merge)
			split := store.Keys().Split
			return func(k W) (row state.Timed[A], found bool, err error) {
				key, w := split(k)
				from, until := w.Start.UnixMilli(), w.End.UnixMilli()
				if err := p.read(key, from, until); err != nil {
					return row, false, in.frame.Fail(err)
				}
				if _, found = p.at(until - 1); found {
					row.Value, row.Time = p.fold(from, until), lastOf(w)
				}
				return row, found, nil
			}
		},
	}
	w.s.consume(func(in *instance) handler[K, V] {
		a := &slidingAggregate[K, V, A, W]{
			frame: in.frame, node: out.port.node.ID, w: w.w, add: add, join: store.Keys().Join,
			points: newPoints(in, w.w, store, merge),
			null:   newNulls[K, V](), late: newLateRecords(in, out.late), next: out.port.open(in),
		}
		if a.trace.used = len(out.closed.consumers) > 0; a.trace.used {
			a.sendClosed(in, out, store)
		}
		return a.handle
	})
	return out
}

// slidingAggregate is a step with sliding windows of a task.
type slidingAggregate[K, V, A, W any] struct {
	frame  *task.Frame
	node   int
	w      window.Moving
	add    func(row A, found bool, v V) A
	join   func(K, window.Window) W
	points *points[K, A]
	null   nulls[K, V]
	late   *lateRecords[K, V]
	trace  traceNotes
	next   handler[W, Change[A]]
	own    rec[W, Change[A]]
	old    []A // of the windows that the present record changes
}

func (a *slidingAggregate[K, V, A, W]) handle(r *rec[K, V]) error {
	f := a.frame
	f.Enter(a.node)
	if err := a.null.aggregable(r); err != nil {
		return f.Fail(err)
	}
	at := r.Time.UnixMilli()
	if at+1+a.w.Lateness <= f.StreamTime() {
		return a.tooLate(r, at)
	}
	reach := a.w.Reach()
	p := a.points
	if err := p.read(r.Key, at-reach+1, at+reach); err != nil {
		return f.Fail(err)
	}
	_, again := p.at(at)
	clear(a.old)
	a.old = a.old[:0]
	for _, end := range p.from(at) {
		for _, width := range a.w.Widths {
			if end-width < at {
				if err := p.fresh(r.Key); err != nil {
					return f.Fail(err)
				}
				a.old = append(a.old, p.fold(end-width+1, end+1))
			}
		}
	}
	if err := p.update(r.Key, at, func(row A, found bool) (A, error) { return a.add(row, found, r.Value), nil }); err != nil {
		return f.Fail(err)
	}
	if note := a.trace.of(r.Headers); len(note) > 0 {
		if err := p.windows.PutNote(r.Key, time.UnixMilli(at), note); err != nil {
			return f.Fail(err)
		}
	}
	old := 0
	for _, end := range p.from(at) {
		for _, width := range a.w.Widths {
			if end-width >= at {
				continue
			}
			c := Change[A]{}
			if again || end > at { // the window was there before
				c.Old = some(a.old[old])
				old++
			}
			if err := p.fresh(r.Key); err != nil {
				return f.Fail(err)
			}
			c.New = some(p.fold(end-width+1, end+1))
			passOn(&a.own, r)
			a.own.Key, a.own.Value = a.join(r.Key, a.w.Until(end, width)), c
			if err := a.next(&a.own); err != nil {
				return err
			}
			f.Enter(a.node)
		}
	}
	return nil
}

func (a *slidingAggregate[K, V, A, W]) tooLate(r *rec[K, V], at int64) error {
	a.frame.Late()
	if !a.late.used {
		return nil
	}
	missed := make([]window.Window, len(a.w.Widths))
	for i, width := range a.w.Widths {
		missed[i] = a.w.Until(at, width)
	}
	slices.SortFunc(missed, func(x, y window.Window) int { return x.Start.Compare(y.Start) })
	return a.late.sendMissed(r, missed)
}

// sendClosed sends the windows that end with a time once they are closed.
func (a *slidingAggregate[K, V, A, W]) sendClosed(in *instance, t WindowTable[K, V, A, W], store WindowStore[K, A, W]) {
	f, next := in.frame, t.closed.open(in)
	own := new(rec[W, A])
	p := a.points
	f.OnClosed(a.node, store.Spec(), a.w.Lateness+1, func(at int64, key, value, note []byte) {
		k, _, err := store.Decode(key, value)
		headers, noteErr := tracedHeaders(note)
		if err = cmp.Or(err, noteErr); err == nil {
			err = p.read(k, at-a.w.Reach()+1, at+1)
		}
		for _, width := range a.w.Widths {
			if err == nil {
				err = p.fresh(k)
			}
			if err != nil {
				f.Fail(err)
				return
			}
			w := a.w.Until(at, width)
			own.Record = Record[W, A]{Key: a.join(k, w), Value: p.fold(at-width+1, at+1), Time: lastOf(w), Headers: headers}
			if next(own) != nil {
				return // the frame has the error
			}
			f.Enter(a.node)
		}
	})
}

// points are the aggregates of a key that a step has read, each of one time.
type points[K, A any] struct {
	windows state.Windows[K, A]
	merge   func(a, b A) A
	again   bool // merge can change an aggregate in place: it is read anew before each fold
	first   int64
	end     int64 // of what was read
	times   []int64
	values  []A
	entries []state.WindowEntry[K, A] // reused
}

func newPoints[K, A, W any](in *instance, w window.Moving, store WindowStore[K, A, W], merge func(a, b A) A) *points[K, A] {
	return &points[K, A]{windows: store.In(storeContext{in.frame}), merge: merge, again: mutable(reflect.TypeFor[A]())}
}

// read reads the points of a key whose times lie in [first, end).
func (p *points[K, A]) read(key K, first, end int64) error {
	p.first, p.end = max(first, 0), end
	clear(p.values)
	p.times, p.values = p.times[:0], p.values[:0]
	entries, err := p.windows.AppendFetched(p.entries[:0], key, time.UnixMilli(p.first), time.UnixMilli(end))
	for i := range entries {
		p.times, p.values = append(p.times, entries[i].Start.UnixMilli()), append(p.values, entries[i].Value)
	}
	clear(entries)
	p.entries = entries
	return err
}

// fresh makes the values such as they were read.
func (p *points[K, A]) fresh(key K) error {
	if !p.again {
		return nil
	}
	return p.read(key, p.first, p.end)
}

// at returns the place of a time, and whether there is a point.
func (p *points[K, A]) at(t int64) (int, bool) { return slices.BinarySearch(p.times, t) }

// from returns the times of the points from t on.
func (p *points[K, A]) from(t int64) []int64 {
	i, _ := p.at(t)
	return p.times[i:]
}

// update changes the point of a time.
func (p *points[K, A]) update(key K, t int64, f func(A, bool) (A, error)) error {
	v, err := p.windows.Update(key, time.UnixMilli(t), f)
	if err != nil {
		return err
	}
	i, found := p.at(t)
	if !found {
		p.times, p.values = slices.Insert(p.times, i, t), slices.Insert(p.values, i, v)
	}
	p.values[i] = v
	return nil
}

// fold merges the points whose times lie in [from, until), in the order of time. There is at least one, or it returns
// the zero A.
func (p *points[K, A]) fold(from, until int64) (v A) {
	i, _ := p.at(from)
	for n := i; n < len(p.times) && p.times[n] < until; n++ {
		if n == i {
			v = p.values[n]
		} else {
			v = p.merge(v, p.values[n])
		}
	}
	return v
}
