package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestKcatLogsIn has librdkafka log in by each mechanism it has, produce and consume;
// with a wrong password it is told so.
func TestKcatLogsIn(t *testing.T) {
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("kcat is not installed; on Debian: apt-get install kcat")
	}
	dir, open, addr := t.TempDir(), freeAddr(t), freeAddr(t)
	users := filepath.Join(dir, "users")
	if err := os.WriteFile(users, []byte("alice = correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	startServerWith(t, addr, "--dir", filepath.Join(dir, "data"), "--listen", open+",sasl_plaintext://"+addr, "--users-file", users, "--super-users", "User:alice,User:ANONYMOUS")
	run(t, program(t, "riffle"), "topic", "create", "payments", "--brokers", open)

	login := func(mechanism, password string) []string {
		return []string{
			"-b", addr, "-X", "security.protocol=SASL_PLAINTEXT", "-X", "sasl.mechanism=" + mechanism,
			"-X", "sasl.username=alice", "-X", "sasl.password=" + password,
		}
	}
	var want []string
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		want = append(want, "by "+mechanism)
		produce := exec.Command(kcat, append(login(mechanism, "correct horse"), "-P", "-t", "payments", "-X", "acks=all")...)
		produce.Stdin = strings.NewReader("by " + mechanism + "\n")
		if out, err := produce.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("kcat -P, %s: %v\n%s", mechanism, err, out)
		}
		got := run(t, kcat, append(login(mechanism, "correct horse"), "-C", "-t", "payments", "-o", "beginning", "-e", "-q")...)
		if got != strings.Join(want, "\n")+"\n" {
			t.Errorf("kcat -C, %s: %q, want %q", mechanism, got, want)
		}
	}
	list := exec.Command(kcat, append(login("SCRAM-SHA-256", "wrong"), "-L", "-m", "1")...)
	if out, err := list.CombinedOutput(); err == nil || !strings.Contains(string(out), "Authentication failed") {
		t.Errorf("kcat -L with a wrong password: %v\n%s", err, out)
	}
}
