package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/internal/ingest"
	"github.com/riffle-stream/riffle/apps/internal/launch"
	"github.com/riffle-stream/riffle/apps/internal/progress"
	"github.com/riffle-stream/riffle/stream"
)

// deskJob runs the fraud desk: the chain, the keeping of alerts, and what reads a source.
type deskJob struct {
	deskOptions
	source   source // nil without one
	registry *prometheus.Registry
	display  *progress.Display
	line     progressLine
	started  time.Time
	cluster  *stream.Cluster
	app      atomic.Pointer[stream.App]
}

func runDesk(ctx context.Context, o deskOptions, stdout io.Writer, stderr *os.File) (err error) {
	j := &deskJob{deskOptions: o, started: time.Now(), registry: prometheus.NewRegistry()}
	if o.hasSource() {
		if j.source, err = openSource(o.options); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, j.source.Close()) }()
		if o.rows > 0 {
			j.source = limited{j.source, o.rows}
		}
	}
	if o.dir == "" && o.brokers == nil {
		if j.dir, err = os.MkdirTemp("", "riffle-frauddesk-"); err != nil {
			return fmt.Errorf("a temporary directory: %w: name one with --dir", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(j.dir)) }()
	}
	j.display = progress.Start(stderr, progress.Config{Terminal: progress.IsTerminal(stderr)}, j.line.text)
	s, err := j.run(ctx)
	j.display.Stop()
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, s)
	return writeDeskReport(o.report, s)
}

func (j *deskJob) run(ctx context.Context) (s deskSummary, err error) {
	if j.metricsAddr != "" {
		stop, err := serveMetrics(j.metricsAddr, j.registry)
		if err != nil {
			return s, err
		}
		defer stop()
	}
	if j.cluster, err = launch.Cluster(ctx, j.dir, j.brokers, newLogger(j.display, j.verbose), j.registry); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, j.cluster.Close()) }()
	for _, d := range desk.Definitions(j.chain.partitions) {
		if err := j.cluster.CreateTopic(ctx, d.Name, d.Partitions, d.Settings); err != nil {
			return s, err
		}
	}
	err = j.process(ctx)
	s, sumErr := j.sumUp(context.WithoutCancel(ctx)) // after Ctrl-C too
	return s, errors.Join(err, sumErr)
}

// process runs the applications until everything is decided, or ctx ends.
func (j *deskJob) process(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		j.display.Println("stopping: finishing what was read; Ctrl-C again stops at once")
	})()
	decide, err := j.chain.topology()
	if err != nil {
		return err
	}
	keep, err := casesTopology()
	if err != nil {
		return err
	}
	// The keeping of alerts ends when nothing is decided any more.
	running, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	decided, kept := make(chan struct{}), make(chan error, 1)
	go func() {
		err := j.runApp(running, keep, stream.Config{InputsDone: decided}, nil)
		if err != nil {
			stop(err)
		}
		kept <- err
	}()
	err = j.decide(ctx, running, decide)
	close(decided)
	if err != nil {
		stop(err)
	}
	return errors.Join(err, <-kept)
}

// decide runs the chain; ctx ends the reading of the source, running everything.
func (j *deskJob) decide(ctx, running context.Context, topology *stream.Topology) error {
	inputsDone, ended := make(chan struct{}), make(chan error, 1)
	cfg := stream.Config{InputsDone: inputsDone}
	if j.drain {
		cfg.MaxInputWait = inputWait // labels and payments are there already: they are merged by time, however slow the reading is
	}
	go func() { ended <- j.runApp(running, topology, cfg, &j.app) }()
	reading, stopReading := context.WithCancelCause(ctx)
	defer stopReading(nil)
	read := make(chan error, 1)
	go func() {
		defer close(inputsDone)
		read <- j.read(reading)
	}()
	err := <-ended
	stopReading(nil)
	return errors.Join(err, <-read)
}

func (j *deskJob) runApp(ctx context.Context, topology *stream.Topology, cfg stream.Config, running *atomic.Pointer[stream.App]) error {
	cfg.Workers, cfg.Logger, cfg.Registerer = j.workers, newLogger(j.display, j.verbose), j.registry
	app, err := stream.NewApp(topology, j.cluster, cfg)
	if err != nil {
		return err
	}
	if running != nil {
		running.Store(app)
	}
	return app.Run(ctx)
}

// read brings rules and models into force, and then reads the source; without one it waits for the end of ctx, or for nothing.
func (j *deskJob) read(ctx context.Context) error {
	j.line.set("rules and models", nil)
	from := beginning{
		rulesFile: j.rulesFile, modelFiles: j.modelFiles, profile: j.generator.Profile, who: j.who, command: "frauddetect desk",
	}
	if err := from.bringIntoForce(ctx, j.cluster, j.chain); err != nil {
		return err
	}
	j.line.set("deciding", j.rate())
	switch {
	case j.source != nil:
		return j.importSource(ctx)
	case !j.drain:
		<-ctx.Done()
	}
	return nil
}

func (j *deskJob) rate() func() string {
	last, decided := time.Now(), int64(0)
	return func() string {
		app := j.app.Load()
		if app == nil {
			return ""
		}
		stats, now := app.Stats(), time.Now()
		rate := float64(stats.Processed-decided) / now.Sub(last).Seconds()
		last, decided = now, stats.Processed
		return fmt.Sprintf("%s records  %s/s  lag %s", progress.Count(stats.Processed), progress.Count(int64(rate)), progress.Count(stats.Lag))
	}
}

// importSource writes the payments of the source, and the labels of frauds when a payment shows that their time has come.
func (j *deskJob) importSource(ctx context.Context) (err error) {
	if j.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, j.duration)
		defer cancel()
	}
	im, err := ingest.Open(ctx, ingest.Config[payment.Transaction]{
		Cluster: j.cluster, App: deskName, Topic: desk.Transactions, Partitions: j.chain.partitions, Source: j.source.Name(), Rate: j.options.rate,
	})
	if err != nil {
		return err
	}
	labels, err := stream.NewWriter(ctx, j.cluster, desk.Labels, stream.WriterConfig{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, labels.Close()) }()
	feed := &labelFeed{ctx: context.WithoutCancel(ctx), source: j.source, payments: im, writer: labels}
	if err := im.Run(ctx, feed.row); err != nil {
		return err
	}
	if j.order.lateness == 0 {
		return nil
	}
	return j.tick(context.WithoutCancel(ctx), feed.last)
}

// tick tells every partition that nothing comes any more before a time, so that nothing is held back.
func (j *deskJob) tick(ctx context.Context, last time.Time) (err error) {
	w, err := stream.NewWriter(ctx, j.cluster, desk.Transactions, stream.WriterConfig{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for _, t := range ticks(last, j.order.lateness, j.chain.partitions) {
		if err := w.Write(ctx, stream.Record[string, payment.Transaction]{Key: t.Card, Value: t}); err != nil {
			return err
		}
	}
	return nil
}

// ticks are one for each partition, so much behind the last payment that it is passed on: it waits for the lateness, and
// terminals hear of it at the next multiple of that.
func ticks(last time.Time, lateness time.Duration, partitions int) []payment.Transaction {
	var all []payment.Transaction
	for _, key := range desk.PartitionKeys(partitions) {
		all = append(all, payment.Tick(last.Add(3*lateness), key))
	}
	return all
}
