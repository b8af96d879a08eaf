package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riffle-stream/riffle/apps/internal/apptest"
	"github.com/riffle-stream/riffle/apps/internal/pan/pantest"
)

// planted are test numbers of the networks, and one with a wrong check digit: it is mistyped, not harmless.
var planted = []string{"4111111111111111", "5555555555554444", "378282246310005", "6011000990139424", "4929123456781237"}

// paymentsWithCards plants card numbers where they belong, and in rows that do not parse.
const paymentsWithCards = `arrival_ms,event_id,event_ms,card,terminal,amount_cents
1500000000000,a,1500000000000,4111111111111111,shop,1200
1500000001000,a,1500000000000,4111 1111 1111 1111,shop,1200
1500000002000,a,1500000000000,4111-1111-1111-1111,shop,1300
1500000003000,b,1500000003000,5555555555554444,shop,1200
1500000004000,c,1500000004000,5555555555554444,shop,1200
1500000005000,d,1500000005000,4929123456781237,shop,1200
1500000006000,e,1500000006000,378282246310005,shop,6011000990139424x
1500000007000,f,6011000990139424,378282246310005,shop
1500000008000,g,1500000008000,"3782 822463 10005
`

// After a run every byte that it leaves is searched: topics, state, changelogs, dead letters, logs and output.
func TestCardNumbersAreNowhere(t *testing.T) {
	t.Parallel()
	left := runWithCards(t, "payments.csv", paymentsWithCards, "payments")
	for _, want := range []string{"unique       3\n", "exact        1\n", "conflict     1\n", "double       1\n", "dead letters 3\n"} {
		if !strings.Contains(left.stdout, "  "+want) {
			t.Errorf("the summary does not say %q:\n%s", want, left.stdout)
		}
	}
	for _, leak := range left.leaks {
		t.Error(leak)
	}
}

// Columns of any file may hold card numbers, if the user says so.
func TestCardNumbersInRows(t *testing.T) {
	t.Parallel()
	const rows = "order,card\n1,4111111111111111\n1,4111 1111 1111 1111\n2,5555555555554444\n3,378282246310005,4929123456781237\n"
	left := runWithCards(t, "orders.csv", rows, "--key", "row", "--cards", "card")
	if !strings.Contains(left.stdout, "unique       2\n  duplicates   1\n") {
		t.Errorf("equal cards are not equal rows:\n%s", left.stdout)
	}
	for _, leak := range left.leaks {
		t.Error(leak)
	}
	// The search would find them: nobody says here that the column holds card numbers.
	if left := runWithCards(t, "orders.csv", rows, "--key", "order"); len(left.leaks) == 0 {
		t.Error("card numbers that are stored as they are were not found")
	}
}

// leftovers are what a run leaves.
type leftovers struct {
	stdout string
	leaks  []pantest.Leak
}

func runWithCards(t *testing.T, name, text string, args ...string) leftovers {
	t.Helper()
	input, dir, out := filepath.Join(t.TempDir(), name), t.TempDir(), t.TempDir()
	if err := os.WriteFile(input, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := apptest.Command(t, "dedup", append(args, "--input", input, "--dir", dir, "--verbose", "--report", filepath.Join(out, "report.json"))...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("dedup: %v\n%s", err, stderr.String())
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
	if stderr.Len() == 0 {
		t.Error("there is no log to search")
	}
	return leftovers{stdout.String(), leaks}
}
