package rules

import (
	"fmt"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
)

// The names of the rules, as alerts carry them.
const (
	AboveLimit = "amount-above-limit"
	AboveMean  = "amount-above-mean"
	Burst      = "burst"
)

// Names returns the names of all rules.
func Names() []string { return []string{AboveLimit, AboveMean, Burst} }

// Records names the records that made a rule fire: payments of one card, so they lie in one partition.
type Records struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Offsets are in order of the payments' time; the payment that raised the alert stands last.
	Offsets []int64 `json:"offsets"`
}

// Alert says that a payment is suspicious, and why.
type Alert struct {
	Rule        string        `json:"rule"`
	Card        string        `json:"card"`
	Transaction int64         `json:"transaction"`
	Terminal    string        `json:"terminal"`
	Time        time.Time     `json:"time"`
	Amount      payment.Cents `json:"amount"`

	// Limit is the amount that must not be exceeded: rule amount-above-limit.
	Limit payment.Cents `json:"limit,omitzero"`
	// Mean is the mean of the card's earlier payments in the window, rounded to cents; the amount is more than Factor times
	// the exact one: rule amount-above-mean.
	Mean   payment.Cents `json:"mean,omitzero"`
	Factor float64       `json:"factor,omitzero"`
	// Payments is how many payments the rule counted: the earlier ones for the mean; those of the burst, this one included.
	Payments int `json:"payments,omitzero"`
	// WindowSeconds is the time in which they were made.
	WindowSeconds int64 `json:"windowSeconds,omitzero"`

	Records Records `json:"records"`
}

// Offset returns the offset of the payment that raised the alert.
func (a Alert) Offset() int64 {
	if n := len(a.Records.Offsets); n > 0 {
		return a.Records.Offsets[n-1]
	}
	return -1
}

// String says in one line what happened.
func (a Alert) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s card %s: ", a.Rule, a.Card)
	switch a.Rule {
	case AboveLimit:
		fmt.Fprintf(&b, "%s, limit %s", a.Amount, a.Limit)
	case AboveMean:
		fmt.Fprintf(&b, "%s, more than %g times the mean %s of %d payments", a.Amount, a.Factor, a.Mean, a.Payments)
	case Burst:
		fmt.Fprintf(&b, "%d payments within %s", a.Payments, time.Duration(a.WindowSeconds)*time.Second)
	}
	fmt.Fprintf(&b, " (%s, %s/%d@%d)", a.Time.Format(time.DateTime), a.Records.Topic, a.Records.Partition, a.Offset())
	return b.String()
}
