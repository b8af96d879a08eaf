package main

import (
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/riffle-stream/riffle/broker/brokertest"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected output in the scripts")

// TestMain lets the test binary be the command: the scripts start it as riffle.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"riffle": main})
}

// TestScripts runs the commands as a user would, each script on a broker of its own, whose address is in
// RIFFLE_BROKERS. Besides the commands of testscript there is
//
//	get URL    prints what a GET answers
//
// FREE and METRICS are addresses on which nobody listens. Expected output is rewritten by go test ./cmd/riffle -rewrite.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *rewrite,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"get": get},
		Setup: func(env *testscript.Env) error {
			b := brokertest.Start(env.T().(testing.TB), brokertest.TCP())
			env.Setenv(brokersEnv, b.Addr())
			env.Setenv("GORACE", "atexit_sleep_ms=0") // a second for each command, otherwise
			free, err := freeAddr()
			metrics, merr := freeAddr()
			env.Setenv("FREE", free)
			env.Setenv("METRICS", metrics)
			return errors.Join(err, merr)
		},
	})
}

// get is the script command get.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: get URL")
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(args[0])
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if ok := resp.StatusCode == http.StatusOK; ok == neg {
		ts.Fatalf("GET %s: %s\n%s", args[0], resp.Status, body)
	}
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
