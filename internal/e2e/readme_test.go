package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// block is a fenced piece of a document.
type block struct {
	language string
	line     int // of the opening fence, from 1
	text     string
}

func blocks(document string) []block {
	var all []block
	var open *block
	for i, line := range strings.Split(document, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &block{language: fence, line: i + 1}
		case isFence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	return all
}

// TestReadmeCode finds each piece of Go in the README, word for word, in a file
// that the compiler reads.
func TestReadmeCode(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(repoRoot(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	err = filepath.WalkDir(repoRoot(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".go" {
			source, err := os.ReadFile(path)
			sources.Write(source)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, b := range blocks(string(readme)) {
		if b.language != "go" {
			continue
		}
		found++
		if !strings.Contains(sources.String(), strings.TrimSpace(b.text)) {
			t.Errorf("README.md:%d: this code is in no Go file; copy it from one:\n%s", b.line, b.text)
		}
	}
	if found == 0 {
		t.Error("README.md shows no Go code")
	}
}

// TestReadmeCommands follows the README in a fresh copy of the tree, as a
// stranger would: the console blocks run in order, in one shell, and what they print must match. In the expected
// output "..." stands for any text inside a line, and alone on a line for any lines.
func TestReadmeCommands(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(repoRoot(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for _, b := range blocks(string(readme)) {
		if b.language == "console" {
			steps = append(steps, parseSteps(b)...)
		}
	}
	if len(steps) == 0 {
		t.Fatal("README.md shows no command")
	}
	// The port of the README may be taken on this machine.
	addr := freeAddr(t)
	for i := range steps {
		steps[i].command = strings.ReplaceAll(steps[i].command, "127.0.0.1:19092", addr)
	}
	outputs := runSteps(t, copyTree(t), steps)
	for i, s := range steps {
		if got := outputs[i]; !s.want.MatchString(got) {
			t.Errorf("README.md:%d: $ %s\nprinted:\n%s\nwant:\n%s", s.line, s.command, tail(got), s.wantText)
		}
	}
}

// step is one command of the README and what it should print.
type step struct {
	line     int
	command  string
	wantText string
	want     *regexp.Regexp
}

func parseSteps(b block) []step {
	var steps []step
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			// The suite that this test belongs to is not run inside itself.
			if command == "make test" || command == "make check" {
				command = "make -n " + strings.TrimPrefix(command, "make ") + " >/dev/null"
			}
			steps = append(steps, step{line: b.line + 1 + i, command: command})
		} else if len(steps) > 0 {
			steps[len(steps)-1].wantText += line + "\n"
		}
	}
	for i := range steps {
		steps[i].want = pattern(steps[i].wantText)
	}
	return steps
}

func pattern(want string) *regexp.Regexp {
	if want == "" {
		return regexp.MustCompile(`(?s).*`)
	}
	var re strings.Builder
	re.WriteString(`\A`)
	for line := range strings.Lines(want) {
		if line == "...\n" {
			re.WriteString(`(?s:.*?)`)
			continue
		}
		for i, part := range strings.Split(strings.TrimRight(line, "\n"), "...") {
			if i > 0 {
				re.WriteString(`[^\n]*`)
			}
			re.WriteString(regexp.QuoteMeta(part))
		}
		re.WriteString(`\s*?\n`)
	}
	re.WriteString(`\z`)
	return regexp.MustCompile(re.String())
}

// runSteps runs the commands in one shell, so that a server started with & by
// one of them serves the next, and returns what each printed.
func runSteps(t *testing.T, dir string, steps []step) []string {
	const mark = "=== step %d ends with"
	var script strings.Builder
	for i, s := range steps {
		fmt.Fprintf(&script, "%s\necho; echo \"%s $?\"\n", s.command, fmt.Sprintf(mark, i))
	}
	script.WriteString("kill $(jobs -p) 2>/dev/null; wait\n")

	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOBIN="+filepath.Join(dir, "bin"),
		"PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && ctx.Err() != nil {
		t.Fatalf("the README's commands did not end in time:\n%s", tail(out.String()))
	}

	outputs := make([]string, len(steps))
	rest := out.String()
	for i, s := range steps {
		before, after, ok := strings.Cut(rest, fmt.Sprintf("\n"+mark+" ", i))
		if !ok {
			t.Fatalf("README.md:%d: $ %s did not end:\n%s", s.line, s.command, tail(rest))
		}
		status, next, _ := strings.Cut(after, "\n")
		if status != "0" {
			t.Errorf("README.md:%d: $ %s ended with %s:\n%s", s.line, s.command, status, tail(before))
		}
		outputs[i], rest = before, next
	}
	return outputs
}

// copyTree copies the files that git tracks or would add, as they are now.
func copyTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("bash", "-c",
		`git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - | tar -xf - -C "$0"`, dir)
	cmd.Dir = repoRoot()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("copy the tree: %v\n%s", err, out)
	}
	return dir
}
