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
	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
	"github.com/riffle-stream/riffle/apps/internal/ingest"
	"github.com/riffle-stream/riffle/apps/internal/pan"
	"github.com/riffle-stream/riffle/apps/internal/progress"
	"github.com/riffle-stream/riffle/stream"
)

// scoringPartitions is one, so that the payments of all cards reach a terminal in order of time: then a label counts exactly
// from its second on. With more partitions a label counts later by as much as their tasks are apart.
const scoringPartitions = 1

// inputWait is how long the replay waits for the next labels to be fetched before it goes on without them.
const inputWait = time.Minute

// replayOptions are what evaluate and train have in common.
type replayOptions struct {
	input     string
	generate  int // days of made-up payments, if there is no input
	generator generator.Config
	models    []scoring.Model
	workers   int
	dir       string // a temporary one if it is empty
	verbose   bool
}

// replay runs labelled payments through broker and scoring topology, and hands on what comes out.
type replay struct {
	replayOptions
	cluster *stream.Cluster
	display *progress.Display
	line    progressLine
	stats   replayStats
}

// replayStats is what a replay did.
type replayStats struct {
	Source        string  `json:"source"`
	Rows          int64   `json:"rows"`
	Frauds        int64   `json:"frauds"`
	WriteSeconds  float64 `json:"writeSeconds"`
	ScoreSeconds  float64 `json:"scoreSeconds"`
	RowsPerSecond float64 `json:"rowsPerSecond"` // scored
}

func (s replayStats) String() string {
	return fmt.Sprintf("%s: %s payments, %s frauds\n  written in %.1f s, scored in %.1f s: %s payments/s", s.Source,
		progress.Count(s.Rows), progress.Count(s.Frauds), s.WriteSeconds, s.ScoreSeconds, progress.Count(int64(s.RowsPerSecond)))
}

// run calls each with every payment and its scores, in order of time, and then done; both while the live line is shown.
func (e *replay) run(ctx context.Context, stderr *os.File, each func(*Score), done func() error) (err error) {
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
	defer e.display.Stop()
	e.cluster = stream.Embedded(e.dir).Observe(newLogger(e.display, e.verbose), prometheus.NewRegistry())
	if err := e.cluster.Open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.cluster.Close()) }()
	start := time.Now()
	if err := e.write(ctx, source); err != nil {
		return err
	}
	e.stats.Source, e.stats.WriteSeconds = source.Name(), time.Since(start).Seconds()
	start = time.Now()
	if err := e.score(ctx); err != nil {
		return err
	}
	e.stats.ScoreSeconds = time.Since(start).Seconds()
	e.stats.RowsPerSecond = float64(e.stats.Rows) / e.stats.ScoreSeconds
	if err := e.collect(ctx, each); err != nil {
		return err
	}
	return done()
}

func (e *replay) open() (source, error) {
	if e.input != "" {
		// The topics of a replay lie in its own directory, and end with it unless that is kept.
		return openFile(e.input, pan.NewEdge(pan.Config{Dir: e.dir, Temporary: true}))
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

// write puts the payments in their topic, and the label of each fraud in another.
func (e *replay) write(ctx context.Context, source source) (err error) {
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
		e.stats.Rows++
		if !row.Value.Fraud() {
			continue
		}
		e.stats.Frauds++
		l := payment.Label{Transaction: row.Value, Known: row.Value.Time.Add(features.LabelDelay)}
		if err := labels.Write(ctx, stream.Record[string, payment.Label]{Key: row.Key, Value: l, Time: l.Known}); err != nil {
			return err
		}
	}
}

// score runs the topology until everything is scored.
func (e *replay) score(ctx context.Context) error {
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

// collect reads the scores.
func (e *replay) collect(ctx context.Context, each func(*Score)) error {
	e.line.set("reading the scores", nil)
	scored := int64(0)
	for r, err := range e.cluster.Read(ctx, Scores) {
		if err != nil {
			return err
		}
		scored++
		each(&r.Value)
	}
	if scored != e.stats.Rows {
		return fmt.Errorf("%d payments were written, but %d are scored", e.stats.Rows, scored)
	}
	return nil
}
