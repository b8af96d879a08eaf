package badgerstore_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// trials is how many times a test of chance runs; RIFFLE_TRIALS says otherwise.
func trials(t *testing.T, n int) int {
	t.Helper()
	if s := os.Getenv("RIFFLE_TRIALS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestKill kills a process that commits, at a random moment, and opens what it
// leaves: the store is behind the last commit or at it, never ahead by more than the
// one commit whose report the kill cut off, and the history from there makes it
// whole. It goes on in the same directory.
//
// It is not parallel, nor is TestDamage: a child that is being forked holds the locks
// of all databases that are open then, until it executes.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	var last int64
	kept := 0
	for range trials(t, 5) {
		last = writeAndKill(t, dir, last+1+rng.Int64N(100))
		outcome := verify(t, dir, last+1)
		if !strings.HasPrefix(outcome, "ok ") {
			t.Fatalf("after a kill at commit %d: %s", last, outcome)
		}
		if outcome != "ok 0" {
			kept++
		}
		// The verification replayed without a commit; the next round goes on from there.
	}
	if kept == 0 {
		t.Error("every kill made the database be thrown away: nothing was tested")
	}
	t.Logf("%d databases kept their data", kept)
}

// writeAndKill lets a child commit until it has reached a sequence, kills it, and
// returns the last sequence that it reported.
func writeAndKill(t *testing.T, dir string, until int64) (last int64) {
	t.Helper()
	cmd := childCommand(t, "write", dir)
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	killed := false
	for lines.Scan() {
		seq, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			t.Fatalf("the child says %q", lines.Text())
		}
		last = seq
		if seq >= until && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	if !killed {
		t.Fatal("the child ended before it was killed")
	}
	return last
}

// verify opens the directory in a child and returns what that found. A child that
// dies is started again, as a supervisor would: it must not die twice.
func verify(t *testing.T, dir string, upTo int64) string {
	t.Helper()
	for range 2 {
		out, err := childCommand(t, "verify", dir, fmt.Sprint(upTo)).Output()
		if err == nil || strings.HasPrefix(string(out), "error:") {
			return strings.TrimSpace(string(out))
		}
	}
	return "died twice"
}

// TestDamage damages one file of a database, closed cleanly or killed, or puts an older
// copy in its place, and opens it. Whatever Badger makes of it, the state is right after
// the replay, or the damage is reported; a wrong value is never served.
func TestDamage(t *testing.T) {
	for _, closed := range []bool{true, false} {
		t.Run(fmt.Sprintf("closed=%v", closed), func(t *testing.T) {
			const seed = 3
			rng := rand.New(rand.NewPCG(seed, 4))
			dir, older := t.TempDir(), filepath.Join(t.TempDir(), "older")
			write := writeAndKill
			if closed {
				write = writeAndClose
			}
			write(t, dir, 200)
			copyDir(t, dir, older)
			last := write(t, dir, 400)
			count := map[string]int{}
			for trial := range trials(t, 8) {
				copied := filepath.Join(t.TempDir(), "copy")
				copyDir(t, dir, copied)
				what := damage(t, copied, older, rng)
				outcome := verify(t, copied, last+1)
				kind, _, _ := strings.Cut(outcome, " ")
				switch {
				case outcome == "ok 0":
					kind = "thrown away"
				case kind != "ok" && kind != "corrupt:":
					t.Errorf("seed %d, trial %d: %s: %s", seed, trial, what, outcome)
				}
				count[kind]++
				if err := os.RemoveAll(copied); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("outcomes: %v", count)
		})
	}
}

func writeAndClose(t *testing.T, dir string, until int64) (last int64) {
	t.Helper()
	cmd := childCommand(t, "write", dir)
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		last, _ = strconv.ParseInt(lines.Text(), 10, 64)
		if last >= until {
			stdin.Close() // again does no harm
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return last
}

// damage does something to one of the files and says what: each kind of file is as likely as
// another.
func damage(t *testing.T, dir, older string, rng *rand.Rand) string {
	t.Helper()
	kinds := make(map[string][]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if info, ierr := d.Info(); err == nil && ierr == nil && d.Type().IsRegular() && info.Size() > 0 {
			kind := filepath.Ext(path)
			if kind == "" {
				kind = filepath.Base(path)
			}
			kinds[kind] = append(kinds[kind], path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(kinds))
	files := kinds[names[rng.IntN(len(names))]]
	path := files[rng.IntN(len(files))]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(trimZeros(b)) // Badger's files end with zeros
	at := rng.IntN(max(used, 1))
	what := ""
	old, oldErr := os.ReadFile(filepath.Join(older, strings.TrimPrefix(path, dir)))
	switch rng.IntN(8) {
	case 6, 7:
		if oldErr == nil {
			b, what = old, "an older copy"
			break
		}
		fallthrough
	case 0, 1:
		b[at] ^= 1 << rng.IntN(8)
		what = fmt.Sprintf("bit flip at %d", at)
	case 2:
		clear(b[at&^4095 : min(at&^4095+4096, len(b))])
		what = fmt.Sprintf("4 KiB of zeros at %d", at&^4095)
	case 3:
		b = b[:at]
		what = fmt.Sprintf("cut at %d", at)
	case 4:
		b = nil
		what = "emptied"
	case 5:
		what = "deleted"
	}
	if what == "deleted" {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(path) + " " + what
}

// trimZeros cuts blocks of zeros off the end, and the zeros of the last block.
func trimZeros(b []byte) []byte {
	zeros := make([]byte, 4096)
	for len(b) >= len(zeros) && bytes.Equal(b[len(b)-len(zeros):], zeros) {
		b = b[:len(b)-len(zeros)]
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// copyDir copies the files of a database; blocks of zeros become holes.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(dst, 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(dst, trimZeros(b), 0o600); err != nil {
			return err
		}
		return os.Truncate(dst, int64(len(b)))
	})
	if err != nil {
		t.Fatal(err)
	}
}
