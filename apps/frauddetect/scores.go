package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/stream"
)

// slidingConfig has a window for each of features.Days.
func slidingConfig(delay, lateness time.Duration) processors.SlidingConfig {
	cfg := processors.SlidingConfig{Lateness: lateness}
	for _, days := range features.Days {
		cfg.Windows = append(cfg.Windows, processors.SlidingWindow{Width: time.Duration(days) * 24 * time.Hour, Delay: delay})
	}
	return cfg
}

// errLate means a payment whose windows are no longer complete.
var errLate = errors.New("frauddetect: the payment comes too late for its features")

// visit is what a terminal sees: a payment, or the label of an earlier one.
type visit struct {
	features.Row
	Label bool // the payment was a fraud
}

func labelVisit(l payment.Label) visit {
	return visit{Row: features.Row{Transaction: l.Transaction}, Label: true}
}

// cardFeatures counts what the card did up to a payment.
func cardFeatures(c *stream.Context[string, visit], r stream.Record[string, payment.Transaction]) error {
	windows, err := cardPayments.In(c).Observe(r.Key, processors.Observation{Amount: int64(r.Value.Amount)})
	switch {
	case err != nil:
		return err
	case windows == nil:
		return errLate
	}
	v := visit{Row: features.Row{Transaction: r.Value}}
	for i, w := range windows {
		v.CardPayments[i], v.CardCents[i] = w.Count, w.Sum
	}
	return c.Forward(r.Key, v)
}

// terminalFeatures counts what is known of the terminal when a payment is made there. A label counts at the time of its
// payment.
func terminalFeatures(c *stream.Context[string, features.Row], r stream.Record[string, visit]) error {
	v := r.Value
	if v.Label {
		return terminalFrauds.In(c).Add(r.Key, v.Time, processors.Observation{})
	}
	payments, err := terminalPayments.In(c).Observe(r.Key, processors.Observation{})
	if err != nil {
		return err
	}
	frauds, err := terminalFrauds.In(c).Windows(r.Key)
	switch {
	case err != nil:
		return err
	case payments == nil || frauds == nil:
		return errLate
	}
	for i := range features.Days {
		v.TerminalPayments[i], v.TerminalFrauds[i] = payments[i].Count, frauds[i].Count
	}
	return c.Forward(r.Key, v.Row)
}

// Score is a payment with its features, and the scores of the models, in their order.
type Score struct {
	features.Row
	Scores []float64
}

// scorer returns a function that scores payments.
func scorer(models []scoring.Model) func(features.Row) Score {
	return func(r features.Row) Score {
		s := Score{Row: r, Scores: make([]float64, len(models))}
		v := r.Vector()
		for i, m := range models {
			s.Scores[i] = m.Score(&v)
		}
		return s
	}
}

// AppendBinary appends the row and a byte. It implements encoding.BinaryAppender.
func (v *visit) AppendBinary(b []byte) ([]byte, error) {
	label := byte(0)
	if v.Label {
		label = 1
	}
	b, err := v.Row.AppendBinary(b)
	return append(b, label), err
}

// UnmarshalBinary reads what AppendBinary wrote.
func (v *visit) UnmarshalBinary(b []byte) error {
	rest, err := v.Cut(b)
	if err != nil || len(rest) != 1 {
		return features.ErrRow
	}
	v.Label = rest[0] != 0
	return nil
}

// AppendBinary appends the row and the scores. It implements encoding.BinaryAppender.
func (s *Score) AppendBinary(b []byte) ([]byte, error) {
	b, err := s.Row.AppendBinary(b)
	for _, f := range s.Scores {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(f))
	}
	return b, err
}

// UnmarshalBinary reads what AppendBinary wrote.
func (s *Score) UnmarshalBinary(b []byte) error {
	rest, err := s.Cut(b)
	switch {
	case err != nil:
		return err
	case len(rest)%8 != 0:
		return fmt.Errorf("%w: scores of %d bytes", features.ErrRow, len(rest))
	}
	s.Scores = make([]float64, 0, len(rest)/8)
	for ; len(rest) > 0; rest = rest[8:] {
		s.Scores = append(s.Scores, math.Float64frombits(binary.BigEndian.Uint64(rest)))
	}
	return nil
}
