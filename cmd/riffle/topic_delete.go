package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// topicDelete are the flags of riffle topic delete.
type topicDelete struct {
	yes bool
}

func newTopicDelete(client *clientFlags) *cobra.Command {
	var f topicDelete
	cmd := &cobra.Command{
		Use:   "delete NAME...",
		Short: "Delete topics and their records",
		Long: `Deletes topics with all their records, and what groups committed for them. There is no way back, so it asks first; where
there is no terminal to ask on, --yes must say so.`,
		Example:           `  riffle topic delete payments-old --yes`,
		Args:              someTopics,
		ValidArgsFunction: completeTopics(client, manyTopics),
		RunE: func(cmd *cobra.Command, names []string) error {
			if !f.yes && !isTerminal(cmd.InOrStdin()) {
				return usagef("delete %s: nobody can be asked here, so add --yes if it is meant", strings.Join(names, ", "))
			}
			return client.admin(cmd.Context(), func(adm *kadm.Client) error {
				return f.delete(cmd, adm, names)
			})
		},
	}
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	return cmd
}

// delete deletes the topics if all of them exist, and asks before.
func (f *topicDelete) delete(cmd *cobra.Command, adm *kadm.Client, names []string) error {
	ctx := cmd.Context()
	topics, err := findTopics(ctx, adm, names)
	if err != nil {
		return err
	}
	if !f.yes {
		if err := f.ask(ctx, cmd, adm, topics); err != nil {
			return err
		}
	}
	deleted, err := adm.DeleteTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("delete %s: %w", strings.Join(names, ", "), err)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(deleted)) {
		t := deleted[name]
		if t.Err != nil {
			errs = append(errs, deleteError(t))
			continue
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: deleted\n", t.Topic)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ask shows what would be lost and returns an error unless the answer is yes.
func (f *topicDelete) ask(ctx context.Context, cmd *cobra.Command, adm *kadm.Client, topics []kadm.TopicDetail) error {
	sizes, err := listSizes(ctx, adm, topics)
	if err != nil {
		return err
	}
	var what []string
	for _, t := range topics {
		what = append(what, fmt.Sprintf("%s (%s)", t.Topic, count(sizes.records(t), "record")))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Delete %s for ever? [y/N] ", strings.Join(what, ", "))
	line := make(chan string, 1)
	go func() {
		answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // nothing means no
		line <- answer
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case answer := <-line:
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return nil
		}
		return errors.New("nothing deleted")
	}
}

func deleteError(t kadm.DeleteTopicResponse) error {
	if t.ErrMessage == "" {
		return topicError(t.Topic, t.Err)
	}
	return fmt.Errorf("topic %q is not deleted: %s", t.Topic, t.ErrMessage)
}
