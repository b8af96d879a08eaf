package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

// TestKill kills the fraud app with SIGKILL at random moments, starts it again
// on the same directory until the input is through, and compares with a run that nobody disturbed: every row
// was processed, no alert is missing, none is new, none comes twice, and the order per card is kept.
//
// RIFFLE_E2E_CYCLES kills that many times (the default is 4); RIFFLE_E2E_INPUT is a
// file of payments to use in place of made ones; RIFFLE_E2E_SEED repeats a run.
func TestKill(t *testing.T) {
	kills := envInt(t, "RIFFLE_E2E_CYCLES", 4)
	seed := uint64(envInt(t, "RIFFLE_E2E_SEED", int(time.Now().UnixNano())))
	t.Logf("RIFFLE_E2E_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	input := os.Getenv("RIFFLE_E2E_INPUT")
	if input == "" {
		input = filepath.Join(t.TempDir(), "payments.csv")
		writePayments(t, input, rand.New(rand.NewPCG(1, 1)), 60_000)
	}
	rows := readRows(t, input)

	start := time.Now()
	calmDir := t.TempDir()
	calm := readAlerts(t, finish(t, input, calmDir))
	undisturbed := time.Since(start)
	checkRows(t, calmDir, rows)
	if len(calm) == 0 {
		t.Fatal("the undisturbed run has no alerts: the comparison would show nothing")
	}

	for killed := 0; killed < kills; {
		dir := t.TempDir()
		for killed < kills {
			// A third of a whole run at most: most runs are killed, each further on in the job, until one is through
			// and the next directory begins anew.
			wait := time.Duration(rng.Int64N(int64(undisturbed) / 3))
			if !startAndKill(t, wait, "frauddetect", "--input", input, "--dir", dir) {
				break
			}
			killed++
		}
		compareAlerts(t, calm, readAlerts(t, finish(t, input, dir)))
		checkRows(t, dir, rows)
		t.Logf("%d kills", killed)
		if t.Failed() {
			t.FailNow()
		}
	}
}

// startAndKill runs a program and kills it after a while. It reports false if the program was through by then.
func startAndKill(t *testing.T, wait time.Duration, name string, args ...string) bool {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(program(t, name), args...)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(wait, func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // it may be through already
	})
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true
	}
	t.Fatalf("%s, to be killed after %v: %v\n%s", name, wait, err, tail(stderr.String()))
	return false
}

// finish runs the app on dir to the end of the input and returns the file with
// all alerts.
func finish(t *testing.T, input, dir string) (alerts string) {
	t.Helper()
	alerts = filepath.Join(dir, "alerts.jsonl")
	run(t, program(t, "frauddetect"), "--input", input, "--dir", dir, "--alerts", alerts)
	return alerts
}

// alert is what the comparison needs of an alert: its card, and its whole text.
type alert struct {
	Card string `json:"card"`
	text string
}

func readAlerts(t *testing.T, file string) []alert {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []alert
	for line := range strings.Lines(string(text)) {
		a := alert{text: line}
		if err := json.Unmarshal([]byte(line), &a); err != nil || a.Card == "" {
			t.Fatalf("%s: %q: %v", file, line, err)
		}
		all = append(all, a)
	}
	return all
}

// compareAlerts wants, card by card, the same alerts in the same order. Offsets are part of an alert's text: the
// transactions must lie where they lay.
func compareAlerts(t *testing.T, want, got []alert) {
	t.Helper()
	if diff := cmp.Diff(byCard(want), byCard(got)); diff != "" {
		t.Errorf("alerts by card (-undisturbed +killed):\n%s", tail(diff))
	}
}

func byCard(alerts []alert) map[string][]string {
	cards := make(map[string][]string)
	for _, a := range alerts {
		cards[a.Card] = append(cards[a.Card], a.text)
	}
	return cards
}

// checkRows wants each row of the input in the topic exactly once, and the rows
// of a card in the order of the file.
func checkRows(t *testing.T, dir string, want map[string][]int64) {
	t.Helper()
	ctx := context.Background()
	cluster := stream.Embedded(dir)
	if err := cluster.Open(ctx); err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	transactions := stream.NewTopic("transactions", serde.String, serde.Avro[payment.Transaction]())
	got := make(map[string][]int64)
	for r, err := range cluster.Read(ctx, transactions) {
		if err != nil {
			t.Fatal(err)
		}
		got[r.Key] = append(got[r.Key], r.Value.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows in the topic, by card (-file +topic):\n%s", tail(diff))
	}
}

// readRows returns the ids of a file's rows by card, in the order of the file.
func readRows(t *testing.T, file string) map[string][]int64 {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if filepath.Ext(file) == ".gz" {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	c := csv.NewReader(r)
	c.ReuseRecord = true
	header, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	idColumn, cardColumn := slices.Index(header, "TRANSACTION_ID"), slices.Index(header, "CUSTOMER_ID")
	rows := make(map[string][]int64)
	for {
		row, err := c.Read()
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		id, err := strconv.ParseInt(row[idColumn], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		card := strings.Clone(row[cardColumn])
		rows[card] = append(rows[card], id)
	}
}

// writePayments makes a file with enough suspicious payments for a comparison.
func writePayments(t *testing.T, file string, rng *rand.Rand, rows int) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT\n")
	at := time.Date(2018, 4, 1, 0, 0, 0, 0, time.UTC)
	for id := range rows {
		at = at.Add(time.Duration(rng.IntN(40)) * time.Second)
		cents := 500 + rng.IntN(9_500)
		if rng.IntN(200) == 0 {
			cents *= 4
		}
		fmt.Fprintf(&b, "%d,%s,%d,%d,%d.%02d\n", id, at.Format("2006-01-02T15:04:05"),
			rng.IntN(800), rng.IntN(1_000), cents/100, cents%100)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func envInt(t *testing.T, name string, or int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return or
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
