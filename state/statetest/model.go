package statetest

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/state"
)

// testModel compares a store with two maps: what is committed, and what is open.
func testModel(t *testing.T, open func(t *testing.T) state.Backend) {
	b := open(t)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	partition := int32(0)
	rapid.Check(t, func(r *rapid.T) {
		partition++ // a task of its own for each history
		m := &model{t: r, backend: b, id: state.TaskID{Partition: partition}, committed: map[string]string{}}
		m.reopen(r)
		defer func() {
			if err := m.task.Close(); err != nil {
				r.Fatal(err)
			}
		}()
		r.Repeat(map[string]func(*rapid.T){
			"put": m.put, "put2": m.put, "delete": m.del, "commit": m.commit, "abort": m.abort,
			"restore": m.restore, "reopen": m.reopen, "get": m.get, "range": m.scan,
		})
	})
}

type model struct {
	t         *rapid.T
	backend   state.Backend
	id        state.TaskID
	task      state.Task
	store     state.Store
	committed map[string]string
	open      map[string]*string // nil value: deleted
	seq       int64
}

func (m *model) key(r *rapid.T) string {
	return rapid.StringMatching(`[ab]{0,4}`).Draw(r, "key")
}

func (m *model) value(r *rapid.T) string {
	return rapid.StringMatching(`[xyz]{0,9}`).Draw(r, "value")
}

func (m *model) put(r *rapid.T) {
	key, value := m.key(r), m.value(r)
	m.must(r, m.store.Put([]byte(key), []byte(value)))
	m.open[key] = &value
}

func (m *model) del(r *rapid.T) {
	key := m.key(r)
	m.must(r, m.store.Delete([]byte(key)))
	m.open[key] = nil
}

func (m *model) commit(r *rapid.T) {
	m.seq++
	m.must(r, m.task.Commit(map[string]state.Position{"s": position(m.seq)}))
	m.committed, m.open = m.now(), map[string]*string{}
}

func (m *model) abort(*rapid.T) {
	m.task.Abort()
	m.open = map[string]*string{}
}

func (m *model) restore(r *rapid.T) {
	var changes []state.Change
	for range rapid.IntRange(0, 4).Draw(r, "changes") {
		key := m.key(r)
		if rapid.Bool().Draw(r, "delete") {
			changes = append(changes, state.Change{Key: []byte(key)})
			delete(m.committed, key)
			continue
		}
		value := m.value(r)
		changes = append(changes, state.Change{Key: []byte(key), Value: []byte(value)})
		m.committed[key] = value
	}
	m.must(r, m.task.Restore("s", changes))
}

func (m *model) reopen(r *rapid.T) {
	if m.task != nil {
		m.must(r, m.task.Close())
	}
	var err error
	m.task, err = m.backend.OpenTask(m.id, []state.Spec{{Name: "s"}})
	m.must(r, err)
	m.store, _ = m.task.Store("s")
	m.open = map[string]*string{}
	if got := m.task.Position("s").Commit; got != m.seq {
		r.Fatalf("the store stands at commit %d, want %d", got, m.seq)
	}
}

func (m *model) get(r *rapid.T) {
	key := m.key(r)
	got, found, err := m.store.Get([]byte(key))
	m.must(r, err)
	if want, exists := m.now()[key]; string(got) != want || found != exists {
		r.Fatalf("Get(%q) = %q, %v, want %q, %v", key, got, found, want, exists)
	}
}

func (m *model) scan(r *rapid.T) {
	from, to := m.key(r), m.key(r)
	var want, got []string
	now := m.now()
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if from <= key && key < to {
			want = append(want, key+"="+now[key])
		}
	}
	for kv, err := range m.store.Range([]byte(from), []byte(to)) {
		m.must(r, err)
		got = append(got, string(kv.Key)+"="+string(kv.Value))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.Fatalf("Range(%q, %q) (-want +got):\n%s", from, to, diff)
	}
}

// now is what the store must show: the open writes above the committed ones.
func (m *model) now() map[string]string {
	now := maps.Clone(m.committed)
	for key, value := range m.open {
		if value == nil {
			delete(now, key)
		} else {
			now[key] = *value
		}
	}
	return now
}

func (m *model) must(r *rapid.T, err error) {
	if err != nil {
		r.Fatal(err)
	}
}
