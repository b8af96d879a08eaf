package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/internal/e2e/bank"
	"github.com/riffle-stream/riffle/stream"
)

func main() {
	brokers := flag.String("brokers", "", "addresses, separated by commas")
	instance := flag.String("instance", "", "name of the static member")
	dir := flag.String("state", "", "directory of the state")
	toEnd := flag.Bool("stop-at-end", false, "stop when everything is processed")
	flag.Parse()
	if err := run(strings.Split(*brokers, ","), *instance, *dir, *toEnd); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(brokers []string, instance, dir string, toEnd bool) error {
	topology, err := bank.Topology()
	if err != nil {
		return err
	}
	cfg := stream.Config{
		Instance: instance, StateDir: dir, StopAtEnd: toEnd, SessionTimeout: 10 * time.Second,
		// Checkpoints often, so that kills meet them.
		CheckpointAge: 50 * time.Millisecond, CheckpointBytes: 64 << 10,
	}
	app, err := stream.NewApp(topology, stream.Kafka(brokers...), cfg)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return app.Run(ctx)
}
