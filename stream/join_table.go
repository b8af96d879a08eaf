package stream

import (
	"slices"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// Join joins each record with the row that a table has for its key at that moment; one without a row has no result.
//
//	b.From(Payments).Join(b.Table(Cards), pay)
//
// A change of the table brings about nothing. The record's time is the result's. A record whose key or value is null
// is not joined.
//
// Stream and table are read side by side, in the order of their event times, so a row is joined from its time on, as
// far as records of both wait to be read. A row that arrives later than that is not joined with what has passed.
func (s Stream[K, V]) Join[T, R any](t Table[K, T], join func(V, T) R) Stream[K, R] {
	return s.joinTable("join", t, join == nil, true, func(v V, row Optional[T]) R { return join(v, row.Value) })
}

// LeftJoin is Join for records without a row, too: join gets a missing one. A record whose key is null has none.
func (s Stream[K, V]) LeftJoin[T, R any](t Table[K, T], join func(V, Optional[T]) R) Stream[K, R] {
	return s.joinTable("leftjoin", t, join == nil, false, join)
}

func (s Stream[K, V]) joinTable[T, R any](op string, t Table[K, T], missing, inner bool, join func(V, Optional[T]) R) Stream[K, R] {
	b := s.b
	if t.b != b {
		b.mistake("%s of %q: a table of %s", op, s.port.node.Name, whose(t.b))
		return Stream[K, R]{b, newPort[K, R](s.port.node, "")}
	}
	n := b.step(op, missing, s.port.edge(), t.port.edge())
	n.Stores = t.rows.stores
	out := newPort[K, R](n, "")
	s.consume(func(in *instance) handler[K, V] {
		f, id, look, next := in.frame, n.ID, t.rows.open(in), out.open(in)
		null := newNulls[K, V]()
		own := new(rec[K, R])
		return func(r *rec[K, V]) error {
			f.Enter(id)
			if null.noValue(r) {
				f.Drop(task.DroppedNullValue)
				return nil
			}
			var row Optional[T]
			if !null.noKey(r) {
				found, ok, err := look(r.Key)
				if err != nil {
					return err
				}
				row = Optional[T]{found.Value, ok}
			} else if inner {
				f.Drop(task.DroppedNullKey)
			}
			if inner && !row.Present {
				return nil
			}
			relay(own, r)
			own.Value = join(r.Value, row)
			return next(own)
		}
	})
	return Stream[K, R]{b, out}
}

// Join joins the rows of two tables that have the same key. The result is a table: it changes when either of them
// does, and a row is deleted when one of its halves is. A row's time is the later one of its halves.
//
// If both tables come from one topic, a change of it arrives on both ways, and the old values of the result are those
// in between: Materialize the result before you regroup it.
func (t Table[K, V]) Join[T, R any](other Table[K, T], join func(V, T) R) Table[K, R] {
	return joinTables("join", t, other, join == nil, func(v Optional[V], o Optional[T]) (r Optional[R]) {
		if v.Present && o.Present {
			r = some(join(v.Value, o.Value))
		}
		return r
	})
}

// LeftJoin is [Table.Join] for rows without a counterpart in other, too: join gets a missing one.
func (t Table[K, V]) LeftJoin[T, R any](other Table[K, T], join func(V, Optional[T]) R) Table[K, R] {
	return joinTables("leftjoin", t, other, join == nil, func(v Optional[V], o Optional[T]) (r Optional[R]) {
		if v.Present {
			r = some(join(v.Value, o))
		}
		return r
	})
}

// OuterJoin is [Table.Join] for rows without a counterpart on either side, too: join gets a missing one for it.
func (t Table[K, V]) OuterJoin[T, R any](other Table[K, T], join func(Optional[V], Optional[T]) R) Table[K, R] {
	return joinTables("outerjoin", t, other, join == nil, func(v Optional[V], o Optional[T]) (r Optional[R]) {
		if v.Present || o.Present {
			r = some(join(v, o))
		}
		return r
	})
}

// joinTables joins two tables with a function that says what there is for which halves.
func joinTables[K, V, T, R any](op string, t Table[K, V], other Table[K, T], missing bool, join func(Optional[V], Optional[T]) Optional[R]) Table[K, R] {
	b := t.b
	if other.b != b {
		b.mistake("%s of %q: a table of %s", op, t.port.node.Name, whose(other.b))
		return Table[K, R]{b: b, port: newPort[K, Change[R]](t.port.node, "")}
	}
	n := b.step(op, missing, t.port.edge(), other.port.edge())
	n.Stores = union(t.rows.stores, other.rows.stores)
	out := newPort[K, Change[R]](n, "")
	t.consume(func(in *instance) handler[K, Change[V]] { return joinChange(in, out, other.rows, join) })
	other.consume(func(in *instance) handler[K, Change[T]] {
		return joinChange(in, out, t.rows, func(o Optional[T], v Optional[V]) Optional[R] { return join(v, o) })
	})
	joined := rows[K, R]{stores: n.Stores, open: func(in *instance) lookup[K, R] {
		left, right := t.rows.open(in), other.rows.open(in)
		return func(key K) (row state.Timed[R], found bool, err error) {
			v, hasV, err := left(key)
			if err != nil {
				return row, false, err
			}
			o, hasO, err := right(key)
			if err != nil {
				return row, false, err
			}
			r := join(Optional[V]{v.Value, hasV}, Optional[T]{o.Value, hasO})
			return state.Timed[R]{Value: r.Value, Time: later(v.Time, o.Time)}, r.Present, nil
		}
	}}
	return Table[K, R]{b: b, port: out, rows: joined, key: t.key}
}

// joinChange joins the changes of one table with the rows of the other.
func joinChange[K, V, T, R any](in *instance, out *port[K, Change[R]], other rows[K, T], join func(Optional[V], Optional[T]) Optional[R]) handler[K, Change[V]] {
	f, id, look, next := in.frame, out.node.ID, other.open(in), out.open(in)
	own := new(rec[K, Change[R]])
	return func(r *rec[K, Change[V]]) error {
		f.Enter(id)
		row, found, err := look(r.Key)
		if err != nil {
			return err
		}
		o := Optional[T]{row.Value, found}
		c := Change[R]{join(r.Value.Old, o), join(r.Value.New, o)}
		if !c.Old.Present && !c.New.Present {
			return nil
		}
		relay(own, r)
		own.Value = c
		if found {
			own.Time = later(r.Time, row.Time)
		}
		return next(own)
	}
}

// union returns the stores of both, each once.
func union(a, b []graph.Store) []graph.Store {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.ContainsFunc(all, func(have graph.Store) bool { return have.Spec.Name == s.Spec.Name }) {
			all = append(all, s)
		}
	}
	return all
}
