package stream

import (
	"fmt"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// Builder collects a topology. Mistakes do not interrupt the chain: Build reports all of them.
type Builder struct {
	graph   *graph.Builder
	sources map[string]any // *port of each source, by topic
	opens   map[int]opener // of each source and rekey step, by node ID
	built   bool
}

// opener makes the typed end of an input for one task.
type opener func(*instance) task.Source

// NewBuilder returns an empty builder. The name is the application's: it is its consumer group, and the first part
// of the names of its changelog, repartition and dead-letter topics. Two applications on one broker need two names.
func NewBuilder(name string) *Builder {
	return &Builder{graph: graph.NewBuilder(name), sources: make(map[string]any), opens: make(map[int]opener)}
}

// From reads a topic. Reading one topic several times gives the same stream: it is read once.
func (b *Builder) From[K, V any](t Topic[K, V]) Stream[K, V] {
	if p, ok := b.sources[t.Name].(*port[K, V]); ok && p.node.Serdes == t.serdes() {
		if p.timed != (t.eventTime != nil) {
			b.mistake("from: topic %q is defined with an event time and without: use one definition", t.Name)
		}
		return Stream[K, V]{b: b, port: p}
	}
	if err := t.valid(); err != nil {
		b.mistake("from: topic %q: %w", t.Name, err)
	}
	n := b.add(graph.Node{Kind: graph.Source, Op: "from", Name: t.Name, Topic: t.Name, Serdes: t.serdes()})
	p := newPort[K, V](n, "")
	p.timed = t.eventTime != nil
	if b.sources[t.Name] == nil {
		b.sources[t.Name] = p
	}
	b.opens[n.ID] = func(in *instance) task.Source { return newSource(in, t, p) }
	return Stream[K, V]{b: b, port: p}
}

// Build checks the topology and returns it, or all mistakes at once (errors.Join), each with the name of the step
// it is about. The builder cannot be used after that.
func (b *Builder) Build() (*Topology, error) {
	if b.built {
		b.mistake("Build was called before: use a new builder")
	}
	b.built = true
	g, err := b.graph.Build()
	if err != nil {
		return nil, err
	}
	opens := b.opens
	open := func(sub *graph.SubTopology, f *task.Frame) []task.Source {
		in := &instance{frame: f, opened: make(map[any]any)}
		sources := make([]task.Source, len(sub.Inputs))
		for i, input := range sub.Inputs {
			sources[i] = opens[input.Node.ID](in)
		}
		return sources
	}
	return &Topology{program: &task.Program{Graph: g, Open: open}}, nil
}

func (b *Builder) mistake(format string, args ...any) { b.graph.Mistake(format, args...) }

// add appends a node. After Build that is a mistake, which a second Build reports.
func (b *Builder) add(n graph.Node) *graph.Node {
	added := b.graph.Add(n)
	if b.built {
		b.mistake("%s %q was added after Build", n.Op, added.Name)
	}
	return added
}

// stores describes the definitions that a processor names.
func (b *Builder) stores(node string, defs []state.Definition) []graph.Store {
	stores := make([]graph.Store, 0, len(defs))
	for _, def := range defs {
		if def == nil {
			b.mistake("process %q: a store is nil", node)
			continue
		}
		stores = append(stores, graph.Store{Spec: def.Spec(), Type: fmt.Sprintf("%T", def)})
	}
	return stores
}
