package stream

import (
	"slices"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// Process calls f for each record. f sends what it wants to send through its Context, any number of times and under
// any key, and may use the stores that are named here.
//
// The name is unique in the topology. Steps that name the same store share it, and run in one task. What f sends
// under another key stays in the same task: if a later step needs all records of that key, put a Rekey in between.
//
// f is called by many tasks at once, so it must keep what it remembers in stores. If it returns an error, or panics,
// the record becomes a dead letter, and nothing that f did with it takes effect: neither what it sent nor what it
// stored.
func (s Stream[K, V]) Process[K2, V2 any](name string, f func(*Context[K2, V2], Record[K, V]) error, stores ...state.Definition) Stream[K2, V2] {
	return s.ProcessWith(name, OnRecord(f), stores...)
}

// ProcessWith is Process with a processor that does something between records too: when its timers are due, or
// periodically. The stores of its timers need not be named again.
func (s Stream[K, V]) ProcessWith[K2, V2 any](name string, p Processor[K, V, K2, V2], stores ...state.Definition) Stream[K2, V2] {
	b := s.b
	if name == "" {
		b.mistake("process below %q has no name", s.port.node.Name)
	}
	if p.onRecord == nil {
		b.mistake("process %q: the function is nil", name)
	}
	for _, d := range p.due {
		if d.timers != nil && !names(stores, d.timers) {
			stores = append(stores, d.timers)
		}
	}
	n := b.add(graph.Node{
		Kind: graph.Processor, Op: "process", Name: name, Inputs: []graph.Edge{s.port.edge()},
		Stores: b.stores(name, stores), Leaf: true, NewKey: true,
	})
	for _, d := range p.due {
		if d.mistake != nil {
			b.mistake("process %q: %w", name, d.mistake)
		}
		if d.timers != nil {
			n.Fires = append(n.Fires, d.timers.Spec().Name)
		}
	}
	out := newPort[K2, V2](n, "")
	s.consume(func(in *instance) handler[K, V] {
		c := newContext(in.frame, n, out.open(in))
		for _, d := range p.due {
			d.schedule(c)
		}
		return process(in.frame, n.ID, c, p.onRecord)
	})
	return Stream[K2, V2]{b, out}
}

func names(stores []state.Definition, def state.Definition) bool {
	return slices.ContainsFunc(stores, func(s state.Definition) bool { return s != nil && s.Spec().Name == def.Spec().Name })
}

func process[K, V, K2, V2 any](frame *task.Frame, node int, c *Context[K2, V2], f func(*Context[K2, V2], Record[K, V]) error) handler[K, V] {
	return func(r *rec[K, V]) error {
		frame.Enter(node)
		c.time, c.headers = r.Time, r.Headers
		c.own.Topic, c.own.Partition, c.own.Offset = r.Topic, r.Partition, r.Offset
		if err := f(c, r.Record); err != nil {
			return frame.Fail(err)
		}
		return frame.Failed() // also if f did not pass on the error of a Forward
	}
}
