package graph

import (
	"slices"
	"strings"
)

// keys checks that what meets at a store is keyed by one serde: with two of them equal keys have different bytes, so
// they lie in different partitions, and different tasks. What a processor sends may have any key: nothing is known
// of it.
func (c *check) keys() {
	for _, n := range c.nodes {
		if len(n.Stores) == 0 {
			continue
		}
		origins := c.keyOrigins(n)
		for _, o := range origins {
			if o.Key != origins[0].Key {
				var have []string
				for _, o := range origins {
					have = append(have, o.Name+" has "+o.Key)
				}
				c.mistake("%s %q: its inputs have keys of different serdes (%s): equal keys would meet in different tasks; Rekey one of them to the serde of the other",
					n.Op, n.Name, strings.Join(have, ", "))
				break
			}
		}
	}
}

// keyOrigins returns the sources and rekey steps that gave the records of n their keys, as far as that is known.
func (c *check) keyOrigins(n *Node) []*Node {
	var origins []*Node
	seen := make([]bool, len(c.nodes))
	var visit func(*Node)
	visit = func(n *Node) {
		for _, e := range n.Inputs {
			from := e.From
			if seen[from.ID] {
				continue
			}
			seen[from.ID] = true
			switch {
			case from.Key != "":
				origins = append(origins, from)
			case !from.NewKey:
				visit(from)
			}
		}
	}
	visit(n)
	slices.SortFunc(origins, func(a, b *Node) int { return a.ID - b.ID })
	return origins
}
