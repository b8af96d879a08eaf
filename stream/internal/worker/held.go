package worker

import (
	"maps"
	"slices"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// statefulSets says which of the co-partitioned sets have a sub-topology with stores.
func statefulSets(subs []Sub, sets [][]string) []bool {
	stateful := make([]bool, len(sets))
	for _, sub := range subs {
		set := setOf(sub, sets)
		stateful[set] = stateful[set] || len(sub.Stores) > 0
	}
	return stateful
}

func setOf(sub Sub, sets [][]string) int {
	return slices.IndexFunc(sets, func(topics []string) bool { return slices.Contains(topics, sub.Inputs[0]) })
}

// heldUnits tells the group what state there is here. It is called from a goroutine of the client.
func (w *Worker) heldUnits(sets [][]string) map[client.Unit]client.Held {
	w.mu.Lock()
	inUse := maps.Clone(w.mu.held)
	w.mu.Unlock()
	return heldUnits(w.cfg.Subs, sets, w.cfg.Backend.Local(), inUse)
}

// heldUnits sums up what the tasks of each unit have: those in use as they say themselves, others as their data lie on disk.
func heldUnits(subs []Sub, sets [][]string, local map[state.TaskID]map[string]state.Position, inUse map[state.TaskID]client.Held) map[client.Unit]client.Held {
	units := make(map[client.Unit]client.Held)
	add := func(sub Sub, p int32, h client.Held) {
		at := client.Unit{Topic: sets[setOf(sub, sets)][0], Partition: p}
		if sum, ok := units[at]; ok {
			h.Position += sum.Position
			if h.Lag < 0 || sum.Lag < 0 {
				h.Lag = -1
			} else {
				h.Lag += sum.Lag
			}
		}
		units[at] = h
	}
	for _, sub := range subs {
		if len(sub.Stores) == 0 {
			continue
		}
		for id, h := range inUse {
			if id.SubTopology == sub.ID {
				add(sub, id.Partition, h)
			}
		}
		for id, positions := range local {
			if _, ok := inUse[id]; ok || id.SubTopology != sub.ID {
				continue
			}
			var sum int64
			for _, s := range sub.Stores {
				sum += positions[s.Name].Offset
			}
			if sum > 0 {
				add(sub, id.Partition, client.Held{Position: sum, Lag: -1})
			}
		}
	}
	return units
}

// holdRunning notes what state the running tasks have, and forgets what is no longer in use.
func (w *Worker) holdRunning() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.mu.held {
		if w.tasks[id] == nil && !w.standbys.follows(id) && (w.opening == nil || w.opening.tasks[id] == nil) {
			delete(w.mu.held, id)
		}
	}
	for _, r := range w.order {
		if r.state == nil {
			continue
		}
		var h client.Held
		for _, s := range r.stores {
			h.Position += r.state.Position(s.spec.Name).Offset
		}
		w.mu.held[r.id] = h
	}
}
