package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrRecordTooLarge means that a record would not fit into a batch of its topic.
var ErrRecordTooLarge = errors.New("client: record too large")

const (
	recordsPerSlab = 256
	bytesPerSlab   = 64 << 10
	// slabsKept bounds what a sink holds on to between two flushes: 4 MiB of bytes, 16 Ki records.
	slabsKept = 64
)

// Sink copies records into slabs and hands them to the producer. It belongs to one goroutine at a time.
//
// A failed record spoils the sink: every later Send and Err report the first failure. What was sent since the
// last Reset may then be in the log in part.
type Sink struct {
	cl     *kgo.Client
	limit  func(topic string) int
	last   topicLimit   // of the last record: most go where the one before went
	used   *atomic.Bool // of the transaction; nil outside one
	failed atomic.Pointer[error]
	done   func(*kgo.Record, error) // made once, so that a record costs no closure

	records slabs[kgo.Record]
	headers slabs[kgo.RecordHeader]
	bytes   slabs[byte]
	sent    int
}

// topicLimit is the largest record that a topic takes.
type topicLimit struct {
	topic string
	limit int
}

// NewSink returns an empty sink of this client. With transactions, Begin has been called before.
func (c *Client) NewSink() *Sink {
	if c.cfg.TransactionalID == "" {
		return newSink(c.cl, c.recordLimit)
	}
	s := newSink(c.txn.producer, c.recordLimit)
	s.used = &c.txn.used
	return s
}

func newSink(cl *kgo.Client, limit func(string) int) *Sink {
	s := &Sink{
		cl:      cl,
		limit:   limit,
		records: slabs[kgo.Record]{size: recordsPerSlab},
		headers: slabs[kgo.RecordHeader]{size: recordsPerSlab},
		bytes:   slabs[byte]{size: bytesPerSlab},
	}
	s.done = func(r *kgo.Record, err error) {
		if err != nil {
			s.fail(r, err)
		}
	}
	return s
}

// Receipt stands for a record that was sent. It may be read after a flush and before the next Reset.
type Receipt struct{ r *kgo.Record }

// Offset is where the record came to lie. It is negative if the broker did not say.
func (r Receipt) Offset() int64 { return r.r.Offset }

// Partition is where the record was sent.
func (r Receipt) Partition() int32 { return r.r.Partition }

// Send copies o and queues it. It blocks while the producer's buffers are full, until ctx ends. An error
// that wraps ErrRecordTooLarge concerns this record alone; any other error means that the sink has failed.
func (s *Sink) Send(ctx context.Context, o Output) (Receipt, error) {
	if err := s.Err(); err != nil {
		return Receipt{}, err
	}
	if s.last.topic != o.Topic {
		s.last = topicLimit{o.Topic, s.limit(o.Topic)}
	}
	if n, limit := Size(o.Key, o.Value, o.Headers), s.last.limit; n > limit {
		return Receipt{}, fmt.Errorf("%w: %d bytes of key, value and headers under key %q for topic %s, which takes %d; raise its max.message.bytes",
			ErrRecordTooLarge, n, o.Key[:min(len(o.Key), maxToldBytes)], o.Topic, limit)
	}
	r := &s.records.take(1)[0]
	*r = kgo.Record{
		Topic:     o.Topic,
		Partition: o.Partition,
		Key:       s.copy(o.Key),
		Value:     s.copy(o.Value),
		Timestamp: time.UnixMilli(o.Timestamp),
	}
	if len(o.Headers) > 0 {
		r.Headers = s.headers.take(len(o.Headers))
		for i, h := range o.Headers {
			r.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: s.copy(h.Value)}
		}
	}
	s.sent++
	if s.used != nil && !s.used.Load() {
		s.used.Store(true)
	}
	s.cl.Produce(ctx, r, s.done)
	return Receipt{r}, nil
}

// Sent is the number of records since the last Reset.
func (s *Sink) Sent() int { return s.sent }

// Err returns the first failure, or nil.
func (s *Sink) Err() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Reset makes the slabs free for reuse. The caller has flushed the client without an error and sees no error
// from Err: a record whose fate is unknown may still be read by a send in flight.
func (s *Sink) Reset() {
	s.records.reset()
	s.headers.reset()
	s.bytes.reset()
	s.sent = 0
}

func (s *Sink) fail(r *kgo.Record, err error) {
	switch {
	case s.used != nil && abortedBy(err):
		err = fmt.Errorf("%w: %w", ErrAborted, err)
	case refusedBy(err):
		err = &RefusedError{r.Topic, err}
	case badRecord(err):
		err = &RecordError{Topic: r.Topic, Key: bytes.Clone(r.Key), Bytes: Size(r.Key, r.Value, headersOf(r)), Err: err}
	}
	err = fmt.Errorf("client: write to topic %s: %w", r.Topic, err)
	s.failed.CompareAndSwap(nil, &err)
}

// copy keeps the difference between null and empty.
func (s *Sink) copy(b []byte) []byte {
	switch {
	case b == nil:
		return nil
	case len(b) == 0:
		return []byte{} // an empty part of no slab would be null
	}
	to := s.bytes.take(len(b))
	copy(to, b)
	return to
}

// slabs hands out short slices of long ones, so that a record costs no allocation of its own.
type slabs[T any] struct {
	size int
	used [][]T
	free [][]T
	open []T // the rest of the last used slab
}

// take returns a slice of n elements with arbitrary content.
func (s *slabs[T]) take(n int) []T {
	if n > s.size/4 && n > len(s.open) {
		return make([]T, n)
	}
	if n > len(s.open) {
		s.grow()
	}
	t := s.open[:n:n]
	s.open = s.open[n:]
	return t
}

func (s *slabs[T]) grow() {
	if last := len(s.free) - 1; last >= 0 {
		s.open, s.free = s.free[last], s.free[:last]
	} else {
		s.open = make([]T, s.size)
	}
	s.used = append(s.used, s.open)
}

// reset makes all slabs free, up to slabsKept of them.
func (s *slabs[T]) reset() {
	for i, slab := range s.used {
		if len(s.free) < slabsKept {
			s.free = append(s.free, slab)
		}
		s.used[i] = nil
	}
	s.used, s.open = s.used[:0], nil
}

// forget leaves the slabs to whoever still reads them.
func (s *slabs[T]) forget() { s.used, s.free, s.open = nil, nil, nil }

// forget lets go of what was sent, without waiting for a flush.
func (s *Sink) forget() {
	s.records.forget()
	s.headers.forget()
	s.bytes.forget()
	s.sent = 0
}
