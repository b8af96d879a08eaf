package badgerstore_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/state/badgerstore"
)

// The tests of crashes and of damaged files run the database in a process of its
// own: the test binary, told so by the environment. There it may be killed, and may
// die of what Badger does with damaged files.
const childEnv = "RIFFLE_STATE_CHILD" // "write DIR" or "verify DIR COMMIT"

func TestMain(m *testing.M) {
	if args := strings.Fields(os.Getenv(childEnv)); len(args) > 0 {
		if err := child(args); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func childCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(args, " "), "GORACE=atexit_sleep_ms=0")
	return cmd
}

func child(args []string) error {
	cfg := badgerstore.Config{MemTableBytes: 8 << 20, Logger: slog.New(slog.DiscardHandler)}
	if args[0] == "write" {
		cfg.CheckpointBytes = 16 << 10 // so that a kill meets checkpoints
	}
	db, err := badgerstore.Open(args[1], cfg)
	if err != nil {
		return err
	}
	task, err := db.OpenTask(state.TaskID{SubTopology: 2, Partition: 1}, []state.Spec{{Name: "s"}})
	if err != nil {
		return err
	}
	switch args[0] {
	case "write":
		return childWrite(db, task)
	case "verify":
		upTo, err := strconv.ParseInt(args[2], 10, 64)
		if err != nil {
			return err
		}
		return childVerify(db, task, upTo)
	}
	return fmt.Errorf("unknown command %q", args)
}

// childWrite brings the store to what was there and commits until it is told to end
// or killed. It prints the sequence of each commit.
func childWrite(db *badgerstore.DB, task state.Task) error {
	out := bufio.NewWriter(os.Stdout)
	end := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(end)
	}()
	for seq := task.Position("s").Commit + 1; ; seq++ {
		select {
		case <-end:
			return db.Close()
		default:
		}
		store, _ := task.Store("s")
		for _, c := range history(seq) {
			if err := write(store, c); err != nil {
				return err
			}
		}
		if err := task.Commit(map[string]state.Position{"s": {Offset: seq * 10, Commit: seq}}); err != nil {
			return err
		}
		fmt.Fprintln(out, seq)
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

func write(store state.Store, c state.Change) error {
	if c.Value == nil {
		return store.Delete(c.Key)
	}
	return store.Put(c.Key, c.Value)
}

// history is what commit seq changes: it stands for the changelog.
func history(seq int64) (changes []state.Change) {
	for i := range int64(8) {
		n := seq*8 + i
		c := state.Change{Key: fmt.Appendf(nil, "k%03d", n*7919%400)}
		if n%5 != 0 {
			c.Value = fmt.Appendf(nil, "value %d %0100d", n, n)
		}
		changes = append(changes, c)
	}
	return changes
}

// wantAt is the model: all history up to a commit.
func wantAt(seq int64) map[string]string {
	want := map[string]string{}
	for s := int64(1); s <= seq; s++ {
		for _, c := range history(s) {
			delete(want, string(c.Key))
			if c.Value != nil {
				want[string(c.Key)] = string(c.Value)
			}
		}
	}
	return want
}

// childVerify replays the history from where the store stands, as the runtime would,
// and compares. It prints what it found: "ok POSITION", "corrupt", or "wrong".
func childVerify(db *badgerstore.DB, task state.Task, upTo int64) error {
	at := task.Position("s").Commit
	if at > upTo {
		fmt.Println("wrong: stands at", at, "which is ahead of", upTo)
		return nil
	}
	// Reads before the replay: they must be right or fail.
	got, err := contents(task)
	if err == nil && at == upTo {
		if diff := cmp.Diff(wantAt(upTo), got); diff != "" {
			fmt.Println("wrong:", diff)
			return nil
		}
	}
	for seq := at + 1; seq <= upTo && err == nil; seq++ {
		err = task.Restore("s", history(seq))
	}
	if err == nil {
		got, err = contents(task)
	}
	switch {
	case errors.Is(err, state.ErrCorrupt):
		fmt.Println("corrupt:", err)
		return nil
	case err != nil:
		return err
	}
	if diff := cmp.Diff(wantAt(upTo), got); diff != "" {
		fmt.Println("wrong:", diff)
		return nil
	}
	fmt.Println("ok", at)
	return db.Close()
}

func contents(task state.Task) (map[string]string, error) {
	got := map[string]string{}
	store, _ := task.Store("s")
	for kv, err := range store.Range(nil, nil) {
		if err != nil {
			return nil, err
		}
		got[string(kv.Key)] = string(kv.Value)
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		value, found, err := store.Get([]byte(key))
		if err != nil {
			return nil, err
		}
		if !found || string(value) != got[key] {
			return nil, fmt.Errorf("Get(%q) = %q, %v, Range gave %q", key, value, found, got[key])
		}
	}
	return got, nil
}
