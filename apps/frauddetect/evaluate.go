package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/quality"
	"github.com/riffle-stream/riffle/apps/frauddetect/training"
)

// evaluation measures how well scores find frauds.
type evaluation struct {
	evaluateOptions
	replay   *replay
	weeks    []quality.Week
	expected []*expectation
	history  quality.History
	payments [][]quality.Scored // by model, of the test weeks
	rows     []trainRow         // of the test weeks, and of what they are trained on
	report   evaluationReport
}

// trainRow is a payment as models are trained and tested on it.
type trainRow struct {
	quality.Scored
	vector features.Vector
}

func runEvaluate(ctx context.Context, o evaluateOptions, stdout io.Writer, stderr *os.File) (err error) {
	e := &evaluation{
		evaluateOptions: o, replay: &replay{replayOptions: o.replayOptions},
		weeks: quality.Weeks(dayOf(o.train), o.weeks), history: make(quality.History), payments: make([][]quality.Scored, len(o.models)),
	}
	for _, path := range o.expect {
		x, err := readExpectation(path, o.models)
		if err != nil {
			return err
		}
		e.expected = append(e.expected, x)
	}
	if err := e.replay.run(ctx, stderr, e.add, e.measure); err != nil {
		return err
	}
	e.report.replayStats, e.report.PeakMemoryBytes = e.replay.stats, peakMemory()
	fmt.Fprint(stdout, e.report)
	if o.report == "" {
		return nil
	}
	return e.report.write(o.report)
}

// add keeps what is measured, compared, or learned from.
func (e *evaluation) add(s *Score) {
	first, _ := e.weeks[0].Test()
	_, next := e.weeks[len(e.weeks)-1].Test()
	day := dayOf(s.Time)
	if s.Fraud() {
		e.history.Add(s.Card, day)
	}
	for _, x := range e.expected {
		x.compare(s)
	}
	p := quality.Scored{Day: day, Card: s.Card, Fraud: s.Fraud()}
	if day >= first && day < next {
		for i, score := range s.Scores {
			p.Score = score
			e.payments[i] = append(e.payments[i], p)
		}
	}
	if from, _ := e.weeks[0].Training(e.retrain); e.retrain > 0 && day >= from && day < next {
		e.rows = append(e.rows, trainRow{p, s.Vector()})
	}
}

func (e *evaluation) measure() error {
	for i, m := range e.models {
		measured := modelReport{Model: m.Name()}
		for _, w := range e.weeks {
			if err := measured.add(w, w.Select(e.payments[i], e.history)); err != nil {
				return err
			}
		}
		e.report.Models = append(e.report.Models, measured)
	}
	if e.retrain > 0 {
		if err := e.measureRetrained(); err != nil {
			return err
		}
	}
	for _, x := range e.expected {
		e.report.Expected = append(e.report.Expected, x.result())
	}
	return nil
}

// measureRetrained measures models that are trained anew for each week, on the days before the gap in which labels arrive: from the published
// features, and from all.
func (e *evaluation) measureRetrained() error {
	for _, published := range []bool{true, false} {
		mark := "*"
		if !published {
			mark = "+*"
		}
		reports := []modelReport{{Model: logisticName + mark}, {Model: treesName + mark}}
		for n, w := range e.weeks {
			e.replay.line.set("training", func() string { return fmt.Sprintf("week %d of %d", n+1, len(e.weeks)) })
			if err := e.measureTrained(w, published, reports); err != nil {
				return err
			}
		}
		e.report.Models = append(e.report.Models, reports...)
	}
	return nil
}

// measureTrained trains models for a week, and adds what they find in it to their reports.
func (e *evaluation) measureTrained(w quality.Week, published bool, reports []modelReport) error {
	from, until := w.Training(e.retrain)
	set := training.Set{Published: published}
	for _, r := range e.rows {
		if r.Day >= from && r.Day < until {
			set.Add(r.vector, r.Fraud)
		}
	}
	models, err := trainModels(&set, e.trees)
	if err != nil {
		return fmt.Errorf("training for the week from %s: %w", dayText(until), err)
	}
	first, next := w.Test()
	for i, m := range models {
		var scored []quality.Scored
		for _, r := range e.rows {
			if r.Day >= first && r.Day < next {
				r.Score = m.Score(&r.vector)
				scored = append(scored, r.Scored)
			}
		}
		if err := reports[i].add(w, w.Select(scored, e.history)); err != nil {
			return err
		}
	}
	return nil
}

func dayOf(t time.Time) int { return int(t.Unix() / 86400) }

func dayText(day int) string { return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly) }
