package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// topicCreate are the flags of riffle topic create.
type topicCreate struct {
	partitions  int32
	replicas    int16
	configs     []string
	ifNotExists bool
	format      *choice
}

func newTopicCreate(client *clientFlags) *cobra.Command {
	var f topicCreate
	cmd := &cobra.Command{
		Use:   "create NAME...",
		Short: "Create topics",
		Example: `  riffle topic create payments --partitions 3
  riffle topic create cards --config cleanup.policy=compact --if-not-exists`,
		Args:              someTopics,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, names []string) error {
			configs, err := parsePairs("--config", f.configs)
			if err != nil {
				return err
			}
			return client.admin(cmd.Context(), func(adm *kadm.Client) error {
				created, err := adm.CreateTopics(cmd.Context(), f.partitions, f.replicas, toConfigs(configs), names...)
				if err != nil {
					return fmt.Errorf("create %s: %w", strings.Join(names, ", "), err)
				}
				return f.report(cmd.OutOrStdout(), created)
			})
		},
	}
	flags := cmd.Flags()
	flags.Int32VarP(&f.partitions, "partitions", "p", -1, "number of partitions (-1: the broker's default)")
	flags.Int16Var(&f.replicas, "replicas", -1, "number of replicas (-1: the broker's default)")
	flags.StringArrayVarP(&f.configs, "config", "c", nil, "setting of the topics, name=value (repeatable)")
	flags.BoolVar(&f.ifNotExists, "if-not-exists", false, "take topics that exist as they are")
	f.format = addChoice(cmd, "format", "", "form of the output", "text", "json")
	mustComplete(cmd, "config", cobra.FixedCompletions([]cobra.Completion{
		"cleanup.policy=compact", "cleanup.policy=delete", "retention.ms=", "retention.bytes=", "segment.bytes=", "max.message.bytes=",
	}, cobra.ShellCompDirectiveNoSpace))
	return cmd
}

// createdTopic is what the JSON output says of a topic.
type createdTopic struct {
	Topic      string `json:"topic"`
	Partitions int32  `json:"partitions,omitzero"` // not known of topics that existed
	Created    bool   `json:"created"`
}

// report prints a line for each topic that is there now, and returns an error for the others.
func (f *topicCreate) report(w io.Writer, created kadm.CreateTopicResponses) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(created)) {
		t := created[name]
		exists := errors.Is(t.Err, kerr.TopicAlreadyExists) && f.ifNotExists
		if t.Err != nil && !exists {
			errs = append(errs, createError(t))
			continue
		}
		if f.format.value == "json" {
			errs = append(errs, writeJSON(w, createdTopic{t.Topic, max(t.NumPartitions, 0), !exists}))
			continue
		}
		status := "created, " + count(int64(t.NumPartitions), "partition")
		if exists {
			status = "exists"
		}
		_, err := fmt.Fprintf(w, "%s: %s\n", t.Topic, status)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// createError prefers the broker's own words, which name the value that is wrong.
func createError(t kadm.CreateTopicResponse) error {
	if t.ErrMessage == "" || errors.Is(t.Err, kerr.TopicAlreadyExists) {
		return topicError(t.Topic, t.Err)
	}
	return fmt.Errorf("topic %q is not created: %s", t.Topic, t.ErrMessage)
}

func toConfigs(pairs []pair) map[string]*string {
	configs := make(map[string]*string, len(pairs))
	for _, p := range pairs {
		configs[p.name] = &p.value
	}
	return configs
}

// pair is name=value on a command line.
type pair struct{ name, value string }

// parsePairs splits the values of a flag at their first equals sign.
func parsePairs(flag string, args []string) ([]pair, error) {
	var pairs []pair
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, usagef("%s %q: want name=value", flag, arg)
		}
		pairs = append(pairs, pair{name, value})
	}
	return pairs, nil
}

// count is a number with its noun: 1 record, 2 records.
func count[N cmp.Ordered](n N, noun string) string {
	if s := fmt.Sprint(n); s == "1" {
		return "1 " + noun
	}
	return fmt.Sprintf("%v %ss", n, noun)
}
