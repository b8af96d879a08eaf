package client

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// plan lets a balancer deal out partitions and returns who got which, as member -> topic -> partitions.
func plan(t interface{ Fatal(...any) }, b balancer, members int, partitions map[string]int32) map[string]map[string][]int32 {
	var topics []string
	for topic := range partitions {
		topics = append(topics, topic)
	}
	joined := make([]kmsg.JoinGroupResponseMember, members)
	for i := range joined {
		joined[i].MemberID = fmt.Sprintf("member-%d", i)
		joined[i].ProtocolMetadata = b.JoinGroupMetadata(topics, nil, 0)
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
	for _, a := range into.IntoSyncAssignment() {
		assigned, err := b.ParseSyncAssignment(a.MemberAssignment)
		if err != nil {
			t.Fatal(err)
		}
		got[a.MemberID] = assigned
	}
	return got
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
