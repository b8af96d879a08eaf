package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/riffle-stream/riffle/apps/frauddetect/api"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/launch"
	"github.com/riffle-stream/riffle/apps/internal/pan"
	"github.com/riffle-stream/riffle/stream"
)

const serveUsage = `usage: frauddetect serve --dir DIRECTORY [flags]

Runs the fraud desk for payments that are submitted over HTTP: POST /v1/payments answers with the decision. Alerts, rules, lists, snoozes
and models are shown and changed over HTTP too; GET /v1/openapi.json describes the API.

`

// serveOptions are the command line of "frauddetect serve".
type serveOptions struct {
	chain
	api         api.Config
	dir         string
	brokers     []string
	workers     int
	cardKeys    string
	profile     generator.Profile
	rulesFile   string
	modelFiles  []string
	metricsAddr string
	verbose     bool
}

func parseServeOptions(args []string, out io.Writer) (o serveOptions, err error) {
	f := newFlags("frauddetect serve", serveUsage, out)
	var brokers string
	f.StringVar(&o.dir, "dir", "", "keep topics, state, tokens and keys in this `directory`, and go on with what lies there")
	f.StringVar(&brokers, "brokers", "", "use the brokers at these `addresses` instead of one in this process; the state lies in ./riffle-data")
	o.api.Flags(f)
	f.StringVar(&o.cardKeys, "card-keys", "", "a `file` with the keys that make tokens of card numbers (default: the variable "+pan.EnvKeys+", else card-keys in --dir, which is made)")
	f.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "how many tasks run in parallel")
	f.IntVar(&o.partitions, "partitions", 4, "partitions of the topics")
	f.StringVar((*string)(&o.profile), "profile", string(generator.Europe), "the amounts of the starter rules: `europe`, or korea for won")
	f.StringVar(&o.rulesFile, "rules", "", "bring the rules and lists of this YAML `file` into force (default: at the first start those that come with the program)")
	f.Func("model", "bring the model in this JSON `file` into force, live the first, the others as shadows; may be repeated (default: as for --rules)", func(path string) error {
		o.modelFiles = append(o.modelFiles, path)
		return nil
	})
	first := f.Bool("first-match", false, "stop at the first live rule that hits; by default all are evaluated, and the highest action wins")
	f.DurationVar(&o.duplicates.TTL, "duplicates-ttl", 0, "how long the id of a payment is remembered (default 24h0m0s)")
	f.DurationVar(&o.duplicates.Window, "duplicates-window", 0, "how far apart two payments may lie to be suspected doubles (default 5m0s)")
	f.StringVar(&o.metricsAddr, "metrics-addr", "", "serve Prometheus metrics at this `address`")
	f.BoolVar(&o.verbose, "verbose", false, "log what broker and application do, and each request")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if brokers != "" {
		o.brokers = strings.Split(brokers, ",")
	}
	if *first {
		o.matching = rulebook.FirstMatch
	}
	o.api.Dir, o.api.Partitions, o.api.Matching = o.dir, o.partitions, o.matching
	var errs []error
	if f.NArg() > 0 {
		errs = append(errs, fmt.Errorf("unexpected argument %q", f.Arg(0)))
	}
	switch {
	case o.dir == "" && o.brokers == nil:
		errs = append(errs, errors.New("nowhere to keep anything: give --dir DIRECTORY, or --brokers"))
	case o.dir != "" && o.brokers != nil:
		errs = append(errs, errors.New("--dir and --brokers exclude each other: topics lie in a directory or with other brokers"))
	}
	if o.workers < 1 || o.partitions < 1 {
		errs = append(errs, fmt.Errorf("--workers is %d and --partitions is %d: want at least 1", o.workers, o.partitions))
	}
	if o.profile.Unit() == 0 {
		errs = append(errs, fmt.Errorf("--profile is %q: want europe or korea", o.profile))
	}
	return o, errors.Join(errs...)
}

// commitInterval is short because somebody waits.
const commitInterval = 2 * time.Millisecond

// runServe runs the desk and its API until ctx ends.
func runServe(ctx context.Context, o serveOptions, stdout, log io.Writer) (err error) {
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	logger, registry := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level})), prometheus.NewRegistry()
	decide, err1 := o.topology()
	keep, err2 := casesTopology()
	ring, err3 := pan.FindKeys(pan.Config{File: o.cardKeys, Dir: o.dir})
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if o.metricsAddr != "" {
		stop, err := serveMetrics(o.metricsAddr, registry)
		if err != nil {
			return err
		}
		defer stop()
	}
	cluster, err := launch.Cluster(ctx, o.dir, o.brokers, logger, registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	for _, d := range desk.Definitions(o.partitions) {
		if err := cluster.CreateTopic(ctx, d.Name, d.Partitions, d.Settings); err != nil {
			return err
		}
	}
	var apps []*stream.App
	for _, topology := range []*stream.Topology{decide, keep} {
		app, err := stream.NewApp(topology, cluster, stream.Config{
			Workers: o.workers, CommitInterval: commitInterval, Logger: logger, Registerer: registry,
		})
		if err != nil {
			return err
		}
		apps = append(apps, app)
	}
	o.api.Cluster, o.api.Ring, o.api.Logger, o.api.Registerer = cluster, ring, logger, registry
	o.api.Ready = func() bool {
		for _, app := range apps {
			if s := app.Stats(); len(s.Tasks) == 0 || s.Restoring > 0 {
				return false
			}
		}
		return true
	}
	return runTogether(ctx, apps, func(ctx context.Context) error {
		from := beginning{
			rulesFile: o.rulesFile, modelFiles: o.modelFiles, profile: o.profile, who: "frauddetect", command: "frauddetect serve",
		}
		if err := from.bringIntoForce(ctx, cluster, o.chain); err != nil {
			return err
		}
		server, err := api.New(ctx, o.api)
		if err != nil {
			return err
		}
		if file := server.MadeTokens(); file != "" {
			fmt.Fprintf(stdout, "the token of admin lies in %s\n", file)
		}
		fmt.Fprintf(stdout, "listening on %s\n", server.URL())
		return server.Serve(ctx)
	})
}

// runTogether runs the applications, and what serves in front of them until ctx ends. At the end that goes first: what it still
// answers needs the applications.
func runTogether(ctx context.Context, apps []*stream.App, serve func(context.Context) error) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	all, serving := errgroup.WithContext(ctx)
	var served atomic.Bool
	for _, app := range apps {
		all.Go(func() error {
			err := app.Run(running)
			if err == nil && !served.Load() {
				err = errors.New("an application has ended by itself")
			}
			return err
		})
	}
	all.Go(func() error {
		err := serve(serving)
		served.Store(true)
		stop()
		return err
	})
	return all.Wait()
}
