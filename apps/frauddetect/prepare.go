package main

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/internal/duplicates"
	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

const (
	day = 24 * time.Hour
	// cardLateness and terminalLateness are how far payments may come out of order and still find whole windows. At a terminal they come
	// from all partitions, whose tasks are days apart while they catch up.
	cardLateness     = 24 * time.Hour
	terminalLateness = 30 * 24 * time.Hour
	// rememberRecent and rememberLabels are how long a card's last payments, and that a payment was labelled, are known.
	rememberRecent = 30 * 24 * time.Hour
	rememberLabels = 60 * 24 * time.Hour
)

// beforeIt moves a window in front of the payment.
const beforeIt = time.Millisecond

// The windows behind those of features.Days.
var (
	cardWindows = []processors.SlidingWindow{
		{Width: features.UsualDays * day, Delay: beforeIt},
		{Width: features.LargestDays * day, Delay: beforeIt},
		{Width: 5 * time.Minute},
		{Width: time.Hour},
	}
	terminalWindows  = []processors.SlidingWindow{{Width: 10 * time.Minute}}
	cardPayments     = processors.NewSlidingStore("card-payments", serde.String, slidingConfig(0, cardLateness, cardWindows...))
	terminalPayments = processors.NewSlidingStore("terminal-payments", serde.String, slidingConfig(features.LabelDelay, terminalLateness, terminalWindows...))
	terminalFrauds   = processors.NewSlidingStore("terminal-frauds", serde.String, slidingConfig(features.LabelDelay, terminalLateness))
	cardRecent       = state.NewKeyValueStore("card-recent", serde.String, serde.Binary[recentPayments]()).TTL(rememberRecent)
	terminalLabels   = state.NewKeyValueStore("terminal-labels", serde.String, serde.Binary[recentLabels]()).TTL(rememberLabels)
	labelled         = state.NewKeyValueStore("labelled", serde.String, serde.Bytes).TTL(rememberLabels)
)

// slidingConfig has a window for each of features.Days, and others behind them.
func slidingConfig(delay, lateness time.Duration, others ...processors.SlidingWindow) processors.SlidingConfig {
	cfg := processors.SlidingConfig{Lateness: lateness}
	for _, days := range features.Days {
		cfg.Windows = append(cfg.Windows, processors.SlidingWindow{Width: time.Duration(days) * day, Delay: delay})
	}
	cfg.Windows = append(cfg.Windows, others...)
	return cfg
}

// errLate means a payment whose windows are no longer complete.
var errLate = errors.New("frauddetect: the payment comes too late for its features")

// late says how late it comes.
func late(at, now time.Time) error {
	return fmt.Errorf("%w: it is of %s, and others of %s were here", errLate, at.Format(time.RFC3339), now.Format(time.RFC3339))
}

type checkedPayment = duplicates.Checked[payment.Transaction]

// unchecked are payments that no detector has looked at.
func unchecked(payments stream.Stream[string, payment.Transaction]) stream.Stream[string, checkedPayment] {
	return payments.Map(func(t payment.Transaction) checkedPayment {
		return checkedPayment{Payment: t, Verdict: duplicates.Unique}
	})
}

// prepare makes of payments and labels what decides: payments with everything that is known of them, and labels, keyed by card.
func prepare(labels stream.Stream[string, payment.Label], payments stream.Stream[string, checkedPayment], o order) stream.Stream[string, desk.Input] {
	// Labels are named first: at an equal time a label counts before the payment.
	visits := labels.Process("labels", o.labelVisit, labelled).
		Merge(payments.MapRecord(paymentVisit))
	if o.lateness > 0 {
		visits = o.byTime(visits)
	}
	// What the card did in the last 1, 7 and 30 days.
	visits = visits.Process("card-features", cardFeatures, cardPayments, cardRecent)

	// What happened at the terminal up to a week ago: labels tell of nothing younger.
	byTerminal := visits.Rekey("by-terminal", serde.String, serde.Binary[visit](), func(_ string, v visit) string { return v.terminal() })
	if o.lateness > 0 {
		byTerminal = o.align(byTerminal)
	}
	return byTerminal.
		Process("terminal-features", terminalFeatures, terminalPayments, terminalFrauds, terminalLabels).
		Rekey("by-card", serde.String, desk.Inputs.Value, func(_ string, in desk.Input) string { return cardOf(in) })
}

func cardOf(in desk.Input) string {
	if in.Payment != nil {
		return in.Payment.Card
	}
	return in.Label.Transaction.Card
}

// labelVisit passes labels on: a fraud once, however often it is told. One that comes late has the present time of its task.
func (o order) labelVisit(c *stream.Context[string, visit], r stream.Record[string, payment.Label]) error {
	if !r.Value.Genuine {
		seen := labelled.In(c)
		id := paymentKey(r.Value.Transaction)
		if _, found, err := seen.Get(id); err != nil || found {
			return err
		}
		if err := seen.Put(id, []byte{}); err != nil {
			return err
		}
	}
	l := &desk.Label{Label: r.Value, LabelPlace: desk.LabelPlace{Partition: r.Partition, Offset: r.Offset}}
	at := c.StreamTime()
	if o.lateness > 0 {
		at = r.Time // it will be brought into order
	}
	if own := r.Value.Transaction.Time; own.After(at) {
		at = own // it has overtaken its payment
	}
	return c.ForwardRecord(stream.Record[string, visit]{Key: r.Key, Value: visit{Input: desk.Input{Label: l}}, Time: at})
}

func paymentVisit(r stream.Record[string, checkedPayment]) visit {
	p := &desk.Prepared{Row: features.Row{Transaction: r.Value.Payment}, Partition: r.Partition, Offset: r.Offset, Verdict: r.Value.Verdict}
	if p.Verdict != duplicates.Unique {
		p.First = r.Value.First.Offset
	}
	return visit{Input: desk.Input{Payment: p}}
}

// cardFeatures counts what the card did up to a payment.
func cardFeatures(c *stream.Context[string, visit], r stream.Record[string, visit]) error {
	p := r.Value.Payment
	if p == nil {
		return c.Forward(r.Key, r.Value)
	}
	windows, err := cardPayments.In(c).Observe(r.Key, processors.Observation{Amount: int64(p.Amount)})
	switch {
	case err != nil:
		return err
	case windows == nil:
		return late(r.Time, c.StreamTime())
	}
	for i := range features.Days {
		p.CardPayments[i], p.CardCents[i] = windows[i].Count, windows[i].Sum
	}
	usual, largest, short := windows[len(features.Days)], windows[len(features.Days)+1], windows[len(features.Days)+2:]
	p.Usual = features.Usual{Payments: usual.Count, Cents: usual.Sum, Largest: usual.Max}
	p.CardLargest = largest.Max
	p.CardPayments5m, p.CardPayments1h, p.CardCents1h = short[0].Count, short[1].Count, short[1].Sum

	store := cardRecent.In(c)
	recent, _, err := store.Get(r.Key)
	if err != nil {
		return err
	}
	p.Recent = recent.before(p.Time)
	recent.add(desk.Recent{Offset: p.Offset, Time: p.Time, Amount: p.Amount})
	if err := store.Put(r.Key, recent); err != nil {
		return err
	}
	return c.Forward(r.Key, r.Value)
}

// terminalFeatures counts what is known of the terminal when a payment is made there. A label counts at the time of its
// payment.
func terminalFeatures(c *stream.Context[string, desk.Input], r stream.Record[string, visit]) error {
	switch v := r.Value; {
	case v.Tick:
		return nil
	case v.Label != nil:
		return terminalLabel(c, r)
	}
	p := r.Value.Payment
	payments, err := terminalPayments.In(c).Observe(r.Key, processors.Observation{})
	if err != nil {
		return err
	}
	frauds, err := terminalFrauds.In(c).Windows(r.Key)
	switch {
	case err != nil:
		return err
	case payments == nil || frauds == nil:
		return late(r.Time, c.StreamTime())
	}
	for i := range features.Days {
		p.TerminalPayments[i], p.TerminalFrauds[i] = payments[i].Count, frauds[i].Count
	}
	p.TerminalPayments10m = payments[len(features.Days)].Count
	if p.TerminalFrauds[len(features.Days)-1] > 0 {
		known, _, err := terminalLabels.In(c).Get(r.Key)
		if err != nil {
			return err
		}
		p.Frauds = known
		if p.FraudsInRow, p.SinceGenuine, err = fraudsInRow(c, r.Key, r.Time); err != nil {
			return err
		}
	}
	return c.Forward(r.Key, r.Value.Input)
}

// fraudsInRow counts the frauds that the terminal's known payments end with, and tells how many milliseconds ago the last one was that was
// none: -1 if the windows have none. Of payments of one time, the frauds come last.
func fraudsInRow(c *stream.Context[string, desk.Input], terminal string, at time.Time) (n, since int64, err error) {
	known := at.Add(-features.LabelDelay)
	begin := known.Add(-time.Duration(slices.Max(features.Days[:])) * day)
	frauds, stop := iter.Pull2(terminalFrauds.In(c).Backward(terminal, begin, known))
	defer stop()
	for payment, err := range terminalPayments.In(c).Backward(terminal, begin, known) {
		if err != nil {
			return 0, 0, err
		}
		fraud, err, more := frauds()
		switch {
		case err != nil:
			return 0, 0, err
		case !more || fraud.Before(payment):
			return n, at.Sub(payment).Milliseconds(), nil
		}
		n++
	}
	return n, -1, nil
}

func terminalLabel(c *stream.Context[string, desk.Input], r stream.Record[string, visit]) error {
	l := r.Value.Label
	if !l.Genuine {
		if err := terminalFrauds.In(c).Add(r.Key, l.Transaction.Time, processors.Observation{}); err != nil {
			return err
		}
		store := terminalLabels.In(c)
		known, _, err := store.Get(r.Key)
		if err != nil {
			return err
		}
		known.add(l.LabelPlace)
		if err := store.Put(r.Key, known); err != nil {
			return err
		}
	}
	return c.Forward(r.Key, r.Value.Input)
}
