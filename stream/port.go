package stream

import (
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// rec is a record on its way through a task. A step never changes the rec it is given, which its siblings see too:
// it has one of its own, made once per task and used for every record.
type rec[K, V any] struct {
	Record[K, V]
	nullKey bool // the key is null, and K has no room for that
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
	timed     bool // of a source: the event time is part of the value
}

func newPort[K, V any](n *graph.Node, name string) *port[K, V] {
	return &port[K, V]{node: n, name: name}
}

// edge is the port as the graph sees it.
func (p *port[K, V]) edge() graph.Edge { return graph.Edge{From: p.node, Port: p.name} }

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
