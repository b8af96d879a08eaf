package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicDescribe are the flags of riffle topic describe.
type topicDescribe struct {
	configs bool
	format  *choice
}

func newTopicDescribe(client *clientFlags) *cobra.Command {
	var f topicDescribe
	cmd := &cobra.Command{
		Use:   "describe NAME...",
		Short: "Show the partitions and settings of topics",
		Long: `Shows the partitions of topics, with the first offset (START) and the one that the next record will get (END), and the
settings that were changed; --configs shows all.`,
		Args:              someTopics,
		ValidArgsFunction: completeTopics(client, manyTopics),
		RunE: func(cmd *cobra.Command, names []string) error {
			return client.admin(cmd.Context(), func(adm *kadm.Client) error {
				return f.describe(cmd.Context(), adm, names, cmd.OutOrStdout())
			})
		},
	}
	cmd.Flags().BoolVar(&f.configs, "configs", false, "show all settings, with the defaults")
	f.format = addChoice(cmd, "format", "", "form of the output", "text", "json")
	return cmd
}

// describedTopic is what the JSON output says of a topic.
type describedTopic struct {
	Topic      string               `json:"topic"`
	ID         string               `json:"id"`
	Internal   bool                 `json:"internal"`
	Replicas   int                  `json:"replicas"`
	Records    int64                `json:"records"`
	Partitions []describedPartition `json:"partitions"`
	Configs    []describedConfig    `json:"configs"`
}

type describedPartition struct {
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`
	Replicas  []int32 `json:"replicas"`
	ISR       []int32 `json:"isr"`
	Start     int64   `json:"start"`
	End       int64   `json:"end"`
}

type describedConfig struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Changed bool   `json:"changed"`
}

// describe prints the topics that exist, and returns an error for the others.
func (f *topicDescribe) describe(ctx context.Context, adm *kadm.Client, names []string, w io.Writer) error {
	topics, unknown := findTopics(ctx, adm, names)
	sizes, err := listSizes(ctx, adm, topics)
	if err != nil {
		return errors.Join(unknown, err)
	}
	for i, t := range topics {
		d := describedTopic{Topic: t.Topic, ID: t.ID.String(), Internal: t.IsInternal, Replicas: replicas(t), Records: sizes.records(t)}
		for _, p := range t.Partitions.Sorted() {
			start, end := sizes.of(t.Topic, p.Partition)
			d.Partitions = append(d.Partitions, describedPartition{p.Partition, p.Leader, p.Replicas, p.ISR, start, end})
		}
		if d.Configs, err = describeConfigs(ctx, adm, t.Topic); err != nil {
			return errors.Join(unknown, err)
		}
		if f.format.value == "json" {
			err = writeJSON(w, d)
		} else {
			err = f.writeText(w, d, i > 0)
		}
		if err != nil {
			return errors.Join(unknown, err)
		}
	}
	return unknown
}

func describeConfigs(ctx context.Context, adm *kadm.Client, topic string) ([]describedConfig, error) {
	resources, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("settings of topic %q: %w", topic, err)
	}
	var configs []describedConfig
	for _, r := range resources {
		if r.Err != nil {
			return nil, fmt.Errorf("settings of topic %q: %w", topic, r.Err)
		}
		for _, c := range r.Configs {
			configs = append(configs, describedConfig{c.Key, c.MaybeValue(), c.Source == kmsg.ConfigSourceDynamicTopicConfig})
		}
	}
	slices.SortFunc(configs, func(a, b describedConfig) int { return strings.Compare(a.Name, b.Name) })
	return configs, nil
}

// writeText prints three tables with empty lines between them.
func (f *topicDescribe) writeText(w io.Writer, d describedTopic, another bool) error {
	if another {
		fmt.Fprintln(w)
	}
	err := writeTable(w, []string{"TOPIC", "PARTITIONS", "REPLICAS", "RECORDS", "ID"}, [][]string{{
		d.Topic, strconv.Itoa(len(d.Partitions)), strconv.Itoa(d.Replicas), strconv.FormatInt(d.Records, 10), d.ID,
	}})
	if err != nil {
		return err
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, p := range d.Partitions {
		rows = append(rows, []string{
			fmt.Sprint(p.Partition), fmt.Sprint(p.Leader), join(p.Replicas), join(p.ISR), fmt.Sprint(p.Start), fmt.Sprint(p.End), fmt.Sprint(p.End - p.Start),
		})
	}
	if err := writeTable(w, []string{"PARTITION", "LEADER", "REPLICAS", "ISR", "START", "END", "RECORDS"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, c := range d.Configs {
		if source := "default"; f.configs || c.Changed {
			if c.Changed {
				source = "topic"
			}
			rows = append(rows, []string{c.Name, c.Value, source})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return writeTable(w, []string{"CONFIG", "VALUE", "SOURCE"}, rows)
}

// join lists node ids without spaces.
func join(ids []int32) string {
	var s []string
	for _, id := range ids {
		s = append(s, strconv.Itoa(int(id)))
	}
	return strings.Join(s, ",")
}
