package training

import (
	"errors"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
)

// ErrOneClass means that there are no frauds to learn from, or nothing else.
var ErrOneClass = errors.New("training: the set needs frauds and genuine payments")

// Set is labelled payments.
type Set struct {
	Rows   []features.Vector
	Frauds []bool // of each row
}

// Add adds a payment.
func (s *Set) Add(v features.Vector, fraud bool) {
	s.Rows, s.Frauds = append(s.Rows, v), append(s.Frauds, fraud)
}

func (s *Set) validate() error {
	frauds := 0
	for _, fraud := range s.Frauds {
		if fraud {
			frauds++
		}
	}
	if frauds == 0 || frauds == len(s.Frauds) {
		return ErrOneClass
	}
	return nil
}
