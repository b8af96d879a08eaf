package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// programs are the module's commands, each built once, on first use, and without
// the race detector: what is killed and measured here is what users run.
var programs = map[string]func() (string, error){
	"riffle":      build("./cmd/riffle"),
	"frauddetect": build("./apps/frauddetect"),
	"dedup":       build("./apps/dedup"),
	"bank":        buildAs("bank", "-tags", "failpoints", "./internal/e2e/bank/run"),
}

var buildDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "riffle-e2e-") })

func build(pkg string) func() (string, error) { return buildAs(filepath.Base(pkg), pkg) }

// buildAs builds a package, the last of args, into a program of the given name.
func buildAs(name string, args ...string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		dir, err := buildDir()
		if err != nil {
			return "", err
		}
		file := filepath.Join(dir, name)
		cmd := exec.Command("go", append([]string{"build", "-o", file}, args...)...)
		cmd.Dir = repoRoot()
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return file, nil
	})
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := buildDir(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// program returns the path of a command.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := programs[name]()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// repoRoot is the module's directory: tests run in their package's.
func repoRoot() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}

// run runs a command to its end and returns its standard output; both outputs
// are in the failure message.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\nstdout:\n%s\nstderr:\n%s",
			filepath.Base(name), strings.Join(args, " "), err, tail(stdout.String()), tail(stderr.String()))
	}
	return stdout.String()
}

// tail keeps the end of a long output readable in a failure message.
func tail(s string) string {
	const most = 4 << 10
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}
