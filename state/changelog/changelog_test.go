package changelog_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/state/changelog"
)

func Example() {
	// What the changelog of a store holds: one complete commit, and one whose marker a
	// crash cut off.
	type record struct {
		offset     int64
		key, value string
	}
	log := []record{{0, "apple", "1"}, {1, "pear", "1"}, {2, changelog.MarkerKey, ""}, {3, "apple", "2"}}
	marker := changelog.Marker{
		Commit: 1, Stores: []string{"fruit"}, Layout: state.LayoutPlain,
		Inputs: []state.InputOffset{{Topic: "in", Offset: 2}},
	}

	spec := state.Spec{Name: "fruit"}
	task, _ := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{spec})
	r := changelog.NewReplayer(spec, [16]byte{}, task.Position("fruit"))
	for _, rec := range log {
		if rec.key == changelog.MarkerKey {
			_ = r.Marker(rec.offset, marker)
		} else {
			r.Data(rec.offset, []byte(rec.key), []byte(rec.value))
		}
	}
	a, err := changelog.Align(task, []*changelog.Replayer{r})
	fmt.Println("stands at commit", a.Commit, "inputs", a.Inputs, "next", a.NextCommit, err)
	store, _ := task.Store("fruit")
	for kv := range store.Range(nil, nil) {
		fmt.Printf("%s=%s\n", kv.Key, kv.Value)
	}
	for c := range task.Changes("fruit") {
		fmt.Printf("to repair: %s=%s\n", c.Key, c.Value)
	}
	// Output:
	// stands at commit 1 inputs [{in 0 2}] next 2 <nil>
	// apple=1
	// pear=1
	// to repair: apple=1
}

func ExampleTopic() {
	fmt.Println(changelog.Topic("fraud", "seen"))
	// Output: fraud-seen-changelog
}

var topic = [16]byte{1}

func spec(name string) state.Spec { return state.Spec{Name: name} }

// at is the local position of a store after a commit whose marker is at offset.
func at(commit, offset int64, stores ...string) state.Position {
	return marker(commit, commit-1, stores...).Position(topic, offset)
}

func marker(commit, complete int64, stores ...string) changelog.Marker {
	return changelog.Marker{
		Commit: commit, Complete: complete, Stores: stores, Layout: state.LayoutPlain,
		Inputs: []state.InputOffset{{Topic: "in", Offset: commit * 10}},
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	local := at(3, 30, "s") // needs the log from 31 on
	for _, test := range []struct {
		name       string
		topicID    [16]byte
		from       state.Position
		start, end int64
		want       string // "" for none
	}{
		{"new store, empty log", topic, state.Position{}, 0, 0, ""},
		{"new store", topic, state.Position{}, 0, 100, ""},
		{"new store, log cut at its beginning", topic, state.Position{}, 5, 100, "gap"},
		{"up to date", topic, local, 0, 31, ""},
		{"behind", topic, local, 31, 100, ""},
		{"ahead of the log", topic, local, 0, 30, "doubt"},
		{"of another topic", [16]byte{2}, local, 0, 100, "doubt"},
		{"log cut behind it", topic, local, 32, 100, "gap"},
	} {
		err := changelog.NewReplayer(spec("s"), test.topicID, test.from).Check(test.start, test.end)
		var doubt *changelog.DoubtError
		var gap *changelog.GapError
		got := ""
		switch {
		case errors.As(err, &doubt):
			got = "doubt"
		case errors.As(err, &gap):
			got = "gap"
		case err != nil:
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: Check = %v, want %q", test.name, err, test.want)
		}
	}
}

func TestLayoutMismatch(t *testing.T) {
	t.Parallel()
	r := changelog.NewReplayer(state.Spec{Name: "s", TTL: 1}, topic, state.Position{})
	err := r.Marker(0, marker(1, 0, "s"))
	var layout *changelog.LayoutError
	if !errors.As(err, &layout) || !strings.Contains(err.Error(), "TTL") {
		t.Errorf("Marker of a store declared otherwise: %v", err)
	}
}

// TestDoubt covers local data that the changelogs contradict.
func TestDoubt(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T) state.Task {
		task, err := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{spec("a"), spec("b")})
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	wantDoubt := func(t *testing.T, err error, what string) {
		t.Helper()
		var doubt *changelog.DoubtError
		if !errors.As(err, &doubt) || !strings.Contains(err.Error(), what) {
			t.Errorf("error %v, want a DoubtError with %q", err, what)
		}
	}
	t.Run("local data ahead of the incarnation that wrote on", func(t *testing.T) {
		t.Parallel()
		r := changelog.NewReplayer(spec("a"), topic, at(5, 50, "a"))
		wantDoubt(t, r.Marker(60, marker(6, 4, "a")), "commit 5")
	})
	t.Run("a store lacks a complete commit", func(t *testing.T) {
		t.Parallel()
		a := changelog.NewReplayer(spec("a"), topic, at(5, 50, "a", "b"))
		b := changelog.NewReplayer(spec("b"), topic, at(3, 30, "a", "b"))
		_, err := changelog.Align(open(t), []*changelog.Replayer{a, b})
		wantDoubt(t, err, `"b"`)
	})
	t.Run("a store was not in the later commits", func(t *testing.T) {
		t.Parallel()
		a := changelog.NewReplayer(spec("a"), topic, at(5, 50, "a"))
		b := changelog.NewReplayer(spec("b"), topic, at(3, 30, "a", "b"))
		got, err := changelog.Align(open(t), []*changelog.Replayer{a, b})
		if err != nil || got.Commit != 5 {
			t.Errorf("Align = %+v, %v, want commit 5", got, err)
		}
	})
}

func TestNewTask(t *testing.T) {
	t.Parallel()
	task, err := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{spec("s")})
	if err != nil {
		t.Fatal(err)
	}
	r := changelog.NewReplayer(spec("s"), topic, task.Position("s"))
	got, err := changelog.Align(task, []*changelog.Replayer{r})
	if diff := cmp.Diff(changelog.Aligned{NextCommit: 1}, got); diff != "" || err != nil {
		t.Errorf("Align of a new task: %v (-want +got):\n%s", err, diff)
	}
}

// TestReplayMemory demands that a long restore keeps only what is not certain.
func TestReplayMemory(t *testing.T) {
	t.Parallel()
	task, err := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{spec("s")})
	if err != nil {
		t.Fatal(err)
	}
	r := changelog.NewReplayer(spec("s"), topic, state.Position{})
	store, _ := task.Store("s")
	offset := int64(0)
	for commit := int64(1); commit <= 100; commit++ {
		r.Data(offset, []byte("k"), fmt.Append(nil, commit))
		offset++
		if err := r.Marker(offset, marker(commit, commit-1, "s")); err != nil {
			t.Fatal(err)
		}
		offset++
		if err := r.Apply(task); err != nil {
			t.Fatal(err)
		}
		value, _, err := store.Get([]byte("k"))
		if want := fmt.Append(nil, commit-1); err != nil || commit > 1 && !bytes.Equal(value, want) {
			t.Fatalf("after marker %d the store has %q, %v, want %q", commit, value, err, want)
		}
		if got := task.Position("s").Commit; got != commit-1 {
			t.Fatalf("after marker %d the store stands at commit %d, want %d", commit, got, commit-1)
		}
	}
}

func FuzzParseMarker(f *testing.F) {
	f.Add(changelog.AppendMarker(nil, marker(3, 2, "a", "b")))
	f.Add(changelog.AppendMarker(nil, changelog.Marker{Commit: 1, Layout: state.LayoutExpiring, StreamTimeMillis: -5}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := changelog.ParseMarker(b)
		if err != nil {
			if !errors.Is(err, changelog.ErrMarker) {
				t.Fatalf("error %v does not match ErrMarker", err)
			}
			return
		}
		again, err := changelog.ParseMarker(changelog.AppendMarker(nil, m))
		if err != nil || !cmp.Equal(m, again) {
			t.Fatalf("%+v does not survive: %+v, %v", m, again, err)
		}
	})
}

// TestMarkerDamage flips every bit of a marker and cuts it everywhere.
func TestMarkerDamage(t *testing.T) {
	t.Parallel()
	want := marker(3, 2, "a", "b")
	b := changelog.AppendMarker([]byte("before"), want)[len("before"):]
	if got, err := changelog.ParseMarker(b); err != nil || !cmp.Equal(got, want) {
		t.Fatalf("ParseMarker = %+v, %v, want %+v", got, err, want)
	}
	for bit := range len(b) * 8 {
		damaged := bytes.Clone(b)
		damaged[bit/8] ^= 1 << (bit % 8)
		if m, err := changelog.ParseMarker(damaged); !errors.Is(err, changelog.ErrMarker) {
			t.Errorf("with bit %d flipped: %+v, %v", bit, m, err)
		}
	}
	for n := range b {
		if m, err := changelog.ParseMarker(b[:n]); !errors.Is(err, changelog.ErrMarker) {
			t.Errorf("cut at %d: %+v, %v", n, m, err)
		}
	}
}
