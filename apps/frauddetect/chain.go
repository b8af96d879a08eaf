package main

import (
	"errors"
	"strconv"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/duplicates"
	"github.com/riffle-stream/riffle/stream"
)

// deskName is the name of the application that runs the fraud desk.
const deskName = "fraud-desk"

// chain is the configuration of the fraud desk's topology. It must stay the same as long as the topics live.
type chain struct {
	// partitions is the number of partitions of the topics, but for desk.Changes.
	partitions int
	matching   rulebook.Matching
	duplicates duplicates.Config
	order      order
}

// topology finds duplicates, prepares and decides:
//
//	transactions -> duplicates -> card-features -> by-terminal -> terminal-features -> decision-inputs
//	labels ------------------------^                                                   ^
//	desk-changes -> broadcast ---------------------------------------------------------'
//	decision-inputs -> decide -> decisions, desk-alerts, desk-applied
func (cfg chain) topology() (*stream.Topology, error) {
	cfg.order.partitions = cfg.partitions
	detector, err := duplicates.New(cfg.duplicates, duplicates.Fields[payment.Transaction]{
		ID:       func(t payment.Transaction) string { return strconv.FormatInt(t.ID, 10) },
		Terminal: func(t payment.Transaction) string { return t.Terminal },
		Amount:   func(t payment.Transaction) int64 { return int64(t.Amount) },
		At:       payment.Transaction.At,
	})
	if err := errors.Join(err, cfg.order.validate()); err != nil {
		return nil, err
	}
	b := stream.NewBuilder(deskName)

	// What comes under the id of an earlier payment is not decided again.
	labels := b.From(desk.Labels)
	payments := b.From(desk.Transactions).Filter(func(t payment.Transaction) bool { return !t.IsTick() })
	again, first := detector.Check(payments).Branch(func(c checkedPayment) bool {
		return c.Verdict == duplicates.Exact || c.Verdict == duplicates.Conflict
	})
	exact, conflicts := again.MapRecord(repeated).Branch(func(d desk.Decision) bool { return d.Duplicate.Verdict == duplicates.Exact })
	exact.To(desk.Decisions)
	conflicts.To(desk.Conflicts)

	// The log of what decides: payments and labels, and every change in every partition.
	prepare(labels, first, cfg.order).To(desk.Inputs)
	b.From(desk.Changes).
		Process("broadcast", broadcast(cfg.partitions)).
		To(desk.Inputs)

	d := newDecider(cfg.matching)
	decisions, changes := b.From(desk.Inputs).
		ProcessWith("decide", d.step(), d.stores()...).
		Branch(func(o outcome) bool { return o.decision != nil })
	applied, inForce := changes.Branch(func(o outcome) bool { return o.applied != nil })
	applied.Map(func(o outcome) desk.Application { return *o.applied }).To(desk.Applied)
	inForce.Map(func(o outcome) *desk.Entry { return o.inForce.entry }).To(desk.InForce)
	decided := decisions.Map(func(o outcome) desk.Decision { return *o.decision })
	decided.To(desk.Decisions)
	decided.
		Filter(func(d desk.Decision) bool { return d.Action != rulebook.Approve }).
		Map(desk.NewAlert).
		To(desk.Alerts)
	return b.Build()
}

// repeated is the decision on a payment that came before: none, but where to find it.
func repeated(r stream.Record[string, checkedPayment]) desk.Decision {
	t, first := r.Value.Payment, r.Value.First
	here := desk.Place{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	return desk.Decision{
		Payment: t.ID, Card: t.Card, Terminal: t.Terminal, Amount: t.Amount, Time: t.Time, At: here,
		Duplicate: &desk.Duplicate{
			Verdict: r.Value.Verdict, Source: here, First: desk.Place{Topic: r.Topic, Partition: first.Partition, Offset: first.Offset},
		},
	}
}
