package graph

import "github.com/riffle-stream/riffle/state"

// parkKeys gives each sub-topology a store for its parked keys.
func (c *check) parkKeys(subs []*SubTopology) {
	used := make(map[string]*Node)
	for _, n := range c.nodes {
		for _, s := range n.Stores {
			used[s.Spec.Name] = n
		}
	}
	for _, s := range subs {
		s.Parking = "parked-" + s.Inputs[0].Node.Name
		if n := used[s.Parking]; n != nil {
			c.mistake("store %q of %s %q has the name of the store for parked keys: give it another one", s.Parking, n.Op, n.Name)
		}
		s.Stores = append(s.Stores, state.Spec{Name: s.Parking})
	}
}
