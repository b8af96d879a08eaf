package consumer

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawReaders makes readers with random subscriptions and, if any, random partitions
// that they had.
func drawReaders(rt *rapid.T, members, topicCount, maxPartitions int) ([]reader, map[string]Topic) {
	topics := map[string]Topic{}
	for i := range topicCount {
		name := string(rune('a' + i))
		topics[name] = Topic{Name: name, ID: [16]byte{byte(i + 1)}, Partitions: rapid.Int32Range(1, int32(maxPartitions)).Draw(rt, "partitions")}
	}
	readers := make([]reader, members)
	for i := range readers {
		readers[i] = reader{id: fmt.Sprintf("m%02d", i), had: map[Partition]struct{}{}}
		if rapid.Bool().Draw(rt, "static") {
			readers[i].instanceID = fmt.Sprintf("i%02d", members-i)
		}
		for _, name := range slices.Sorted(maps.Keys(topics)) {
			if rapid.IntRange(0, 2).Draw(rt, "reads") > 0 {
				readers[i].topics = append(readers[i].topics, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		for index := range topics[name].Partitions + 1 { // one more than there are now
			if owner := rapid.IntRange(-1, members-1).Draw(rt, "had"); owner >= 0 {
				readers[owner].had[Partition{topics[name].ID, index}] = struct{}{}
			}
		}
	}
	return readers, topics
}

// checkAssignment checks that each partition that somebody reads has one owner, who
// reads it, and that there is nothing else.
func checkAssignment(rt *rapid.T, readers []reader, topics map[string]Topic, got []map[Partition]struct{}) {
	rt.Helper()
	owner := map[Partition]int{}
	for i, target := range got {
		for p := range target {
			if other, twice := owner[p]; twice {
				rt.Fatalf("%v is assigned to %s and %s", p, readers[other].id, readers[i].id)
			}
			owner[p] = i
		}
	}
	for _, t := range topics {
		var of []int
		for i, r := range readers {
			if slices.Contains(r.topics, t.Name) {
				of = append(of, i)
			}
		}
		for index := range t.Partitions {
			p := Partition{t.ID, index}
			i, assigned := owner[p]
			if assigned != (len(of) > 0) || assigned && !slices.Contains(of, i) {
				rt.Fatalf("%s-%d is assigned: %v, to %d, and read by %v", t.Name, index, assigned, i, of)
			}
			delete(owner, p)
		}
	}
	if len(owner) > 0 {
		rt.Fatalf("partitions that there are not are assigned: %v", owner)
	}
}

// evenest is the least possible sum of the squares of the readers' loads, found by
// trying everything.
func evenest(readers []reader, topics map[string]Topic) int {
	type sets struct{ topic, load string }
	seen := map[sets]int{}
	load := make([]int, len(readers))
	var names []string
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		for range topics[name].Partitions {
			names = append(names, name)
		}
	}
	var best func(at int) int
	best = func(at int) int {
		if at == len(names) {
			sum := 0
			for _, n := range load {
				sum += n * n
			}
			return sum
		}
		key := sets{fmt.Sprint(at), fmt.Sprint(load)}
		if known, ok := seen[key]; ok {
			return known
		}
		least := -1
		for i, r := range readers {
			if slices.Contains(r.topics, names[at]) {
				load[i]++
				if sum := best(at + 1); least < 0 || sum < least {
					least = sum
				}
				load[i]--
			}
		}
		if least < 0 {
			least = best(at + 1) // nobody reads it
		}
		seen[key] = least
		return least
	}
	return best(0)
}

func TestUniformIsAsEvenAsCanBe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		readers, topics := drawReaders(rt, rapid.IntRange(1, 4).Draw(rt, "members"), rapid.IntRange(1, 3).Draw(rt, "topics"), 4)
		got := assignUniform(readers, topics)
		checkAssignment(rt, readers, topics, got)
		sum := 0
		for _, target := range got {
			sum += len(target) * len(target)
		}
		if want := evenest(readers, topics); sum != want {
			rt.Fatalf("loads have the square sum %d, the best is %d: %v", sum, want, got)
		}
		for i := range readers {
			readers[i].had = got[i]
		}
		if again := assignUniform(readers, topics); !slices.EqualFunc(got, again, maps.Equal) {
			rt.Fatalf("assigned again, it moves from %v to %v", got, again)
		}
	})
}

// With the same subscriptions, no more moves than evenness asks for.
func TestUniformMovesLittle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		members, joining := rapid.IntRange(1, 20).Draw(rt, "members"), rapid.IntRange(0, 5).Draw(rt, "joining")
		leaving := rapid.IntRange(0, members-1).Draw(rt, "leaving")
		topics := map[string]Topic{
			"a": {"a", [16]byte{1}, rapid.Int32Range(1, 40).Draw(rt, "partitions")},
			"b": {"b", [16]byte{2}, rapid.Int32Range(1, 40).Draw(rt, "partitions")},
		}
		total := int(topics["a"].Partitions + topics["b"].Partitions)
		readers := make([]reader, members)
		for i := range readers {
			readers[i] = reader{id: fmt.Sprint(i), topics: []string{"a", "b"}}
		}
		for i, target := range assignUniform(readers, topics) {
			readers[i].had = target
		}
		readers = readers[leaving:]
		for i := range joining {
			readers = append(readers, reader{id: fmt.Sprint("new", i), topics: []string{"a", "b"}})
		}
		got := assignUniform(readers, topics)
		checkAssignment(rt, readers, topics, got)
		least, lost := total/len(readers), 0
		most := least
		if total%len(readers) > 0 {
			most++
		}
		excess := 0 // what readers have to lose
		for i, r := range readers {
			if n := len(got[i]); n < least || n > most {
				rt.Fatalf("a reader has %d of %d partitions, want %d to %d", n, total, least, most)
			}
			for p := range r.had {
				if _, kept := got[i][p]; !kept {
					lost++
				}
			}
			excess += max(len(r.had)-most, 0)
		}
		// Some of those who have the larger share may have to come down to the smaller.
		larger := 0
		for _, r := range readers {
			if len(r.had) >= most && most > least {
				larger++
			}
		}
		allowed := excess + max(larger-total%len(readers), 0)
		if lost > allowed {
			rt.Fatalf("%d partitions were taken from readers, %d had to be", lost, allowed)
		}
	})
}

func TestRangeIsARunForEach(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		readers, topics := drawReaders(rt, rapid.IntRange(1, 5).Draw(rt, "members"), rapid.IntRange(1, 3).Draw(rt, "topics"), 9)
		got := assignRange(readers, topics)
		checkAssignment(rt, readers, topics, got)
		for i, target := range got {
			for _, run := range byTopic(ordered(target)) {
				if span := run[len(run)-1].Index - run[0].Index + 1; int(span) != len(run) {
					rt.Fatalf("%s has %v, not a run", readers[i].id, run)
				}
			}
		}
	})
}

func BenchmarkUniform(b *testing.B) {
	for _, size := range []struct{ members, partitions int }{{10, 100}, {100, 1000}, {1000, 10_000}} {
		topics := map[string]Topic{"t": {"t", [16]byte{1}, int32(size.partitions)}}
		readers := make([]reader, size.members-1)
		for i := range readers {
			readers[i] = reader{id: fmt.Sprint(i), topics: []string{"t"}}
		}
		for i, target := range assignUniform(readers, topics) {
			readers[i].had = target
		}
		readers = append(readers, reader{id: "new", topics: []string{"t"}})
		b.Run(fmt.Sprintf("members=%d/partitions=%d", size.members, size.partitions), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				assignUniform(readers, topics)
			}
		})
	}
}
