package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/internal/ingest"
	"github.com/riffle-stream/riffle/apps/internal/launch"
	"github.com/riffle-stream/riffle/apps/internal/progress"
	"github.com/riffle-stream/riffle/stream"
)

// keepForever is for topics whose event times lie in the past: the default retention would take them away.
var keepForever = map[string]string{"retention.ms": "-1"}

// job runs the import of a source and the topology side by side.
type job struct {
	options
	source   source
	registry *prometheus.Registry
	logger   *slog.Logger
	display  *progress.Display
	herald   *herald
	started  time.Time

	cluster  *stream.Cluster
	topology *stream.Topology
	imp      *ingest.Import[payment.Transaction]
	app      atomic.Pointer[stream.App] // nil until it runs
}

// runJob processes what the options name until it is drained. The end of ctx ends the reading; what was read is still
// processed and committed.
func runJob(ctx context.Context, o options, stdout io.Writer, stderr *os.File) (err error) {
	j := &job{options: o, started: time.Now(), registry: prometheus.NewRegistry()}
	// The source comes first: a file that cannot be read should not cost a directory.
	if j.source, err = openSource(o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.source.Close()) }()
	if o.rows > 0 {
		j.source = limited{j.source, o.rows}
	}
	if o.dir == "" && o.brokers == nil {
		if j.dir, err = os.MkdirTemp("", "riffle-frauddetect-"); err != nil {
			return fmt.Errorf("a temporary directory: %w: name one with --dir", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(j.dir)) }()
	}

	live := &live{job: j, last: j.started}
	j.display = progress.Start(stderr, progress.Config{Terminal: progress.IsTerminal(stderr)}, live.line)
	j.herald = &herald{display: j.display}
	j.logger = newLogger(j.display, o.verbose)
	s, err := j.run(ctx)
	j.display.Stop()
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, s)
	if o.dir != "" {
		fmt.Fprintf(stdout, "  %-13s%s: riffle server --dir %s/broker, then riffle consume alerts\n", "kept in", o.dir, o.dir)
	}
	return writeReport(o.report, s)
}

// run opens everything, processes, and sums up.
func (j *job) run(ctx context.Context) (s summary, err error) {
	if j.metricsAddr != "" {
		stop, err := serveMetrics(j.metricsAddr, j.registry)
		if err != nil {
			return s, err
		}
		defer stop()
	}
	if j.cluster, err = launch.Cluster(ctx, j.dir, j.brokers, j.logger, j.registry); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, j.cluster.Close()) }()

	if err := j.prepare(ctx); err != nil {
		return s, err
	}
	err = j.process(ctx)
	s, sumErr := j.sumUp(context.WithoutCancel(ctx)) // after Ctrl-C too
	return s, errors.Join(err, sumErr)
}

func newLogger(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// prepare makes the topics, and finds out where to go on.
func (j *job) prepare(ctx context.Context) (err error) {
	if j.topology, err = Topology(j.rules, j.herald.seen); err != nil {
		return err
	}
	if err := j.cluster.CreateTopic(ctx, Alerts.Name, j.partitions, keepForever); err != nil {
		return err
	}
	j.imp, err = ingest.Open(ctx, ingest.Config[payment.Transaction]{
		Cluster: j.cluster, App: appName, Topic: Transactions, Partitions: j.partitions,
		Source: j.source.Name(), Rate: j.rate,
	})
	if err != nil {
		return err
	}
	if line := j.imp.Resumed(); line > 0 {
		j.display.Println(fmt.Sprintf("going on behind line %s of %s", progress.Count(line), j.source.Name()))
	}
	return nil
}

// process reads and processes until both are done.
func (j *job) process(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		j.display.Println("stopping: finishing what was read; Ctrl-C again stops at once")
	})()
	if j.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, j.duration)
		defer cancel()
	}
	return ingest.Process(ctx, j.imp, j.source.Next, j.runApp)
}

func (j *job) runApp(ctx context.Context, inputsDone <-chan struct{}) error {
	app, err := stream.NewApp(j.topology, j.cluster, stream.Config{
		Workers: j.workers, InputsDone: inputsDone, Logger: j.logger, Registerer: j.registry,
	})
	if err != nil {
		return err
	}
	j.app.Store(app)
	return app.Run(ctx)
}

// sumUp reads what came of it.
func (j *job) sumUp(ctx context.Context) (summary, error) {
	read, seconds := j.imp.Counts(), time.Since(j.started).Seconds()
	s := summary{
		Source: j.source.Name(), Rows: read.Written + read.Skipped + read.Bad, Resumed: read.Skipped, BadRows: read.Bad,
		Seconds: seconds,
	}
	if app := j.app.Load(); app != nil {
		stats := app.Stats()
		s.Processed, s.DeadLetters = stats.Processed, stats.DeadLetters
		s.RowsPerSecond = float64(s.Processed) / seconds
	}
	var err error
	s.Alerts, err = writeAlerts(ctx, j.cluster, j.alerts)
	s.PeakMemoryBytes = peakMemory()
	return s, err
}
