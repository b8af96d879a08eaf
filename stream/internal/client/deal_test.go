package client

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A new member gets what it can go on with at once; the rest stays where its state is until it has warmed up.
func TestWarmUp(t *testing.T) {
	t.Parallel()
	partitions := map[string]int32{"a": 4}
	b := balancer{sets: [][]string{{"a"}}, stateful: []bool{true}, standbys: Standbys{AcceptableLag: 100, MaxWarmups: 1}}
	owner := member{name: "m0", generation: 1, owned: map[string][]int32{"a": {0, 1, 2, 3}}, held: map[Unit]Held{}}
	for p := range int32(4) {
		owner.held[Unit{"a", p}] = Held{1000, 0}
	}
	newcomer := member{name: "m1"}
	both := func() []member { return []member{owner, newcomer} }

	got, standbys := planAll(t, b, both(), partitions)
	if diff := gocmp.Diff(map[string]map[string][]int32{"m0": {"a": {0, 1, 2, 3}}, "m1": {}}, got); diff != "" {
		t.Errorf("plan for a member without state (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]Standby{{Unit{"a", 2}, true}}, standbys["m1"]); diff != "" {
		t.Errorf("its copies (-want +got):\n%s", diff)
	}
	newcomer.held = map[Unit]Held{{"a", 2}: {950, 50}}
	got, standbys = planAll(t, b, both(), partitions)
	if diff := gocmp.Diff(map[string]map[string][]int32{"m0": {"a": {0, 1, 3}}, "m1": {}}, got); diff != "" {
		t.Errorf("plan when one has warmed up (-want +got):\n%s", diff)
	}
	// Until its owner has given it up, the copy goes on; and the next one begins.
	if diff := gocmp.Diff([]Standby{{Unit{"a", 2}, false}, {Unit{"a", 3}, true}}, standbys["m1"]); diff != "" {
		t.Errorf("its copies (-want +got):\n%s", diff)
	}
}

// When a member dies its unit goes to who lacks the least of the state, and the other copy stays where it is.
func TestFailover(t *testing.T) {
	t.Parallel()
	b := balancer{sets: [][]string{{"a", "b"}, {"c"}}, stateful: []bool{true, false}, standbys: Standbys{Count: 1, AcceptableLag: 100, MaxWarmups: 2}}
	got, standbys := planAll(t, b, []member{
		{name: "m0", owned: map[string][]int32{"c": {0}}, generation: 3},
		{name: "m1", held: map[Unit]Held{{"a", 0}: {700, -1}}},
		{name: "m2", held: map[Unit]Held{{"a", 0}: {900, 10}}},
	}, map[string]int32{"a": 1, "b": 1, "c": 1})
	if diff := gocmp.Diff(map[string]map[string][]int32{"m0": {"c": {0}}, "m1": {}, "m2": {"a": {0}, "b": {0}}}, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]Standby{{Unit{"a", 0}, false}}, standbys["m1"]); diff != "" || len(standbys["m0"])+len(standbys["m2"]) > 0 {
		t.Errorf("copies of m1 (-want +got):\n%s\nall: %v", diff, standbys)
	}
}

// A lag that is known counts more than a longer copy of which nobody knows what it stands for.
func TestForeignCopy(t *testing.T) {
	t.Parallel()
	b := balancer{sets: [][]string{{"a"}}, stateful: []bool{true}, standbys: Standbys{AcceptableLag: 10, MaxWarmups: 2}}
	got := planFor(t, b, []member{
		{name: "m0", owned: map[string][]int32{"a": {0}}, generation: 3, held: map[Unit]Held{{"a", 0}: {500, 0}}},
		{name: "m1", held: map[Unit]Held{{"a", 0}: {70_000, -1}}},
	}, map[string]int32{"a": 1})
	if diff := gocmp.Diff(map[string]map[string][]int32{"m0": {"a": {0}}, "m1": {}}, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

func TestUserData(t *testing.T) {
	t.Parallel()
	held := map[Unit]Held{{"a", 3}: {77, 5}, {"long topic", 0}: {1 << 40, -1}}
	b := appendHeld(nil, 9, held)
	if diff := gocmp.Diff(held, parseHeld(b)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	standbys := []Standby{{Unit{"a", 3}, true}, {Unit{"b", 0}, false}}
	c := appendStandbys(nil, standbys)
	if diff := gocmp.Diff(standbys, parseStandbys(c)); diff != "" {
		t.Errorf("copies (-want +got):\n%s", diff)
	}
	for n := range b { // what is cut short says less, and does not panic
		for u, h := range parseHeld(b[:n]) {
			if held[u] != h {
				t.Errorf("cut at %d: %v has %v", n, u, h)
			}
		}
	}
	for n := range c {
		if got := parseStandbys(c[:n]); !slices.Equal(got, standbys[:len(got)]) {
			t.Errorf("cut at %d: %v", n, got)
		}
	}
}

// world is a group whose members have state, lose it, fall behind and catch up.
type world struct {
	b          balancer
	partitions map[string]int32
	members    []member
	made       int            // members so far
	ends       map[Unit]int64 // of the changelogs
	standbys   map[string][]Standby
}

// units are those that have state.
func (w *world) units() []Unit { return slices.SortedFunc(maps.Keys(w.ends), compareUnits) }

func compareUnits(a, b Unit) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

func (w *world) owner(u Unit) int {
	return slices.IndexFunc(w.members, func(m member) bool { return slices.Contains(m.owned[u.Topic], u.Partition) })
}

// pass lets the members run for a while: owners write, copies follow as far as progress says.
func (w *world) pass(progress func(left int64) int64) {
	for i := range w.members {
		m := &w.members[i]
		for _, u := range w.units() {
			h, has := m.held[u]
			switch {
			case w.owner(u) == i:
				m.held[u] = Held{w.ends[u], 0}
			case slices.ContainsFunc(w.standbys[m.name], func(s Standby) bool { return s.Unit == u }):
				at := h.Position + progress(w.ends[u]-h.Position)
				m.held[u] = Held{at, w.ends[u] - at}
			case has:
				m.held[u] = Held{h.Position, -1}
			}
		}
	}
}

// lag is what a member really lacks of a unit.
func (w *world) lag(i int, u Unit) int64 { return w.ends[u] - w.members[i].held[u].Position }

// rebalance moves the members to the next plan, checks it, and reports whether it moved anything.
func (w *world) rebalance(t *rapid.T) (moved bool) {
	got, standbys := planAll(t, w.b, w.members, w.partitions)
	warmUps := 0
	for _, u := range w.units() {
		before, after := w.owner(u), -1
		var copies []string
		for i, m := range w.members {
			if slices.Contains(got[m.name][u.Topic], u.Partition) {
				if after >= 0 {
					t.Fatalf("%v has two owners", u)
				}
				after = i
			}
			for _, s := range standbys[m.name] {
				if s.Unit != u {
					continue
				}
				copies = append(copies, m.name)
				if s.WarmUp {
					warmUps++
				}
			}
		}
		switch {
		case before >= 0 && after >= 0 && before != after:
			t.Fatalf("%v goes to %d while %d has it", u, after, before)
		case before < 0 && after < 0:
			t.Fatalf("%v has no owner and gets none", u)
		}
		if after >= 0 && slices.Contains(copies, w.members[after].name) {
			t.Fatalf("%v is copied to its owner %d", u, after)
		}
		if distinct := slices.Compact(slices.Sorted(slices.Values(copies))); len(distinct) != len(copies) {
			t.Fatalf("%v is copied twice to a member: %v", u, copies)
		}
		if want := min(w.b.standbys.Count, len(w.members)-1); len(copies) < want || len(copies) > want+2 {
			t.Fatalf("%v is copied to %v, want %d copies, and what warms up or waits", u, copies, want)
		}
		w.checkMove(t, u, before, after)
		moved = moved || before != after
	}
	if warmUps > w.b.standbys.MaxWarmups {
		t.Fatalf("%d copies warm up, want %d at most", warmUps, w.b.standbys.MaxWarmups)
	}
	for i := range w.members {
		w.members[i].owned = got[w.members[i].name]
		w.members[i].generation++
	}
	w.standbys = standbys
	return moved
}

// checkMove demands that a unit comes only to a member that can go on with it, unless nobody can do so better.
func (w *world) checkMove(t *rapid.T, u Unit, before, after int) {
	if after < 0 || before >= 0 {
		return
	}
	least := w.lag(after, u)
	for i := range w.members {
		least = min(least, w.lag(i, u))
	}
	// What the last owner alone knew is gone with it.
	if lag := w.lag(after, u); lag-least > w.b.standbys.AcceptableLag {
		t.Fatalf("%v goes to %s, which lacks %d records, while another lacks %d", u, w.members[after].name, lag, least)
	}
}

// Members with state come and go, owners write, copies follow more or less. No rebalance takes a unit to a member that has to
// restore what another one has; and once the copies have caught up, the shares are even and nothing moves or warms up.
func TestStandbysFollow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			b: balancer{sets: [][]string{{"a"}, {"b"}, {"c"}}, stateful: []bool{true, true, false}, standbys: Standbys{
				Count: rapid.IntRange(0, 2).Draw(t, "standbys"), AcceptableLag: 100, MaxWarmups: rapid.IntRange(1, 3).Draw(t, "warmups"),
			}},
			partitions: map[string]int32{"a": int32(rapid.IntRange(1, 6).Draw(t, "a")), "b": int32(rapid.IntRange(1, 4).Draw(t, "b")), "c": 2},
			ends:       make(map[Unit]int64),
		}
		for _, topic := range []string{"a", "b"} {
			for p := range w.partitions[topic] {
				w.ends[Unit{topic, p}] = 0
			}
		}
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			if len(w.members) > 1 && rapid.Bool().Draw(t, "leaves") {
				i := rapid.IntRange(0, len(w.members)-1).Draw(t, "who")
				w.members = slices.Delete(w.members, i, i+1)
			} else {
				w.members = append(w.members, member{name: fmt.Sprintf("m%d", w.made), held: make(map[Unit]Held)})
				w.made++
			}
			for range rapid.IntRange(1, 4).Draw(t, "rebalances") {
				w.rebalance(t)
				for _, u := range w.units() {
					w.ends[u] += rapid.SampledFrom([]int64{0, 10, 5000}).Draw(t, "written")
				}
				w.pass(func(left int64) int64 { return rapid.Int64Range(0, left).Draw(t, "read") })
			}
		}
		w.settle(t)
	})
}

// settle lets all copies catch up, and rebalances until nothing changes.
func (w *world) settle(t *rapid.T) {
	all := func(left int64) int64 { return left }
	quiet := 0
	for rounds := 0; quiet < 2; rounds++ {
		if rounds > 3*len(w.ends)+5 {
			t.Fatalf("units still move after %d rebalances", rounds)
		}
		w.pass(all)
		quiet++
		if w.rebalance(t) {
			quiet = 0
		}
		for _, standbys := range w.standbys {
			if slices.ContainsFunc(standbys, func(s Standby) bool { return s.WarmUp }) {
				quiet = 0
			}
		}
	}
	least, most := 1<<30, 0
	for _, m := range w.members {
		n := 0
		for _, ps := range m.owned {
			n += len(ps)
		}
		least, most = min(least, n), max(most, n)
	}
	if most-least > 1 {
		t.Fatalf("one member has %d units, another %d", most, least)
	}
}
