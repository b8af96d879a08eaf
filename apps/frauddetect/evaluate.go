package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/quality"
	"github.com/riffle-stream/riffle/apps/internal/ingest"
	"github.com/riffle-stream/riffle/apps/internal/progress"
	"github.com/riffle-stream/riffle/stream"
)

// scoringPartitions is one, so that the payments of all cards reach a terminal in order of time: then a label counts exactly
// from its second on. With more partitions a label counts later by as much as their tasks are apart.
const scoringPartitions = 1

// inputWait is how long the replay waits for the next labels to be fetched before it goes on without them.
const inputWait = time.Minute

// evaluation replays labelled payments and measures the scores.
type evaluation struct {
	evaluateOptions
	cluster *stream.Cluster
	display *progress.Display
	line    progressLine

	expected []*expectation
	history  quality.History
	payments [][]quality.Scored // by model, of the weeks that are measured
	report   evaluationReport
}

func runEvaluate(ctx context.Context, o evaluateOptions, stdout io.Writer, stderr *os.File) (err error) {
	e := &evaluation{evaluateOptions: o, history: make(quality.History), payments: make([][]quality.Scored, len(o.models))}
	for _, path := range o.expect {
		x, err := readExpectation(path, o.models)
		if err != nil {
			return err
		}
		e.expected = append(e.expected, x)
	}
	source, err := e.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if e.dir == "" {
		if e.dir, err = os.MkdirTemp("", "riffle-frauddetect-"); err != nil {
			return fmt.Errorf("a temporary directory: %w: name one with --dir", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(e.dir)) }()
	}
	e.display = progress.Start(stderr, progress.Config{Terminal: progress.IsTerminal(stderr)}, e.line.text)
	e.cluster = stream.Embedded(e.dir).Observe(newLogger(e.display, o.verbose), prometheus.NewRegistry())
	err = e.run(ctx, source)
	e.display.Stop()
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, e.report)
	if o.report == "" {
		return nil
	}
	return e.report.write(o.report)
}

func (e *evaluation) open() (source, error) {
	if e.input != "" {
		return openFile(e.input)
	}
	g, err := newGenerated(e.generator)
	if err != nil {
		return nil, err
	}
	return until{g, g.generator.Config().Start.AddDate(0, 0, e.generate)}, nil
}

// until ends a source at a time.
type until struct {
	source
	end time.Time
}

func (u until) Next() (paymentRow, error) {
	row, err := u.source.Next()
	if err == nil && !row.Time.Before(u.end) {
		return paymentRow{}, io.EOF
	}
	return row, err
}

// run writes the topics, runs the topology over them, and measures what came out.
func (e *evaluation) run(ctx context.Context, source source) (err error) {
	if err := e.cluster.Open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.cluster.Close()) }()
	start := time.Now()
	if err := e.write(ctx, source); err != nil {
		return err
	}
	e.report.Source, e.report.WriteSeconds = source.Name(), time.Since(start).Seconds()
	start = time.Now()
	if err := e.score(ctx); err != nil {
		return err
	}
	e.report.ScoreSeconds = time.Since(start).Seconds()
	e.report.RowsPerSecond = float64(e.report.Rows) / e.report.ScoreSeconds
	e.line.set("measuring", nil)
	if err := e.collect(ctx); err != nil {
		return err
	}
	e.report.PeakMemoryBytes = peakMemory()
	return e.measure()
}

// write puts the payments in their topic, and the label of each fraud in another.
func (e *evaluation) write(ctx context.Context, source source) (err error) {
	for _, topic := range []string{Transactions.Name, Labels.Name, Scores.Name} {
		if err := e.cluster.CreateTopic(ctx, topic, scoringPartitions, keepForever); err != nil {
			return err
		}
	}
	payments, err := stream.NewWriter(ctx, e.cluster, Transactions, stream.WriterConfig{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, payments.Close()) }()
	labels, err := stream.NewWriter(ctx, e.cluster, Labels, stream.WriterConfig{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, labels.Close()) }()
	e.line.set("writing", func() string { return fmt.Sprintf("read %.0f %%", 100*max(0, source.Progress())) })
	for {
		row, err := source.Next()
		var bad *ingest.BadRow
		switch {
		case errors.Is(err, io.EOF):
			return errors.Join(payments.Flush(ctx), labels.Flush(ctx))
		case errors.As(err, &bad):
			return fmt.Errorf("%s, line %d: %w: an evaluation needs every row", source.Name(), bad.Line, bad.Err)
		case err != nil:
			return err
		}
		if err := payments.Write(ctx, stream.Record[string, payment.Transaction]{Key: row.Key, Value: row.Value}); err != nil {
			return err
		}
		e.report.Rows++
		if !row.Value.Fraud() {
			continue
		}
		e.report.Frauds++
		l := payment.Label{Transaction: row.Value, Known: row.Value.Time.Add(features.LabelDelay)}
		if err := labels.Write(ctx, stream.Record[string, payment.Label]{Key: row.Key, Value: l}); err != nil {
			return err
		}
	}
}

// score runs the topology until everything is scored.
func (e *evaluation) score(ctx context.Context) error {
	topology, err := ScoringTopology(e.models...)
	if err != nil {
		return err
	}
	app, err := stream.NewApp(topology, e.cluster, stream.Config{
		Workers: e.workers, StopAtEnd: true, MaxInputWait: inputWait, Logger: newLogger(e.display, e.verbose),
	})
	if err != nil {
		return err
	}
	e.line.set("scoring", func() string { return progress.Count(app.Stats().Processed) + " records" })
	if err := app.Run(ctx); err != nil {
		return err
	}
	if n := app.Stats().DeadLetters; n > 0 {
		return fmt.Errorf("%d records could not be processed: riffle consume %s-dead-letters tells why", n, scoringName)
	}
	return ctx.Err()
}

// collect reads the scores, and keeps what is measured or compared.
func (e *evaluation) collect(ctx context.Context) error {
	weeks := quality.Weeks(dayOf(e.train), e.weeks)
	first, _ := weeks[0].Test()
	_, next := weeks[len(weeks)-1].Test()
	scored := int64(0)
	for r, err := range e.cluster.Read(ctx, Scores) {
		if err != nil {
			return err
		}
		scored++
		s := &r.Value
		day := dayOf(s.Time)
		if s.Fraud() {
			e.history.Add(s.Card, day)
		}
		for _, x := range e.expected {
			x.compare(s)
		}
		if day < first || day >= next {
			continue
		}
		for i, score := range s.Scores {
			e.payments[i] = append(e.payments[i], quality.Scored{Day: day, Card: s.Card, Fraud: s.Fraud(), Score: score})
		}
	}
	if scored != e.report.Rows {
		return fmt.Errorf("%d payments were written, but %d are scored", e.report.Rows, scored)
	}
	return nil
}

func (e *evaluation) measure() error {
	weeks := quality.Weeks(dayOf(e.train), e.weeks)
	for i, m := range e.models {
		measured := modelReport{Model: m.Name()}
		for _, w := range weeks {
			first, _ := w.Test()
			week := weekReport{
				First:    time.Unix(int64(first)*86400, 0).UTC().Format(time.DateOnly),
				Measures: quality.Measure(w.Select(e.payments[i], e.history)),
			}
			if week.Frauds == 0 || week.Frauds == week.Payments {
				return fmt.Errorf("the test week from %s has %d payments and %d frauds of cards that are not known to be compromised: "+
					"name a train week with --train, 14 days before a test week with both", week.First, week.Payments, week.Frauds)
			}
			measured.Weeks = append(measured.Weeks, week)
		}
		measured.sumUp()
		e.report.Models = append(e.report.Models, measured)
	}
	for _, x := range e.expected {
		e.report.Expected = append(e.report.Expected, x.result())
	}
	return nil
}

func dayOf(t time.Time) int { return int(t.Unix() / 86400) }
