package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rules"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

func ExampleTopology() {
	topology, err := Topology(rules.Rules{}.WithDefaults(), func(rules.Alert) {})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(topology)
	// Output:
	// source transactions
	// processor transactions-filter-1 <- transactions
	// processor transactions-map-1 <- transactions-filter-1
	// processor habits store=history <- transactions
	// processor transactions-merge-1 <- transactions-map-1, habits
	// processor transactions-peek-1 <- transactions-merge-1
	// sink alerts <- transactions-peek-1
}

// A card's history lasts over a restart, and cards do not see each other's.
func TestTopology(t *testing.T) {
	t.Parallel()
	seen := 0
	topology, err := Topology(rules.Rules{BurstPayments: 3}.WithDefaults(), func(rules.Alert) { seen++ })
	if err != nil {
		t.Fatal(err)
	}
	d := streamtest.New(t, topology)
	start := time.Date(2018, 4, 1, 12, 0, 0, 0, time.UTC)
	pay := func(id int64, card string, after time.Duration, amount payment.Cents) {
		tx := payment.Transaction{ID: id, Time: start.Add(after), Card: card, Terminal: "t", Amount: amount}
		d.Pipe(Transactions, card, tx, tx.Time)
	}
	pay(1, "a", 0, 10_00)
	pay(2, "b", 0, 10_00)
	pay(3, "a", time.Minute, 300_00)
	d.Restart()
	pay(4, "a", 2*time.Minute, 10_00)
	pay(5, "b", 2*time.Minute, 10_00)

	var got []string
	for _, r := range d.Read(Alerts) {
		if r.Key != r.Value.Card || !r.Time.Equal(r.Value.Time) {
			t.Errorf("alert of card %s at %v under key %s at %v", r.Value.Card, r.Value.Time, r.Key, r.Time)
		}
		got = append(got, r.Value.String())
	}
	want := []string{
		"amount-above-limit card a: 300.00, limit 220.00 (2018-04-01 12:01:00, transactions/0@2)",
		"burst card a: 3 payments within 10m0s (2018-04-01 12:02:00, transactions/0@3)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alerts (-want +got)\n%s", diff)
	}
	if seen != len(want) {
		t.Errorf("%d alerts were shown, want %d", seen, len(want))
	}
}

func TestSummaryText(t *testing.T) {
	t.Parallel()
	s := summary{
		Source: "payments.csv", Rows: 1_754_155, Resumed: 1000, BadRows: 2, DeadLetters: 1,
		Alerts:  found{ByRule: map[string]int64{rules.AboveLimit: 3, rules.Burst: 1000}},
		Seconds: 11.74, RowsPerSecond: 149_417.8, PeakMemoryBytes: 300 << 20,
	}
	want := `payments.csv
  rows         1,754,155
               1,000 of them were read by an earlier run
  alerts       1,003
               amount-above-limit   3
               amount-above-mean    0
               burst                1,000
  dead letters 3
  time         11.7 s, 149,417 rows/s
  peak memory  300 MiB
`
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(s.String(), "\n")); diff != "" {
		t.Errorf("summary (-want +got)\n%s", diff)
	}
}
