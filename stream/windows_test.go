package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/window"
)

// Windows on a broker: several partitions and tasks, a restart in the middle, and late records that are counted.
func TestWindowsAcrossRuns(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 3, "lines")
		store := state.NewWindowStore("per-minute", serde.String, serde.Int64)
		final := NewTopic("final", window.KeySerde(serde.String), serde.Int64)
		b := NewBuilder("windows")
		b.From(lines).Window(window.Tumbling(time.Minute).Grace(0)).Count(store).OnClose().To(final)
		topology := build(t, b)

		keys := []string{"a", "b", "c", "d", "e"}
		second := func(n int) (records []Record[string, string]) {
			for _, key := range keys {
				records = append(records, Record[string, string]{Key: key, Value: "x", Time: time.Unix(int64(n), 0).UTC()})
			}
			return records
		}
		for n := range 90 {
			write(t, c, lines, second(n)...)
		}
		runToEnd(t, topology, c, Config{})
		for n := 90; n < 200; n++ {
			write(t, c, lines, second(n)...)
		}
		write(t, c, lines, second(10)...)
		if stats := runToEnd(t, topology, c, Config{}); stats.Late != int64(len(keys)) || stats.DeadLetters != 0 {
			t.Errorf("stats are %+v, want %d late records and no dead letters", stats, len(keys))
		}

		want := make(map[string]int64)
		for _, key := range keys {
			for minute := range 3 {
				want[fmt.Sprint(key, "@", minute)] = 60
			}
		}
		got := make(map[string]int64)
		for _, r := range read(t, c, final) {
			got[fmt.Sprint(r.Key.Key, "@", r.Key.Window.Start.Unix()/60)] += r.Value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})
}

func TestWindowMistakes(t *testing.T) {
	t.Parallel()
	b := NewBuilder("app")
	in := b.From(lines)
	day := state.NewWindowStore("day", serde.String, serde.Int64)
	in.Window(window.Tumbling(25 * time.Hour).Grace(0)).Count(day)
	in.Window(window.Tumbling(0).Grace(-time.Second)).Count(state.NewWindowStore("zero", serde.String, serde.Int64))
	in.Window(window.Unlimited()).Count(state.NewWindowStore("ever", serde.String, serde.Int64)).OnClose().To(
		NewTopic("out", window.KeySerde(serde.String), serde.Int64))
	in.Window(window.Tumbling(time.Minute).Grace(0)).
		Aggregate[string, window.Key[string]](state.NewWindowStore("nil", serde.String, serde.String), nil).
		LateWith[string](nil).To(shouts)
	_, err := b.Build()
	want := []string{
		`stream: window-count "day": the store keeps windows for 24h0m0s, but they are open for 25h0m0s, grace included: declare it with a longer Retention`,
		`stream: window-count "zero": the size of a window is 0s: want a multiple of 1ms`,
		`the advance of hopping windows is 0s: want a multiple of 1ms`,
		`the grace of a window is -1s: want 0 or a multiple of 1ms`,
		`stream: window-count "ever": unlimited windows never close: declare the store with Retention(state.Forever)`,
		`stream: window-count "ever": unlimited windows never close: use Stream`,
		`stream: window-aggregate "nil": the function is nil`,
		`stream: late "nil-late-1": the function is nil`,
	}
	if err == nil {
		t.Fatal("built")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}
