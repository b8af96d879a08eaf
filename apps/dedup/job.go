package main

import (
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/ingest"
	"github.com/riffle-stream/riffle/apps/internal/launch"
	"github.com/riffle-stream/riffle/apps/internal/progress"
	"github.com/riffle-stream/riffle/stream"
)

// keepForever is for topics whose event times lie in the past: the default retention would take them away.
var keepForever = map[string]string{"retention.ms": "-1"}

// source is a file that is read from its first row on.
type source[V any] interface {
	Next() (ingest.Row[V], error)
	Identity() string
	Progress() float64
	Close() error
}

// job runs the import of a file and the topology side by side.
type job[V any] struct {
	options
	app      string // its name
	rows     source[V]
	topic    stream.Topic[string, V] // takes the rows
	topology *stream.Topology
	outputs  []string
	settings string // what must stay the same in a directory
	// sumUp counts what lies in the outputs.
	sumUp func(context.Context, *stream.Cluster, totals) (fmt.Stringer, error)

	cluster *stream.Cluster
	imp     *ingest.Import[V]
	running atomic.Pointer[stream.App] // nil until it runs
	display *progress.Display
	started time.Time
}

// totals is what every summary says. The JSON form of a summary is what --report writes.
type totals struct {
	Source string `json:"source"`
	// Rows are those read by this run or an earlier one in the same directory, Resumed those of an earlier one, BadRows those that
	// did not parse.
	Rows          int64   `json:"rows"`
	Resumed       int64   `json:"resumed"`
	BadRows       int64   `json:"badRows"`
	Seconds       float64 `json:"seconds"`
	RowsPerSecond float64 `json:"rowsPerSecond"`
}

// text puts lines about the outputs between those about the input.
func (t totals) text(outputs func(line func(name string, n int64))) string {
	var b strings.Builder
	fmt.Fprintln(&b, t.Source)
	line := func(name string, n int64) { fmt.Fprintf(&b, "  %-13s%s\n", name, progress.Count(n)) }
	line("rows", t.Rows)
	if t.Resumed > 0 {
		line("  resumed", t.Resumed)
	}
	outputs(line)
	line("dead letters", t.BadRows)
	fmt.Fprintf(&b, "  %-13s%.1f s, %s rows/s\n", "time", t.Seconds, progress.Count(int64(t.RowsPerSecond)))
	return b.String()
}

// do processes a file until it is drained, and closes it. The end of ctx ends the reading; what was read is still processed and
// committed.
func (j *job[V]) do(ctx context.Context, stdout io.Writer, stderr *os.File) (err error) {
	j.started = time.Now()
	defer func() { err = errors.Join(err, j.rows.Close()) }()
	kept := j.dir
	if j.dir == "" && j.brokers == nil {
		if j.dir, err = os.MkdirTemp("", "riffle-dedup-"); err != nil {
			return fmt.Errorf("a temporary directory: %w: name one with --dir", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(j.dir)) }()
	}
	j.display = progress.Start(stderr, progress.Config{Terminal: progress.IsTerminal(stderr)}, j.line)
	s, err := j.run(ctx)
	j.display.Stop()
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, s)
	if kept != "" {
		fmt.Fprintf(stdout, "  %-13s%s: riffle server --dir %s/broker, then riffle consume %s\n", "kept in", kept, kept, j.outputs[0])
	}
	if j.report == "" {
		return nil
	}
	report, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(j.report, append(report, '\n'), 0o666)
	}
	return err
}

// run opens everything, processes, and sums up.
func (j *job[V]) run(ctx context.Context) (s fmt.Stringer, err error) {
	level := slog.LevelWarn
	if j.verbose {
		level = slog.LevelInfo
	}
	logger := slog.New(slog.NewTextHandler(j.display, &slog.HandlerOptions{Level: level}))
	if j.cluster, err = launch.Cluster(ctx, j.dir, j.brokers, logger, nil); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, j.cluster.Close()) }()

	for _, topic := range j.outputs {
		if err := j.cluster.CreateTopic(ctx, topic, j.partitions, keepForever); err != nil {
			return s, err
		}
	}
	j.imp, err = ingest.Open(ctx, ingest.Config[V]{
		Cluster: j.cluster, App: j.app, Topic: j.topic, Partitions: j.partitions,
		Source: j.rows.Identity(), Settings: j.settings,
	})
	if err != nil {
		return s, err
	}
	err = ingest.Process(ctx, j.imp, j.rows.Next, func(ctx context.Context, inputsDone <-chan struct{}) error {
		app, err := stream.NewApp(j.topology, j.cluster, stream.Config{Workers: j.workers, InputsDone: inputsDone, Logger: logger})
		if err != nil {
			return err
		}
		j.running.Store(app)
		return app.Run(ctx)
	})
	s, sumErr := j.sumUp(context.WithoutCancel(ctx), j.cluster, j.totals()) // after Ctrl-C too
	return s, errors.Join(err, sumErr)
}

func (j *job[V]) totals() totals {
	read := j.imp.Counts()
	t := totals{
		Source: j.rows.Identity(), Rows: read.Written + read.Skipped + read.Bad, Resumed: read.Skipped, BadRows: read.Bad,
		Seconds: time.Since(j.started).Seconds(),
	}
	t.RowsPerSecond = float64(t.Rows-t.Resumed) / t.Seconds
	return t
}

// line is what the live line says.
func (j *job[V]) line() string {
	elapsed := time.Since(j.started).Seconds()
	app := j.running.Load()
	if app == nil {
		return fmt.Sprintf("%6.1f s  starting", elapsed)
	}
	stats := app.Stats()
	return fmt.Sprintf("%6.1f s  %s rows  %s/s  lag %s  read %.0f %%", elapsed, progress.Count(stats.Processed),
		progress.Count(int64(float64(stats.Processed)/elapsed)), progress.Count(stats.Lag), j.rows.Progress()*100)
}
