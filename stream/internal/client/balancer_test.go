package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// member is what one brings to a rebalance.
type member struct {
	name       string
	owned      map[string][]int32
	generation int32
	held       map[Unit]Held
}

// plan lets a balancer deal out partitions among members that have nothing yet, and returns who got which, as
// member -> topic -> partitions.
func plan(t interface{ Fatal(...any) }, b balancer, members int, partitions map[string]int32) map[string]map[string][]int32 {
	all := make([]member, members)
	for i := range all {
		all[i].name = fmt.Sprintf("member-%d", i)
	}
	return planFor(t, b, all, partitions)
}

func planFor(t interface{ Fatal(...any) }, b balancer, members []member, partitions map[string]int32) map[string]map[string][]int32 {
	got, _ := planAll(t, b, members, partitions)
	return got
}

// planAll also returns the copies that members are to keep.
func planAll(t interface{ Fatal(...any) }, b balancer, members []member, partitions map[string]int32) (map[string]map[string][]int32, map[string][]Standby) {
	var topics []string
	for topic := range partitions {
		topics = append(topics, topic)
	}
	joined := make([]kmsg.JoinGroupResponseMember, len(members))
	for i, m := range members {
		b.held = func() map[Unit]Held { return m.held }
		joined[i].MemberID = m.name
		joined[i].ProtocolMetadata = b.JoinGroupMetadata(topics, m.owned, m.generation)
	}
	mb, _, err := b.MemberBalancer(joined)
	if err != nil {
		t.Fatal(err)
	}
	into, err := mb.(kgo.GroupMemberBalancerOrError).BalanceOrError(partitions)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]map[string][]int32)
	standbys := make(map[string][]Standby)
	for _, a := range into.IntoSyncAssignment() {
		b.given = func(given []Standby) { standbys[a.MemberID] = given }
		assigned, err := b.ParseSyncAssignment(a.MemberAssignment)
		if err != nil {
			t.Fatal(err)
		}
		got[a.MemberID] = assigned
	}
	return got, standbys
}

func TestBalance(t *testing.T) {
	t.Parallel()
	b := balancer{sets: [][]string{{"a", "b"}, {"c"}}}
	got := plan(t, b, 2, map[string]int32{"a": 3, "b": 2, "c": 2})
	want := map[string]map[string][]int32{
		"member-0": {"a": {0, 2}, "b": {0}, "c": {1}},
		"member-1": {"a": {1}, "b": {1}, "c": {0}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// Every partition has one owner; equal partitions of a set have the same; no member has more than one task more
// than another; and the same group gives the same plan.
func TestBalanceRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b balancer
		partitions := make(map[string]int32)
		for i := range rapid.IntRange(1, 4).Draw(t, "sets") {
			var set []string
			for j := range rapid.IntRange(1, 3).Draw(t, "topics") {
				topic := fmt.Sprintf("topic-%d-%d", i, j)
				set = append(set, topic)
				partitions[topic] = int32(rapid.IntRange(1, 6).Draw(t, "partitions"))
			}
			b.sets = append(b.sets, set)
		}
		members := rapid.IntRange(1, 5).Draw(t, "members")
		got := plan(t, b, members, partitions)
		if diff := cmp.Diff(got, plan(t, b, members, partitions)); diff != "" {
			t.Fatalf("two plans of one group differ:\n%s", diff)
		}
		owner := make(map[string]string)
		for member, topics := range got {
			for topic, ps := range topics {
				for _, p := range ps {
					at := fmt.Sprint(topic, "/", p)
					if other, ok := owner[at]; ok {
						t.Fatalf("%s has two owners, %s and %s", at, other, member)
					}
					owner[at] = member
				}
			}
		}
		tasks := make(map[string]int)
		for i, set := range b.sets {
			for p := range maxPartitions(set, partitions) {
				first := ""
				for _, topic := range set {
					if p >= partitions[topic] {
						continue
					}
					member, ok := owner[fmt.Sprint(topic, "/", p)]
					if !ok {
						t.Fatalf("partition %d of %s has no owner", p, topic)
					}
					if first == "" {
						first = member
						tasks[member]++
					}
					if member != first {
						t.Fatalf("partition %d of set %d is torn between %s and %s", p, i, first, member)
					}
				}
			}
		}
		least, most := len(owner), 0
		for i := range members {
			n := tasks[fmt.Sprintf("member-%d", i)]
			least, most = min(least, n), max(most, n)
		}
		if most-least > 1 {
			t.Fatalf("one member has %d tasks, another %d", most, least)
		}
	})
}

// State draws a unit to its member, the most of it, but a member that has the unit keeps it.
func TestBalanceFollowsState(t *testing.T) {
	t.Parallel()
	b := balancer{sets: [][]string{{"a", "b"}}}
	got := planFor(t, b, []member{
		{name: "m0", held: map[Unit]Held{{"a", 1}: {7, -1}, {"a", 3}: {9, -1}}},
		{name: "m1", held: map[Unit]Held{{"a", 1}: {8, -1}, {"a", 0}: {1, -1}}},
		{name: "m2", owned: map[string][]int32{"a": {0}, "b": {0}}, generation: 1},
	}, map[string]int32{"a": 4, "b": 4})
	want := map[string]map[string][]int32{
		"m0": {"a": {2, 3}, "b": {2, 3}},
		"m1": {"a": {1}, "b": {1}},
		"m2": {"a": {0}, "b": {0}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// A claim of an earlier generation does not take a unit from who has it now.
func TestBalanceStaleClaim(t *testing.T) {
	t.Parallel()
	b := balancer{sets: [][]string{{"a"}}}
	got := planFor(t, b, []member{
		{name: "m0", owned: map[string][]int32{"a": {0, 1}}, generation: 3},
		{name: "m1", owned: map[string][]int32{"a": {1}}, generation: 5},
	}, map[string]int32{"a": 2})
	if diff := cmp.Diff(map[string]map[string][]int32{"m0": {"a": {0}}, "m1": {"a": {1}}}, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// Members come and go. Each rebalance leaves a partition with its owner or with nobody, so that it is never with two; a
// member keeps as much as its share allows; and when nothing more is to be given up the shares are even.
func TestBalanceIsCooperative(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := balancer{sets: [][]string{{"a", "b"}, {"c"}}}
		partitions := map[string]int32{
			"a": int32(rapid.IntRange(1, 6).Draw(t, "a")), "b": int32(rapid.IntRange(1, 6).Draw(t, "b")), "c": int32(rapid.IntRange(1, 6).Draw(t, "c")),
		}
		units := int(max(partitions["a"], partitions["b"]) + partitions["c"])
		var members []member
		for generation := range int32(rapid.IntRange(1, 8).Draw(t, "changes")) {
			if len(members) > 1 && rapid.Bool().Draw(t, "leaves") {
				i := rapid.IntRange(0, len(members)-1).Draw(t, "who")
				members = append(members[:i], members[i+1:]...)
			} else {
				members = append(members, member{name: fmt.Sprintf("m%d", generation)})
			}
			for round := 0; ; round++ {
				if round > 2 {
					t.Fatalf("generation %d: partitions still move after %d rebalances", generation, round)
				}
				settled := rebalance(t, b, members, partitions, units)
				if settled {
					break
				}
			}
		}
	})
}

// rebalance moves the members to a new plan and reports whether it was the last one. It checks what it moves.
func rebalance(t *rapid.T, b balancer, members []member, partitions map[string]int32, units int) (settled bool) {
	before := make(map[string]string)
	for _, m := range members {
		for topic, ps := range m.owned {
			for _, p := range ps {
				before[fmt.Sprint(topic, p)] = m.name
			}
		}
	}
	got := planFor(t, b, members, partitions)
	placed, moved := 0, false
	for i := range members {
		m := &members[i]
		mine, kept := 0, 0
		for topic, ps := range got[m.name] {
			for _, p := range ps {
				placed++
				other, taken := before[fmt.Sprint(topic, p)]
				if taken && other != m.name {
					t.Fatalf("%s gets %s/%d while %s has it", m.name, topic, p, other)
				}
				moved = moved || !taken
				if topic == "c" || topic == "a" && p < partitions["a"] || topic == "b" && p >= partitions["a"] {
					mine++
					if taken {
						kept++
					}
				}
			}
		}
		had := 0
		for topic, ps := range m.owned {
			for _, p := range ps {
				if topic == "c" || topic == "a" || topic == "b" && p >= partitions["a"] {
					had++
				}
			}
		}
		if share := units / len(members); kept < min(had, share) {
			t.Fatalf("%s keeps %d of its %d units, its share is %d", m.name, kept, had, share)
		}
		if share := units / len(members); mine > share+1 {
			t.Fatalf("%s gets %d units, its share is %d", m.name, mine, share)
		}
		m.owned = got[m.name]
		m.generation++
	}
	all := 0
	for _, n := range partitions {
		all += int(n)
	}
	return placed == all && !moved
}

// A partition that a revoking member gave up, and that nobody was given, is noticed by the first member.
func TestOrphans(t *testing.T) {
	t.Parallel()
	conn, _ := startFake(t, "in")
	c := open(t, Config{Conn: conn, Sets: [][]string{{"in"}}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	orphans := func(partitions int32) bool {
		found, err := c.Orphans(ctx, map[string]int32{"in": partitions})
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			t.Fatal(err)
		}
		return found
	}
	poll := func() {
		t.Helper()
		brief, stop := context.WithTimeout(ctx, 10*time.Millisecond)
		defer stop()
		if err := c.Poll(brief, func(Batch) {}); err != nil || ctx.Err() != nil {
			t.Fatal(err, ctx.Err())
		}
		c.AllowRebalance()
	}
	for !orphans(4) { // until the group is at rest
		poll()
	}
	if orphans(3) {
		t.Error("all partitions have an owner, and one is missed")
	}
	_, before := c.cl.GroupMetadata()
	c.Rebalance()
	for after := before; after == before; _, after = c.cl.GroupMetadata() {
		poll()
	}
}
