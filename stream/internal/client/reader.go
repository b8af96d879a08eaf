package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Span is a half-open range of offsets of one partition.
type Span struct {
	Topic     string
	Partition int32
	From, To  int64
}

// Reader reads spans of partitions outside any group: for restoring state and for looking into a topic.
type Reader struct{ cl *kgo.Client }

// NewReader connects to the cluster on its own. Close it after use.
func NewReader(conn Conn) (*Reader, error) {
	cl, err := conn.open("riffle-reader",
		kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(16<<20),
		kgo.FetchMaxPartitionBytes(4<<20),
	)
	if err != nil {
		return nil, err
	}
	return &Reader{cl}, nil
}

// Close ends the connections.
func (r *Reader) Close() { r.cl.Close() }

// Read calls f with the committed records of the spans, each partition's in order, and returns when it has reached the
// end of every span, or at the first error of f. It waits for transactions within a span that are still open. Not
// concurrent: one Read at a time.
func (r *Reader) Read(ctx context.Context, spans []Span, f func(Batch) error) error {
	type place struct {
		topic     string
		partition int32
	}
	left := make(map[place]int64, len(spans))
	start := make(map[string]map[int32]kgo.Offset)
	stop := make(map[string][]int32)
	for _, s := range spans {
		if s.From >= s.To {
			continue
		}
		left[place{s.Topic, s.Partition}] = s.To
		if start[s.Topic] == nil {
			start[s.Topic] = make(map[int32]kgo.Offset)
		}
		start[s.Topic][s.Partition] = kgo.NewOffset().At(s.From)
		stop[s.Topic] = append(stop[s.Topic], s.Partition)
	}
	if len(left) == 0 {
		return nil
	}
	r.cl.AddConsumePartitions(start)
	defer r.cl.RemoveConsumePartitions(stop)

	for len(left) > 0 {
		fetches := r.cl.PollRecords(ctx, 10_000)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("client: read: %w", err)
		}
		var failed error
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			at := place{p.Topic, p.Partition}
			to, wanted := left[at]
			if !wanted || failed != nil {
				return
			}
			if p.Err != nil {
				failed = fmt.Errorf("client: read topic %s partition %d: %w", p.Topic, p.Partition, p.Err)
				return
			}
			if len(p.Records) == 0 {
				return
			}
			b := view(p)
			if b.Next >= to {
				delete(left, at)
				b = b.until(to)
			}
			failed = f(b)
		})
		if fetches.IsClientClosed() {
			failed = errors.Join(failed, kgo.ErrClientClosed)
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

// Follow calls f with the committed records of partitions from Span.From on, each partition's in order, until ctx ends
// or f returns an error. Spans have no end here.
func (r *Reader) Follow(ctx context.Context, spans []Span, f func(Batch) error) error {
	start := make(map[string]map[int32]kgo.Offset)
	for _, s := range spans {
		if start[s.Topic] == nil {
			start[s.Topic] = make(map[int32]kgo.Offset)
		}
		start[s.Topic][s.Partition] = kgo.NewOffset().At(s.From)
	}
	r.cl.AddConsumePartitions(start)
	for {
		fetches := r.cl.PollRecords(ctx, 10_000)
		if ctx.Err() != nil {
			return nil
		}
		var failed error
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			switch {
			case failed != nil:
			case p.Err != nil:
				failed = fmt.Errorf("client: follow topic %s partition %d: %w", p.Topic, p.Partition, p.Err)
			case len(p.Records) > 0:
				failed = f(view(p))
			}
		})
		if fetches.IsClientClosed() {
			failed = errors.Join(failed, kgo.ErrClientClosed)
		}
		if failed != nil {
			return failed
		}
	}
}

// until cuts what lies at or above offset to.
func (b Batch) until(to int64) Batch {
	n := len(b.Records)
	for n > 0 && b.Records[n-1].Offset >= to {
		n--
	}
	b.Records = b.Records[:n]
	b.Next = min(b.Next, to)
	return b
}
