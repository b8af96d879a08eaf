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
	// Published says to learn from the published features alone.
	Published bool
}

// width is how many features are learned from.
func (s *Set) width() int {
	if s.Published {
		return features.Published
	}
	return features.Size
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
