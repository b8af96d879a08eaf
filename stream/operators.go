package stream

import "github.com/riffle-stream/riffle/stream/internal/graph"

// Filter keeps the records whose value f reports true for.
func (s Stream[K, V]) Filter(f func(V) bool) Stream[K, V] {
	return s.filter("filter", f == nil, func(r *rec[K, V]) (bool, error) { return f(r.Value), nil })
}

// FilterRecord keeps the records that f reports true for.
func (s Stream[K, V]) FilterRecord(f func(Record[K, V]) bool) Stream[K, V] {
	return s.filter("filter", f == nil, func(r *rec[K, V]) (bool, error) { return f(r.Record), nil })
}

// TryFilter is Filter with a function that may fail.
func (s Stream[K, V]) TryFilter(f func(V) (bool, error)) Stream[K, V] {
	return s.filter("filter", f == nil, func(r *rec[K, V]) (bool, error) { return f(r.Value) })
}

// Map replaces the value by f of it.
func (s Stream[K, V]) Map[R any](f func(V) R) Stream[K, R] {
	return s.convert("map", f == nil, func(r *rec[K, V]) (R, error) { return f(r.Value), nil })
}

// MapRecord replaces the value by f of the record. The key stays.
func (s Stream[K, V]) MapRecord[R any](f func(Record[K, V]) R) Stream[K, R] {
	return s.convert("map", f == nil, func(r *rec[K, V]) (R, error) { return f(r.Record), nil })
}

// TryMap is Map with a function that may fail.
func (s Stream[K, V]) TryMap[R any](f func(V) (R, error)) Stream[K, R] {
	return s.convert("map", f == nil, func(r *rec[K, V]) (R, error) { return f(r.Value) })
}

// FlatMap replaces a record by one for each value that f returns, in that order.
func (s Stream[K, V]) FlatMap[R any](f func(V) []R) Stream[K, R] {
	return s.expand("flatmap", f == nil, func(r *rec[K, V]) ([]R, error) { return f(r.Value), nil })
}

// FlatMapRecord is FlatMap with a function of the record. The key stays.
func (s Stream[K, V]) FlatMapRecord[R any](f func(Record[K, V]) []R) Stream[K, R] {
	return s.expand("flatmap", f == nil, func(r *rec[K, V]) ([]R, error) { return f(r.Record), nil })
}

// TryFlatMap is FlatMap with a function that may fail. The record then has no output at all.
func (s Stream[K, V]) TryFlatMap[R any](f func(V) ([]R, error)) Stream[K, R] {
	return s.expand("flatmap", f == nil, func(r *rec[K, V]) ([]R, error) { return f(r.Value) })
}

// Peek calls f with each value and passes the record on. What f does outside is not undone if the record fails in a
// later step, and is done again when the record is processed again after a crash.
func (s Stream[K, V]) Peek(f func(V)) Stream[K, V] {
	return s.peek(f == nil, func(r *rec[K, V]) { f(r.Value) })
}

// PeekRecord is Peek with a function of the record.
func (s Stream[K, V]) PeekRecord(f func(Record[K, V])) Stream[K, V] {
	return s.peek(f == nil, func(r *rec[K, V]) { f(r.Record) })
}

func (s Stream[K, V]) peek(missing bool, f func(*rec[K, V])) Stream[K, V] {
	n := s.pure("peek", missing)
	n.Leaf = true
	out := newPort[K, V](n, "")
	s.pass(n, func(in *instance) handler[K, V] {
		frame, id, next := in.frame, n.ID, out.open(in)
		if in.ahead {
			return next // f is called when the record's turn has come
		}
		return func(r *rec[K, V]) error {
			frame.Enter(id)
			f(r)
			return next(r)
		}
	})
	return Stream[K, V]{s.b, out}
}

// Branch parts the stream in two: yes has the records whose value f reports true for, no has the others. Part no
// again for more branches:
//
//	large, rest := payments.Branch(Payment.Large)
//	foreign, rest := rest.Branch(Payment.Foreign)
func (s Stream[K, V]) Branch(f func(V) bool) (yes, no Stream[K, V]) {
	n := s.pure("branch", f == nil)
	onYes, onNo := newPort[K, V](n, "yes"), newPort[K, V](n, "no")
	s.pass(n, func(in *instance) handler[K, V] {
		frame, id, yes, no := in.frame, n.ID, onYes.open(in), onNo.open(in)
		return func(r *rec[K, V]) error {
			frame.Enter(id)
			if f(r.Value) {
				return yes(r)
			}
			return no(r)
		}
	})
	return Stream[K, V]{s.b, onYes}, Stream[K, V]{s.b, onNo}
}

// Merge unites streams. The records of one task come in the order in which it processes them: by event time.
func (s Stream[K, V]) Merge(others ...Stream[K, V]) Stream[K, V] {
	inputs := []graph.Edge{s.port.edge()}
	from := []Stream[K, V]{s}
	for _, o := range others {
		switch o.b {
		case s.b:
			inputs = append(inputs, o.port.edge())
			from = append(from, o)
		case nil:
			s.b.mistake("merge of %q: a stream of no builder", s.port.node.Name)
		default:
			s.b.mistake("merge of %q: a stream of another builder", s.port.node.Name)
		}
	}
	n := s.b.add(graph.Node{Kind: graph.Processor, Op: "merge", Inputs: inputs, Pure: true})
	out := newPort[K, V](n, "")
	for _, o := range from {
		o.pass(n, out.open)
	}
	return Stream[K, V]{s.b, out}
}

// To writes the stream to a topic. It ends a chain; the stream itself can be used on.
func (s Stream[K, V]) To(t Topic[K, V]) {
	n := s.b.sink(t, s.port.edge())
	s.consume(func(in *instance) handler[K, V] { return sink(in.frame, n.ID, t) })
}

// sink adds a step that writes a topic.
func (b *Builder) sink[K, V any](t Topic[K, V], from graph.Edge) *graph.Node {
	if err := t.valid(); err != nil {
		b.mistake("to: topic %q: %w", t.Name, err)
	}
	b.handles(t.Name, t.onError)
	return b.add(graph.Node{
		Kind: graph.Sink, Op: "to", Name: t.Name, Topic: t.Name, Serdes: t.serdes(), Inputs: []graph.Edge{from}, Leaf: true,
	})
}
