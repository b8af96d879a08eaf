package stream

import (
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

// Cogrouped are streams of one key that go into one aggregate. Each has its own type and its own function:
//
//	visits := clicks.Cogroup(Visit.Click).
//		With(purchases, Visit.Purchase).
//		Aggregate(store)
type Cogrouped[K, A any] struct {
	b      *Builder
	first  string // name of the first input
	inputs []cogroupInput[K, A]
}

type cogroupInput[K, A any] struct {
	edge    graph.Edge
	missing bool
	consume func(t Table[K, A], open func(*instance) *aggregator[K, A])
}

// Cogroup begins an aggregate of several streams with this one. See [Cogrouped].
func (s Stream[K, V]) Cogroup[A any](add func(A, V) A) Cogrouped[K, A] {
	return Cogrouped[K, A]{b: s.b, first: s.port.node.Name}.With(s, add)
}

// With adds a stream.
func (c Cogrouped[K, A]) With[V any](s Stream[K, V], add func(A, V) A) Cogrouped[K, A] {
	if s.b != c.b {
		c.b.mistake("cogroup of %q: a stream of %s", c.first, whose(s.b))
		return c
	}
	c.inputs = append(c.inputs[:len(c.inputs):len(c.inputs)], cogroupInput[K, A]{
		edge: s.port.edge(), missing: add == nil,
		consume: func(t Table[K, A], open func(*instance) *aggregator[K, A]) {
			s.consume(func(in *instance) handler[K, V] {
				return aggregate(in, t, open(in), func(row Optional[A], v V) A { return add(row.Value, v) })
			})
		},
	})
	return c
}

// Aggregate keeps the aggregate in a store; the step is named after the store. The streams of a key are taken in the
// order of their event times, as far as they are there. For the rest see [Stream.Count].
func (c Cogrouped[K, A]) Aggregate(store state.TableStore[K, A]) Table[K, A] {
	edges, missing := make([]graph.Edge, len(c.inputs)), false
	for i, in := range c.inputs {
		edges[i] = in.edge
		missing = missing || in.missing
	}
	out := c.b.aggregate("cogroup", store, missing, edges...)
	open := func(in *instance) *aggregator[K, A] { return newAggregator(in, out, store) }
	for _, in := range c.inputs {
		in.consume(out, open)
	}
	return out
}

// whose says where a stream or table comes from that does not belong here.
func whose(b *Builder) string {
	if b == nil {
		return "no builder"
	}
	return "another builder"
}
