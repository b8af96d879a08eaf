package task

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/state"
)

// TestStoreModel compares a store as a record sees it with a map, over records that succeed and fail.
func TestStoreModel(t *testing.T) {
	t.Parallel()
	keys := rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"})
	rapid.Check(t, func(t *rapid.T) {
		m := &storeModel{t: t, keys: keys, committed: make(map[string]string)}
		stores, err := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{{Name: "s"}})
		if err != nil {
			t.Fatal(err)
		}
		inner, _ := stores.Store("s")
		m.store = newStore("s", inner, &m.frame)
		m.record = maps.Clone(m.committed)
		t.Repeat(map[string]func(*rapid.T){
			"put":    func(*rapid.T) { m.put() },
			"delete": func(*rapid.T) { m.delete(keys.Draw(t, "key")) },
			"get":    func(*rapid.T) { m.get() },
			"range":  func(*rapid.T) { m.rangeOver() },
			"succeed": func(t *rapid.T) {
				if err := m.frame.writes.apply(); err != nil {
					t.Fatal(err)
				}
				m.frame.drop()
				m.committed = maps.Clone(m.record)
			},
			"fail": func(*rapid.T) {
				m.frame.drop()
				m.record = maps.Clone(m.committed)
			},
		})
	})
}

type storeModel struct {
	t         *rapid.T
	keys      *rapid.Generator[string]
	frame     Frame
	store     *store
	committed map[string]string // by records that succeeded
	record    map[string]string // as the present record sees it
}

func (m *storeModel) put() {
	key, value := m.keys.Draw(m.t, "key"), rapid.StringMatching(`[xyz]{0,2}`).Draw(m.t, "value")
	if err := m.store.Put([]byte(key), []byte(value)); err != nil {
		m.t.Fatal(err)
	}
	m.record[key] = value
}

func (m *storeModel) delete(key string) {
	if err := m.store.Delete([]byte(key)); err != nil {
		m.t.Fatal(err)
	}
	delete(m.record, key)
}

func (m *storeModel) get() {
	key := m.keys.Draw(m.t, "key")
	got, found, err := m.store.Get([]byte(key))
	want, exists := m.record[key]
	if err != nil || found != exists || string(got) != want || found && got == nil {
		m.t.Fatalf("Get(%q) = %q, %t, %v, want %q, %t", key, got, found, err, want, exists)
	}
}

// rangeOver reads a range, and writes meanwhile.
func (m *storeModel) rangeOver() {
	from, to := m.keys.Draw(m.t, "from"), m.keys.Draw(m.t, "to")
	end := []byte(to)
	if to == "" {
		end = nil
	}
	var left []string // keys that existed at the beginning
	for _, key := range slices.Sorted(maps.Keys(m.record)) {
		if key >= from && (end == nil || key < to) {
			left = append(left, key)
		}
	}
	next := func() (string, bool) { // the next key that still exists
		for len(left) > 0 {
			key := left[0]
			left = left[1:]
			if _, ok := m.record[key]; ok {
				return key, true
			}
		}
		return "", false
	}
	for kv, err := range m.store.Range([]byte(from), end) {
		key, ok := next()
		want := state.KV{Key: []byte(key), Value: []byte(m.record[key])}
		if diff := cmp.Diff(want, kv); err != nil || !ok || diff != "" {
			m.t.Fatalf("Range(%q, %q): %v, an entry left: %t (-want +got):\n%s", from, to, err, ok, diff)
		}
		switch rapid.IntRange(0, 4).Draw(m.t, "meanwhile") {
		case 0:
			m.put()
		case 1:
			m.delete(key)
		case 2:
			m.get()
		case 3:
			if rapid.Bool().Draw(m.t, "stop") {
				return
			}
		}
	}
	if key, ok := next(); ok {
		m.t.Fatalf("Range(%q, %q) ended before %q", from, to, key)
	}
	if m.frame.inStore {
		m.t.Fatal("Range ended, but seems to be in the store")
	}
}
