package stream

import (
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
}

// port is an output of a node: what comes out has one type, and any number of consumers.
type port[K, V any] struct {
	node      *graph.Node
	name      string // empty for the only output of a node
	consumers []func(*instance) handler[K, V]
	source    sourceUse // of a source
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
func (p *port[K, V]) consume(b *Builder, consumer func(*instance) handler[K, V]) {
	if !b.built {
		p.consumers = append(p.consumers, consumer)
	}
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
	hs := make([]handler[K, V], len(p.consumers))
	for i, consumer := range p.consumers {
		hs[i] = consumer(in)
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
