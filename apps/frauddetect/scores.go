package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
	"github.com/riffle-stream/riffle/internal/varint"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Score is a payment with its features, and the scores of the models, in their order.
type Score struct {
	features.Row
	Scores []float64
}

// scorer scores payments. It keeps nothing in memory: what models have learned is read for each input.
type scorer struct{ models []scoring.Model }

// learns reports whether any model does.
func (s scorer) learns() bool {
	return slices.ContainsFunc(s.models, func(m scoring.Model) bool { _, ok := m.(scoring.Learner); return ok })
}

// open returns the models as they are now, and those of them that learn.
func (s scorer) open(c state.Context) (models []scoring.Model, learning learners, err error) {
	models = s.models
	for i, m := range s.models {
		l, ok := m.(scoring.Learner)
		if !ok {
			continue
		}
		if len(learning) == 0 {
			models = slices.Clone(s.models)
		}
		l = l.New()
		models[i], learning = l, append(learning, l)
	}
	return models, learning, learning.restore(c)
}

func (s scorer) input(c *stream.Context[string, Score], r stream.Record[string, desk.Input]) error {
	models, learning, err := s.open(c)
	if err != nil {
		return err
	}
	if l := r.Value.Label; l != nil {
		some, err := learning.label(c, l)
		if err == nil && some {
			err = learning.keep(c)
		}
		return err
	}
	row := &r.Value.Payment.Row
	score, v := Score{Row: *row, Scores: make([]float64, len(models))}, row.Vector()
	for i, m := range models {
		score.Scores[i] = m.Score(&v)
	}
	if err := learning.remember(c, row); err != nil {
		return err
	}
	return c.Forward(r.Key, score)
}

func (s scorer) silence(c *stream.Context[string, Score], at time.Time) error {
	_, learning, err := s.open(c)
	if err != nil {
		return err
	}
	some, err := learning.silence(c, at)
	if err == nil && some {
		err = learning.keep(c)
	}
	return err
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
	r := varint.NewReader(b)
	s.Read(&r)
	rest := r.Rest()
	switch {
	case r.Bad():
		return features.ErrRow
	case len(rest)%8 != 0:
		return fmt.Errorf("%w: scores of %d bytes", features.ErrRow, len(rest))
	}
	s.Scores = make([]float64, 0, len(rest)/8)
	for ; len(rest) > 0; rest = rest[8:] {
		s.Scores = append(s.Scores, math.Float64frombits(binary.BigEndian.Uint64(rest)))
	}
	return nil
}
