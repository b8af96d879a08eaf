package features

import (
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
)

// Days are the widths of the published windows.
var Days = [3]int{1, 7, 30}

// UsualDays is how far back the payments go that say what is usual for a card, and LargestDays those among which the largest is looked for.
const UsualDays, LargestDays = 30, 14

// LabelDelay is how long after a payment it is known whether it was a fraud.
const LabelDelay = 7 * 24 * time.Hour

// Counts is what was counted for a payment when it was made.
type Counts struct {
	// CardPayments and CardCents are the number and the sum of the card's payments in Days, this one included.
	CardPayments, CardCents [len(Days)]int64
	// TerminalPayments are the number of the terminal's payments in Days up to LabelDelay ago, and TerminalFrauds those of them that
	// were known to be frauds.
	TerminalPayments, TerminalFrauds [len(Days)]int64

	// Usual is about the card's payments in the UsualDays before this one, and CardLargest the largest in LargestDays before
	// it, in cents. Those of the same millisecond are not before it.
	Usual       Usual
	CardLargest int64
	// FraudsInRow is how many frauds the terminal's payments up to LabelDelay ago end with, and SinceGenuine how many milliseconds ago
	// the last one was that was none: -1 if there is none in the widest of Days. Both are 0 where no fraud is known.
	FraudsInRow, SinceGenuine int64
}

// Usual is the number, the sum and the largest of payments, in cents.
type Usual struct{ Payments, Cents, Largest int64 }

// mean is the mean without the largest, which may be a fraud that nobody knows of yet: 0 of nothing.
func (u Usual) mean() float64 {
	if u.Payments > 1 {
		return share(u.Cents-u.Largest, 100*(u.Payments-1))
	}
	return share(u.Cents, 100*u.Payments)
}

// numbers are all counts, in the order in which they are encoded.
func (c *Counts) numbers(each func(*int64)) {
	for _, part := range [...]*[len(Days)]int64{&c.CardPayments, &c.CardCents, &c.TerminalPayments, &c.TerminalFrauds} {
		for i := range part {
			each(&part[i])
		}
	}
	for _, n := range [...]*int64{&c.Usual.Payments, &c.Usual.Cents, &c.Usual.Largest, &c.CardLargest, &c.FraudsInRow, &c.SinceGenuine} {
		each(n)
	}
}

// Published is the number of the published features, which come first in a Vector; Size is that of all.
const (
	Published = 3 + 4*len(Days)
	Size      = Published + 4
)

// Vector holds the features in the order of Names.
type Vector [Size]float64

// names are the published ones, and ours.
var names = func() (n [Size]string) {
	n[0], n[1], n[2] = "TX_AMOUNT", "TX_DURING_WEEKEND", "TX_DURING_NIGHT"
	for i, days := range Days {
		n[3+2*i] = fmt.Sprintf("CUSTOMER_ID_NB_TX_%dDAY_WINDOW", days)
		n[4+2*i] = fmt.Sprintf("CUSTOMER_ID_AVG_AMOUNT_%dDAY_WINDOW", days)
		n[9+2*i] = fmt.Sprintf("TERMINAL_ID_NB_TX_%dDAY_WINDOW", days)
		n[10+2*i] = fmt.Sprintf("TERMINAL_ID_RISK_%dDAY_WINDOW", days)
	}
	n[Published], n[Published+1] = "TX_AMOUNT_OVER_USUAL", fmt.Sprintf("CUSTOMER_ID_LARGEST_%dDAY_OVER_USUAL", LargestDays)
	n[Published+2], n[Published+3] = "TERMINAL_ID_FRAUDS_IN_A_ROW", "TERMINAL_ID_DAYS_SINCE_GENUINE"
	return n
}()

// Names returns the names of the features.
func Names() []string { return names[:] }

// noGenuine is TERMINAL_ID_DAYS_SINCE_GENUINE where none is as young as that.
const noGenuine = 37 // LabelDelay and the widest of Days

// Row is a payment with its counts.
type Row struct {
	payment.Transaction
	Counts
}

// lastNightHour: the published night ends with this hour, though its text says "before 6".
const lastNightHour = 6

// Vector returns the features.
func (r *Row) Vector() (v Vector) {
	v[0] = float64(r.Amount) / 100
	if day := r.Time.Weekday(); day == time.Saturday || day == time.Sunday {
		v[1] = 1
	}
	if r.Time.Hour() <= lastNightHour {
		v[2] = 1
	}
	for i := range Days {
		v[3+2*i] = float64(r.CardPayments[i])
		v[4+2*i] = share(r.CardCents[i], 100*r.CardPayments[i])
		v[9+2*i] = float64(r.TerminalPayments[i])
		v[10+2*i] = share(r.TerminalFrauds[i], r.TerminalPayments[i])
	}
	v[Published] = 1
	if usual := r.Usual.mean(); usual > 0 {
		v[Published], v[Published+1] = v[0]/usual, float64(r.CardLargest)/100/usual
	}
	v[Published+2] = float64(r.FraudsInRow)
	v[Published+3] = float64(r.SinceGenuine) / float64(24*time.Hour/time.Millisecond)
	if r.SinceGenuine < 0 {
		v[Published+3] = noGenuine
	}
	return v
}

// share returns part of whole, 0 of nothing.
func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
