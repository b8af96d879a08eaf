package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/riffle-stream/riffle/apps/internal/apptest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"frauddetect": main})
}

// The scripts start the real command. There is one for each thing that a user can do, or do wrong.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}

// The demo shows an alert while it runs: on an idle machine within five seconds, which the log of the test tells. Ctrl-C
// then ends the reading; what was read is processed and summed up, and the exit code is 0.
func TestGenerateUntilInterrupted(t *testing.T) {
	t.Parallel()
	cmd := apptest.Command(t, "frauddetect", "--generate")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "alert ") {
	}
	t.Logf("the first alert came after %v", time.Since(start))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("after Ctrl-C: %v\n%s", err, rest)
	}
	if !strings.Contains(stdout.String(), "peak memory") {
		t.Errorf("no summary after Ctrl-C: %q, and on stderr\n%s", stdout.String(), rest)
	}
}
