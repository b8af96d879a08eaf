package graph

import (
	"errors"
	"fmt"
)

// Builder collects nodes and the mistakes made on the way. It must not be used by several goroutines at once.
type Builder struct {
	app   string
	nodes []*Node
	taken map[string]int // how often a derived name stem was used
	errs  []error
	park  bool
}

// NewBuilder returns a builder for the application of that name.
func NewBuilder(app string) *Builder {
	return &Builder{app: app, taken: make(map[string]int)}
}

// Add appends a node and returns it with its ID, and its name if n.Name was empty: the nearest named ancestor's
// name, the operator, and a counter.
func (b *Builder) Add(n Node) *Node {
	n.ID = len(b.nodes)
	n.given = n.Name != ""
	if !n.given {
		stem := ancestor(n.Inputs) + "-" + n.Op
		b.taken[stem]++
		n.Name = fmt.Sprintf("%s-%d", stem, b.taken[stem])
	}
	b.nodes = append(b.nodes, &n)
	return &n
}

// ancestor returns the name of the nearest ancestor, by first inputs, that the user named.
func ancestor(inputs []Edge) string {
	for len(inputs) > 0 {
		n := inputs[0].From
		if n.given {
			return n.Name
		}
		inputs = n.Inputs
	}
	return ""
}

// ParkKeys has each sub-topology keep the keys of which a record is a dead letter, in the store parked-NAME after its first input.
func (b *Builder) ParkKeys() { b.park = true }

// Mistake records an error that Build will report. The message names the node or topic it is about.
func (b *Builder) Mistake(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf("stream: "+format, args...))
}

// Build checks the nodes and returns the topology they form, or all mistakes joined.
func (b *Builder) Build() (*Topology, error) {
	c := &check{app: b.app, nodes: b.nodes, children: make([][]*Node, len(b.nodes)), errs: b.errs}
	for _, n := range b.nodes {
		for _, e := range n.Inputs {
			c.children[e.From.ID] = append(c.children[e.From.ID], n)
		}
	}
	c.names()
	c.topics()
	c.stores()
	c.timers()
	c.ends()
	c.loops()
	c.keys()
	c.repartition()
	c.ahead()
	subs := c.subTopologies()
	if b.park {
		c.parkKeys(subs)
	}
	c.internalTopics(subs)
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return &Topology{Name: b.app, Subs: subs, nodes: c.nodes}, nil
}
