package stream

import (
	"fmt"
	"reflect"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// Builder collects a topology. Mistakes do not interrupt the chain: Build reports all of them.
type Builder struct {
	graph   *graph.Builder
	sources map[string]any              // *port of each source, by topic
	tables  map[string]any              // Table of each topic that is read as one
	globals map[string]any              // GlobalTable of each topic that is read as one
	defs    map[string]state.Definition // of each store, by name
	reacts  map[string]React            // handlers of errors, by topic
	errors  Errors
	onError bool           // OnError was called
	opens   map[int]opener // of each source and rekey step, by node ID
	built   bool
}

// opener makes the typed end of an input for one task.
type opener func(*instance) task.Source

// NewBuilder returns an empty builder. The name is the application's: it is its consumer group, and the first part
// of the names of its changelog, repartition and dead-letter topics. Two applications on one broker need two names.
func NewBuilder(name string) *Builder {
	return &Builder{
		graph: graph.NewBuilder(name), sources: make(map[string]any), tables: make(map[string]any),
		globals: make(map[string]any), defs: make(map[string]state.Definition), opens: make(map[int]opener),
		reacts: make(map[string]React),
	}
}

// From reads a topic. Reading one topic several times gives the same stream: it is read once.
func (b *Builder) From[K, V any](t Topic[K, V]) Stream[K, V] {
	p := b.source(t, "from")
	p.source.stream = true
	b.checkNulls(p)
	return Stream[K, V]{b: b, port: p}
}

// source returns what comes out of a topic. It is read once, whatever asks for it.
func (b *Builder) source[K, V any](t Topic[K, V], op string) *port[K, V] {
	if p, ok := b.sources[t.Name].(*port[K, V]); ok && p.node.Serdes == t.serdes() {
		if p.source.timed != (t.eventTime != nil) {
			b.mistake("%s: topic %q is defined with an event time and without: use one definition", op, t.Name)
		}
		return p
	}
	if err := t.valid(); err != nil {
		b.mistake("%s: topic %q: %w", op, t.Name, err)
	}
	b.handles(t.Name, t.onError)
	n := b.add(graph.Node{Kind: graph.Source, Op: op, Name: t.Name, Topic: t.Name, Serdes: t.serdes(), Key: keySerde(t.Key)})
	p := newPort[K, V](n, "")
	p.source.timed = t.eventTime != nil
	if b.sources[t.Name] == nil {
		b.sources[t.Name] = p
	}
	b.opens[n.ID] = func(in *instance) task.Source { return newSource(in, t, p) }
	return p
}

// checkNulls refuses a source whose null values mean something to one reader and nothing to the other.
func (b *Builder) checkNulls[K, V any](p *port[K, V]) {
	if p.source.stream && p.source.table && isNil[V]() == nil {
		b.mistake("topic %q is read as a stream and as a table, and its value type %s has no room for a tombstone: take the stream from the table (Table.Stream)",
			p.node.Topic, reflect.TypeFor[V]())
	}
}

// keySerde describes how keys become bytes, to tell apart what can be joined and what cannot.
func keySerde[K any](s serde.Serde[K]) string {
	return fmt.Sprintf("%s %s", reflect.TypeFor[K](), s.Name)
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
		in := &instance{frame: f, opened: make(map[any]any), calls: newAsyncCalls(f)}
		sources := make([]task.Source, len(sub.Inputs))
		for i, input := range sub.Inputs {
			sources[i] = opens[input.Node.ID](in)
		}
		return sources
	}
	return &Topology{program: &task.Program{Graph: g, Open: open, Policy: b.policy()}, stores: b.defs}, nil
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

// step adds a step that the user did not name, and whose function may be missing.
func (b *Builder) step(op string, missing bool, inputs ...graph.Edge) *graph.Node {
	n := b.add(graph.Node{Kind: graph.Processor, Op: op, Inputs: inputs})
	if missing {
		b.mistake("%s %q: the function is nil", op, n.Name)
	}
	return n
}

// stores describes the definitions that a processor names.
func (b *Builder) stores(node string, defs []state.Definition) []graph.Store {
	stores := make([]graph.Store, 0, len(defs))
	for _, def := range defs {
		if def == nil {
			b.mistake("process %q: a store is nil", node)
			continue
		}
		stores = append(stores, graphStore(def))
		b.defs[def.Spec().Name] = def
	}
	return stores
}

func graphStore(def state.Definition) graph.Store {
	return graph.Store{Spec: def.Spec(), Type: fmt.Sprintf("%T", def)}
}
