package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// topicList are the flags of riffle topic list.
type topicList struct {
	internal bool
	format   *choice
}

func newTopicList(client *clientFlags) *cobra.Command {
	var f topicList
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List topics",
		Long:              "Lists topics. RECORDS is the number of offsets between both ends; a compacted topic may hold fewer records.",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return client.admin(cmd.Context(), func(adm *kadm.Client) error {
				return f.list(cmd.Context(), adm, cmd.OutOrStdout())
			})
		},
	}
	cmd.Flags().BoolVar(&f.internal, "internal", false, "list the brokers' own topics, too")
	f.format = addChoice(cmd, "format", "", "form of the output", "text", "json")
	return cmd
}

// listedTopic is what the JSON output says of a topic.
type listedTopic struct {
	Topic      string `json:"topic"`
	Internal   bool   `json:"internal"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	Records    int64  `json:"records"`
}

func (f *topicList) list(ctx context.Context, adm *kadm.Client, w io.Writer) error {
	found, err := adm.ListTopicsWithInternal(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	if !f.internal {
		found.FilterInternal()
	}
	topics := found.Sorted()
	sizes, err := listSizes(ctx, adm, topics)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, t := range topics {
		l := listedTopic{t.Topic, t.IsInternal, len(t.Partitions), replicas(t), sizes.records(t)}
		if f.format.value == "json" {
			if err := writeJSON(w, l); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{l.Topic, strconv.Itoa(l.Partitions), strconv.Itoa(l.Replicas), strconv.FormatInt(l.Records, 10)})
	}
	if f.format.value == "json" {
		return nil
	}
	return writeTable(w, []string{"TOPIC", "PARTITIONS", "REPLICAS", "RECORDS"}, rows)
}
