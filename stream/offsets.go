package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// ErrUnknownTopic means that the cluster has no topic of that name.
var ErrUnknownTopic = errors.New("stream: unknown topic")

// CreateTopic creates a topic with its own settings, in Kafka's names, unless it exists already: then only the
// number of partitions is compared, as CreateTopics does.
func (c *Cluster) CreateTopic(ctx context.Context, name string, partitions int, configs map[string]string) error {
	return c.createTopics(ctx, partitions, configs, name)
}

// EndOffsets returns, for each partition of a topic, where it ends: the offset that its next record will get, or that of
// the first record of an open transaction.
func (c *Cluster) EndOffsets(ctx context.Context, topic string) ([]int64, error) {
	if err := c.Open(ctx); err != nil {
		return nil, err
	}
	spans, err := c.spans(ctx, topic)
	if err = errors.Join(err, c.Close()); err != nil {
		return nil, err
	}
	ends := make([]int64, len(spans))
	for i, span := range spans {
		if span.Partition != int32(i) {
			return nil, fmt.Errorf("stream: topic %s: the cluster does not tell the end of partition %d", topic, i)
		}
		ends[i] = span.To
	}
	return ends, nil
}

// Lag returns how many records of its inputs an application has not processed and committed yet, all instances together.
// The topics between its sub-topologies count as inputs. Of topics that do not exist yet there is nothing to process.
func (c *Cluster) Lag(ctx context.Context, topology *Topology) (lag int64, err error) {
	err = c.administer(ctx, func(admin *client.Admin) error {
		found, err := admin.Topics(ctx, inputTopics(topology)...)
		if err != nil {
			return err
		}
		inputs := slices.Collect(maps.Keys(found))
		// The order matters: an end that is read after the commits can only be reached by them if nobody wrote in between.
		committed, err := admin.Committed(ctx, topology.Name())
		if err != nil {
			return err
		}
		starts, err := admin.StartOffsets(ctx, inputs...)
		if err != nil {
			return err
		}
		ends, err := admin.EndOffsets(ctx, inputs...)
		if err != nil {
			return err
		}
		for topic, partitions := range ends {
			for p, end := range partitions {
				at, ok := committed[topic][p]
				if !ok {
					at = starts[topic][p]
				}
				lag += max(end-max(at, starts[topic][p]), 0)
			}
		}
		return nil
	})
	return lag, err
}

// inputTopics are the topics that the tasks of a topology read.
func inputTopics(topology *Topology) []string {
	var topics []string
	for _, sub := range topology.program.Graph.Subs {
		topics = append(topics, sub.Topics()...)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// ReadLast is Read for the last n offsets of each partition. It yields fewer than n records where compaction or a transaction
// has left gaps.
func (c *Cluster) ReadLast[K, V any](ctx context.Context, topic Topic[K, V], n int64) iter.Seq2[Record[K, V], error] {
	return readSpans(ctx, c, topic, func(s *client.Span) { s.From = max(s.From, s.To-n) })
}
