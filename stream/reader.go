package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// errStopped ends a read whose consumer has had enough.
var errStopped = errors.New("stream: stopped")

// Read yields what a topic holds now, the records of committed transactions only, one partition after the other, each in order. It does not wait for records
// that come later, takes no part in any group and commits nothing.
//
// A record that cannot be decoded is yielded as an error together with its place and headers; the loop may go on.
// Any other error ends it.
func (c *Cluster) Read[K, V any](ctx context.Context, topic Topic[K, V]) iter.Seq2[Record[K, V], error] {
	return readSpans(ctx, c, topic, func(*client.Span) {})
}

// readSpans yields what a topic holds now, of each partition the part that narrow leaves.
func readSpans[K, V any](ctx context.Context, c *Cluster, topic Topic[K, V], narrow func(*client.Span)) iter.Seq2[Record[K, V], error] {
	return func(yield func(Record[K, V], error) bool) {
		stopped := false
		err := c.read(ctx, topic.Name, narrow, func(b client.Batch) error {
			for i := range b.Records {
				r, err := topic.decode(&b.Records[i], b.Partition)
				if !yield(r, err) {
					stopped = true
					return errStopped
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(Record[K, V]{}, err)
		}
	}
}

// read calls f with what a topic holds now, of each partition the part that narrow leaves.
func (c *Cluster) read(ctx context.Context, topic string, narrow func(*client.Span), f func(client.Batch) error) (err error) {
	if err := c.Open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	spans, err := c.spans(ctx, topic)
	if err != nil {
		return err
	}
	reader, err := client.NewReader(c.conn())
	if err != nil {
		return err
	}
	defer reader.Close()
	for _, span := range spans {
		narrow(&span)
		if err := reader.Read(ctx, []client.Span{span}, f); err != nil {
			return err
		}
	}
	return nil
}

// spans are the records of a topic, by partition.
func (c *Cluster) spans(ctx context.Context, topic string) ([]client.Span, error) {
	admin, err := client.NewAdmin(c.conn())
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	found, err := admin.Topics(ctx, topic)
	if err != nil {
		return nil, err
	}
	if _, ok := found[topic]; !ok {
		return nil, fmt.Errorf("%w %s: riffle topic list shows those that exist", ErrUnknownTopic, topic)
	}
	starts, err := admin.StartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, err := admin.StableOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	var spans []client.Span
	for p, end := range ends[topic] {
		spans = append(spans, client.Span{Topic: topic, Partition: p, From: starts[topic][p], To: end})
	}
	slices.SortFunc(spans, func(a, b client.Span) int { return int(a.Partition - b.Partition) })
	return spans, nil
}

// decode makes a record of bytes. With an error, what surrounds key and value is filled in.
func (t Topic[K, V]) decode(in *client.Record, partition int32) (r Record[K, V], err error) {
	r = Record[K, V]{Topic: t.Name, Partition: partition, Offset: in.Offset, Time: time.UnixMilli(in.Timestamp).UTC()}
	for _, h := range in.Headers {
		r.Headers = append(r.Headers, Header(h))
	}
	fail := func(what string, err error) (Record[K, V], error) {
		return r, fmt.Errorf("stream: topic %s partition %d offset %d: %s: %w", t.Name, partition, in.Offset, what, err)
	}
	if in.Key != nil {
		if r.Key, err = t.Key.Decode(in.Key); err != nil {
			return fail("key", err)
		}
	}
	switch {
	case in.Value != nil:
		if r.Value, err = t.Value.Decode(in.Value); err != nil {
			return fail("value", err)
		}
	case isNil[V]() == nil:
		return fail("value", errNullValue)
	}
	if t.eventTime != nil && in.Value != nil {
		r.Time = t.eventTime(r.Value).UTC()
	}
	return r, nil
}
