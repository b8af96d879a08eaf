package features

import (
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
)

// Days are the widths of the windows.
var Days = [3]int{1, 7, 30}

// LabelDelay is how long after a payment it is known whether it was a fraud.
const LabelDelay = 7 * 24 * time.Hour

// Counts is what the windows of Days held when a payment was made.
type Counts struct {
	// CardPayments and CardCents are the number and the sum of the card's payments, this one included.
	CardPayments, CardCents [len(Days)]int64
	// TerminalPayments are the number of the terminal's payments up to LabelDelay ago, and TerminalFrauds those of them that
	// were known to be frauds.
	TerminalPayments, TerminalFrauds [len(Days)]int64
}

// Size is the number of features.
const Size = 3 + 4*len(Days)

// Vector holds the features in the order of Names.
type Vector [Size]float64

// names are the published ones.
var names = func() (n [Size]string) {
	n[0], n[1], n[2] = "TX_AMOUNT", "TX_DURING_WEEKEND", "TX_DURING_NIGHT"
	for i, days := range Days {
		n[3+2*i] = fmt.Sprintf("CUSTOMER_ID_NB_TX_%dDAY_WINDOW", days)
		n[4+2*i] = fmt.Sprintf("CUSTOMER_ID_AVG_AMOUNT_%dDAY_WINDOW", days)
		n[9+2*i] = fmt.Sprintf("TERMINAL_ID_NB_TX_%dDAY_WINDOW", days)
		n[10+2*i] = fmt.Sprintf("TERMINAL_ID_RISK_%dDAY_WINDOW", days)
	}
	return n
}()

// Names returns the names of the features.
func Names() []string { return names[:] }

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
	return v
}

// share returns part of whole, 0 of nothing.
func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
