package consumer

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Assignors by the names that clients ask for them.
const (
	Uniform = "uniform" // the default
	Range   = "range"
)

// reader is a member as an assignor sees it.
type reader struct {
	id, instanceID string
	topics         []string               // that it reads, ascending; each exists
	had            map[Partition]struct{} // its target so far
}

// assignor gives each partition of the topics to one of those who read it. The result
// has the order of the readers.
type assignor func(readers []reader, topics map[string]Topic) []map[Partition]struct{}

var assignors = map[string]assignor{Uniform: assignUniform, Range: assignRange}

// assignor is the one that most members ask for; where as many ask for another, the
// first by name.
func (g *Group) assignor() string {
	votes := map[string]int{}
	for _, m := range g.members {
		if m.assignor != "" {
			votes[m.assignor]++
		}
	}
	winner := Uniform
	for _, name := range slices.Sorted(maps.Keys(votes)) {
		if votes[name] > votes[winner] {
			winner = name
		}
	}
	return winner
}

// assign computes the targets of the group's epoch. reads are the topics that each
// member reads.
func (g *Group) assign(reads map[string][]string, topics map[string]Topic) {
	members := g.sorted()
	readers := make([]reader, len(members))
	for i, m := range members {
		readers[i] = reader{id: m.id, instanceID: m.instanceID, topics: reads[m.id], had: m.target}
	}
	for i, target := range assignors[g.assignor()](readers, topics) {
		m := members[i]
		if !maps.Equal(m.target, target) {
			m.target = target
			g.changes.targets.add(m.id)
		}
	}
	g.targetEpoch = g.epoch
	g.changes.target = true
}

// assignRange gives each reader of a topic a run of its partitions; the first get one
// more where it does not come out even. Static members come first, so that the runs of
// those that restart stay where they are. Readers of the same topics get the same
// indexes of each: partitions that belong together meet.
func assignRange(readers []reader, topics map[string]Topic) []map[Partition]struct{} {
	targets := newTargets(len(readers))
	order := make([]int, len(readers))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return readers[a].compareRange(readers[b]) })
	readersOf := map[string][]int{}
	for _, i := range order {
		for _, name := range readers[i].topics {
			readersOf[name] = append(readersOf[name], i)
		}
	}
	for name, of := range readersOf {
		t := topics[name]
		share, extra := t.Partitions/int32(len(of)), t.Partitions%int32(len(of))
		next := int32(0)
		for at, i := range of {
			n := share
			if int32(at) < extra {
				n++
			}
			for end := next + n; next < end; next++ {
				targets[i][Partition{t.ID, next}] = struct{}{}
			}
		}
	}
	return targets
}

// compareRange puts static members first.
func (r reader) compareRange(o reader) int {
	switch {
	case (r.instanceID == "") != (o.instanceID == ""):
		return strings.Compare(o.instanceID, r.instanceID) // "" comes last
	default:
		return cmp.Or(strings.Compare(r.instanceID, o.instanceID), strings.Compare(r.id, o.id))
	}
}

func newTargets(n int) []map[Partition]struct{} {
	targets := make([]map[Partition]struct{}, n)
	for i := range targets {
		targets[i] = map[Partition]struct{}{}
	}
	return targets
}
