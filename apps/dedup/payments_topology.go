package main

import (
	"time"

	"github.com/riffle-stream/riffle/apps/internal/duplicates"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

// paymentsApp is the name of the application that dedup payments runs.
const paymentsApp = "dedup-payments"

var (
	// Payments are keyed by card, in the order in which they arrived.
	Payments = stream.NewTopic("payments", serde.String, serde.Avro[Payment]())
	// Passed has the payments that go on, those that are tagged included.
	Passed = stream.NewTopic("payments-passed", serde.String, serde.JSON[Tagged]())
	// Routed has the payments that somebody has to look at.
	Routed = stream.NewTopic("payments-routed", serde.String, serde.JSON[Tagged]())
	// Decisions has a line about every payment, dropped ones too.
	Decisions = stream.NewTopic("payments-decisions", serde.String, serde.JSON[Decision]())
	// Counts has the number of payments of each verdict, keyed by the beginning of their window of time.
	Counts = stream.NewTopic("payments-counts", serde.String, serde.JSON[Count]())
)

func paymentOutputs() []string {
	return []string{Passed.Name, Routed.Name, Decisions.Name, Counts.Name}
}

// Payment is one card payment.
type Payment struct {
	ID       string    `avro:"id" json:"id"`
	Card     string    `avro:"card" json:"card"`
	Terminal string    `avro:"terminal" json:"terminal"`
	Amount   int64     `avro:"amount" json:"amount"` // in minor units; below zero: a reversal
	At       time.Time `avro:"at" json:"at"`         // when it was made, UTC, in milliseconds
	// Label says what the payment really is, in a file that knows it. No decision depends on it.
	Label string `avro:"label" json:"label,omitzero"`
}

// Tagged is a payment with what is to be known of it.
type Tagged struct {
	Payment
	Verdict duplicates.Verdict `json:"verdict"`
	First   *duplicates.Place  `json:"first,omitzero"` // the payment that it repeats
}

// Decision is what became of a payment.
type Decision struct {
	ID      string             `json:"id"`
	Amount  int64              `json:"amount"`
	Label   string             `json:"label,omitzero"`
	Verdict duplicates.Verdict `json:"verdict"`
	Action  Action             `json:"action"`
	Offset  int64              `json:"offset"` // of the payment; its partition is the decision's
	First   *duplicates.Place  `json:"first,omitzero"`
}

// Action is what is done with a payment.
type Action string

const (
	Pass  Action = "pass"  // it goes on as it is
	Tag   Action = "tag"   // it goes on, and says what it repeats
	Route Action = "route" // it goes to a topic of its own
	Drop  Action = "drop"  // it ends here; its decision tells of it
)

// Actions say what is done with which verdict.
type Actions map[duplicates.Verdict]Action

// defaultActions drop what is certainly the same, set aside what contradicts itself, and let through what is only suspicious.
func defaultActions() Actions {
	return Actions{
		duplicates.Unique: Pass, duplicates.Exact: Drop, duplicates.Conflict: Route, duplicates.Double: Tag, duplicates.Near: Tag,
	}
}

type checkedPayment = duplicates.Checked[Payment]

// PaymentsTopology finds the payments that come twice, and does with them what the actions say.
func PaymentsTopology(o detection) (*stream.Topology, error) {
	detector, err := duplicates.New(o.detect, duplicates.Fields[Payment]{
		ID:       func(p Payment) string { return p.ID },
		Terminal: func(p Payment) string { return p.Terminal },
		Amount:   func(p Payment) int64 { return p.Amount },
		At:       func(p Payment) time.Time { return p.At },
	})
	if err != nil {
		return nil, err
	}
	action := func(c checkedPayment) Action { return o.actions[c.Verdict] }

	b := stream.NewBuilder(paymentsApp)
	checked := detector.Check(b.From(Payments))

	checked.
		Filter(func(c checkedPayment) bool { return action(c) == Pass || action(c) == Tag }).
		Map(tagged).
		To(Passed)
	checked.
		Filter(func(c checkedPayment) bool { return action(c) == Route }).
		Map(tagged).
		To(Routed)
	checked.
		MapRecord(func(r stream.Record[string, checkedPayment]) Decision {
			p := r.Value.Payment
			return Decision{p.ID, p.Amount, p.Label, r.Value.Verdict, action(r.Value), r.Offset, first(r.Value)}
		}).
		To(Decisions)
	tally := tally{every: o.tally, dropped: func(c checkedPayment) bool { return action(c) == Drop }}
	checked.
		ProcessWith("tally", stream.OnRecord(tally.count).Punctuate(tally.every, tally.close), tallies).
		To(Counts)
	return b.Build()
}

func tagged(c checkedPayment) Tagged { return Tagged{c.Payment, c.Verdict, first(c)} }

// first is the payment that c repeats, or nil.
func first(c checkedPayment) *duplicates.Place {
	if c.Verdict == duplicates.Unique {
		return nil
	}
	return &c.First
}
