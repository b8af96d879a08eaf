package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// TestPasswordsShowNowhere plants passwords, in the right places and in wrong ones, and
// looks for them in all that a server leaves behind or tells: its log at the lowest
// level, its metrics, its files, its command line and environment, and its answers.
func TestPasswordsShowNowhere(t *testing.T) {
	dir, open, addr, metrics := t.TempDir(), freeAddr(t), freeAddr(t), freeAddr(t)
	const configured, altered, wrong, stray = "canary-configured-7f3a", "canary-altered-91bd", "canary-wrong-c0de", "canary-stray-55aa"
	users, data := filepath.Join(dir, "users"), filepath.Join(dir, "data")
	if err := os.WriteFile(users, []byte("alice = "+configured+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServerWith(t, addr, "--dir", data, "--listen", open+",sasl_plaintext://"+addr, "--users-file", users,
		"--super-users", "User:alice,User:ANONYMOUS", "--metrics-addr", metrics, "--log-level", "debug")

	client := func(addr string, login sasl.Mechanism) *kgo.Client {
		opts := []kgo.Opt{kgo.SeedBrokers(addr), kgo.RequestRetries(0)}
		if login != nil {
			opts = append(opts, kgo.SASL(login))
		}
		cl, err := kgo.NewClient(opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	var answers bytes.Buffer
	admin := kadm.NewClient(client(open, nil))
	scrams, err := admin.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: "bob", Mechanism: kadm.ScramSha256, Iterations: 4096, Password: altered}})
	fmt.Fprintf(&answers, "%+v\n", scrams)
	if err != nil || scrams.Error() != nil {
		t.Fatalf("make bob: %v, %v", err, scrams.Error())
	}
	for _, login := range []struct {
		mechanism sasl.Mechanism
		good      bool
	}{
		{plain.Auth{User: "alice", Pass: configured}.AsMechanism(), true},
		{scram.Auth{User: "alice", Pass: configured}.AsSha512Mechanism(), true},
		{scram.Auth{User: "bob", Pass: altered}.AsSha256Mechanism(), true},
		{plain.Auth{User: "alice", Pass: wrong}.AsMechanism(), false},
		{scram.Auth{User: "nobody", Pass: wrong}.AsSha256Mechanism(), false},
	} {
		err := client(addr, login.mechanism).Ping(t.Context())
		if fmt.Fprintln(&answers, err); (err == nil) != login.good {
			t.Errorf("log in by %s: %v", login.mechanism.Name(), err)
		}
	}
	// Passwords where they do not belong: in a SCRAM message, as a mechanism, and to a
	// listener that did not ask.
	cl := client(open, nil)
	for _, req := range []kmsg.Request{
		&kmsg.SASLAuthenticateRequest{Version: 2, SASLAuthBytes: []byte("\x00alice\x00" + stray)},
		&kmsg.SASLHandshakeRequest{Version: 1, Mechanism: "PLAIN"},
	} {
		resp, err := cl.Request(t.Context(), req)
		fmt.Fprintf(&answers, "%+v %v\n", resp, err)
	}
	for _, message := range []string{"n," + stray + ",n=alice,r=x", stray, "\x00alice\x00" + stray} {
		err := client(addr, misplaced{message}).Ping(t.Context())
		if fmt.Fprintln(&answers, err); err == nil {
			t.Errorf("%q is no login", message)
		}
	}
	configs, err := admin.DescribeBrokerConfigs(t.Context(), 1)
	fmt.Fprintf(&answers, "%+v %v\n", configs, err)
	described, err := admin.DescribeUserSCRAMs(t.Context())
	fmt.Fprintf(&answers, "%+v %v\n", described, err)

	page, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	left := map[string][]byte{"the answers": answers.Bytes()}
	if left["the metrics"], err = io.ReadAll(page.Body); err != nil || len(left["the metrics"]) == 0 {
		t.Fatalf("metrics: %v", err)
	}
	for _, file := range []string{"cmdline", "environ"} { // on Linux
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, file)); err == nil {
			left["its "+file] = text
		}
	}
	s.kill()
	left["the log"] = s.log.Bytes()
	if !bytes.Contains(left["the log"], []byte("login failed")) {
		t.Errorf("the log says nothing of failed logins:\n%s", tail(s.log.String()))
	}
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %s", path, info.Mode())
		}
		text, readErr := os.ReadFile(path)
		left[path] = text
		return errors.Join(err, readErr)
	})
	if err != nil || len(left[filepath.Join(data, "access")]) == 0 {
		t.Fatalf("read the data: %v", err)
	}
	for _, password := range []string{configured, altered, wrong, stray} {
		for where, text := range left {
			for form, planted := range map[string][]byte{
				"as it is":  []byte(password),
				"in base64": []byte(base64.RawStdEncoding.EncodeToString([]byte(password)))[:16],
				"in hex":    []byte(hex.EncodeToString([]byte(password))),
				"as bytes":  []byte(fmt.Sprint([]byte(password)))[1:30],
			} {
				if bytes.Contains(text, planted) {
					t.Errorf("%s shows the password %s, %s", where, password, form)
				}
			}
		}
	}
}

// misplaced says a message by SCRAM that is none.
type misplaced struct{ message string }

func (misplaced) Name() string { return "SCRAM-SHA-256" }

func (m misplaced) Authenticate(ctx context.Context, _ string) (sasl.Session, []byte, error) {
	return m, []byte(m.message), nil
}

func (misplaced) Challenge([]byte) (bool, []byte, error) { return true, nil, nil }
