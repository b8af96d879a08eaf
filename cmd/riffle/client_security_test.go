package main

import (
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
)

// riffleWith runs a command line and returns its exit code and what it says.
func riffleWith(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var stdout, stderr strings.Builder
	code = run(t.Context(), args, streams{strings.NewReader(""), &stdout, &stderr})
	return code, stdout.String() + stderr.String()
}

// The commands get into a broker with TLS, certificates and logins, and what is
// wrong is said at once and with its remedy.
func TestCommandsLogIn(t *testing.T) {
	ca := brokertest.NewCA(t)
	cert, key := ca.Issue(pkix.Name{CommonName: "till"})
	b := brokertest.Start(t, brokertest.With(func(c *broker.Config) {
		c.Listen = []string{"sasl_ssl://127.0.0.1:0"}
		c.TLS.CertFile, c.TLS.KeyFile = ca.Issue(pkix.Name{CommonName: "broker"})
		c.TLS.ClientCAFile, c.TLS.ClientAuth = ca.File, "required"
		c.SASL.Users, c.SASL.Iterations, c.SASL.FailureDelay = []broker.User{{Name: "alice", Password: "hunter2"}}, 4096, 1
		c.Authorization.SuperUsers = []string{"User:alice"}
		c.SASL.Mechanisms = []string{"SCRAM-SHA-512", "SCRAM-SHA-256"}
	}))
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := secret + ".wrong"
	if err := os.WriteFile(wrong, []byte("hunter3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := []string{"topic", "list", "--brokers", b.Addr(), "--timeout", "20s"}
	tls := []string{"--tls-ca", ca.File, "--tls-cert", cert, "--tls-key", key}
	for _, tc := range []struct {
		name string
		args [][]string
		code int
		want string
	}{
		{"by a file", [][]string{tls, {"--sasl-user", "alice", "--sasl-password-file", secret}}, exitOK, "TOPIC"},
		{"by another mechanism", [][]string{tls, {"--sasl-user", "alice", "--sasl-password-file", secret, "--sasl-mechanism", "SCRAM-SHA-256"}}, exitOK, "TOPIC"},
		{"wrong password", [][]string{tls, {"--sasl-user", "alice", "--sasl-password-file", wrong}}, exitFailure, `refuses the login of user "alice": wrong user or password`},
		{"not offered", [][]string{tls, {"--sasl-user", "alice", "--sasl-password-file", secret, "--sasl-mechanism", "PLAIN"}}, exitFailure, "does not offer PLAIN"},
		{"unknown root", [][]string{{"--tls", "--sasl-user", "alice", "--sasl-password-file", secret}}, exitFailure, "not trusted: name its root with --tls-ca"},
		{"no password", [][]string{tls, {"--sasl-user", "alice"}}, exitUsage, "set RIFFLE_SASL_PASSWORD, or --sasl-password-file"},
		{"no user", [][]string{{"--sasl-password-file", secret}}, exitUsage, "but no --sasl-user"},
		{"mechanism", [][]string{{"--sasl-user", "alice", "--sasl-password-file", secret, "--sasl-mechanism", "GSSAPI"}}, exitUsage, `"GSSAPI", want one of`},
		{"key without certificate", [][]string{{"--tls-key", key}}, exitUsage, "--tls-cert and --tls-key"},
		{"roots that are none", [][]string{{"--tls-ca", secret}}, exitUsage, "holds no certificate in PEM"},
		{"missing roots", [][]string{{"--tls-ca", "missing.pem"}}, exitUsage, "missing.pem"},
	} {
		args := base
		for _, more := range tc.args {
			args = append(args[:len(args):len(args)], more...)
		}
		code, out := riffleWith(t, args...)
		if code != tc.code || !strings.Contains(out, tc.want) || strings.Contains(out, "hunter") {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", tc.name, code, tc.code, tc.want, out)
		}
	}
	t.Setenv(userEnv, "alice")
	t.Setenv(passwordEnv, "hunter2")
	t.Setenv(mechanismEnv, "SCRAM-SHA-256")
	t.Setenv(caEnv, ca.File)
	if code, out := riffleWith(t, append(base, "--tls-cert", cert, "--tls-key", key)...); code != exitOK {
		t.Errorf("by variables: exit code %d\n%s", code, out)
	}
}
