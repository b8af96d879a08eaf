package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// completionTimeout bounds how long pressing the tab key may take.
const completionTimeout = time.Second

// mustComplete registers the completion of a flag, which must have been defined.
func mustComplete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(fmt.Sprintf("riffle: completion of --%s: %v", flag, err)) // a bug of this program, found by any start
	}
}

// completeTopics completes the names of topics: as many as the command takes, none twice.
func completeTopics(flags *clientFlags, most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := flags.list(cmd.Context(), func(ctx context.Context, adm *kadm.Client) ([]string, error) {
			topics, err := adm.ListTopics(ctx)
			return topics.Names(), err
		})
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args, name) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeGroups completes the names of consumer groups.
func completeGroups(flags *clientFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		names := flags.list(cmd.Context(), func(ctx context.Context, adm *kadm.Client) ([]string, error) {
			groups, err := adm.ListGroups(ctx)
			return groups.Groups(), err
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// list asks the brokers for names. Without an answer there is nothing to complete, and nowhere to say why.
func (f *clientFlags) list(ctx context.Context, ask func(context.Context, *kadm.Client) ([]string, error)) []string {
	f.timeout = min(f.timeout, completionTimeout)
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	client, err := f.connect(ctx)
	if err != nil {
		return nil
	}
	defer client.Close()
	names, err := ask(ctx, kadm.NewClient(client))
	if err != nil {
		return nil
	}
	return names
}
