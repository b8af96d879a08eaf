package streamtest_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
	"github.com/riffle-stream/riffle/stream/window"
)

// What fails between records is tried again as a record is: what it did before is undone, nothing comes in between, and in the end
// it has its effect once, or is a dead letter. That holds for timers, punctuations and what follows closed windows.
func TestAttemptsBetweenRecords(t *testing.T) {
	t.Parallel()
	for attempts, want := range map[int][]string{
		1: {"begin", "end", "dead timer after 1", "dead punctuation after 1", "dead window after 1"},
		2: {"begin", "timer 1", "window 1", "end", "dead punctuation after 2"},
		3: {"begin", "timer 1", "punctuation 1", "window 1", "end"},
	} {
		t.Run(fmt.Sprint("attempts=", attempts), func(t *testing.T) {
			t.Parallel()
			timers := state.NewTimers("later", serde.String)
			calls := state.NewKeyValueStore("calls", serde.String, serde.Int64)
			perMinute := state.NewWindowStore("per-minute", serde.String, serde.Int64)
			failures := map[string]int{"timer": 1, "punctuation": 2, "window": 1}
			// act counts in a store and sends, and only then fails, as often as it is to.
			act := func(c *stream.Context[string, string], what string) error {
				n, _, err := calls.In(c).Get(what)
				if err != nil {
					return err
				}
				if err := errors.Join(calls.In(c).Put(what, n+1), c.Forward("k", fmt.Sprint(what, " ", n+1))); err != nil {
					return err
				}
				if failures[what] > 0 {
					failures[what]--
					return fmt.Errorf("%s fails", what)
				}
				return nil
			}
			b := stream.NewBuilder("attempts")
			b.OnError(stream.Errors{Attempts: attempts})
			in := b.From(visits)
			acts := in.ProcessWith("acts", stream.OnRecord(func(c *stream.Context[string, string], r stream.Record[string, string]) error {
				if r.Value == "begin" {
					if err := timers.In(c).Set(r.Key, at(10)); err != nil {
						return err
					}
				}
				return c.Forward("k", r.Value)
			}).OnTimer(timers, func(c *stream.Context[string, string], _ state.Timer[string]) error {
				return act(c, "timer")
			}).Punctuate(20*time.Second, func(c *stream.Context[string, string], at time.Time) error {
				if at.Unix() != 80 { // the last multiple before the next record: the only one that comes
					return nil
				}
				return act(c, "punctuation")
			}), calls)
			closed := in.Window(window.Tumbling(85*time.Second).Grace(0)).Count(perMinute).OnClose().
				Process("closes", func(c *stream.Context[string, string], _ stream.Record[window.Key[string], int64]) error {
					return act(c, "window")
				}, calls)
			acts.Merge(closed).To(leftTopic)
			topology, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			d := streamtest.New(t, topology)
			d.Pipe(visits, "k", "begin", at(1))
			d.Pipe(visits, "k", "end", at(90))
			got := d.Values(leftTopic)
			for _, l := range d.DeadLetters() {
				var what string
				if _, err := fmt.Sscanf(l.Cause.Error(), "%s fails", &what); err != nil {
					t.Fatalf("dead letter: %v", l.Cause)
				}
				got = append(got, fmt.Sprintf("dead %s after %d", what, attempts))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("outputs and dead letters (-want +got):\n%s", diff)
			}
		})
	}
}
