package stream

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

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

// countRounds runs the counting application several times on one broker, with 100 lines more each time, and returns what it
// must have counted. between is called before each run.
func countRounds(t *testing.T, dir string, rounds int, between func(round int)) map[string][]int64 {
	t.Helper()
	want := make(map[string][]int64)
	for round := range rounds {
		between(round)
		c := Embedded(dir)
		createTopics(t, c, 2, "lines")
		write(t, c, lines, someLines(100, 4)...)
		for _, r := range someLines(100, 4) {
			want[r.Key] = append(want[r.Key], int64(len(want[r.Key]))+1)
		}
		runOnDisk(t, c)
	}
	return want
}

func runOnDisk(t *testing.T, c *Cluster) Stats {
	t.Helper()
	app, err := NewApp(counting(t), c, Config{StopAtEnd: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return app.Stats()
}

func replaceDir(t *testing.T, path, with string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(path, os.DirFS(with)); err != nil {
		t.Fatal(err)
	}
}

// An older copy of the state is brought up to date from the changelog.
func TestOlderStateCatchesUp(t *testing.T) {
	t.Parallel()
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	stateDir := filepath.Join(dir, "state", "counting")
	want := countRounds(t, dir, 4, func(round int) {
		switch round {
		case 1:
			replaceDir(t, backup, stateDir)
		case 3:
			replaceDir(t, stateDir, backup)
		}
	})
	if diff := cmp.Diff(want, byKey(read(t, Embedded(dir), counts))); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// State that is ahead of a broker that was put back to an older copy is thrown away, and restored from what the broker has.
func TestStateAheadOfItsBroker(t *testing.T) {
	t.Parallel()
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	brokerDir := filepath.Join(dir, "broker")
	want := countRounds(t, dir, 3, func(round int) {
		if round == 1 {
			replaceDir(t, backup, brokerDir)
		}
	})
	replaceDir(t, brokerDir, backup)
	if stats := runOnDisk(t, Embedded(dir)); stats.StateWipes != 2 {
		t.Errorf("%d tasks were wiped, want both", stats.StateWipes)
	}
	for key := range want {
		want[key] = want[key][:25]
	}
	if diff := cmp.Diff(want, byKey(read(t, Embedded(dir), counts))); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	// It goes on from there.
	c := Embedded(dir)
	write(t, c, lines, someLines(100, 4)...)
	runOnDisk(t, c)
	for key := range want {
		for n := range int64(25) {
			want[key] = append(want[key], 26+n)
		}
	}
	if diff := cmp.Diff(want, byKey(read(t, c, counts))); diff != "" {
		t.Errorf("counts after going on (-want +got):\n%s", diff)
	}
}

// deleteRecords removes what partition 0 of a topic holds below an offset.
func deleteRecords(t *testing.T, c *Cluster, topic string, below int64) {
	t.Helper()
	conn := c.conn()
	opts := []kgo.Opt{kgo.SeedBrokers(conn.Seeds...)}
	if conn.Dial != nil {
		opts = append(opts, kgo.Dialer(conn.Dial))
	}
	adm, err := kadm.NewOptClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, below, -1)
	deleted, err := adm.DeleteRecords(t.Context(), offsets)
	if err = errors.Join(err, deleted.Error()); err != nil {
		t.Fatal(err)
	}
}

// A changelog whose beginning is gone restores nothing: what it no longer says is not guessed.
func TestTruncatedChangelogIsRefused(t *testing.T) {
	t.Parallel()
	c := startFake(t) // others do not delete records of a compacted topic
	createTopics(t, c, 1, "lines")
	write(t, c, lines, someLines(100, 4)...)
	backend := state.NewMemory()
	runToEnd(t, counting(t), c, Config{Backend: backend})
	deleteRecords(t, c, "counting-seen-changelog", 2)
	// Whoever has the state needs no more of the changelog than its end.
	write(t, c, lines, someLines(4, 4)...)
	runToEnd(t, counting(t), c, Config{Backend: backend})

	app, err := NewApp(counting(t), c, quiet(Config{StopAtEnd: true}))
	if err != nil {
		t.Fatal(err)
	}
	err = app.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), `store "seen": the changelog begins at offset 2, the store needs it from 0`) {
		t.Errorf("Run returned %v", err)
	}
}
