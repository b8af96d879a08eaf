package stream

import (
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// GlobalTable is a table of which every instance holds all partitions, in memory: for data that is small and that
// records of any key look into. It need not be partitioned as what joins it.
//
// It is loaded before an instance processes its first record, and follows its topic from then on. It does not wait for
// event time: a record meets the rows that have arrived when it is processed. So results depend on when a row came, and
// processing the same log again need not give the same ones, unless the table did not change meanwhile. Where that
// matters, use a [Table]. Records without a key are left out; partitions that
// are added to the topic are read after a restart. All global tables take at most Config.MaxGlobalBytes.
type GlobalTable[K, V any] struct {
	b     *Builder
	node  *graph.Node
	topic Topic[K, V]
}

// GlobalTable reads a topic as a global table. Reading one topic several times gives the same table.
func (b *Builder) GlobalTable[K, V any](t Topic[K, V]) GlobalTable[K, V] {
	if g, ok := b.globals[t.Name].(GlobalTable[K, V]); ok && g.node.Serdes == t.serdes() {
		return g
	}
	if err := t.valid(); err != nil {
		b.mistake("globaltable: topic %q: %w", t.Name, err)
	}
	n := b.add(graph.Node{Kind: graph.Global, Op: "globaltable", Name: t.Name, Topic: t.Name, Serdes: t.serdes()})
	g := GlobalTable[K, V]{b, n, t}
	b.globals[t.Name] = g
	return g
}

// JoinGlobal joins each record with the row of a global table that key of it names; one without a row has no result. A
// record whose value is null is not joined, and a nil key names no row. See [GlobalTable] for what time means here.
func (s Stream[K, V]) JoinGlobal[GK, GV, R any](g GlobalTable[GK, GV], key func(K, V) GK, join func(V, GV) R) Stream[K, R] {
	return s.joinGlobal("joinglobal", g, key, join == nil, true, func(v V, row Optional[GV]) R { return join(v, row.Value) })
}

// LeftJoinGlobal is JoinGlobal for records without a row, too: join gets a missing one.
func (s Stream[K, V]) LeftJoinGlobal[GK, GV, R any](g GlobalTable[GK, GV], key func(K, V) GK, join func(V, Optional[GV]) R) Stream[K, R] {
	return s.joinGlobal("leftjoinglobal", g, key, join == nil, false, join)
}

func (s Stream[K, V]) joinGlobal[GK, GV, R any](op string, g GlobalTable[GK, GV], key func(K, V) GK, missing, inner bool, join func(V, Optional[GV]) R) Stream[K, R] {
	b := s.b
	if g.b != b {
		b.mistake("%s of %q: a table of %s", op, s.port.node.Name, whose(g.b))
		return Stream[K, R]{b, newPort[K, R](s.port.node, "")}
	}
	n := b.step(op, missing || key == nil, s.port.edge(), graph.Edge{From: g.node})
	n.Pure = true
	out := newPort[K, R](n, "")
	s.pass(n, func(in *instance) handler[K, V] {
		f, id, next := in.frame, n.ID, out.open(in)
		null := newNulls[K, V]()
		look := g.lookup(in.frame)
		own := new(rec[K, R])
		return func(r *rec[K, V]) error {
			f.Enter(id)
			if null.noValue(r) {
				f.Drop(task.DroppedNullValue)
				return nil
			}
			row, err := look(key(r.Key, r.Value))
			if err != nil {
				return f.Fail(err)
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

// lookup returns the function that finds a row.
func (g GlobalTable[K, V]) lookup(f *task.Frame) func(K) (Optional[V], error) {
	table := f.Global(g.topic.Name)
	none := isNil[K]()
	var buf []byte
	return func(k K) (row Optional[V], err error) {
		if none != nil && none(&k) {
			return row, nil
		}
		if buf, err = g.topic.Key.Encode(buf[:0], k); err != nil {
			return row, err
		}
		value, _, found := table.Get(buf)
		if !found {
			return row, nil
		}
		v, err := g.topic.Value.Decode(value)
		if err != nil {
			return row, err
		}
		return some(v), nil
	}
}
