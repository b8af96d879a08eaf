package state_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

func TestTimers(t *testing.T) {
	t.Parallel()
	timers := state.NewTimers("reminders", serde.String)
	c := newContext(t, timers.Spec())
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	set := timers.In(c)
	for _, timer := range []state.Timer[string]{{"b", at(7)}, {"a", at(7)}, {"c", at(3)}, {"d", at(5)}, {"c", at(9)}, {"a", at(7)}} {
		if err := set.Set(timer.Key, timer.Time); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"d", "d", "never set"} {
		if err := set.Cancel(key); err != nil {
			t.Fatal(err)
		}
	}
	var all []state.Timer[string]
	for timer, err := range set.All() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, timer)
	}
	want := []state.Timer[string]{{"a", at(7)}, {"b", at(7)}, {"c", at(9)}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("All (-want +got):\n%s", diff)
	}
	if got, found, err := set.Get("c"); !got.Equal(at(9)) || !found || err != nil {
		t.Errorf("Get(c) = %v, %t, %v, want 9 ms", got, found, err)
	}
	if got, found, err := set.Get("d"); found || err != nil {
		t.Errorf("Get(d) = %v, %t, %v, want none", got, found, err)
	}
	if err := set.Set("e", time.Time{}); err == nil {
		t.Error("a timer before 1970 is accepted")
	}
}

func TestTimersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	var unknown *state.UnknownStoreError
	if err := state.NewTimers("t", serde.String).In(newContext(t)).Cancel("k"); !errors.As(err, &unknown) || unknown.Store != "t" {
		t.Errorf("a store that is not open: %v", err)
	}
	if err := state.NewTimers("no good", serde.String).In(newContext(t)).Set("k", time.UnixMilli(1)); err == nil {
		t.Error("a bad name is accepted")
	}
	if err := (state.Timers[string]{}).In(newContext(t)).Set("k", time.UnixMilli(1)); err == nil {
		t.Error("the zero value is accepted")
	}
}
