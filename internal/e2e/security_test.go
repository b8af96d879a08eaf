package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecurityGuide follows docs/security.md, as TestReadmeCommands does the README.
func TestSecurityGuide(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed; on Debian: apt-get install openssl")
	}
	const name = "docs/security.md"
	guide, err := os.ReadFile(filepath.Join(repoRoot(), name))
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for _, b := range blocks(string(guide)) {
		if b.language == "console" {
			steps = append(steps, parseSteps(b)...)
		}
	}
	if len(steps) < 10 {
		t.Fatalf("%s shows %d commands, want those of the whole guide", name, len(steps))
	}
	ports := strings.NewReplacer("127.0.0.1:19093", freeAddr(t), "127.0.0.1:19094", freeAddr(t))
	for i := range steps {
		steps[i].command = ports.Replace(steps[i].command)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program(t, "riffle"), filepath.Join(dir, "bin", "riffle")); err != nil {
		t.Fatal(err)
	}
	for i, got := range runSteps(t, dir, steps) {
		if s := steps[i]; !s.want.MatchString(got) {
			t.Errorf("%s:%d: $ %s\nprinted:\n%s\nwant:\n%s", name, s.line, s.command, tail(got), s.wantText)
		}
	}
}
