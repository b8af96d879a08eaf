package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// Follow is ReadLast that goes on: it yields what the last n offsets of each partition hold when the loop begins, and then what is
// committed later, each partition in order, until ctx ends. It takes part in no group and commits nothing.
//
// A record that cannot be decoded is yielded as an error together with its place and headers; the loop may go on.
// Any other error ends it. The end of ctx is none.
func (c *Cluster) Follow[K, V any](ctx context.Context, topic Topic[K, V], n int64) iter.Seq2[Record[K, V], error] {
	return func(yield func(Record[K, V], error) bool) {
		err := c.follow(ctx, topic.Name, n, func(b client.Batch) error {
			for i := range b.Records {
				if ctx.Err() != nil {
					return errStopped
				}
				r, err := topic.decode(&b.Records[i], b.Partition)
				if !yield(r, err) {
					return errStopped
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) && ctx.Err() == nil {
			yield(Record[K, V]{}, err)
		}
	}
}

func (c *Cluster) follow(ctx context.Context, topic string, n int64, f func(client.Batch) error) (err error) {
	if err := c.Open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	spans, err := c.spans(ctx, topic)
	if err != nil {
		return fmt.Errorf("stream: follow topic %s: %w", topic, err)
	}
	for i, s := range spans {
		spans[i].From = max(s.From, s.To-n)
	}
	reader, err := client.NewReader(c.conn())
	if err != nil {
		return err
	}
	defer reader.Close()
	return reader.Follow(ctx, spans, f)
}
