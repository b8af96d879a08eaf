package main

import (
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/ingest"
	"github.com/riffle-stream/riffle/apps/internal/progress"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

// keepForever is for topics whose event times lie in the past: the default retention would take them away.
var keepForever = map[string]string{"retention.ms": "-1"}

// job runs the import of a file and the topology side by side.
type job struct {
	options
	rows    *rowReader
	cluster *stream.Cluster
	imp     *ingest.Import[string]
	app     atomic.Pointer[stream.App] // nil until it runs
	display *progress.Display
	started time.Time
}

// summary is what a run did. Its JSON form is what --report writes.
type summary struct {
	Source string `json:"source"`
	// Rows are those read by this run or an earlier one in the same directory, Resumed those of an earlier one, BadRows those that
	// did not parse.
	Rows    int64 `json:"rows"`
	Resumed int64 `json:"resumed"`
	BadRows int64 `json:"badRows"`
	// Unique and Duplicates count what lies in the two topics, each row once.
	Unique        int64   `json:"unique"`
	Duplicates    int64   `json:"duplicates"`
	Seconds       float64 `json:"seconds"`
	RowsPerSecond float64 `json:"rowsPerSecond"`
}

func (s summary) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, s.Source)
	line := func(name string, n int64) { fmt.Fprintf(&b, "  %-13s%s\n", name, progress.Count(n)) }
	line("rows", s.Rows)
	if s.Resumed > 0 {
		line("  resumed", s.Resumed)
	}
	line("unique", s.Unique)
	line("duplicates", s.Duplicates)
	line("dead letters", s.BadRows)
	fmt.Fprintf(&b, "  %-13s%.1f s, %s rows/s\n", "time", s.Seconds, progress.Count(int64(s.RowsPerSecond)))
	return b.String()
}

// runJob processes a file until it is drained. The end of ctx ends the reading; what was read is still processed and
// committed.
func runJob(ctx context.Context, o options, stdout io.Writer, stderr *os.File) (err error) {
	j := &job{options: o, started: time.Now()}
	if j.rows, err = openRows(o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.rows.Close()) }()
	if o.dir == "" && o.brokers == nil {
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
	if o.dir != "" {
		fmt.Fprintf(stdout, "  %-13s%s: riffle server --dir %s/broker, then riffle consume unique\n", "kept in", o.dir, o.dir)
	}
	if o.report == "" {
		return nil
	}
	report, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(o.report, append(report, '\n'), 0o666)
	}
	return err
}

// run opens everything, processes, and sums up.
func (j *job) run(ctx context.Context) (s summary, err error) {
	level := slog.LevelWarn
	if j.verbose {
		level = slog.LevelInfo
	}
	logger := slog.New(slog.NewTextHandler(j.display, &slog.HandlerOptions{Level: level}))
	j.cluster = stream.Embedded(j.dir)
	if j.brokers != nil {
		j.cluster = stream.Kafka(j.brokers...)
	}
	j.cluster.Observe(logger, nil)
	if err := j.cluster.Open(ctx); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, j.cluster.Close()) }()

	topology, err := Topology(j.ttl)
	if err != nil {
		return s, err
	}
	for _, topic := range []string{Unique.Name, Duplicates.Name} {
		if err := j.cluster.CreateTopic(ctx, topic, j.partitions, keepForever); err != nil {
			return s, err
		}
	}
	j.imp, err = ingest.Open(ctx, ingest.Config[string]{
		Cluster: j.cluster, App: appName, Topic: Rows, Partitions: j.partitions,
		Source: j.rows.Identity(), Settings: j.settings(),
	})
	if err != nil {
		return s, err
	}
	err = ingest.Process(ctx, j.imp, j.rows.Next, func(ctx context.Context, inputsDone <-chan struct{}) error {
		app, err := stream.NewApp(topology, j.cluster, stream.Config{Workers: j.workers, InputsDone: inputsDone, Logger: logger})
		if err != nil {
			return err
		}
		j.app.Store(app)
		return app.Run(ctx)
	})
	s, sumErr := j.sumUp(context.WithoutCancel(ctx)) // after Ctrl-C too
	return s, errors.Join(err, sumErr)
}

func (j *job) sumUp(ctx context.Context) (s summary, err error) {
	read := j.imp.Counts()
	s = summary{
		Source: j.rows.Identity(), Rows: read.Written + read.Skipped + read.Bad, Resumed: read.Skipped, BadRows: read.Bad,
		Seconds: time.Since(j.started).Seconds(),
	}
	s.RowsPerSecond = float64(s.Rows-s.Resumed) / s.Seconds
	if s.Unique, err = countRows(ctx, j.cluster, Unique.Name); err != nil {
		return s, err
	}
	s.Duplicates, err = countRows(ctx, j.cluster, Duplicates.Name)
	return s, err
}

// countRows counts the records of a topic, each once: after a crash the last ones are written again, so within a partition whatever
// does not lie behind all earlier rows is a repetition.
func countRows(ctx context.Context, cluster *stream.Cluster, topic string) (n int64, err error) {
	last := make(map[int32]int64)
	for r, err := range cluster.Read(ctx, stream.NewTopic(topic, serde.Bytes, serde.Bytes)) {
		if err != nil {
			return n, err
		}
		for _, h := range r.Headers {
			if h.Key != stream.HeaderOffset {
				continue
			}
			offset, err := strconv.ParseInt(string(h.Value), 10, 64)
			if err != nil {
				return n, fmt.Errorf("topic %s partition %d offset %d: header %s: %w", topic, r.Partition, r.Offset, h.Key, err)
			}
			if before, ok := last[r.Partition]; !ok || offset > before {
				last[r.Partition] = offset
				n++
			}
		}
	}
	return n, nil
}

// line is what the live line says.
func (j *job) line() string {
	elapsed := time.Since(j.started).Seconds()
	app := j.app.Load()
	if app == nil {
		return fmt.Sprintf("%6.1f s  starting", elapsed)
	}
	stats := app.Stats()
	return fmt.Sprintf("%6.1f s  %s rows  %s/s  lag %s  read %.0f %%", elapsed, progress.Count(stats.Processed),
		progress.Count(int64(float64(stats.Processed)/elapsed)), progress.Count(stats.Lag), j.rows.Progress()*100)
}
