package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// loadConfig parses a command line with variables and a file, "" for none.
func loadConfig(t *testing.T, args, environ []string, file string) (get func(name string) string, err error) {
	t.Helper()
	cmd := newServer()
	if file != "" {
		path := filepath.Join(t.TempDir(), "riffle.conf")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	err = loadServerConfig(cmd.Flags(), environ)
	return func(name string) string { return cmd.Flags().Lookup(name).Value.String() }, err
}

// Flags win over variables, variables over the file, the file over the defaults.
func TestServerConfigPrecedence(t *testing.T) {
	t.Parallel()
	get, err := loadConfig(t,
		[]string{"--partitions", "9", "--stop-timeout=1s"},
		[]string{"RIFFLE_SERVER_PARTITIONS=8", "RIFFLE_SERVER_NODE_ID=5", "RIFFLE_BROKERS=elsewhere:9092", "PATH=/bin"},
		`# The broker of the till.
partitions = 7
node-id=6

  dir = /var/lib/riffle  
listen = 127.0.0.1:9092, [::1]:9092
auto-create-topics = true
stop-timeout = 1h
idle-timeout = 90s
`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"partitions", "node-id", "dir", "listen", "auto-create-topics", "stop-timeout", "idle-timeout", "log-level"} {
		got[name] = get(name)
	}
	want := map[string]string{
		"partitions": "9", "node-id": "5", "dir": "/var/lib/riffle", "listen": "[127.0.0.1:9092,[::1]:9092]", "auto-create-topics": "true",
		"stop-timeout": time.Second.String(), "idle-timeout": "1m30s", "log-level": "info",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

// What is wrong is named, with its place and what was meant, all at once.
func TestServerConfigMistakes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		environ []string
		file    string
		want    []string
	}{
		{"unknown", nil, "dir = a\nlisen = b\n", []string{`riffle.conf:2: there is no setting "lisen"; did you mean "listen"?`}},
		{"underscores", nil, "metrics_addr = b\n", []string{`there is no setting "metrics_addr"; did you mean "metrics-addr"?`}},
		{"far from all", nil, "zookeeper.connect = b\n", []string{`"zookeeper.connect"; riffle server --help lists them`}},
		{"no value", nil, "dir\n", []string{`riffle.conf:1: "dir" is not name = value`}},
		{"twice", nil, "dir = a\n\ndir = b\n", []string{`riffle.conf:3: "dir" is set already in line 1`}},
		{"itself", nil, "config = a\n", []string{"riffle.conf:1: a file cannot name another"}},
		{"help", nil, "help = true\n", []string{`there is no setting "help"`}},
		{"value", nil, "partitions = many\n", []string{"riffle.conf:1:", "many", "partitions"}},
		{"word", nil, "log-level = loud\n", []string{"riffle.conf:1:", "loud", "want one of info, debug, warn, error"}},
		{"variable", []string{"RIFFLE_SERVER_LISEN=a"}, "", []string{`variable RIFFLE_SERVER_LISEN: there is no setting "lisen"`}},
		{"all at once", []string{"RIFFLE_SERVER_NODE_ID=x"}, "a = 1\nb\n", []string{"RIFFLE_SERVER_NODE_ID", "riffle.conf:1", "riffle.conf:2"}},
	} {
		_, err := loadConfig(t, nil, tc.environ, tc.file)
		var usage *usageError
		if err == nil || !errors.As(err, &usage) {
			t.Errorf("%s: %v, want a usage error", tc.name, err)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", tc.name, err, want)
			}
		}
	}
	cmd := newServer()
	if err := cmd.ParseFlags([]string{"--config", filepath.Join(t.TempDir(), "missing.conf")}); err != nil {
		t.Fatal(err)
	}
	if err := loadServerConfig(cmd.Flags(), nil); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "missing.conf") {
		t.Errorf("a file that is missing: %v", err)
	}
}

// The server itself says what is wrong with its file, before it makes anything.
func TestServerRefusesItsConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "riffle.conf")
	if err := os.WriteFile(path, []byte("dir = "+filepath.Join(dir, "data")+"\nport = 9092\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	code := run(t.Context(), []string{"server", "--config", path}, streams{strings.NewReader(""), &out, &errs})
	if code != exitUsage || !strings.Contains(errs.String(), `riffle.conf:2: there is no setting "port"`) {
		t.Errorf("exit code %d, %s, want %d and the line", code, errs.String(), exitUsage)
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of the data was made: %v", err)
	}
}
