package stream

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// By default the state of an application lies beside the broker, and a restart goes on from there without reading
// the changelog again.
func TestStateOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := make(map[string][]int64)
	for round := range 3 {
		c := Embedded(dir) // the broker is restarted, too
		createTopics(t, c, 2, "lines")
		write(t, c, lines, someLines(300, 4)...)
		for _, r := range someLines(300, 4) {
			want[r.Key] = append(want[r.Key], int64(len(want[r.Key]))+1)
		}
		if round == 2 {
			if err := os.RemoveAll(filepath.Join(dir, "state", "counting")); err != nil {
				t.Fatal(err)
			}
		}
		app, err := NewApp(counting(t), c, Config{StopAtEnd: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := app.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if restored := app.Stats().Restored; (restored > 0) != (round == 2) {
			t.Errorf("run %d read %d changelog records, want some only after the directory was removed", round, restored)
		}
		if diff := cmp.Diff(want, byKey(read(t, c, counts))); diff != "" {
			t.Errorf("counts after run %d (-want +got):\n%s", round, diff)
		}
		if _, err := os.Stat(filepath.Join(dir, "state", "counting")); err != nil {
			t.Error(err)
		}
	}
}

// Local state that comes from a changelog of the same name elsewhere is thrown away and counted.
func TestForeignStateIsWiped(t *testing.T) {
	t.Parallel()
	backend := state.NewMemory()
	for round := range int64(2) {
		c := startFake(t)
		createTopics(t, c, 1, "lines")
		write(t, c, lines, someLines(100, 4)...)
		if stats := runToEnd(t, counting(t), c, Config{Backend: backend}); stats.StateWipes != round {
			t.Errorf("run %d wiped %d tasks, want %d", round, stats.StateWipes, round)
		}
		for key, values := range byKey(read(t, c, counts)) {
			if n := len(values); n != 25 || values[n-1] != 25 {
				t.Errorf("run %d: counts of %s end in %d after %d, want 25 after 25", round, key, values[n-1], n)
			}
		}
	}
}

// State that stands for more than its input holds is refused: the records of the new topic would be left out until
// the old offsets are reached.
func TestRecreatedInputIsRefused(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	createTopics(t, c, 1, "lines")
	write(t, c, lines, someLines(100, 4)...)
	runToEnd(t, counting(t), c, Config{})
	deleteTopic(t, c, "lines")
	createTopics(t, c, 1, "lines")
	write(t, c, lines, someLines(10, 4)...)
	app, err := NewApp(counting(t), c, quiet(Config{StopAtEnd: true}))
	if err != nil {
		t.Fatal(err)
	}
	err = app.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "stands at offset 100 of topic lines partition 0, which ends at 10") {
		t.Errorf("Run returned %v", err)
	}
}

func deleteTopic(t *testing.T, c *Cluster, name string) {
	t.Helper()
	err := c.administer(t.Context(), func(admin *client.Admin) error { return admin.DeleteTopic(t.Context(), name) })
	if err != nil {
		t.Fatal(err)
	}
}

// A store whose values were written with another serde is not the records' fault: the application stops and commits
// nothing.
func TestStoreOfAnotherSerde(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	createTopics(t, c, 1, "lines")
	write(t, c, lines, someLines(10, 2)...)
	backend := state.NewMemory()
	runToEnd(t, counting(t), c, Config{Backend: backend})

	write(t, c, lines, someLines(10, 2)...)
	other := state.NewKeyValueStore("seen", serde.String, serde.Int32)
	b := NewBuilder("counting")
	b.From(lines).Process("count", func(c *Context[string, int32], r Record[string, string]) error {
		n, _, err := other.In(c).Get(r.Key)
		if err != nil {
			return err
		}
		return c.Forward(r.Key, n)
	}, other).To(NewTopic("counts", serde.String, serde.Int32))
	app, err := NewApp(build(t, b), c, quiet(Config{Backend: backend, StopAtEnd: true}))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Run(t.Context()); !errors.Is(err, state.ErrDecode) || !strings.Contains(err.Error(), `store "seen"`) {
		t.Errorf("Run returned %v, want an error about the serde of store seen", err)
	}
	if n := committed(t, c, "counting", "lines"); n != 10 {
		t.Errorf("the group has committed %d records, want the 10 of the first run", n)
	}
}
