package main

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
)

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
