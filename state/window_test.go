package state_test

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/window"
)

// windowKeys are prefixes of each other, and hold bytes that look like times.
var windowKeys = rapid.SampledFrom([]string{"", "a", "ab", "a\x80\x00\x00\x00\x00\x00\x00\x01", "b"})

// TestWindowStoreModel compares a window store with a list of windows.
func TestWindowStoreModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newWindowModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"put":    func(t *rapid.T) { m.put(t) },
			"delete": func(t *rapid.T) { m.delete(t) },
			"record": func(t *rapid.T) { m.c.at(m.stream() + rapid.Int64Range(-30, 30).Draw(t, "later")) },
			"commit": func(t *rapid.T) {
				if err := m.c.task.Commit(nil); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) { m.check(t) },
		})
	})
}

type windowModel struct {
	store   state.WindowStore[string, int64]
	c       *fakeContext
	keep    int64
	windows []state.WindowEntry[string, int64] // also those whose retention is over
}

func newWindowModel(t *rapid.T) *windowModel {
	keep := rapid.Int64Range(0, 50).Draw(t, "retention")
	store := state.NewWindowStore("w", serde.String, serde.Int64).Retention(time.Duration(keep) * time.Millisecond)
	task, err := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{store.Spec()})
	if err != nil {
		t.Fatal(err)
	}
	return &windowModel{store: store, c: &fakeContext{task: task, stream: time.UnixMilli(0)}, keep: keep}
}

func (m *windowModel) stream() int64 { return m.c.stream.UnixMilli() }

func (m *windowModel) live(start time.Time) bool {
	return m.keep == 0 || m.stream() < start.UnixMilli()+m.keep
}

func (m *windowModel) drawStart(t *rapid.T) time.Time {
	return time.UnixMilli(max(0, m.stream()+rapid.Int64Range(-60, 10).Draw(t, "start"))).UTC()
}

func (m *windowModel) find(k string, start time.Time) int {
	return slices.IndexFunc(m.windows, func(e state.WindowEntry[string, int64]) bool { return e.Key == k && e.Start.Equal(start) })
}

func (m *windowModel) put(t *rapid.T) {
	e := state.WindowEntry[string, int64]{windowKeys.Draw(t, "key"), m.drawStart(t), rapid.Int64Range(0, 9).Draw(t, "value")}
	i := m.find(e.Key, e.Start)
	var had int64
	if i >= 0 {
		had = m.windows[i].Value
	}
	got, err := m.store.In(m.c).Update(e.Key, e.Start, func(v int64, found bool) (int64, error) {
		if found != (i >= 0) || v != had {
			t.Errorf("Update of %v found %d, %t, want %d", e, v, found, had)
		}
		return e.Value, nil
	})
	switch {
	case err != nil:
		t.Fatal(err)
	case !m.live(e.Start):
		return
	case got != e.Value:
		t.Fatalf("Update of %v returned %d", e, got)
	case i >= 0:
		m.windows[i] = e
	default:
		m.windows = append(m.windows, e)
	}
}

func (m *windowModel) delete(t *rapid.T) {
	k, start := windowKeys.Draw(t, "key"), m.drawStart(t)
	if err := m.store.In(m.c).Delete(k, start); err != nil {
		t.Fatal(err)
	}
	if i := m.find(k, start); i >= 0 {
		m.windows = slices.Delete(m.windows, i, i+1)
	}
}

func (m *windowModel) check(t *rapid.T) {
	s := m.store.In(m.c)
	from, to := m.drawStart(t), m.drawStart(t)
	all := slices.DeleteFunc(slices.Clone(m.windows), func(e state.WindowEntry[string, int64]) bool {
		return !m.live(e.Start) || e.Start.Before(from) || !e.Start.Before(to)
	})
	slices.SortFunc(all, func(a, b state.WindowEntry[string, int64]) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Key, b.Key))
	})
	if diff := gocmp.Diff(all, collect(t, s.All(from, to))); diff != "" && len(all) > 0 {
		t.Fatalf("All(%v, %v) at %d (-want +got):\n%s", from, to, m.stream(), diff)
	}
	k := windowKeys.Draw(t, "key")
	own := slices.DeleteFunc(all, func(e state.WindowEntry[string, int64]) bool { return e.Key != k })
	got := collect(t, s.Fetch(k, from, to))
	if diff := gocmp.Diff(own, got); diff != "" && len(own)+len(got) > 0 {
		t.Fatalf("Fetch(%q, %v, %v) at %d (-want +got):\n%s", k, from, to, m.stream(), diff)
	}
	v, found, err := s.Get(k, from)
	i := m.find(k, from)
	if want := i >= 0 && m.live(from); err != nil || found != want || found && v != m.windows[i].Value {
		t.Fatalf("Get(%q, %v) at %d = %d, %t, %v, want %t", k, from, m.stream(), v, found, err, want)
	}
}

func collect[E any](t *rapid.T, seq func(func(E, error) bool)) (all []E) {
	for e, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// What is removed after the retention is gone from the store, not only hidden, and each step is bounded.
func TestWindowsAreRemoved(t *testing.T) {
	t.Parallel()
	store := state.NewWindowStore("w", serde.Int64, serde.Int64).Retention(time.Second)
	c := newContext(t, store.Spec())
	const keys = 3000
	for k := range int64(keys) {
		if err := store.In(c).Put(k, time.UnixMilli(0), k); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.task.Commit(nil); err != nil {
		t.Fatal(err)
	}
	c.at(1000)
	most := 0
	for k := range int64(keys) {
		c.at(1000 + k)
		if err := store.In(c).Put(k, c.record, k); err != nil {
			t.Fatal(err)
		}
		most = max(most, changes(c.task, "w"))
		if err := c.task.Commit(nil); err != nil {
			t.Fatal(err)
		}
	}
	if most > 150 {
		t.Errorf("a put made %d changes, want a bounded step", most)
	}
	s, _ := c.task.Store("w")
	left := 0
	for _, err := range s.Range(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		left++
	}
	if left > 2*1100 { // windows of the last second, and some more
		t.Errorf("%d entries are left, want some 2000", left)
	}
}

func changes(task state.Task, store string) (n int) {
	for range task.Changes(store) {
		n++
	}
	return n
}

// TestSessionStoreModel compares a session store with a list of sessions. Sessions are put as a windowed step does: one
// that overlaps others takes their place.
func TestSessionStoreModel(t *testing.T) {
	t.Parallel()
	type entry = state.SessionEntry[string, int64]
	rapid.Check(t, func(t *rapid.T) {
		keep := rapid.Int64Range(0, 80).Draw(t, "retention")
		store := state.NewSessionStore("s", serde.String, serde.Int64).Retention(time.Duration(keep) * time.Millisecond)
		task, err := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{store.Spec()})
		if err != nil {
			t.Fatal(err)
		}
		c := &fakeContext{task: task, stream: time.UnixMilli(0)}
		var sessions []entry
		live := func(e entry) bool { return keep == 0 || c.stream.UnixMilli() < e.Window.End.UnixMilli()+keep }
		overlap := func(e entry, k string, from, to int64) bool {
			return live(e) && e.Key == k && e.Window.Start.UnixMilli() <= to && e.Window.End.UnixMilli() > from
		}
		byTime := func(a, b entry) int {
			return cmp.Or(a.Window.End.Compare(b.Window.End), a.Window.Start.Compare(b.Window.Start), cmp.Compare(a.Key, b.Key))
		}
		for n := range rapid.IntRange(1, 60).Draw(t, "records") {
			c.at(c.stream.UnixMilli() + rapid.Int64Range(-30, 30).Draw(t, "later"))
			s := store.In(c)
			k := windowKeys.Draw(t, "key")
			from := max(0, c.stream.UnixMilli()+rapid.Int64Range(-100, 10).Draw(t, "from"))
			to := from + rapid.Int64Range(0, 20).Draw(t, "length")

			want := slices.DeleteFunc(slices.Clone(sessions), func(e entry) bool { return !overlap(e, k, from, to) })
			slices.SortFunc(want, byTime)
			got := collect(t, s.Find(k, time.UnixMilli(from), time.UnixMilli(to)))
			if diff := gocmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
				t.Fatalf("Find(%q, %d, %d) at %v (-want +got):\n%s", k, from, to, c.stream, diff)
			}
			for _, e := range want {
				if v, found, err := s.Get(k, e.Window); v != e.Value || !found || err != nil {
					t.Fatalf("Get(%v) = %d, %t, %v", e, v, found, err)
				}
				if err := s.Delete(k, e.Window); err != nil {
					t.Fatal(err)
				}
			}
			sessions = slices.DeleteFunc(sessions, func(e entry) bool { return overlap(e, k, from, to) })
			e := entry{k, window.Millis(from, to+1), int64(n)}
			if err := s.Put(k, e.Window, e.Value); err != nil {
				t.Fatal(err)
			}
			if live(e) {
				sessions = append(sessions, e)
			}
			if n%7 == 0 {
				if err := task.Commit(nil); err != nil {
					t.Fatal(err)
				}
			}
			all := slices.DeleteFunc(slices.Clone(sessions), func(e entry) bool { return !live(e) })
			slices.SortFunc(all, byTime)
			found := collect(t, s.All(time.UnixMilli(0), time.UnixMilli(1<<40)))
			if diff := gocmp.Diff(all, found); diff != "" && len(all)+len(found) > 0 {
				t.Fatalf("All at %v (-want +got):\n%s", c.stream, diff)
			}
		}
	})
}

func TestWindowStoresThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	var unknown *state.UnknownStoreError
	err := state.NewWindowStore("w", serde.String, serde.Int64).In(newContext(t)).Put("k", time.UnixMilli(1), 1)
	if !errors.As(err, &unknown) || unknown.Store != "w" {
		t.Errorf("a store that is not open: %v", err)
	}
	for _, spec := range []state.Spec{
		state.NewWindowStore("no good", serde.String, serde.Int64).Spec(),
		state.NewSessionStore("s", serde.String, serde.Serde[int64]{}).Spec(),
		state.NewSessionStore("s", serde.String, serde.Int64).Retention(time.Microsecond).Spec(),
		state.WindowStore[string, int64]{}.Spec(),
		state.SessionStore[string, int64]{}.Spec(),
	} {
		if spec.Err == nil {
			t.Errorf("%+v has no error", spec)
		}
	}
	if _, _, err := (state.WindowStore[string, int64]{}).In(newContext(t)).Get("k", time.UnixMilli(1)); err == nil {
		t.Error("the zero value is accepted")
	}
}

// Fetch reads the windows of one key, in the order of time.
func ExampleWindowStore() {
	visits := state.NewWindowStore("visits", serde.String, serde.Int64)

	task, _ := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{visits.Spec()})
	var c state.Context = &fakeContext{task: task, stream: time.UnixMilli(0)}

	store := visits.In(c) // once per record
	for minute := range int64(3) {
		if err := store.Put("home", time.Unix(60*minute, 0), 10*minute); err != nil {
			fmt.Println(err)
		}
	}
	for e, err := range store.Fetch("home", time.Unix(60, 0), time.Unix(180, 0)) {
		fmt.Println(e.Key, e.Start.Format(time.TimeOnly), e.Value, err)
	}
	// Output:
	// home 00:01:00 10 <nil>
	// home 00:02:00 20 <nil>
}

// rangesFrom is a context whose stores note where ranges begin.
type rangesFrom struct {
	*fakeContext
	begins []string
}

func (c *rangesFrom) Store(name string) state.Store {
	return &rangeNotes{c.fakeContext.Store(name), c}
}

type rangeNotes struct {
	state.Store
	c *rangesFrom
}

func (s *rangeNotes) Scratch() *state.Scratch { return s.Store.(state.Scratcher).Scratch() }

func (s *rangeNotes) Range(from, to []byte) iter.Seq2[state.KV, error] {
	s.c.begins = append(s.c.begins, string(from))
	return s.Store.Range(from, to)
}

// TestSweepsDoNotLookTwice: all entries of a window have one time. A sweep that began at that time would pass the tombstones of all
// sweeps before it.
func TestSweepsDoNotLookTwice(t *testing.T) {
	t.Parallel()
	const entries = 1000
	m := &windowModel{store: state.NewWindowStore("w", serde.String, serde.Int64).Retention(10 * time.Millisecond)}
	task, err := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{m.store.Spec()})
	if err != nil {
		t.Fatal(err)
	}
	c := &rangesFrom{fakeContext: &fakeContext{task: task, stream: time.UnixMilli(0)}}
	for _, start := range []int64{0, 100} { // the second window's records find the first one's over
		c.begins = nil
		c.at(start)
		for i := range entries {
			if err := m.store.In(c).Put(fmt.Sprint(i), time.UnixMilli(start), 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(c.begins) < entries/64 {
		t.Fatalf("%d sweeps for %d entries", len(c.begins), entries)
	}
	for i := range c.begins[1:] {
		if c.begins[i] >= c.begins[i+1] {
			t.Errorf("sweep %d begins at %q, the one before it at %q", i+1, c.begins[i+1], c.begins[i])
		}
	}
}
