package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newTopic() *cobra.Command {
	flags := new(clientFlags)
	cmd := &cobra.Command{
		Use:   "topic",
		Short: "Create, list, describe and delete topics",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags.register(cmd)
	cmd.AddCommand(newTopicCreate(flags), newTopicList(flags), newTopicDescribe(flags), newTopicDelete(flags))
	return cmd
}

// admin runs do with a client for administration.
func (f *clientFlags) admin(ctx context.Context, do func(*kadm.Client) error) error {
	client, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	adm.SetTimeoutMillis(int32(min(f.timeout.Milliseconds(), 1<<30)))
	return do(adm)
}

// findTopics returns the named topics in the order of names. Unknown ones are an error that says how to make them.
func findTopics(ctx context.Context, adm *kadm.Client, names []string) ([]kadm.TopicDetail, error) {
	found, err := adm.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", strings.Join(names, ", "), err)
	}
	var (
		topics []kadm.TopicDetail
		errs   []error
	)
	for _, name := range names {
		topic := found[name]
		topic.Err = cmp.Or(topic.Err, firstPartitionError(topic))
		if topic.Err != nil {
			errs = append(errs, topicError(name, topic.Err))
			continue
		}
		topics = append(topics, topic)
	}
	return topics, errors.Join(errs...)
}

func firstPartitionError(topic kadm.TopicDetail) error {
	for _, p := range topic.Partitions.Sorted() {
		if p.Err != nil {
			return fmt.Errorf("partition %d: %w", p.Partition, p.Err)
		}
	}
	return nil
}

// topicError says what is wrong with a topic and, where that is known, the remedy.
func topicError(name string, err error) error {
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("there is no topic %q: create it with %q, or see %q", name, "riffle topic create "+name, "riffle topic list")
	case errors.Is(err, kerr.TopicAlreadyExists):
		return fmt.Errorf("topic %q exists: --if-not-exists takes it as it is", name)
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("topic %q takes no record of this size: raise its max.message.bytes: %w", name, err)
	}
	return fmt.Errorf("topic %q: %w", name, err)
}

// sizes are the offsets at both ends of each partition.
type sizes struct{ start, end kadm.ListedOffsets }

// listSizes asks for the ends of all partitions of the topics.
func listSizes(ctx context.Context, adm *kadm.Client, topics []kadm.TopicDetail) (sizes, error) {
	if len(topics) == 0 {
		return sizes{}, nil // no names would mean all topics
	}
	var names []string
	for _, t := range topics {
		names = append(names, t.Topic)
	}
	start, err := adm.ListStartOffsets(ctx, names...)
	if err == nil {
		err = start.Error()
	}
	if err != nil {
		return sizes{}, fmt.Errorf("list the first offsets: %w", err)
	}
	end, err := adm.ListEndOffsets(ctx, names...)
	if err == nil {
		err = end.Error()
	}
	if err != nil {
		return sizes{}, fmt.Errorf("list the end offsets: %w", err)
	}
	return sizes{start, end}, nil
}

// of returns the offsets [start, end) of one partition.
func (s sizes) of(topic string, partition int32) (start, end int64) {
	return s.start[topic][partition].Offset, s.end[topic][partition].Offset
}

// records is how many offsets the partitions of a topic span: with compaction, more than there are records.
func (s sizes) records(topic kadm.TopicDetail) (n int64) {
	for p := range topic.Partitions {
		start, end := s.of(topic.Topic, p)
		n += end - start
	}
	return n
}

// replicas is the largest number of replicas of a partition.
func replicas(topic kadm.TopicDetail) (n int) {
	for _, p := range topic.Partitions {
		n = max(n, len(p.Replicas))
	}
	return n
}

// partitionIDs are the numbers of a topic's partitions, ascending.
func partitionIDs(topic kadm.TopicDetail) []int32 {
	return slices.Sorted(maps.Keys(topic.Partitions))
}
