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
	do, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "dedup:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C ends the process at once: the next run with the same --dir goes on from there.
	defer context.AfterFunc(ctx, stop)()
	if err := do(ctx, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "dedup:", err)
		return 1
	}
	return 0
}

// parse returns what the command line asks for. Its error is wrong usage.
func parse(args []string, stderr io.Writer) (func(context.Context, io.Writer, *os.File) error, error) {
	if len(args) > 0 && args[0] == "payments" {
		o, err := parsePaymentsOptions(args[1:], stderr)
		return runs(func() (*job[Payment], error) { return newPaymentsJob(o) }), err
	}
	if len(args) > 0 && args[0] == "serve" {
		o, err := parseServeOptions(args[1:], stderr)
		return func(ctx context.Context, stdout io.Writer, stderr *os.File) error {
			return serve(ctx, o, stdout, stderr)
		}, err
	}
	o, err := parseRowsOptions(args, stderr)
	return runs(func() (*job[string], error) { return newRowsJob(o) }), err
}

// runs returns a function that makes a job and does it.
func runs[V any](make func() (*job[V], error)) func(context.Context, io.Writer, *os.File) error {
	return func(ctx context.Context, stdout io.Writer, stderr *os.File) error {
		j, err := make()
		if err != nil {
			return err
		}
		return j.do(ctx, stdout, stderr)
	}
}
