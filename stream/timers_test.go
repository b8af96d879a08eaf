package stream

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// Timers survive a restart of the application, which restores them from their changelog; one that fails
// is a dead letter that says which it was.
func TestTimersAcrossRuns(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines")
		due := state.NewTimers("due", serde.String)
		remember := func(c *Context[string, string], r Record[string, string]) error {
			return due.In(c).Set(r.Key, r.Time.Add(10*time.Second))
		}
		remind := func(c *Context[string, string], timer state.Timer[string]) error {
			if timer.Key == "bad" {
				return errors.New("not this one")
			}
			return c.Forward(timer.Key, fmt.Sprint("due at ", timer.Time.Unix()))
		}
		b := NewBuilder("reminders")
		b.From(lines).ProcessWith("remind", OnRecord(remember).OnTimer(due, remind)).To(shouts)
		topology := build(t, b)

		line := func(key string, second int64) Record[string, string] {
			return Record[string, string]{Key: key, Value: "x", Time: time.Unix(second, 0).UTC()}
		}
		write(t, c, lines, line("a", 100), line("bad", 101), line("b", 102), line("a", 103))
		runToEnd(t, topology, c, Config{})
		if early := read(t, c, shouts); len(early) > 0 {
			t.Fatalf("outputs before their time: %v", early)
		}
		write(t, c, lines, line("c", 112))
		if stats := runToEnd(t, topology, c, Config{}); stats.DeadLetters != 1 || stats.Processed != 1 {
			t.Errorf("stats are %+v, want 1 processed and 1 dead letter", stats)
		}
		write(t, c, lines, line("c", 200))
		runToEnd(t, topology, c, Config{})

		want := map[string][]string{"b": {"due at 112"}, "a": {"due at 113"}, "c": {"due at 122"}}
		if diff := cmp.Diff(want, byKey(read(t, c, shouts))); diff != "" {
			t.Errorf("reminders (-want +got):\n%s", diff)
		}
		for _, r := range read(t, c, shouts) {
			if want := fmt.Sprint("due at ", r.Time.Unix()); r.Value != want {
				t.Errorf("%q was sent with the time %v", r.Value, r.Time)
			}
		}
		dead := read(t, c, NewTopic("reminders-dead-letters", serde.String, serde.Bytes))
		if len(dead) != 1 || dead[0].Key != "bad" || dead[0].Value != nil || dead[0].Time.Unix() != 111 {
			t.Fatalf("dead letters %+v, want the timer of bad at 111", dead)
		}
		headers := make(map[string]string)
		for _, h := range dead[0].Headers {
			headers[h.Key] = string(h.Value)
		}
		wantHeaders := map[string]string{HeaderCause: "not this one", HeaderNode: "remind", HeaderStage: "processing", HeaderPartition: "0", HeaderTimers: "due"}
		if diff := cmp.Diff(wantHeaders, headers); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
	})
}
