package stream

import (
	"reflect"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
	"github.com/riffle-stream/riffle/stream/window"
)

// SessionWindowed is a stream whose records are parted by sessions. Aggregate it.
type SessionWindowed[K, V any] struct {
	s Stream[K, V]
	w window.Sessions
}

// Sessions parts the records of each key by sessions of activity. A record joins the sessions within whose gap it lies,
// which become one: their rows are deleted, and the merged session has a row of its own. A session that is closed takes
// nothing more: what comes within its gap begins another one, or is late.
func (s Stream[K, V]) Sessions(w window.Sessions) SessionWindowed[K, V] {
	return SessionWindowed[K, V]{s, w}
}

// SessionStore is a [state.SessionStore]. W is the type of the results' keys, window.Key[K]; it is inferred.
type SessionStore[K, A, W any] interface {
	state.Definition
	In(state.Context) state.Sessions[K, A]
	Decode(key, value []byte) (k K, start int64, v A, err error)
	Keys() window.Keys[K, W]
}

// Count counts the records of each session, in a store given by the user; the step is named after the store. A record
// with a null key or value is a dead letter.
//
// The store has to keep a session at least until it is closed: see [state.SessionStore.Retention].
func (w SessionWindowed[K, V]) Count[W any](store SessionStore[K, int64, W]) WindowTable[K, V, int64, W] {
	return w.aggregate("session-count", store, false,
		func(n int64, _ bool, _ V) int64 { return n + 1 },
		func(a, b int64) int64 { return a + b })
}

// Reduce combines the values of each session: the first one is the row, and f of the row and the next value the next
// row. Rows of sessions that merge are combined by f too, in the order of time. For the rest see
// [SessionWindowed.Count].
func (w SessionWindowed[K, V]) Reduce[W any](store SessionStore[K, V, W], f func(row, v V) V) WindowTable[K, V, V, W] {
	return w.aggregate("session-reduce", store, f == nil, func(row V, found bool, v V) V {
		if !found {
			return v
		}
		return f(row, v)
	}, f)
}

// Aggregate keeps of each session what add makes of the row so far, at first the zero A, and the next value. merge
// makes one row of two sessions that merge, the earlier one first. For the rest see [SessionWindowed.Count].
func (w SessionWindowed[K, V]) Aggregate[A, W any](store SessionStore[K, A, W], add func(A, V) A, merge func(a, b A) A) WindowTable[K, V, A, W] {
	return w.aggregate("session-aggregate", store, add == nil || merge == nil,
		func(row A, _ bool, v V) A { return add(row, v) }, merge)
}

func (w SessionWindowed[K, V]) aggregate[A, W any](op string, store SessionStore[K, A, W], missing bool, add func(row A, found bool, v V) A, merge func(a, b A) A) WindowTable[K, V, A, W] {
	keys, after := store.Keys(), w.w.ClosesAfter()
	out := windowTable[K, V, A](w.s, windowStep{op, w.w.String(), w.w.Err, after, missing}, store, keys)
	out.rows = rows[W, A]{
		stores: []graph.Store{graphStore(store)},
		open: func(in *instance) lookup[W, A] {
			f, sessions := in.frame, store.In(storeContext{in.frame})
			return func(k W) (row state.Timed[A], found bool, err error) {
				key, w := keys.Split(k)
				row.Value, found, err = sessions.Get(key, w)
				row.Time = lastOf(w)
				return row, found, f.Fail(err)
			}
		},
	}
	w.s.consume(func(in *instance) handler[K, V] {
		if len(out.closed.consumers) > 0 {
			sendClosed(in, out, store.Spec(), after, func(end int64, key, value []byte) (W, window.Window, A, error) {
				k, start, v, err := store.Decode(key, value)
				w := window.Millis(start, end)
				return keys.Join(k, w), w, v, err
			})
		}
		a := &sessionAggregate[K, V, A, W]{
			frame: in.frame, node: out.port.node.ID, w: w.w, sessions: store.In(storeContext{in.frame}),
			add: add, merge: merge, join: keys.Join, again: mutable(reflect.TypeFor[A]()),
			null: newNulls[K, V](), late: newLateRecords(in, out.late), next: out.port.open(in),
			trace: traceNotes{used: len(out.closed.consumers) > 0},
		}
		return a.handle
	})
	return out
}

// sessionAggregate is a step with sessions of a task.
type sessionAggregate[K, V, A, W any] struct {
	frame    *task.Frame
	node     int
	w        window.Sessions
	sessions state.Sessions[K, A]
	add      func(row A, found bool, v V) A
	merge    func(a, b A) A
	join     func(K, window.Window) W
	again    bool // the functions can change an old row in place: the change gets one of its own
	null     nulls[K, V]
	late     *lateRecords[K, V]
	trace    traceNotes
	next     handler[W, Change[A]]
	own      rec[W, Change[A]]

	found []state.SessionEntry[K, A] // of the present record
}

func (a *sessionAggregate[K, V, A, W]) handle(r *rec[K, V]) error {
	f := a.frame
	f.Enter(a.node)
	if err := a.null.aggregable(r); err != nil {
		return f.Fail(err)
	}
	at := r.Time.UnixMilli()
	start, end, err := a.find(r.Key, at)
	if err != nil {
		return f.Fail(err)
	}
	if a.closed(end) {
		f.Late()
		if !a.late.used {
			return nil
		}
		return a.late.sendMissed(r, []window.Window{window.Millis(at, at+1)})
	}
	row, err := a.merged(r.Key)
	if err != nil {
		return f.Fail(err)
	}
	return a.replace(r, window.Millis(start, end), a.add(row, len(a.found) > 0, r.Value))
}

func (a *sessionAggregate[K, V, A, W]) closed(end int64) bool {
	return end+a.w.ClosesAfter() <= a.frame.StreamTime()
}

// find finds the open sessions that a record of a time joins, and the bounds of what they become with it.
func (a *sessionAggregate[K, V, A, W]) find(key K, at int64) (start, end int64, err error) {
	start, end = at, at+1
	clear(a.found)
	reach := window.Millis(max(at-a.w.Gap, 0), at+a.w.Gap)
	if a.found, err = a.sessions.AppendFound(a.found[:0], key, reach.Start, reach.End); err != nil {
		return 0, 0, err
	}
	open := a.found[:0]
	for _, e := range a.found {
		if last := e.Window.End.UnixMilli(); !a.closed(last) {
			open = append(open, e)
			start, end = min(start, e.Window.Start.UnixMilli()), max(end, last)
		}
	}
	a.found = open
	return start, end, nil
}

// merged is the row of the sessions that were found. What it is made of may be changed by the user's functions: the
// entries get rows of their own, to be sent as the old ones.
func (a *sessionAggregate[K, V, A, W]) merged(key K) (row A, err error) {
	for i := range a.found {
		e := &a.found[i]
		v := e.Value
		if a.again {
			if e.Value, _, err = a.sessions.Get(key, e.Window); err != nil {
				return row, err
			}
		}
		if i == 0 {
			row = v
		} else {
			row = a.merge(row, v)
		}
	}
	return row, nil
}

// replace puts a session in the place of those that were found, and sends the changes.
func (a *sessionAggregate[K, V, A, W]) replace(r *rec[K, V], w window.Window, row A) error {
	f := a.frame
	note, err := a.note(r)
	if err != nil {
		return f.Fail(err)
	}
	old := Optional[A]{}
	for _, e := range a.found {
		if e.Window == w {
			old = some(e.Value)
			continue
		}
		if err := a.sessions.Delete(r.Key, e.Window); err != nil {
			return f.Fail(err)
		}
		if err := a.send(r, e.Window, Change[A]{Old: some(e.Value)}); err != nil {
			return err
		}
	}
	if err := a.sessions.Put(r.Key, w, row); err != nil {
		return f.Fail(err)
	}
	if len(note) > 0 {
		if err := a.sessions.PutNote(r.Key, w, note); err != nil {
			return f.Fail(err)
		}
	}
	return a.send(r, w, Change[A]{old, some(row)})
}

// note returns the note for the session that a record makes of those that were found: its own or, if it belongs to no
// trace, that of the last of them that has one.
func (a *sessionAggregate[K, V, A, W]) note(r *rec[K, V]) ([]byte, error) {
	note := a.trace.of(r.Headers)
	for i := len(a.found) - 1; i >= 0 && len(note) == 0 && a.trace.used; i-- {
		have, err := a.sessions.Note(r.Key, a.found[i].Window)
		if err != nil {
			return nil, err
		}
		a.trace.bytes = append(a.trace.bytes[:0], have...)
		note = a.trace.bytes
	}
	return note, nil
}

func (a *sessionAggregate[K, V, A, W]) send(r *rec[K, V], w window.Window, c Change[A]) error {
	passOn(&a.own, r)
	a.own.Key, a.own.Value = a.join(r.Key, w), c
	err := a.next(&a.own)
	a.frame.Enter(a.node)
	return err
}
