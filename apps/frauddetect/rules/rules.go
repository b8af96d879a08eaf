package rules

import (
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
)

// Rules are the thresholds. The zero value is a working configuration; its defaults are made for the payments of the card fraud handbook.
type Rules struct {
	// Limit is the amount above which any payment is suspicious. The default is 220.00.
	Limit payment.Cents

	// MeanFactor is how many times the mean of the card's earlier payments in MeanWindow an amount must exceed. The default
	// is 3.
	MeanFactor float64
	// MeanWindow is how far back payments count for the mean. The default is 30 days.
	MeanWindow time.Duration
	// MeanPayments is how many earlier payments a mean needs to be taken for the card's habit. The default is 10.
	MeanPayments int

	// BurstPayments is how many payments within BurstWindow are a burst. The payment that makes it so raises the alert, not
	// those that follow. The default is 4.
	BurstPayments int
	// BurstWindow is the time in which the payments of a burst are made. The default is 10 minutes.
	BurstWindow time.Duration

	// Lateness is how much later than a younger one a payment may come and still find its whole window. The default is an hour.
	Lateness time.Duration
	// MaxPayments bounds a history: of a card with more payments in a window, the oldest are forgotten. The
	// default is 4096.
	MaxPayments int
}

// WithDefaults returns the rules with the defaults filled in.
func (r Rules) WithDefaults() Rules {
	setDefault(&r.Limit, 220_00)
	setDefault(&r.MeanFactor, 3)
	setDefault(&r.MeanWindow, 30*24*time.Hour)
	setDefault(&r.MeanPayments, 10)
	setDefault(&r.BurstPayments, 4)
	setDefault(&r.BurstWindow, 10*time.Minute)
	setDefault(&r.Lateness, time.Hour)
	setDefault(&r.MaxPayments, 4096)
	return r
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports all thresholds that make no sense.
func (r Rules) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("rules: "+format, args...))
		}
	}
	check(r.Limit > 0, "limit %s: want more than 0", r.Limit)
	check(r.MeanFactor >= 1, "mean factor %v: want at least 1", r.MeanFactor)
	check(r.MeanPayments >= 1, "mean of %d payments: want at least 1", r.MeanPayments)
	check(r.BurstPayments >= 2, "burst of %d payments: want at least 2", r.BurstPayments)
	check(r.BurstWindow >= time.Second, "burst window %v: want at least a second", r.BurstWindow)
	check(r.MeanWindow >= 2*r.BurstWindow, "mean window %v: want at least twice the burst window %v", r.MeanWindow, r.BurstWindow)
	check(r.Lateness >= 0, "lateness %v: want 0 or more", r.Lateness)
	check(r.MaxPayments > max(r.MeanPayments, 2*r.BurstPayments), "histories of %d payments are too short for the other thresholds", r.MaxPayments)
	return errors.Join(errs...)
}

// Source is where the record of a payment lies.
type Source struct {
	Topic     string
	Partition int32
	Offset    int64
}

// TooLarge reports whether the amount is above the limit.
func (r Rules) TooLarge(t payment.Transaction) bool { return t.Amount > r.Limit }

// LimitAlert is the alert for a payment that is too large.
func (r Rules) LimitAlert(t payment.Transaction, from Source) Alert {
	a := newAlert(AboveLimit, t, from)
	a.Limit = r.Limit
	a.Records.Offsets = []int64{from.Offset}
	return a
}

// Habits compares a payment with its card's history, adds it there, and returns the alerts. The payments of a
// card must come in the order of their offsets.
func (r Rules) Habits(h *History, t payment.Transaction, from Source) (alerts []Alert) {
	now := t.Time.UnixMilli()
	r.forget(h, now)
	if a, ok := r.aboveMean(h, now, t, from); ok {
		alerts = append(alerts, a)
	}
	if a, ok := r.burst(h, now, t, from); ok {
		alerts = append(alerts, a)
	}
	h.add(Past{now, from.Offset, int64(t.Amount)})
	return alerts
}

// forget drops what no window of this payment or of a later one, Lateness included, can reach.
func (r Rules) forget(h *History, now int64) {
	oldest := max(now, h.last.millis) - (r.MeanWindow + r.Lateness).Milliseconds()
	for h.count > 0 && (h.first.millis <= oldest || h.count >= r.MaxPayments) {
		h.dropFirst()
	}
}

func (r Rules) aboveMean(h *History, now int64, t payment.Transaction, from Source) (Alert, bool) {
	since := now - r.MeanWindow.Milliseconds()
	count, cents := h.between(since, now)
	// Not amount > factor * mean: products of integers are exact as long as they fit a float's 53 bits.
	if count < r.MeanPayments || float64(t.Amount)*float64(count) <= r.MeanFactor*float64(cents) {
		return Alert{}, false
	}
	a := newAlert(AboveMean, t, from)
	a.Mean = payment.Cents((cents + int64(count)/2) / int64(count))
	a.Factor = r.MeanFactor
	a.Payments = count
	a.WindowSeconds = int64(r.MeanWindow / time.Second)
	for past := range h.all {
		if since < past.Millis && past.Millis <= now {
			a.Records.Offsets = append(a.Records.Offsets, past.Offset)
		}
	}
	a.Records.Offsets = append(a.Records.Offsets, from.Offset)
	return a, true
}

// between counts the payments in (since, until]. Mostly that is all but a few of the oldest.
func (h *History) between(since, until int64) (count int, cents int64) {
	count, cents = h.count, h.cents
	for past := range h.all {
		if past.Millis > since && h.last.millis <= until {
			break
		}
		if past.Millis <= since || past.Millis > until {
			count--
			cents -= past.Cents
		}
	}
	return count, cents
}

func (r Rules) burst(h *History, now int64, t payment.Transaction, from Source) (Alert, bool) {
	window := r.BurstWindow.Milliseconds()
	if h.count == 0 || h.last.millis <= now-window {
		return Alert{}, false
	}
	// The last two windows tell whether the payment before this one was part of the same burst.
	var recent []Past
	for past := range h.all {
		if now-2*window < past.Millis && past.Millis <= now {
			recent = append(recent, past)
		}
	}
	burst := since(recent, now-window)
	if len(burst)+1 < r.BurstPayments || len(since(recent, recent[len(recent)-1].Millis-window)) >= r.BurstPayments {
		return Alert{}, false
	}
	a := newAlert(Burst, t, from)
	a.Payments = len(burst) + 1
	a.WindowSeconds = int64(r.BurstWindow / time.Second)
	for _, past := range burst {
		a.Records.Offsets = append(a.Records.Offsets, past.Offset)
	}
	a.Records.Offsets = append(a.Records.Offsets, from.Offset)
	return a, true
}

// since returns the payments after a time, of payments in order of time.
func since(payments []Past, millis int64) []Past {
	for len(payments) > 0 && payments[0].Millis <= millis {
		payments = payments[1:]
	}
	return payments
}

func newAlert(rule string, t payment.Transaction, from Source) Alert {
	return Alert{
		Rule: rule, Card: t.Card, Transaction: t.ID, Terminal: t.Terminal, Time: t.Time, Amount: t.Amount,
		Records: Records{Topic: from.Topic, Partition: from.Partition},
	}
}
