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
	o, err := parseOptions(args, stderr)
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
	if err := runJob(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "frauddetect:", err)
		return 1
	}
	return 0
}
