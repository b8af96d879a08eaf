package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"

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

// ReadLast is Read for the last n offsets of each partition. It yields fewer than n records where compaction or a transaction
// has left gaps.
func (c *Cluster) ReadLast[K, V any](ctx context.Context, topic Topic[K, V], n int64) iter.Seq2[Record[K, V], error] {
	return readSpans(ctx, c, topic, func(s *client.Span) { s.From = max(s.From, s.To-n) })
}
