package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/riffle-stream/riffle/apps/internal/httpapi"
	"github.com/riffle-stream/riffle/apps/internal/launch"
	"github.com/riffle-stream/riffle/apps/internal/pan"
	"github.com/riffle-stream/riffle/apps/internal/replies"
	"github.com/riffle-stream/riffle/stream"
)

const serveUsage = `usage: dedup serve --dir DIRECTORY [flags]

Finds card payments that come twice among those that are submitted over HTTP: POST /v1/payments answers with the verdict. GET
/v1/openapi.json describes the API. The topics are those of dedup payments.

`

// serveOptions find payments that come twice over HTTP.
type serveOptions struct {
	options
	detection
	api httpapi.Config
}

func parseServeOptions(args []string, out io.Writer) (serveOptions, error) {
	o := serveOptions{detection: newDetection()}
	f := o.flagSet("dedup serve", serveUsage, out)
	o.detection.flags(f)
	o.api.Flags(f)
	err := o.parse(f, args)
	if errors.Is(err, flag.ErrHelp) {
		return o, err
	}
	if o.dir == "" && o.brokers == nil {
		err = errors.Join(err, errors.New("nowhere to keep anything: give --dir DIRECTORY, or --brokers"))
	}
	o.api.Dir = o.dir
	return o, errors.Join(err, o.detection.check())
}

//go:embed openapi.json
var openAPI []byte

// commitInterval is short because somebody waits.
const commitInterval = 2 * time.Millisecond

// serve runs the topology and the API until ctx ends.
func serve(ctx context.Context, o serveOptions, stdout io.Writer, log io.Writer) (err error) {
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level}))
	topology, err := PaymentsTopology(o.detection)
	if err != nil {
		return err
	}
	ring, err := pan.FindKeys(pan.Config{File: o.cardKeys, Dir: o.dir})
	if err != nil {
		return err
	}
	cluster, err := launch.Cluster(ctx, o.dir, o.brokers, logger, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	for _, topic := range append(paymentOutputs(), Payments.Name) {
		if err := cluster.CreateTopic(ctx, topic, o.partitions, keepForever); err != nil {
			return err
		}
	}
	app, err := stream.NewApp(topology, cluster, stream.Config{Workers: o.workers, CommitInterval: commitInterval, Logger: logger})
	if err != nil {
		return err
	}
	desk, err := replies.Open(ctx, replies.Config{Logger: logger}, cluster, Payments, Decisions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.Close()) }()

	h := &handlers{desk: desk, ring: ring, byArrival: o.ttlTime == "arrival"}
	o.api.Logger = logger
	o.api.Ready = func() bool { s := app.Stats(); return len(s.Tasks) > 0 && s.Restoring == 0 }
	if h.api, err = httpapi.New(ctx, o.api, openAPI, h.routes()); err != nil {
		return err
	}
	if file := h.api.MadeTokens(); file != "" {
		fmt.Fprintf(stdout, "the token of admin lies in %s\n", file)
	}
	fmt.Fprintf(stdout, "listening on %s\n", h.api.URL())
	return runBoth(ctx, app.Run, h.api.Serve)
}

// runBoth runs an application and the API in front of it. At the end the API goes first: what it still answers needs the application.
func runBoth(ctx context.Context, app, api func(context.Context) error) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	both, serving := errgroup.WithContext(ctx)
	var ended atomic.Bool
	both.Go(func() error {
		defer stop()
		err := api(serving)
		ended.Store(true)
		return err
	})
	both.Go(func() error {
		err := app(running)
		if err == nil && !ended.Load() {
			err = errors.New("the application has ended by itself")
		}
		return err
	})
	return both.Wait()
}
