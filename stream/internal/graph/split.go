package graph

import (
	"slices"

	"github.com/riffle-stream/riffle/state"
)

// repartition decides which rekey steps write a repartition topic: those from which a step with a store, or an
// asynchronous one, can be reached without another rekey step in between. All records of a key must then meet in one task.
func (c *check) repartition() {
	for _, n := range c.nodes {
		n.setTopic("")
		if n.Kind == Rekey && c.reachesKeyed(n) {
			n.setTopic(RepartitionTopic(c.app, n.Name))
		}
	}
}

func (n *Node) setTopic(topic string) {
	if n.Kind == Rekey {
		n.Topic = topic
	}
}

func (c *check) reachesKeyed(from *Node) bool {
	seen := make([]bool, len(c.nodes))
	queue := slices.Clone(c.children[from.ID])
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		if seen[n.ID] || n.Kind == Rekey {
			continue
		}
		seen[n.ID] = true
		if len(n.Stores) > 0 || n.Async {
			return true
		}
		queue = append(queue, c.children[n.ID]...)
	}
	return false
}

// parts is a union-find over node IDs. A rekey step that repartitions is two nodes: it belongs to what is above
// it, and stands under the ID len(nodes)+ID for the source below it.
type parts []int

func (p parts) find(i int) int {
	for p[i] != i {
		p[i] = p[p[i]]
		i = p[i]
	}
	return i
}

func (p parts) join(i, j int) { p[p.find(i)] = p.find(j) }

// below is the ID under which the children of n find it.
func (c *check) below(n *Node) int {
	if n.Repartitions() {
		return len(c.nodes) + n.ID
	}
	return n.ID
}

// subTopologies groups the nodes that are connected by edges or by a shared store. They are numbered by the
// first input that the topology names.
func (c *check) subTopologies() []*SubTopology {
	p := make(parts, 2*len(c.nodes))
	for i := range p {
		p[i] = i
	}
	for _, n := range c.nodes {
		for _, e := range n.Inputs {
			if e.From.Kind != Global {
				p.join(n.ID, c.below(e.From))
			}
		}
	}
	c.joinByStore(p)

	var subs []*SubTopology
	byPart := make(map[int]*SubTopology)
	sub := func(id int) *SubTopology {
		s := byPart[p.find(id)]
		if s == nil {
			s = &SubTopology{ID: len(subs)}
			byPart[p.find(id)] = s
			subs = append(subs, s)
		}
		return s
	}
	for _, n := range c.nodes { // inputs first: they give the numbers
		switch {
		case n.Kind == Source:
			s := sub(n.ID)
			s.Inputs = append(s.Inputs, Input{Topic: n.Topic, Node: n})
		case n.Repartitions():
			s := sub(c.below(n))
			s.Inputs = append(s.Inputs, Input{Topic: n.Topic, Node: n, Repartition: true})
		}
	}
	for _, n := range c.nodes {
		if n.Kind == Global {
			continue
		}
		s := sub(n.ID)
		s.Nodes = append(s.Nodes, n)
		if (n.Kind == Sink || n.Repartitions()) && !slices.Contains(s.Outputs, n.Topic) {
			s.Outputs = append(s.Outputs, n.Topic)
		}
		for _, store := range n.Stores {
			same := func(spec state.Spec) bool { return spec.Name == store.Spec.Name }
			if !slices.ContainsFunc(s.Stores, same) {
				s.Stores = append(s.Stores, store.Spec)
			}
		}
	}
	return subs
}

// joinByStore unites the parts that share a store, so that one task owns it. Parts with a repartition topic
// between them cannot share one: their records are keyed differently, so equal keys would lie in different tasks.
func (c *check) joinByStore(p parts) {
	first := make(map[string]*Node)
	for _, n := range c.nodes {
		for _, s := range n.Stores {
			user := first[s.Spec.Name]
			if user == nil {
				first[s.Spec.Name] = n
				continue
			}
			if p.find(user.ID) == p.find(n.ID) {
				continue
			}
			if c.feeds(p, user, n) || c.feeds(p, n, user) {
				c.mistake("store %q is used by two sub-topologies, in %s %q and %s %q, with a repartition topic between them: give each its own store",
					s.Spec.Name, user.Op, user.Name, n.Op, n.Name)
				continue
			}
			p.join(user.ID, n.ID)
		}
	}
}

// feeds reports whether records travel from the part of a through repartition topics to the part of b.
func (c *check) feeds(p parts, a, b *Node) bool {
	seen := map[int]bool{p.find(a.ID): true}
	for again := true; again; {
		again = false
		for _, n := range c.nodes {
			if n.Repartitions() && seen[p.find(n.ID)] && !seen[p.find(c.below(n))] {
				seen[p.find(c.below(n))] = true
				again = true
			}
		}
	}
	return seen[p.find(b.ID)]
}
