package main

import (
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rules"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// appName is the consumer group, and the first part of the names of the application's own topics.
const appName = "frauddetect"

var (
	// Transactions are the payments, keyed by card.
	Transactions = stream.NewTopic("transactions", serde.String, serde.Avro[payment.Transaction]()).EventTime(payment.Transaction.At)
	// Alerts are what the rules found, keyed by card.
	Alerts = stream.NewTopic("alerts", serde.String, serde.JSON[rules.Alert]())

	history = state.NewKeyValueStore("history", serde.String, serde.Binary[rules.History]())
)

// Topology finds the payments that break a rule. Each alert is shown to seen on its way, again if it is found again after a crash.
func Topology(r rules.Rules, seen func(rules.Alert)) (*stream.Topology, error) {
	d := detector{r}
	b := stream.NewBuilder(appName)
	paid := b.From(Transactions)

	// A payment above the limit, whoever makes it.
	large := paid.Filter(r.TooLarge).MapRecord(d.limitAlert)

	// A payment, or several, that do not fit what the card did before.
	unusual := paid.Process("habits", d.habits, history)

	large.Merge(unusual).Peek(seen).To(Alerts)
	return b.Build()
}

type detector struct{ rules rules.Rules }

func (d detector) limitAlert(r stream.Record[string, payment.Transaction]) rules.Alert {
	return d.rules.LimitAlert(r.Value, place(r))
}

// habits compares a payment with the card's history, and adds it there.
func (d detector) habits(c *stream.Context[string, rules.Alert], r stream.Record[string, payment.Transaction]) error {
	history := history.In(c)
	past, _, err := history.Get(r.Key)
	if err != nil {
		return err
	}
	for _, alert := range d.rules.Habits(&past, r.Value, place(r)) {
		if err := c.Forward(r.Key, alert); err != nil {
			return err
		}
	}
	return history.Put(r.Key, past)
}

func place(r stream.Record[string, payment.Transaction]) rules.Source {
	return rules.Source{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}
