package consumer

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// assignUniform spreads the partitions as evenly as the subscriptions allow, and moves
// as few as it can find.
//
// Everybody keeps what is still theirs; what is free goes to the reader with least; then
// single partitions move from readers with more to readers with less, if need be by way
// of others: from a to b and in exchange another from b to c. A spread is as even as can
// be when no such chain leads from a reader to one with two partitions less (Harvey,
// Ladner, Lovász, Tamir: Semi-matchings for bipartite graphs and load balancing).
func assignUniform(readers []reader, topics map[string]Topic) []map[Partition]struct{} {
	u := newUniform(readers, topics)
	u.keep()
	u.fill()
	for u.improve() {
	}
	targets := newTargets(len(readers))
	for _, t := range u.topics {
		for i, indexes := range t.owned {
			for _, index := range indexes {
				targets[i][Partition{t.ID, index}] = struct{}{}
			}
		}
	}
	return targets
}

// uniform is an assignment under way. Readers and topics are named by their position.
type uniform struct {
	readers []reader
	topics  []*spread // fewest readers first: they have the least choice
	reads   [][]int   // topics of a reader
	load    []int     // partitions of a reader
}

// spread is a topic and who has its partitions.
type spread struct {
	Topic
	readers []int
	owned   map[int][]int32 // partitions by reader
}

func newUniform(readers []reader, topics map[string]Topic) *uniform {
	u := &uniform{readers: readers, reads: make([][]int, len(readers)), load: make([]int, len(readers))}
	byName := make(map[string]*spread, len(topics))
	for i, r := range readers {
		for _, name := range r.topics {
			t := byName[name]
			if t == nil {
				t = &spread{Topic: topics[name], owned: map[int][]int32{}}
				byName[name] = t
				u.topics = append(u.topics, t)
			}
			t.readers = append(t.readers, i)
		}
	}
	slices.SortFunc(u.topics, func(a, b *spread) int {
		return cmp.Or(cmp.Compare(len(a.readers), len(b.readers)), strings.Compare(a.Name, b.Name))
	})
	for at, t := range u.topics {
		for _, i := range t.readers {
			u.reads[i] = append(u.reads[i], at)
		}
	}
	return u
}

// keep leaves the readers what they have.
func (u *uniform) keep() {
	had := make([]map[[16]byte][]int32, len(u.readers))
	for i, r := range u.readers {
		had[i] = map[[16]byte][]int32{}
		for p := range r.had {
			had[i][p.Topic] = append(had[i][p.Topic], p.Index)
		}
	}
	for _, t := range u.topics {
		for _, i := range t.readers {
			indexes := slices.DeleteFunc(had[i][t.ID], func(index int32) bool { return index >= t.Partitions })
			if len(indexes) > 0 {
				slices.Sort(indexes)
				t.owned[i] = indexes
				u.load[i] += len(indexes)
			}
		}
	}
}

// fill gives what nobody has to the reader with least.
func (u *uniform) fill() {
	for _, t := range u.topics {
		taken := make([]bool, t.Partitions)
		for _, indexes := range t.owned {
			for _, index := range indexes {
				taken[index] = true
			}
		}
		for index := range t.Partitions {
			if taken[index] {
				continue
			}
			least := slices.MinFunc(t.readers, func(a, b int) int { return cmp.Compare(u.load[a], u.load[b]) })
			t.owned[least] = append(t.owned[least], index)
			u.load[least]++
		}
	}
}

// improve makes the spread more even by one chain of moves, if there is one.
func (u *uniform) improve() bool {
	if len(u.load) == 0 {
		return false
	}
	most := slices.Max(u.load)
	byLoad := make([]int, len(u.load))
	for i := range byLoad {
		byLoad[i] = i
	}
	slices.SortStableFunc(byLoad, func(a, b int) int { return cmp.Compare(u.load[a], u.load[b]) })
	for _, to := range byLoad {
		if most-u.load[to] < 2 {
			return false
		}
		if u.chain(to) {
			return true
		}
	}
	return false
}

// step is how a reader can be given a partition.
type step struct {
	topic int // a partition of this topic
	to    int // goes to this reader
}

// chain looks for the reader with most that a chain of moves leads from, breadth first
// so that few partitions move, and makes those moves.
func (u *uniform) chain(to int) bool {
	steps := map[int]step{} // by the reader that gives
	seenTopics := make([]bool, len(u.topics))
	from, queue := to, []int{to}
	for ; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, topic := range u.reads[at] {
			if seenTopics[topic] {
				continue
			}
			seenTopics[topic] = true
			for _, owner := range slices.Sorted(maps.Keys(u.topics[topic].owned)) {
				if _, seen := steps[owner]; seen || owner == to {
					continue
				}
				steps[owner] = step{topic, at}
				queue = append(queue, owner)
				if u.load[owner] > u.load[from] {
					from = owner
				}
			}
		}
	}
	if u.load[from]-u.load[to] < 2 {
		return false
	}
	u.load[from]--
	u.load[to]++
	for from != to {
		s := steps[from]
		u.topics[s.topic].give(from, s.to, u.readers)
		from = s.to
	}
	return true
}

// give moves one partition: best one that the receiver had before, or that the giver had
// not.
func (t *spread) give(from, to int, readers []reader) {
	indexes := t.owned[from]
	had := func(i int, index int32) bool { _, ok := readers[i].had[Partition{t.ID, index}]; return ok }
	at := slices.IndexFunc(indexes, func(index int32) bool { return had(to, index) })
	if at < 0 {
		at = slices.IndexFunc(indexes, func(index int32) bool { return !had(from, index) })
	}
	if at < 0 {
		at = len(indexes) - 1
	}
	t.owned[to] = append(t.owned[to], indexes[at])
	if t.owned[from] = slices.Delete(indexes, at, at+1); len(t.owned[from]) == 0 {
		delete(t.owned, from)
	}
}
