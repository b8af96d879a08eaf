package stream

import (
	"strings"
	"testing"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// renamed counts lines as counting does, in a store of another name.
func renamed(t testing.TB) *Topology {
	b := NewBuilder("counting")
	b.From(lines).Count(state.NewTableStore("renamed", serde.String, serde.Int64)).To(counts)
	return build(t, b)
}

// A topology that would leave a store behind does not start, and makes no topics, until the loss is accepted: then it is
// the one that counts.
func TestOrphansAreRefused(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines")
		write(t, c, lines, someLines(10, 2)...)
		runToEnd(t, counting(t), c, Config{})
		runToEnd(t, counting(t), c, Config{})

		run := func(topology *Topology, cfg Config) error {
			cfg.StopAtEnd = true
			app, err := NewApp(topology, c, quiet(cfg))
			if err != nil {
				t.Fatal(err)
			}
			return app.Run(t.Context())
		}
		err := run(renamed(t), Config{})
		want := "this topology would leave behind what the last one kept: store seen: no step names it: its changelog topic stays, and what it holds is used no more; give it the old name again, or accept the loss with Config.AcceptOrphans"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run: %v, want %s", err, want)
		}
		if made := describe(t, c, "counting-renamed-changelog"); len(made) > 0 {
			t.Errorf("the refused topology made %v", made)
		}
		for _, step := range []struct {
			topology *Topology
			cfg      Config
			fails    bool
		}{
			{counting(t), Config{}, false}, // the old one can go on
			{renamed(t), Config{AcceptOrphans: true}, false},
			{renamed(t), Config{}, false}, // accepted once
			{counting(t), Config{}, true}, // the way back is a loss, too
		} {
			if err := run(step.topology, step.cfg); (err != nil) != step.fails {
				t.Errorf("Run of\n%swith %+v: %v", step.topology, step.cfg.AcceptOrphans, err)
			}
		}
	})
}

// What moves with its sub-topology is told, and restored from its changelog.
func TestMigratedStore(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	createTopics(t, c, 2, "lines", "words")
	write(t, c, lines, someLines(40, 4)...)
	backend := state.NewMemory()
	runToEnd(t, counting(t), c, Config{Backend: backend})

	b := NewBuilder("counting")
	b.From(NewTopic("words", serde.String, serde.String)).To(NewTopic("copies", serde.String, serde.String))
	b.From(lines).Process("count", count, seenStore).To(counts)
	moved := build(t, b)
	diff, err := DiffTopologies(counting(t).String(), moved.String())
	if want := "migrated  store seen: its sub-topology is number 1 instead of 0: each instance restores it from the changelog\n"; err != nil || diff.String() != want {
		t.Errorf("diff: %v\n%s, want %s", err, diff, want)
	}
	write(t, c, lines, someLines(4, 4)...)
	runToEnd(t, moved, c, Config{Backend: backend})
	for key, values := range byKey(read(t, c, counts)) {
		if last := values[len(values)-1]; last != 11 {
			t.Errorf("%s was counted to %d, want 11", key, last)
		}
	}
}
