package stream

import (
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// Rekey gives each record the key that f returns.
//
// If a step with a store, or an AsyncMap, can be reached from here without another Rekey in between, the records travel through the
// repartition topic NAME-repartition of the application, so that all records of a key meet in one task; key and value
// are the serdes of that topic. Otherwise they go on at once. The name is part of the contract: what a renamed Rekey
// has not read yet stays in the old topic.
//
// Behind a repartition topic, the topic, partition and offset of a record are those of the repartition topic. Its
// time and headers stay.
//
// Order holds per key and per partition from which records came; records of different partitions may interleave
// differently each time.
func (s Stream[K, V]) Rekey[K2 any](name string, key serde.Serde[K2], value serde.Serde[V], f func(K, V) K2) Stream[K2, V] {
	b := s.b
	t := NewTopic(name, key, value)
	n := b.rekey(name, f == nil, t.valid(), keySerde(key), s.port.edge())
	out := newPort[K2, V](n, "")
	s.consume(func(in *instance) handler[K, V] {
		next := out.open
		if n.Repartitions() {
			next = func(in *instance) handler[K2, V] { return sink(in.frame, n.ID, t.named(n.Topic)) }
		}
		return rekey(in.frame, n.ID, f, next(in))
	})
	b.opens[n.ID] = func(in *instance) task.Source { return newSource(in, t.named(n.Topic), out) }
	return Stream[K2, V]{b, out}
}

// rekey adds a step that gives records new keys.
func (b *Builder) rekey(name string, missing bool, invalid error, key string, from graph.Edge) *graph.Node {
	if name == "" {
		b.mistake("rekey below %q has no name", from.From.Name)
	}
	if missing {
		b.mistake("rekey %q: the function is nil", name)
	}
	if invalid != nil {
		b.mistake("rekey %q: %w", name, invalid)
	}
	return b.add(graph.Node{Kind: graph.Rekey, Op: "rekey", Name: name, Key: key, Inputs: []graph.Edge{from}})
}

func rekey[K, V, K2 any](frame *task.Frame, node int, f func(K, V) K2, next handler[K2, V]) handler[K, V] {
	own := new(rec[K2, V])
	return func(r *rec[K, V]) error {
		frame.Enter(node)
		own.Record = Record[K2, V]{
			Key: f(r.Key, r.Value), Value: r.Value, Time: r.Time, Headers: r.Headers,
			Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
		}
		return next(own)
	}
}

func (t Topic[K, V]) named(name string) Topic[K, V] {
	t.Name = name
	return t
}
