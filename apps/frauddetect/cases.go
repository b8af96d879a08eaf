package main

import (
	"fmt"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// cases are the alerts with what people did with them, by card and id.
var cases = state.NewKeyValueStore("cases", serde.String, serde.JSON[desk.Case]())

// caseEvent is an alert, or what somebody does with one: exactly one field is set.
type caseEvent struct {
	alert  *desk.Alert
	change *desk.AlertChange
}

// caseOutcome is the new state of a case, or a label that it gives.
type caseOutcome struct {
	state *desk.Case
	label *payment.Label
}

// caseStep keeps the state of each alert. What somebody says of an alert that is not there, or not of that card, is a dead letter.
func caseStep(c *stream.Context[string, caseOutcome], r stream.Record[string, caseEvent]) error {
	if a := r.Value.alert; a != nil {
		return putCase(c, desk.Case{Alert: *a, Status: desk.Open, Version: 1})
	}
	change := r.Value.change
	now, found, err := cases.In(c).Get(r.Key + "/" + change.Alert)
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("frauddetect: there is no alert %q of this card", change.Alert)
	}
	before := now.Status
	if err := change.Apply(&now); err != nil {
		return err
	}
	if err := putCase(c, now); err != nil {
		return err
	}
	if now.Status == before || now.Status == desk.Open {
		return nil
	}
	// The payment's own time: the clocks of people are not those of payments, which may be years old.
	label := &payment.Label{
		Transaction: payment.Transaction{ID: now.Payment, Time: now.Time, Card: now.Card, Terminal: now.Terminal, Amount: now.Amount},
		Known:       now.Time, Genuine: now.Status == desk.Dismissed,
	}
	return c.ForwardRecord(stream.Record[string, caseOutcome]{Key: now.Card, Value: caseOutcome{label: label}, Time: now.Time})
}

func putCase(c *stream.Context[string, caseOutcome], now desk.Case) error {
	if err := cases.In(c).Put(now.Card+"/"+now.ID, now); err != nil {
		return err
	}
	return c.Forward(now.ID, caseOutcome{state: &now})
}

// casesName is the name of the application that keeps the alerts. It is not part of the chain: what it says of alerts becomes labels, which
// the chain reads again.
const casesName = "fraud-desk-cases"

// casesTopology keeps what becomes of alerts.
func casesTopology() (*stream.Topology, error) {
	b := stream.NewBuilder(casesName)
	alerts := b.From(desk.Alerts).Map(func(a desk.Alert) caseEvent { return caseEvent{alert: &a} })
	changes := b.From(desk.AlertChanges).Map(func(c desk.AlertChange) caseEvent { return caseEvent{change: &c} })
	states, labels := alerts.Merge(changes).
		Process("cases", caseStep, cases).
		Branch(func(o caseOutcome) bool { return o.state != nil })
	states.Map(func(o caseOutcome) desk.Case { return *o.state }).To(desk.Cases)
	labels.Map(func(o caseOutcome) payment.Label { return *o.label }).To(desk.Labels)
	return b.Build()
}
