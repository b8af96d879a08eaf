package quality

import (
	"math"
	"slices"
)

// The lengths of the protocol, in days.
const (
	trainDays = 7
	delayDays = 7
	testDays  = 7
)

// Week is a train week, the gap in which its labels arrive, and a test week.
type Week struct {
	Train int // its first day, in days since 1970
}

// Weeks returns successive weeks, each a week later than the one before.
func Weeks(train, count int) []Week {
	weeks := make([]Week, count)
	for i := range weeks {
		weeks[i].Train = train + 7*i
	}
	return weeks
}

// Test returns the days of the test week, [first, next).
func (w Week) Test() (first, next int) {
	first = w.Train + trainDays + delayDays
	return first, first + testDays
}

// Training returns the days that a model for the test week may learn from, [from, until): so many before the gap.
func (w Week) Training(days int) (from, until int) {
	until = w.Train + trainDays
	return until - days, until
}

// History is when the frauds of each card were made, in days. Its zero value is not usable.
type History map[string][]int

// Add notes a fraud. The days of a card are added in order.
func (h History) Add(card string, day int) {
	days := h[card]
	if len(days) == 0 || days[len(days)-1] != day {
		h[card] = append(days, day)
	}
}

// known reports whether a card has a fraud from the train week on that is known on a test day.
func (h History) known(w Week, card string, day int) bool {
	days := h[card]
	i, _ := slices.BinarySearch(days, w.Train)
	return i < len(days) && days[i] < day-delayDays
}

// Select returns the payments that the test week is measured on.
func (w Week) Select(payments []Scored, h History) (test []Scored) {
	first, next := w.Test()
	for _, p := range payments {
		if p.Day >= first && p.Day < next && !h.known(w, p.Card, p.Day) {
			test = append(test, p)
		}
	}
	return test
}

// Summary is the mean and the standard deviation (of the whole, not of a sample) of a measure over some weeks.
type Summary struct {
	Mean   float64 `json:"mean"`
	StdDev float64 `json:"stdDev"`
}

// Summarize sums up one measure of several weeks.
func Summarize(weeks []Measures, measure func(Measures) float64) (s Summary) {
	n := float64(len(weeks))
	for _, m := range weeks {
		s.Mean += measure(m) / n
	}
	for _, m := range weeks {
		d := measure(m) - s.Mean
		s.StdDev += d * d / n
	}
	s.StdDev = math.Sqrt(s.StdDev)
	return s
}
