package changelog_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/state/changelog"
)

// TestModel lives through random histories of a task: incarnations that process
// inputs and commit, crash between any two appends, come back with all, some or
// none of their local data, find compacted changelogs and new stores. The model is
// what the stores held at the last complete commit, and that commit's input offset:
// each incarnation must begin exactly there. Values chain to the value they
// replace, so a record that is applied twice or not at all shows.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		w := &world{t: r, logs: map[string][]logRecord{}}
		w.addStore()
		for range rapid.IntRange(1, 8).Draw(r, "incarnations") {
			w.incarnation()
		}
	})
}

// logRecord is a record of a changelog partition; marker is nil for data.
type logRecord struct {
	offset     int64
	key, value []byte
	marker     []byte
}

// snapshot is what the model holds at a complete commit.
type snapshot struct {
	seq       int64
	input     int64                        // next input offset
	stores    map[string]map[string]string // by store, by key
	positions map[string]state.Position
}

type world struct {
	t         *rapid.T
	stores    []string
	logs      map[string][]logRecord
	ends      map[string]int64
	complete  []snapshot // all complete commits
	backend   state.Backend
	untilDead int // appends before the next crash
}

var topicID = [16]byte{7}

func (w *world) addStore() {
	w.stores = append(w.stores, fmt.Sprintf("store%d", len(w.stores)))
}

func (w *world) specs() (specs []state.Spec) {
	for _, name := range w.stores {
		specs = append(specs, state.Spec{Name: name})
	}
	return specs
}

// last is the last complete commit; the zero one if there was none.
func (w *world) last() snapshot {
	if len(w.complete) == 0 {
		return snapshot{}
	}
	return w.complete[len(w.complete)-1]
}

func (w *world) incarnation() {
	if len(w.stores) < 3 && rapid.IntRange(0, 3).Draw(w.t, "add store") == 0 {
		w.addStore()
	}
	if rapid.Bool().Draw(w.t, "compact") {
		w.compact()
	}
	task := w.openTask()
	a := w.restore(task)
	w.check(task, a)
	w.untilDead = rapid.IntRange(0, 40).Draw(w.t, "appends before the crash")
	now := clone(w.last().stores)
	for w.commit(task, &a, now) {
	}
	if err := task.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// openTask opens the task with what is left of its local data.
func (w *world) openTask() state.Task {
	left := rapid.SampledFrom([]string{"all", "behind", "none"}).Draw(w.t, "local data")
	if left != "all" || w.backend == nil {
		w.backend = state.NewMemory()
	}
	task, err := w.backend.OpenTask(state.TaskID{}, w.specs())
	if err != nil {
		w.t.Fatal(err)
	}
	if left == "behind" && len(w.complete) > 0 {
		for _, name := range w.stores { // each store at a checkpoint of its own
			s := rapid.SampledFrom(w.complete).Draw(w.t, "checkpoint")
			if _, has := s.positions[name]; !has {
				continue
			}
			var changes []state.Change
			for key, value := range s.stores[name] {
				changes = append(changes, state.Change{Key: []byte(key), Value: []byte(value)})
			}
			if err := task.Restore(name, changes); err != nil {
				w.t.Fatal(err)
			}
			task.SetPosition(name, s.positions[name])
		}
	}
	return task
}

func (w *world) restore(task state.Task) changelog.Aligned {
	var all []*changelog.Replayer
	for _, spec := range w.specs() {
		r := changelog.NewReplayer(spec, topicID, task.Position(spec.Name))
		if err := r.Check(0, w.end(spec.Name)); err != nil {
			w.t.Fatal(err)
		}
		for _, rec := range w.logs[spec.Name] {
			if rec.offset < r.From() {
				continue
			}
			if rec.marker == nil {
				r.Data(rec.offset, rec.key, rec.value)
				continue
			}
			m, err := changelog.ParseMarker(rec.marker)
			if err == nil {
				err = r.Marker(rec.offset, m)
			}
			if err == nil && rapid.Bool().Draw(w.t, "apply") {
				err = r.Apply(task)
			}
			if err != nil {
				w.t.Fatal(err)
			}
		}
		all = append(all, r)
	}
	a, err := changelog.Align(task, all)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// check demands that the task stands exactly at the last complete commit.
func (w *world) check(task state.Task, a changelog.Aligned) {
	want := w.last()
	var input int64
	if len(a.Inputs) > 0 {
		input = a.Inputs[0].Offset
	}
	if a.Commit != want.seq || input != want.input {
		w.t.Fatalf("restored to commit %d, input %d, want commit %d, input %d", a.Commit, input, want.seq, want.input)
	}
	for _, name := range w.stores {
		if diff := cmp.Diff(nonNil(want.stores[name]), contents(w.t, task, name)); diff != "" {
			w.t.Fatalf("store %s at commit %d (-want +got):\n%s", name, want.seq, diff)
		}
		if got, want := task.Position(name), want.positions[name]; !cmp.Equal(got, want) {
			w.t.Fatalf("store %s (-want +got):\n%s", name, cmp.Diff(want, got))
		}
	}
}

// commit processes some inputs and commits; false if it crashed on the way.
func (w *world) commit(task state.Task, a *changelog.Aligned, now map[string]map[string]string) bool {
	input := w.last().input
	for range rapid.IntRange(0, 5).Draw(w.t, "inputs") {
		w.process(task, input, now)
		input++
	}
	changed := w.changed(task)
	if len(changed) == 0 {
		return rapid.Bool().Draw(w.t, "go on")
	}
	m := changelog.Marker{
		Commit: a.NextCommit, Complete: a.Commit, Stores: slices.Sorted(slices.Values(changed)), Layout: state.LayoutPlain,
		StreamTimeMillis: input * 10, Inputs: []state.InputOffset{{Topic: "in", Offset: input}},
	}
	for _, name := range w.shuffle(changed) {
		for c := range task.Changes(name) {
			if _, alive := w.append(name, logRecord{key: slices.Clone(c.Key), value: slices.Clone(c.Value)}); !alive {
				return false
			}
		}
	}
	positions := map[string]state.Position{}
	for _, name := range w.shuffle(changed) {
		offset, alive := w.append(name, logRecord{key: []byte(changelog.MarkerKey), marker: changelog.AppendMarker(nil, m)})
		if !alive {
			return false
		}
		positions[name] = m.Position(topicID, offset)
	}
	a.Commit, a.NextCommit = m.Commit, m.Commit+1
	all := maps.Clone(w.last().positions)
	if all == nil {
		all = map[string]state.Position{}
	}
	maps.Copy(all, positions)
	w.complete = append(w.complete, snapshot{m.Commit, input, clone(now), all})
	if w.untilDead--; w.untilDead < 0 {
		return false // complete, yet the incarnation does not live to know
	}
	if err := task.Commit(positions); err != nil {
		w.t.Fatal(err)
	}
	return true
}

// process applies an input to the task and to the model.
func (w *world) process(task state.Task, input int64, now map[string]map[string]string) {
	name := rapid.SampledFrom(w.stores).Draw(w.t, "store")
	key := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(w.t, "key")
	store, _ := task.Store(name)
	if rapid.IntRange(0, 3).Draw(w.t, "delete") == 0 {
		delete(now[name], key)
		if err := store.Delete([]byte(key)); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	old, _, err := store.Get([]byte(key))
	if err == nil {
		err = store.Put([]byte(key), fmt.Appendf(nil, "%.40s<%d", old, input))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if now[name] == nil {
		now[name] = map[string]string{}
	}
	now[name][key] = fmt.Sprintf("%.40s<%d", now[name][key], input)
}

// append adds a record to a changelog, unless the crash comes first.
func (w *world) append(store string, rec logRecord) (offset int64, alive bool) {
	if w.untilDead--; w.untilDead < 0 {
		return 0, false
	}
	rec.offset = w.end(store)
	w.logs[store] = append(w.logs[store], rec)
	w.ends[store] = rec.offset + 1
	return rec.offset, true
}

func (w *world) end(store string) int64 {
	if w.ends == nil {
		w.ends = map[string]int64{}
	}
	return w.ends[store]
}

// compact keeps the last record of each key below an offset that is not beyond the
// last complete commit: the compaction lag spares the tail.
func (w *world) compact() {
	for _, name := range w.stores {
		limit := rapid.Int64Range(0, w.last().positions[name].Offset).Draw(w.t, "compact below")
		last := map[string]int64{}
		for _, rec := range w.logs[name] {
			if rec.offset < limit {
				last[string(rec.key)] = rec.offset
			}
		}
		w.logs[name] = slices.DeleteFunc(w.logs[name], func(rec logRecord) bool {
			return rec.offset < limit && last[string(rec.key)] != rec.offset
		})
	}
}

func (w *world) shuffle(stores []string) []string {
	return rapid.Permutation(stores).Draw(w.t, "order")
}

// changed are the stores that take part in the next commit.
func (w *world) changed(task state.Task) (changed []string) {
	for _, name := range w.stores {
		for range task.Changes(name) {
			changed = append(changed, name)
			break
		}
	}
	return changed
}

func clone(stores map[string]map[string]string) map[string]map[string]string {
	out := map[string]map[string]string{}
	for name, entries := range stores {
		out[name] = maps.Clone(entries)
	}
	return out
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func contents(t *rapid.T, task state.Task, name string) map[string]string {
	all := map[string]string{}
	store, _ := task.Store(name)
	for kv, err := range store.Range(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		all[string(kv.Key)] = string(kv.Value)
	}
	return all
}
