package deciding

import (
	"sync"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/duplicates"
)

// The variables of conditions beside the payment's own and the published features.
var ownVariables = []string{
	"score",                 // of the live model, 0 without one
	"suspected_double",      // 1 if another payment of the card at the terminal has this amount, or nearly, and came within minutes
	"payments_5m",           // of the card, this one included
	"payments_1h",           //
	"amount_1h",             // in units
	"terminal_payments_10m", // this one included
	"last_amount",           // of the card's payment before, in units; 0 without one within 30 days
	"last_seconds",          // since then; 1e9 without one
}

// noLast is last_seconds without an earlier payment.
const noLast = 1e9

// Schema has all that a condition may name.
var Schema = sync.OnceValues(func() (*rulebook.Schema, error) {
	return rulebook.NewSchema(append(append([]string{}, features.Names()...), ownVariables...)...)
})

// variables appends the values of the schema's features, in its order.
func variables(values []float64, p *desk.Prepared, v *features.Vector, score float64) []float64 {
	double := 0.0
	if p.Verdict != duplicates.Unique {
		double = 1
	}
	last, since := 0.0, noLast
	if len(p.Recent) > 0 {
		last, since = float64(p.Recent[0].Amount)/100, float64(p.Time.Sub(p.Recent[0].Time)/time.Millisecond)/1000
	}
	values = append(values, v[:]...)
	return append(values, score, double, float64(p.CardPayments5m), float64(p.CardPayments1h), float64(p.CardCents1h)/100,
		float64(p.TerminalPayments10m), last, since)
}
