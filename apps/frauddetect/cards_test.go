package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riffle-stream/riffle/apps/internal/apptest"
	"github.com/riffle-stream/riffle/apps/internal/pan/pantest"
)

// planted are test numbers of the networks, and one with a wrong check digit: it is mistyped, not harmless.
var planted = []string{"4111111111111111", "5555555555554444", "378282246310005", "6011000990139424", "4929123456781237"}

const paymentsWithCards = `TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT
0,2018-04-01 00:00:31,4111111111111111,s,300.00
1,2018-04-01 00:01:31,4111 1111 1111 1111,s,10.00
2,2018-04-01 00:02:31,5555555555554444,s,400.00
3,2018-04-01 00:03:31,4929-1234-5678-1237,s,500.00
4,2018-04-01 00:04:31,378282246310005,s,6011000990139424
6011 0009 9013 9424,2018-04-01 00:05:31,378282246310005,s,1.0.0
5,2018-04-01 00:05:31,378282246310005
`

// Every byte of what a run leaves is searched for card numbers: topics, state, changelogs, dead letters, alerts, report, output, log and
// metrics.
func TestCardNumbersAreNowhere(t *testing.T) {
	t.Parallel()
	input, dir, out := filepath.Join(t.TempDir(), "payments.csv"), t.TempDir(), t.TempDir()
	if err := os.WriteFile(input, []byte(paymentsWithCards), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := apptest.Command(t, "frauddetect", "--input", input, "--dir", dir, "--verbose",
		"--alerts", filepath.Join(out, "alerts"), "--report", filepath.Join(out, "report"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("frauddetect: %v\n%s", err, stderr.String())
	}
	if !strings.Contains(stdout.String(), "alerts       3\n") || !strings.Contains(stdout.String(), "dead letters 3\n") {
		t.Errorf("the summary:\n%s", stdout.String())
	}
	scanner := pantest.New(planted...)
	leaks := append(scanner.Bytes("the output", stdout.Bytes()), scanner.Bytes("the log", stderr.Bytes())...)
	for _, d := range []string{dir, out} {
		found, read, err := scanner.Dir(d)
		if err != nil || read == 0 {
			t.Fatalf("%s: %d bytes, %v", d, read, err)
		}
		leaks = append(leaks, found...)
	}
	for _, leak := range leaks {
		t.Error(leak)
	}
}

// A run that has not ended shows no card number in its metrics.
func TestCardNumbersAreNotInMetrics(t *testing.T) {
	t.Parallel()
	input := filepath.Join(t.TempDir(), "payments.csv")
	if err := os.WriteFile(input, []byte(paymentsWithCards), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := apptest.FreeAddr(t)
	cmd := apptest.Command(t, "frauddetect", "--input", input, "--rate", "1", "--metrics-addr", addr)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "alert ") {
	}
	page, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	text, err := io.ReadAll(page.Body)
	if err != nil || !bytes.Contains(text, []byte("frauddetect")) {
		t.Fatalf("the metrics: %v\n%.200s", err, text)
	}
	for _, leak := range pantest.New(planted...).Bytes("the metrics", text) {
		t.Error(leak)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
}
