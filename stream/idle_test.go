package stream

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/window"
)

// idleOutputs are where the windows of an application go that are closed, and what came too late for them.
type idleOutputs struct {
	closed Topic[window.Key[string], int64]
	late   Topic[string, string]
}

func idleTopology(t *testing.T, app string) (*Topology, idleOutputs) {
	to := idleOutputs{NewTopic(app+"-closed", window.KeySerde(serde.String), serde.Int64), NewTopic(app+"-late", serde.String, serde.String)}
	store := state.NewWindowStore(app+"-windows", serde.String, serde.Int64)
	b := NewBuilder(app)
	counts := b.From(lines).Window(window.Tumbling(100 * time.Millisecond).Grace(0)).Count(store)
	counts.OnClose().To(to.closed)
	counts.Late().To(to.late)
	return build(t, b), to
}

func (o idleOutputs) read(t *testing.T, c *Cluster) (all []string) {
	t.Helper()
	for _, r := range read(t, c, o.closed) {
		all = append(all, fmt.Sprintf("%s %d-%d: %d", r.Key.Key, r.Key.Window.Start.UnixMilli(), r.Key.Window.End.UnixMilli(), r.Value))
	}
	for _, r := range read(t, c, o.late) {
		all = append(all, "late "+r.Key)
	}
	return all
}

// Windows of an input that has fallen silent are closed by the wall clock, and a replay closes them at the same places: what
// was too late then is too late again.
func TestIdleClose(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines")
		at := func(key string, millis int64) Record[string, string] {
			return Record[string, string]{Key: key, Value: "x", Time: time.UnixMilli(millis).UTC()}
		}
		topology, to := idleTopology(t, "live")
		createTopics(t, c, 1, to.closed.Name, to.late.Name)
		write(t, c, lines, at("a", 1000), at("b", 1050), at("a", 1060))
		app, err := NewApp(topology, c, quiet(Config{IdleClose: 30 * time.Millisecond}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		running, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- app.Run(running) }()
		for r, err := range c.Follow(ctx, to.closed, 10) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Key.Key == "b" {
				break
			}
		}
		write(t, c, lines, at("c", 1070), at("d", 2000))
		for _, err := range c.Follow(ctx, to.late, 10) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		live := to.read(t, c)
		// Whether the last window was closed before the application was stopped depends on the clock.
		want := []string{"a 1000-1100: 2", "b 1000-1100: 1", "late c"}
		if diff := cmp.Diff(want, without(live, "d 2000-2100: 1")); diff != "" {
			t.Errorf("live (-want +got):\n%s", diff)
		}

		replay, again := idleTopology(t, "replay")
		createTopics(t, c, 1, again.closed.Name, again.late.Name)
		runToEnd(t, replay, c, Config{IdleClosesOf: "live"})
		if diff := cmp.Diff(live, again.read(t, c)); diff != "" {
			t.Errorf("replayed (-live +replayed):\n%s", diff)
		}
		fresh, other := idleTopology(t, "fresh")
		createTopics(t, c, 1, other.closed.Name, other.late.Name)
		runToEnd(t, fresh, c, Config{})
		want = []string{"a 1000-1100: 2", "b 1000-1100: 1", "c 1000-1100: 1"}
		if diff := cmp.Diff(want, other.read(t, c)); diff != "" {
			t.Errorf("without the idle closes (-want +got):\n%s", diff)
		}
	})
}

func without(all []string, one string) (rest []string) {
	for _, s := range all {
		if s != one {
			rest = append(rest, s)
		}
	}
	return rest
}

func TestIdleCloseMistakes(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	createTopics(t, c, 1, "lines")
	topology, _ := idleTopology(t, "live")
	app, err := NewApp(topology, c, quiet(Config{IdleClosesOf: "nobody"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "topic nobody-idle-closes does not exist") {
		t.Errorf("Run() = %v, want it to name the topic", err)
	}
	if _, err := NewApp(topology, c, Config{IdleClose: time.Microsecond}); err == nil || !strings.Contains(err.Error(), "IdleClose is 1µs") {
		t.Errorf("NewApp() = %v, want it to refuse a microsecond", err)
	}
}
