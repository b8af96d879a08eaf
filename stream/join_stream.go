package stream

import (
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/window"
)

// Joined is what the join of two streams yields: the results, as a stream, and what came too late to be joined. Left and
// Right are the types of the two sides.
type Joined[K, L, R, V any] struct {
	Stream[K, V]
	left  *port[K, L]
	right *port[K, R]
}

// LateLeft is the stream of the left records that came too late.
func (j Joined[K, L, R, V]) LateLeft() Stream[K, L] { return Stream[K, L]{j.b, j.left} }

// LateRight is the stream of the right records that came too late.
func (j Joined[K, L, R, V]) LateRight() Stream[K, R] { return Stream[K, R]{j.b, j.right} }

// JoinStream joins the records of two streams that have the same key and lie within a window of each other. Each pair
// is a result, as soon as the second of the two is read; it has the later of their times.
//
//	orders.JoinStream(payments, window.Within(time.Hour).Grace(time.Minute), ordersPayments, paid)
//
// The store is given by the user, and the step is named after it. It keeps a record for as long as one that is in time
// can join it. A record is late if stream time has passed its window, the grace included, before it is read: it joins
// nothing and goes to LateLeft or LateRight. A record whose key or value is null joins nothing.
func (s Stream[K, L]) JoinStream[R, V any](right Stream[K, R], within window.Join, store state.JoinStore[K, L, R], join func(L, R) V) Joined[K, L, R, V] {
	return joinStreams("joinstream", s, right, within, store, join == nil, false, false,
		func(l Optional[L], r Optional[R]) V { return join(l.Value, r.Value) })
}

// LeftJoinStream is JoinStream for left records that join nothing, too: join gets a missing right one. That is known,
// and the result sent, when the record's window has closed: when stream time has passed its end and the grace. It has
// the record's time and headers, and its place among other results is the same in each run: they come in the order of
// their windows' ends, then of their keys. Such a record is gone then, even if another one that is late but in its own
// grace could have joined it. One with a null key is sent at once.
func (s Stream[K, L]) LeftJoinStream[R, V any](right Stream[K, R], within window.Join, store state.JoinStore[K, L, R], join func(L, Optional[R]) V) Joined[K, L, R, V] {
	return joinStreams("leftjoinstream", s, right, within, store, join == nil, true, false,
		func(l Optional[L], r Optional[R]) V { return join(l.Value, r) })
}

// OuterJoinStream is [Stream.LeftJoinStream] for records of either side.
func (s Stream[K, L]) OuterJoinStream[R, V any](right Stream[K, R], within window.Join, store state.JoinStore[K, L, R], join func(Optional[L], Optional[R]) V) Joined[K, L, R, V] {
	return joinStreams("outerjoinstream", s, right, within, store, join == nil, true, true, join)
}

func joinStreams[K, L, R, V any](op string, left Stream[K, L], right Stream[K, R], within window.Join, store state.JoinStore[K, L, R],
	missing, leftAlone, rightAlone bool, join func(Optional[L], Optional[R]) V,
) Joined[K, L, R, V] {
	b, name := left.b, store.Spec().Name
	if right.b != b {
		b.mistake("%s %q: a stream of %s", op, name, whose(right.b))
		n := left.port.node
		return Joined[K, L, R, V]{Stream[K, V]{b, newPort[K, V](n, "")}, newPort[K, L](n, ""), newPort[K, R](n, "")}
	}
	if missing {
		b.mistake("%s %q: the function is nil", op, name)
	}
	if within.Err != nil {
		b.mistake("%s %q: %w", op, name, within.Err)
	}
	n := b.add(graph.Node{
		Kind: graph.Processor, Op: op, Name: name, Inputs: []graph.Edge{left.port.edge(), right.port.edge()},
		Stores: b.stores(name, []state.Definition{store}), Fires: []string{name}, Leaf: true,
	})
	out := newPort[K, V](n, "")
	lateLeft, lateRight := newPort[K, L](n, "late-left"), newPort[K, R](n, "late-right")
	open := func(in *instance) (*joinSide[K, L, R, V], *joinSide[K, R, L, V]) {
		if sides, ok := in.opened[n].(*joinSides[K, L, R, V]); ok {
			return sides.left, sides.right
		}
		key, leftValue, rightValue := store.Serdes()
		buffer := newJoinBuffer(in.frame, name, key)
		l := &joinSide[K, L, R, V]{
			node: n.ID, buffer: buffer, side: 'l', other: 'r', own: leftValue, its: rightValue, next: out.open(in), late: lateLeft.open(in),
			before: within.Before, after: within.After, closes: within.LeftReach() + within.Lateness, keep: within.Keep(),
			alone: leftAlone, othersAlone: rightAlone, join: join,
		}
		r := &joinSide[K, R, L, V]{
			node: n.ID, buffer: buffer, side: 'r', other: 'l', own: rightValue, its: leftValue, next: out.open(in), late: lateRight.open(in),
			before: within.After, after: within.Before, closes: within.RightReach() + within.Lateness, keep: within.Keep(),
			alone: rightAlone, othersAlone: leftAlone, join: func(r Optional[R], l Optional[L]) V { return join(l, r) },
		}
		in.opened[n] = &joinSides[K, L, R, V]{l, r}
		in.frame.OnIndex(n.ID, name, func(at int64, id []byte) {
			if id[0] == 'l' {
				l.due(at, id)
			} else {
				r.due(at, id)
			}
		}, nil)
		return l, r
	}
	left.consume(func(in *instance) handler[K, L] {
		l, _ := open(in)
		l.null = newNulls[K, L]()
		return l.process
	})
	right.consume(func(in *instance) handler[K, R] {
		_, r := open(in)
		r.null = newNulls[K, R]()
		return r.process
	})
	return Joined[K, L, R, V]{Stream[K, V]{b, out}, lateLeft, lateRight}
}

// joinSides are the two sides of a join in one task.
type joinSides[K, L, R, V any] struct {
	left  *joinSide[K, L, R, V]
	right *joinSide[K, R, L, V]
}
