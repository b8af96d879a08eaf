package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// WriterConfig tunes a Writer. The zero value is a working configuration.
type WriterConfig struct {
	// MaxBufferedRecords and MaxBufferedBytes bound what waits for the cluster. When either is reached, Write
	// waits. The defaults are 50,000 and 32 MiB.
	MaxBufferedRecords, MaxBufferedBytes int
	// Linger is how long a batch may wait to fill. The default is 5 ms.
	Linger time.Duration
}

// Writer writes records to a topic: idempotently, acknowledged by all replicas, partitioned by key as Java's
// producer does. It may be used concurrently; records that one goroutine writes stay in order.
type Writer[K, V any] struct {
	topic   Topic[K, V]
	nullKey func(*K) bool
	nullVal func(*V) bool
	cluster *Cluster
	prod    *client.Producer

	mu struct {
		sync.Mutex
		buf    []byte
		closed bool
	}
}

// NewWriter returns a writer for a topic that exists. Close it after use.
func NewWriter[K, V any](ctx context.Context, cluster *Cluster, topic Topic[K, V], cfg WriterConfig) (*Writer[K, V], error) {
	if err := topic.valid(); err != nil {
		return nil, fmt.Errorf("stream: writer of topic %s: %w", topic.Name, err)
	}
	err := cluster.administer(ctx, func(admin *client.Admin) error {
		found, err := admin.Topics(ctx, topic.Name)
		if _, ok := found[topic.Name]; err == nil && !ok {
			return fmt.Errorf("%w %s: riffle topic create %s --partitions N", ErrUnknownTopic, topic.Name, topic.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := cluster.Open(ctx); err != nil {
		return nil, err
	}
	prod, err := client.NewProducer(cluster.conn(), client.ProducerConfig{
		MaxBufferedRecords: cfg.MaxBufferedRecords, MaxBufferedBytes: cfg.MaxBufferedBytes, Linger: cfg.Linger,
	})
	if err != nil {
		return nil, errors.Join(err, cluster.Close())
	}
	return &Writer[K, V]{topic: topic, nullKey: isNil[K](), nullVal: isNil[V](), cluster: cluster, prod: prod}, nil
}

// Write queues a record; Topic, Partition and Offset in it are ignored. Without a Time it gets the topic's event
// time, or else the present. Write waits while the buffers are full, until ctx ends.
//
// An error is about this record if it wraps an encoding error or a size limit. If an earlier record could not be
// written, Write and Flush return that error from then on.
func (w *Writer[K, V]) Write(ctx context.Context, r Record[K, V]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed {
		return fmt.Errorf("stream: write to topic %s: the writer is closed", w.topic.Name)
	}
	out := client.Output{Topic: w.topic.Name, Timestamp: w.timestamp(&r)}
	buf := w.mu.buf[:0]
	keyEnd, err := 0, error(nil)
	hasKey := w.nullKey == nil || !w.nullKey(&r.Key)
	if hasKey {
		if buf, err = w.topic.Key.Encode(buf, r.Key); err != nil {
			return fmt.Errorf("stream: write to topic %s: key: %w", w.topic.Name, err)
		}
		keyEnd = len(buf)
	}
	hasValue := w.nullVal == nil || !w.nullVal(&r.Value)
	if hasValue {
		if buf, err = w.topic.Value.Encode(buf, r.Value); err != nil {
			return fmt.Errorf("stream: write to topic %s: value: %w", w.topic.Name, err)
		}
	}
	if buf == nil {
		buf = []byte{} // an empty key is not a null key
	}
	if hasKey {
		out.Key = buf[:keyEnd]
	}
	if hasValue {
		out.Value = buf[keyEnd:]
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, client.Header(h))
	}
	w.mu.buf = buf
	return w.prod.Send(ctx, out)
}

func (w *Writer[K, V]) timestamp(r *Record[K, V]) int64 {
	switch {
	case !r.Time.IsZero():
		return r.Time.UnixMilli()
	case w.topic.eventTime != nil && (w.nullVal == nil || !w.nullVal(&r.Value)):
		return w.topic.eventTime(r.Value).UnixMilli()
	default:
		return time.Now().UnixMilli()
	}
}

// Flush waits until everything that was written is acknowledged, and returns the first failure.
func (w *Writer[K, V]) Flush(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.prod.Flush(ctx)
}

// Close flushes, for at most 30 s, and ends the writer.
func (w *Writer[K, V]) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed {
		return nil
	}
	w.mu.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := w.prod.Flush(ctx)
	w.prod.Close()
	return errors.Join(err, w.cluster.Close())
}
