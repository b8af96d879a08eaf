package stream

import (
	"slices"

	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// rec is a record on its way through a task. A step never changes the rec it is given, which its siblings see too:
// it has one of its own, made once per task and used for every record.
type rec[K, V any] struct {
	Record[K, V]
	nullKey   bool // the key is null, and K has no room for that
	nullValue bool // the value is null, and V has no room for that: from a source to a table, and from a table to a sink
}

// nulls tells what is null in a record.
type nulls[K, V any] struct {
	key   func(*K) bool // nil if K has no nil
	value func(*V) bool // nil if V has no nil
}

func newNulls[K, V any]() nulls[K, V] { return nulls[K, V]{isNil[K](), isNil[V]()} }

func (n *nulls[K, V]) noKey(r *rec[K, V]) bool { return r.nullKey || n.key != nil && n.key(&r.Key) }

func (n *nulls[K, V]) noValue(r *rec[K, V]) bool {
	return r.nullValue || n.value != nil && n.value(&r.Value)
}

// handler takes a record. It returns an error if the record failed, in this step or below; the task's frame holds
// the cause, and the caller does nothing more with the record.
type handler[K, V any] func(*rec[K, V]) error

// instance is a sub-topology that is opened for one task.
type instance struct {
	frame  *task.Frame
	opened map[any]any // handler of each port, by port
	calls  *asyncCalls // of the task
	ahead  bool        // only what leads to asynchronous steps is opened
}

// port is an output of a node: what comes out has one type, and any number of consumers.
type port[K, V any] struct {
	node      *graph.Node
	name      string // empty for the only output of a node
	consumers []consumer[K, V]
	source    sourceUse // of a source
}

// consumer is a step that sees what comes out of a port.
type consumer[K, V any] struct {
	open func(*instance) handler[K, V]
	pure *graph.Node // nil unless the step is, or the asynchronous step
}

// sourceUse is how a source is read.
type sourceUse struct {
	timed  bool // the event time is part of the value
	stream bool // From
	table  bool // Table: null values pass
}

func newPort[K, V any](n *graph.Node, name string) *port[K, V] {
	return &port[K, V]{node: n, name: name}
}

// edge is the port as the graph sees it.
func (p *port[K, V]) edge() graph.Edge { return graph.Edge{From: p.node, Port: p.name} }

// consume makes the consumer one that sees what comes out.
func (p *port[K, V]) consume(b *Builder, open func(*instance) handler[K, V]) {
	p.add(b, consumer[K, V]{open: open})
}

func (p *port[K, V]) add(b *Builder, c consumer[K, V]) {
	if !b.built {
		p.consumers = append(p.consumers, c)
	}
}

// leadsAhead reports whether an asynchronous step can be reached by pure steps alone.
func (p *port[K, V]) leadsAhead() bool {
	return slices.ContainsFunc(p.consumers, func(c consumer[K, V]) bool { return c.pure != nil && c.pure.Ahead })
}

// open returns the function that takes what comes out of the port. A port that is reached on several ways, below a
// Merge, is opened once.
func (p *port[K, V]) open(in *instance) handler[K, V] {
	if h, ok := in.opened[p]; ok {
		return h.(handler[K, V])
	}
	h := fanOut(p.handlers(in))
	in.opened[p] = h
	return h
}

func (p *port[K, V]) handlers(in *instance) []handler[K, V] {
	hs := make([]handler[K, V], 0, len(p.consumers))
	for _, c := range p.consumers {
		if !in.ahead || c.pure != nil && c.pure.Ahead {
			hs = append(hs, c.open(in))
		}
	}
	return hs
}

func fanOut[K, V any](hs []handler[K, V]) handler[K, V] {
	switch len(hs) {
	case 0:
		return func(*rec[K, V]) error { return nil }
	case 1:
		return hs[0]
	}
	return func(r *rec[K, V]) error {
		for _, h := range hs {
			if err := h(r); err != nil {
				return err
			}
		}
		return nil
	}
}
