package main

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/riffle-stream/riffle/apps/frauddetect/quality"
	"github.com/riffle-stream/riffle/apps/internal/progress"
)

// evaluationReport is what an evaluation found. Its JSON form is what --report writes.
type evaluationReport struct {
	replayStats
	Models          []modelReport  `json:"models"`
	Expected        []expectResult `json:"expected,omitempty"`
	PeakMemoryBytes int64          `json:"peakMemoryBytes,omitzero"`
}

// modelReport is the quality of one model.
type modelReport struct {
	Model            string          `json:"model"`
	Weeks            []weekReport    `json:"weeks"`
	AUC              quality.Summary `json:"auc"`
	AveragePrecision quality.Summary `json:"averagePrecision"`
	CardPrecision    quality.Summary `json:"cardPrecision100"`
}

// weekReport is the quality in one test week.
type weekReport struct {
	First string `json:"first"` // its first day
	quality.Measures
}

// add adds the measures of a week, and sums up.
func (m *modelReport) add(w quality.Week, test []quality.Scored) error {
	first, _ := w.Test()
	week := weekReport{First: dayText(first), Measures: quality.Measure(test)}
	if week.Frauds == 0 || week.Frauds == week.Payments {
		return fmt.Errorf("the test week from %s has %d payments and %d frauds of cards that are not known to be compromised: "+
			"name a train week with --train, 14 days before a test week with both", week.First, week.Payments, week.Frauds)
	}
	m.Weeks = append(m.Weeks, week)
	m.sumUp()
	return nil
}

func (m *modelReport) sumUp() {
	var weeks []quality.Measures
	for _, w := range m.Weeks {
		weeks = append(weeks, w.Measures)
	}
	m.AUC = quality.Summarize(weeks, func(m quality.Measures) float64 { return m.AUC })
	m.AveragePrecision = quality.Summarize(weeks, func(m quality.Measures) float64 { return m.AveragePrecision })
	m.CardPrecision = quality.Summarize(weeks, func(m quality.Measures) float64 { return m.CardPrecision })
}

func (r evaluationReport) String() string {
	var b strings.Builder
	b.WriteString(r.replayStats.String())
	if r.PeakMemoryBytes > 0 {
		fmt.Fprintf(&b, ", peak memory %d MiB", r.PeakMemoryBytes>>20)
	}
	fmt.Fprintf(&b, "\n\n  %-12s %-12s %8s %7s  %-13s %-13s %-13s %-11s %s\n",
		"model", "test week", "payments", "frauds", "AUC", "AP", "CP@100", "recall@1%", "recall@0.1%")
	for _, m := range r.Models {
		for _, w := range m.Weeks {
			fmt.Fprintf(&b, "  %-12s %-12s %8s %7s  %-13.3f %-13.3f %-13.3f %-11.3f %.3f\n", m.Model, w.First,
				progress.Count(int64(w.Payments)), progress.Count(int64(w.Frauds)), w.AUC, w.AveragePrecision, w.CardPrecision, w.Recall1, w.Recall01)
		}
		if len(m.Weeks) > 1 {
			fmt.Fprintf(&b, "  %-12s %-12s %8s %7s  %-13s %-13s %s\n", m.Model, fmt.Sprintf("%d weeks", len(m.Weeks)), "", "",
				spread(m.AUC), spread(m.AveragePrecision), spread(m.CardPrecision))
		}
	}
	if len(r.Expected) > 0 {
		b.WriteString("\n")
	}
	for _, x := range r.Expected {
		fmt.Fprintf(&b, "  %s\n", x)
	}
	return b.String()
}

func spread(s quality.Summary) string { return fmt.Sprintf("%.3f±%.3f", s.Mean, s.StdDev) }

// write writes the report as JSON.
func (r evaluationReport) write(path string) error {
	err := writeFile(path, func(w io.Writer) error {
		return json.MarshalWrite(w, r, jsontext.WithIndent("  "), json.Deterministic(true))
	})
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// progressLine is the live line: a phase, and how far it is.
type progressLine struct {
	mu struct {
		sync.Mutex
		phase string
		far   func() string // may be nil
	}
}

func (l *progressLine) set(phase string, far func() string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.phase, l.mu.far = phase, far
}

func (l *progressLine) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.far == nil {
		return l.mu.phase
	}
	return l.mu.phase + ": " + l.mu.far()
}
