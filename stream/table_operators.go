package stream

import (
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

// Filter keeps the rows whose value f reports true for. A row that no longer passes is deleted below.
func (t Table[K, V]) Filter(f func(V) bool) Table[K, V] {
	return t.filter(f == nil, func(_ K, v V) bool { return f(v) })
}

// FilterRow is Filter with a function of the key and the value.
func (t Table[K, V]) FilterRow(f func(K, V) bool) Table[K, V] { return t.filter(f == nil, f) }

func (t Table[K, V]) filter(missing bool, keep func(K, V) bool) Table[K, V] {
	out := t.derive("filter", missing, func(k K, v V) (V, bool) { return v, keep(k, v) })
	out.value = t.value
	return out
}

// Map replaces the value of each row by f of it.
func (t Table[K, V]) Map[R any](f func(V) R) Table[K, R] {
	return t.derive("map", f == nil, func(_ K, v V) (R, bool) { return f(v), true })
}

// MapRow is Map with a function of the key and the value.
func (t Table[K, V]) MapRow[R any](f func(K, V) R) Table[K, R] {
	return t.derive("map", f == nil, func(k K, v V) (R, bool) { return f(k, v), true })
}

// derive makes of each row another one, or none.
func (t Table[K, V]) derive[R any](op string, missing bool, f func(K, V) (R, bool)) Table[K, R] {
	n := t.node(op, missing)
	out := newPort[K, Change[R]](n, "")
	t.consume(func(in *instance) handler[K, Change[V]] {
		frame, id, next := in.frame, n.ID, out.open(in)
		own := new(rec[K, Change[R]])
		side := func(key K, v Optional[V]) (r Optional[R]) {
			if v.Present {
				r.Value, r.Present = f(key, v.Value)
			}
			if !r.Present {
				return Optional[R]{}
			}
			return r
		}
		return func(r *rec[K, Change[V]]) error {
			frame.Enter(id)
			c := Change[R]{side(r.Key, r.Value.Old), side(r.Key, r.Value.New)}
			if !c.Old.Present && !c.New.Present {
				return nil
			}
			relay(own, r)
			own.Value = c
			return next(own)
		}
	})
	derived := rows[K, R]{stores: t.rows.stores, open: func(in *instance) lookup[K, R] {
		look := t.rows.open(in)
		return func(key K) (row state.Timed[R], found bool, err error) {
			from, found, err := look(key)
			if err != nil || !found {
				return row, false, err
			}
			v, found := f(key, from.Value)
			if !found {
				return row, false, nil
			}
			return state.Timed[R]{Value: v, Time: from.Time}, true, nil
		}
	}}
	return Table[K, R]{b: t.b, port: out, rows: derived, key: t.key, value: serde.Serde[state.Timed[R]]{}}
}

// Materialize keeps the table in a store of its own: so it can be queried, functions above are not called again when
// a row is looked up, and there are serdes for what needs them.
func (t Table[K, V]) Materialize(store state.TableStore[K, V]) Table[K, V] {
	out := t.b.table(store, graph.Node{Op: "materialize", Name: store.Spec().Name, Inputs: []graph.Edge{t.port.edge()}})
	t.consume(func(in *instance) handler[K, Change[V]] {
		f, id, keep := in.frame, out.port.node.ID, newKeeper(in, out, store)
		return func(r *rec[K, Change[V]]) error {
			f.Enter(id)
			return sendUpdate(keep, r, r.Value.New, r.Time)
		}
	})
	return out
}

// Changes is the stream of what f makes of each change of a row, deletes included.
func (t Table[K, V]) Changes[R any](f func(Change[V]) R) Stream[K, R] {
	return t.stream("changes", f == nil, func(c Change[V]) (R, bool) { return f(c), true })
}

// Stream is the stream of the rows' new values. A delete is a null in it if V has room for one (see [Topic]).
// Otherwise it is left out: use [Table.Changes] to see it.
func (t Table[K, V]) Stream() Stream[K, V] {
	hasNull := isNil[V]() != nil
	return t.stream("stream", false, func(c Change[V]) (V, bool) { return c.New.Value, c.New.Present || hasNull })
}

// stream makes of each change a value, or none.
func (t Table[K, V]) stream[R any](op string, missing bool, f func(Change[V]) (R, bool)) Stream[K, R] {
	n := t.node(op, missing)
	out := newPort[K, R](n, "")
	t.consume(func(in *instance) handler[K, Change[V]] {
		frame, id, next := in.frame, n.ID, out.open(in)
		own := new(rec[K, R])
		return func(r *rec[K, Change[V]]) error {
			frame.Enter(id)
			v, ok := f(r.Value)
			if !ok {
				return nil
			}
			relay(own, r)
			own.Value = v
			return next(own)
		}
	})
	return Stream[K, R]{t.b, out}
}

// To writes the table to a topic: each change as the new value, a delete as null. The topic can be read as a table
// again, and be compacted.
func (t Table[K, V]) To(topic Topic[K, V]) {
	n := t.b.sink(topic, t.port.edge())
	t.consume(func(in *instance) handler[K, Change[V]] {
		write := sink(in.frame, n.ID, topic)
		own := new(rec[K, V])
		return func(r *rec[K, Change[V]]) error {
			relay(own, r)
			own.Value, own.nullValue = r.Value.New.Value, !r.Value.New.Present
			return write(own)
		}
	})
}
