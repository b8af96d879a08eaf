package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// run executes one command line and returns its exit code. It ends early, and in order, when ctx does.
func run(ctx context.Context, args []string, std streams) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(std.err, "riffle: %s\n", line)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(std.err, "riffle: see %q\n", cmd.CommandPath()+" --help")
		return exitUsage
	}
	return exitFailure
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "riffle",
		Short: "Run a broker; write, read and replay records",
		Long: `Riffle runs a broker, manages topics, and writes, reads and replays records.

All commands but server are Kafka clients: they work on a Riffle server and on Apache Kafka.`,
		Example: `  riffle server &
  riffle topic create payments --partitions 3
  echo 'card-7=12.50' | riffle produce payments -K =
  riffle consume payments -f '%p:%o %k %v\n'

  riffle consume payments -o 1200:      # replay from offset 1200, then follow
  riffle consume payments -o @-1h:now   # the last hour`,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Version:       version(),
		SilenceErrors: true, // run prints them, in one form
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("riffle {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.CompletionOptions.DisableDescriptions = true
	root.AddCommand(newServer(), newTopic(), newProduce(), newConsume(), newDLQ(), newTopology())
	return root
}

// version is the release, or the commit that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown origin"
	}
	return info.Main.Version
}

// usageError is a mistake in the command line itself, found before anything was done.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// noArgs refuses arguments, which for a command with subcommands are commands that do not exist.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !cmd.HasSubCommands():
		return usagef("%s takes no arguments, but got %q", cmd.CommandPath(), args[0])
	}
	err := fmt.Errorf("unknown command %q", cmd.CommandPath()+" "+args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return &usageError{err}
}

// oneTopic wants the name of one topic, someTopics of one or more.
func oneTopic(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("name one topic: %s", cmd.UseLine())
	}
	return nil
}

func someTopics(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("name at least one topic: %s", cmd.UseLine())
	}
	return nil
}
