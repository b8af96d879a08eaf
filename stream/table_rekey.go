package stream

import (
	"bytes"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// GroupedTable is a table whose rows were given to groups by [Table.Rekey]. A row that changes leaves its old group
// and enters its new one, so an aggregate needs a function that adds and one that takes away.
type GroupedTable[K, V any] struct {
	b    *Builder
	port *port[K, Change[V]]
}

// Rekey gives each row to the group that f returns; a row for which it returns nil belongs to none. The changes travel
// through the repartition topic NAME-repartition of the application, with key and value as its serdes: a change
// inside a group as one record, one from group to group as two, so that for a moment the row counts in neither.
func (t Table[K, V]) Rekey[K2 any](name string, key serde.Serde[K2], value serde.Serde[V], f func(K, V) K2) GroupedTable[K2, V] {
	b := t.b
	topic := NewTopic(name, key, changeSerde(value))
	n := b.rekey(name, f == nil, topic.valid(), keySerde(key), t.port.edge())
	out := newPort[K2, Change[V]](n, "")
	t.consume(func(in *instance) handler[K, Change[V]] {
		return regroup(in.frame, n.ID, key, f, sink(in.frame, n.ID, topic.named(n.Topic)))
	})
	b.opens[n.ID] = func(in *instance) task.Source { return newSource(in, topic.named(n.Topic), out) }
	return GroupedTable[K2, V]{b, out}
}

// regroup sends the old value of a row to its old group and the new one to its new group.
func regroup[K, K2, V any](f *task.Frame, node int, key serde.Serde[K2], group func(K, V) K2, send handler[K2, Change[V]]) handler[K, Change[V]] {
	none := isNil[K2]()
	own := new(rec[K2, Change[V]])
	var before, after []byte // the encoded keys
	groupOf := func(k K, v Optional[V], buf []byte) (Optional[K2], []byte, error) {
		if !v.Present {
			return Optional[K2]{}, buf, nil
		}
		g := group(k, v.Value)
		if none != nil && none(&g) {
			return Optional[K2]{}, buf, nil
		}
		buf, err := key.Encode(buf[:0], g)
		return some(g), buf, err
	}
	return func(r *rec[K, Change[V]]) (err error) {
		f.Enter(node)
		var from, to Optional[K2]
		c := r.Value
		if from, before, err = groupOf(r.Key, c.Old, before); err != nil {
			return f.Fail(err)
		}
		if to, after, err = groupOf(r.Key, c.New, after); err != nil {
			return f.Fail(err)
		}
		own.Time, own.Headers = r.Time, r.Headers
		if from.Present && to.Present && bytes.Equal(before, after) {
			own.Key, own.Value = to.Value, c
			return send(own)
		}
		if from.Present {
			own.Key, own.Value = from.Value, Change[V]{Old: c.Old}
			if err := send(own); err != nil {
				return err
			}
		}
		if to.Present {
			own.Key, own.Value = to.Value, Change[V]{New: c.New}
			return send(own)
		}
		return nil
	}
}

// Count counts the rows of each group. A group that lost its last row stays, with 0.
func (g GroupedTable[K, V]) Count(store state.TableStore[K, int64]) Table[K, int64] {
	return g.aggregate("count", store, false,
		func(n Optional[int64], _ V) int64 { return n.Value + 1 },
		func(n int64, _ V) int64 { return n - 1 })
}

// Reduce combines the values of each group: the first one is the group's row; add puts one to it, subtract takes one
// that was put to it away again. Both return the new row; nil deletes it.
func (g GroupedTable[K, V]) Reduce(store state.TableStore[K, V], add, subtract func(row, v V) V) Table[K, V] {
	return g.aggregate("reduce", store, add == nil || subtract == nil,
		func(row Optional[V], v V) V {
			if !row.Present {
				return v
			}
			return add(row.Value, v)
		}, subtract)
}

// Aggregate keeps of each group what add and subtract make of the row so far, at first the zero A, and a value that
// enters or leaves the group. If a value changes inside a group, the old one leaves first. A row that becomes nil is
// deleted.
func (g GroupedTable[K, V]) Aggregate[A any](store state.TableStore[K, A], add, subtract func(A, V) A) Table[K, A] {
	return g.aggregate("aggregate", store, add == nil || subtract == nil,
		func(row Optional[A], v V) A { return add(row.Value, v) }, subtract)
}

func (g GroupedTable[K, V]) aggregate[A any](op string, store state.TableStore[K, A], missing bool, add func(Optional[A], V) A, subtract func(A, V) A) Table[K, A] {
	out := g.b.aggregate(op, store, missing, g.port.edge())
	none := isNil[A]()
	update := func(row Optional[A], c Change[V]) Optional[A] {
		if c.Old.Present && row.Present {
			row.Value = subtract(row.Value, c.Old.Value)
			row.Present = none == nil || !none(&row.Value)
		}
		if c.New.Present {
			row = some(add(row, c.New.Value))
		}
		return row
	}
	g.port.consume(g.b, func(in *instance) handler[K, Change[V]] {
		f, id, rows := in.frame, out.port.node.ID, newAggregator(in, out, store)
		return func(r *rec[K, Change[V]]) error {
			f.Enter(id)
			return updateRow(rows, r, update)
		}
	})
	return out
}
