package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code: 0 if everything was processed, 1 for a failure, 2 for wrong usage.
func run(args []string, stdout io.Writer, stderr *os.File) int {
	job, err := parseCommand(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "frauddetect:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C ends the process at once: the next run with the same --dir goes on from there.
	defer context.AfterFunc(ctx, stop)()
	if err := job(ctx, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "frauddetect:", err)
		return 1
	}
	return 0
}

// parseCommand returns what the command line asks for.
func parseCommand(args []string, stderr io.Writer) (func(context.Context, io.Writer, *os.File) error, error) {
	if len(args) > 0 && args[0] == "evaluate" {
		o, err := parseEvaluateOptions(args[1:], stderr)
		return func(ctx context.Context, stdout io.Writer, stderr *os.File) error {
			return runEvaluate(ctx, o, stdout, stderr)
		}, err
	}
	if len(args) > 0 && args[0] == "train" {
		o, err := parseTrainOptions(args[1:], stderr)
		return func(ctx context.Context, stdout io.Writer, stderr *os.File) error {
			return runTrain(ctx, o, stdout, stderr)
		}, err
	}
	if len(args) > 0 && args[0] == "serve" {
		o, err := parseServeOptions(args[1:], stderr)
		return func(ctx context.Context, stdout io.Writer, stderr *os.File) error {
			return runServe(ctx, o, stdout, stderr)
		}, err
	}
	if len(args) > 0 && args[0] == "generate" {
		o, err := parseGenerateOptions(args[1:], stderr)
		return func(ctx context.Context, stdout io.Writer, _ *os.File) error { return runGenerate(ctx, o, stdout) }, err
	}
	if len(args) > 0 && args[0] == "desk" {
		o, err := parseDeskOptions(args[1:], stderr)
		return func(ctx context.Context, stdout io.Writer, stderr *os.File) error {
			return runDesk(ctx, o, stdout, stderr)
		}, err
	}
	if len(args) > 0 && args[0] == "backtest" {
		o, err := parseBacktestOptions(args[1:], stderr)
		return func(ctx context.Context, stdout io.Writer, stderr *os.File) error {
			return runBacktest(ctx, o, stdout, stderr)
		}, err
	}
	o, err := parseOptions(args, stderr)
	return func(ctx context.Context, stdout io.Writer, stderr *os.File) error {
		return runJob(ctx, o, stdout, stderr)
	}, err
}
