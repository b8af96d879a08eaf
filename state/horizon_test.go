package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestHorizon compares a store whose keys have times with a map, through checkpoints, failed ones, crashes and restores. Times
// go up, so that the base is passed over; entries have a place in the index no earlier than their own time.
func TestHorizon(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 1))
		kind := rapid.SampledFrom([]Kind{KindWindow, KindSession, KindJoin, KindTimers}).Draw(r, "kind")
		shape := Spec{Kind: kind}.shape()
		backend := NewMemory()
		base := backend.mu.tasks
		var task *Layers
		var s Store
		committed, now := map[string]string{}, map[string]string{}
		var log []Change // since the last checkpoint
		open := func() {
			opened, err := backend.OpenTask(TaskID{}, []Spec{{Name: "s", Kind: kind}})
			if err != nil {
				r.Fatal(err)
			}
			task = opened.(*Layers)
			s, _ = task.Store("s")
		}
		must := func(err error) {
			if err != nil {
				r.Fatal(err)
			}
		}
		open()
		at := int64(0)
		put := func(key []byte) {
			must(s.Put(key, key))
			now[string(key)] = string(key)
		}
		del := func(key []byte) {
			must(s.Delete(key))
			delete(now, string(key))
		}
		steps := map[string]func(){
			"write": func() {
				for range 5 {
					at += rng.Int64N(3)
					time := at - rng.Int64N(20)
					entry := shapedEntry(rng, shape, fmt.Append(nil, rng.IntN(3)), time)
					put(entry)
					put(appendIndexKey(nil, time+1, entry))
				}
			},
			"delete": func() {
				for range 5 {
					from, _ := shapedRange(rng, int(at)+1, shape)
					for _, key := range slices.Sorted(maps.Keys(now)) {
						if _, time, ok := shape.time([]byte(key)); ok && key >= string(from) && shape.class([]byte(key)) == entryClass {
							del([]byte(key))
							del(appendIndexKey(nil, int64(time^1<<63)+1, []byte(key)))
							break
						}
					}
				}
			},
			"commit": func() {
				log = slices.AppendSeq(log, clones(task.Changes("s")))
				must(task.Commit(nil))
				committed = maps.Clone(now)
			},
			"abort": func() {
				task.Abort()
				now = maps.Clone(committed)
			},
			"checkpoint": func() {
				must(base[TaskID{}].fold()) // perhaps only what failed before
				must(base[TaskID{}].fold())
				log = nil
			},
			"failing checkpoint": func() {
				failed := fmt.Errorf("no space")
				_, _ = task.Checkpoint(func(f *Frozen) error {
					for c := range f.Changes(0) { // half of it is written
						if rng.IntN(2) == 0 {
							store := base[TaskID{}].order[0].table
							store.set(hashOf(c.Key), c.Key, c.Value)
						}
					}
					return failed
				})
			},
			"crash": func() {
				backend.Crash()
				must(task.Close())
				backend.Restart()
				open()
				must(task.Restore("s", log))
				now = maps.Clone(committed)
			},
			"reopen": func() {
				must(base[TaskID{}].fold())
				must(task.Close())
				log = nil
				now = maps.Clone(committed)
				open()
			},
			"wipe": func() {
				must(task.Wipe())
				log = nil
				clear(committed)
				clear(now)
			},
		}
		names := append(slices.Sorted(maps.Keys(steps)), "write", "write", "delete", "commit", "commit")
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			name := names[rng.IntN(len(names))]
			steps[name]()
			for range 3 {
				from, to := shapedRange(rng, int(at)+1, shape)
				var want, got []string
				for _, key := range slices.Sorted(maps.Keys(now)) {
					if key >= string(from) && (to == nil || key < string(to)) {
						want = append(want, key)
					}
				}
				for kv, err := range s.Range(from, to) {
					must(err)
					got = append(got, string(kv.Key))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					r.Fatalf("after %s, [%q, %q) (-want +got):\n%s", name, from, to, diff)
				}
				_, found, err := s.Get(from)
				must(err)
				if _, want := now[string(from)]; found != want {
					r.Fatalf("after %s, %q is found: %t, want %t", name, from, found, want)
				}
			}
		}
	})
}

func clones(changes func(func(Change) bool)) func(func(Change) bool) {
	return func(yield func(Change) bool) {
		for c := range changes {
			if !yield(Change{slices.Clone(c.Key), slices.Clone(c.Value)}) {
				return
			}
		}
	}
}
