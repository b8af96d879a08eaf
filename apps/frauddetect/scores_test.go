package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/internal/duplicates"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

func ExampleScoringTopology() {
	topology, err := ScoringTopology()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(topology)
	// Output:
	// sub-topology 0 reads=labels,transactions stores=labelled,card-payments,card-recent
	// source labels
	// source transactions
	// processor transactions-map-1 <- transactions
	// processor labels store=labelled <- labels
	// processor transactions-map-2 <- transactions-map-1
	// processor labels-merge-1 <- labels, transactions-map-2
	// processor card-features store=card-payments,card-recent <- labels-merge-1
	// rekey by-terminal topic=frauddetect-scoring-by-terminal-repartition <- card-features
	//
	// sub-topology 1 reads=frauddetect-scoring-by-terminal-repartition stores=terminal-payments,terminal-frauds,terminal-labels
	// source by-terminal topic=frauddetect-scoring-by-terminal-repartition
	// processor terminal-features store=terminal-payments,terminal-frauds,terminal-labels <- by-terminal
	// rekey by-card <- terminal-features
	// processor score <- by-card
	// sink scores <- score
}

// amountModel scores by the amount alone.
type amountModel struct{}

func (amountModel) Name() string                     { return "amount" }
func (amountModel) Score(v *features.Vector) float64 { return v[0] / 1000 }

func newScoring(t streamtest.TB) *streamtest.Driver {
	t.Helper()
	topology, err := ScoringTopology(amountModel{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return streamtest.New(t, topology)
}

// A label counts from exactly seven days after its payment, before a payment of the same second.
func TestLabelCountsAfterAWeek(t *testing.T) {
	t.Parallel()
	d := newScoring(t)
	start := time.Date(2018, 4, 2, 12, 0, 0, 0, time.UTC)
	pay := func(id int64, card string, at time.Time, cents payment.Cents) payment.Transaction {
		tx := payment.Transaction{ID: id, Time: at, Card: card, Terminal: "t", Amount: cents}
		d.Pipe(Transactions, card, tx, at)
		return tx
	}
	fraud := pay(1, "a", start, 10_00)
	pay(2, "b", start.Add(7*day-time.Second), 20_00)
	d.Pipe(Labels, "a", payment.Label{Transaction: fraud, Known: start.Add(7 * day)}, start.Add(7*day))
	pay(3, "a", start.Add(7*day), 30_00)
	pay(4, "b", start.Add(8*day-time.Second), 40_00)
	pay(5, "b", start.Add(8*day), 50_00)

	want := []string{
		"1 of a, score 0.01: card [1 1 1] [1000 1000 1000], terminal [0 0 0] [0 0 0]",
		"2 of b, score 0.02: card [1 1 1] [2000 2000 2000], terminal [0 0 0] [0 0 0]",
		"3 of a, score 0.03: card [1 1 2] [3000 3000 4000], terminal [1 1 1] [1 1 1]",
		"4 of b, score 0.04: card [1 2 2] [4000 6000 6000], terminal [1 1 1] [1 1 1]",
		"5 of b, score 0.05: card [2 3 3] [9000 11000 11000], terminal [0 1 1] [0 1 1]",
	}
	var got []string
	for _, r := range d.Read(Scores) {
		s := r.Value
		if r.Key != s.Card || !r.Time.Equal(s.Time) {
			t.Errorf("score of card %s at %v under key %s at %v", s.Card, s.Time, r.Key, r.Time)
		}
		got = append(got, fmt.Sprintf("%d of %s, score %v: card %v %v, terminal %v %v", s.ID, r.Key, s.Scores[0],
			s.CardPayments, s.CardCents, s.TerminalPayments, s.TerminalFrauds))
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("scores (-want +got):\n%s", diff)
	}
}

// TestFeaturesModel compares the features of made-up payments with those that a search through all earlier payments
// finds.
func TestFeaturesModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := newScoring(t)
		var all []payment.Transaction
		var labels []payment.Label
		now := time.Date(2018, 4, 1, 0, 0, 0, 0, time.UTC)
		label := func(until time.Time) {
			for len(labels) > 0 && !labels[0].Known.After(until) {
				l := labels[0]
				d.Pipe(Labels, l.Transaction.Card, l, l.Known)
				labels = labels[1:]
			}
		}
		for id := range rapid.Int64Range(1, 80).Draw(t, "payments") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 3600, 86400, 6 * 86400}).Draw(t, "step")) * time.Second)
			tx := payment.Transaction{
				ID: id, Time: now, Card: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "card"),
				Terminal: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "terminal"),
				Amount:   payment.Cents(rapid.Int64Range(0, 300_00).Draw(t, "amount")),
				Scenario: rapid.SampledFrom([]int8{0, 0, 2}).Draw(t, "scenario"),
			}
			label(now)
			d.Pipe(Transactions, tx.Card, tx, now)
			all = append(all, tx)
			if tx.Fraud() {
				labels = append(labels, payment.Label{Transaction: tx, Known: now.Add(features.LabelDelay)})
			}
			want := features.Row{Transaction: tx, Counts: countedByHand(all, tx)}
			scores := d.Values(Scores)
			if len(scores) != 1 {
				t.Fatalf("payment %d: %d scores", id, len(scores))
			}
			if diff := gocmp.Diff(want, scores[0].Row); diff != "" {
				t.Fatalf("payment %d at %v (-want +got):\n%s", id, now, diff)
			}
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

// countedByHand looks at all payments up to tx, which is the last one.
func countedByHand(all []payment.Transaction, tx payment.Transaction) (c features.Counts) {
	within := func(past payment.Transaction, until time.Time, days int) bool {
		return past.Time.After(until.Add(-time.Duration(days)*day)) && !past.Time.After(until)
	}
	before, known := tx.Time.Add(-time.Millisecond), tx.Time.Add(-features.LabelDelay)
	var terminal []payment.Transaction // what is known of 30 days
	for _, past := range all {
		for i, days := range features.Days {
			if past.Card == tx.Card && within(past, tx.Time, days) {
				c.CardPayments[i]++
				c.CardCents[i] += int64(past.Amount)
			}
			if past.Terminal == tx.Terminal && within(past, known, days) {
				c.TerminalPayments[i]++
				if past.Fraud() {
					c.TerminalFrauds[i]++
				}
			}
		}
		if past.Card == tx.Card && within(past, before, features.LargestDays) {
			c.CardLargest = max(c.CardLargest, int64(past.Amount))
		}
		if past.Card == tx.Card && within(past, before, features.UsualDays) {
			c.Usual.Payments++
			c.Usual.Cents += int64(past.Amount)
			c.Usual.Largest = max(c.Usual.Largest, int64(past.Amount))
		}
		if past.Terminal == tx.Terminal && within(past, known, 30) {
			terminal = append(terminal, past)
		}
	}
	if c.TerminalFrauds[2] == 0 {
		return c
	}
	slices.SortStableFunc(terminal, func(a, b payment.Transaction) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Scenario, b.Scenario)) // of one time, frauds come last
	})
	c.SinceGenuine = -1
	for _, past := range slices.Backward(terminal) {
		if !past.Fraud() {
			c.SinceGenuine = tx.Time.Sub(past.Time).Milliseconds()
			break
		}
		c.FraudsInRow++
	}
	return c
}

// A payment whose windows are no longer whole is no score from half of them.
func TestLatePayment(t *testing.T) {
	t.Parallel()
	d := newScoring(t)
	start := time.Date(2018, 4, 2, 12, 0, 0, 0, time.UTC)
	for i, at := range []time.Time{start.Add(2 * day), start.Add(day), start.Add(day - time.Second)} {
		tx := payment.Transaction{ID: int64(i), Time: at, Card: "a", Terminal: "t"}
		d.Pipe(Transactions, "a", tx, at)
	}
	if n := len(d.Read(Scores)); n != 2 {
		t.Errorf("%d scores, want 2", n)
	}
	if letters := d.DeadLetters(); len(letters) != 1 || letters[0].Offset != 2 || !errors.Is(letters[0].Cause, errLate) {
		t.Errorf("dead letters %v, want one for the last payment", letters)
	}
}

func TestScoreEncoding(t *testing.T) {
	t.Parallel()
	row := features.Row{Transaction: payment.Transaction{ID: 1, Time: time.UnixMilli(5).UTC(), Card: "c", Terminal: "t"}}
	s := Score{Row: row, Scores: []float64{0.25, 1e-9}}
	b, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var score Score
	if err := score.UnmarshalBinary(b); err != nil || !gocmp.Equal(score, s) {
		t.Errorf("%+v, %v, want %+v", score, err, s)
	}
	if err := score.UnmarshalBinary(b[:len(b)-1]); err == nil {
		t.Error("a score that is cut off is read")
	}
}

func TestVisitEncoding(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(5).UTC()
	tx := payment.Transaction{ID: 1, Time: at, Card: "c", Terminal: "t"}
	for _, v := range []visit{
		{Input: desk.Input{Payment: &desk.Prepared{Row: features.Row{Transaction: tx}, Partition: 3, Offset: 4, Verdict: duplicates.Unique}}},
		{Input: desk.Input{Label: &desk.Label{Label: payment.Label{Transaction: tx, Known: at}, LabelPlace: desk.LabelPlace{Partition: 3, Offset: 4}}}},
		{Tick: true, From: 3, To: "partition-5"},
	} {
		b, err := v.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var got visit
		if err := got.UnmarshalBinary(b); err != nil || !gocmp.Equal(got, v) {
			t.Errorf("%+v, %v, want %+v", got, err, v)
		}
		if got.from() != 3 {
			t.Errorf("%+v comes from partition %d, want 3", got, got.from())
		}
		if err := got.UnmarshalBinary(b[:1]); err == nil {
			t.Error("a visit that is cut off is read")
		}
	}
}
