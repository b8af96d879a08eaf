package worker

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// A unit has as many partitions as the widest of its topics. A copy is kept of the tasks that there are, and of no others: those
// that read only narrower topics of the unit, or a topic that is gone, have no changelog partition of that number.
func TestExisting(t *testing.T) {
	t.Parallel()
	subs := []*Sub{{ID: 0, Inputs: []string{"wide"}}, {ID: 1, Inputs: []string{"narrow"}}, {ID: 2, Inputs: []string{"narrow", "wide"}}, {ID: 3, Inputs: []string{"gone"}}}
	wanted := make(map[state.TaskID]*running)
	for _, sub := range subs {
		for _, p := range []int32{1, 2, 3} {
			id := state.TaskID{SubTopology: sub.ID, Partition: p}
			wanted[id] = &running{id: id, sub: sub}
		}
	}
	if diff := cmp.Diff([]string{"gone", "narrow", "wide"}, inputsOf(wanted)); diff != "" {
		t.Errorf("topics to look up (-want +got):\n%s", diff)
	}
	var got []string
	for _, r := range existing(wanted, map[string]client.Topic{"wide": {Partitions: 4}, "narrow": {Partitions: 2}}) {
		got = append(got, r.id.String())
	}
	if diff := cmp.Diff([]string{"0_1", "0_2", "0_3", "1_1", "2_1", "2_2", "2_3"}, got); diff != "" {
		t.Errorf("tasks to follow (-want +got):\n%s", diff)
	}
	if tasks := existing(wanted, nil); len(tasks) > 0 {
		t.Errorf("%d tasks are followed where no topic is known, want none", len(tasks))
	}
}
