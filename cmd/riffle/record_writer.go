package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// maxReports is how many records that failed are reported one by one.
const maxReports = 10

// recordWriter writes records to a topic and keeps count. Records that fail are reported as they do.
type recordWriter struct {
	client    *kgo.Client
	topic     string
	partition int32 // -1: by key
	log       io.Writer

	live liveness

	// stopped ends when an error has come that further records would meet as well.
	stopped context.Context
	stop    context.CancelFunc

	mu struct {
		sync.Mutex // the client acknowledges on goroutines of its own
		written    int64
		failed     int64
	}
}

func newRecordWriter(topic string, partition int32, log io.Writer) *recordWriter {
	w := &recordWriter{topic: topic, partition: partition, log: log}
	w.stopped, w.stop = context.WithCancel(context.Background())
	return w
}

// connect gives the writer its client.
func (w *recordWriter) connect(ctx context.Context, flags *clientFlags, opts ...kgo.Opt) (err error) {
	w.client, err = flags.connect(ctx, append(opts, kgo.WithHooks(&w.live))...)
	return err
}

// writeAll hands the records of the source to the client, until the source or ctx ends or a write fails for good.
func (w *recordWriter) writeAll(ctx context.Context, source recordSource) error {
	results := readAll(ctx, source)
	for {
		select {
		case <-ctx.Done():
			return errors.New("interrupted: the rest of the input is not read")
		case <-w.stopped.Done():
			return errors.New("the rest of the input is not read")
		case in, more := <-results:
			if !more {
				return nil
			}
			var bad *badRecordError
			switch {
			case errors.As(in.err, &bad):
				w.fail(in.number, in.err)
			case in.err != nil:
				return fmt.Errorf("record %d of the input: %w", in.number, in.err)
			default:
				w.write(in.number, in.record)
			}
		}
	}
}

// write hands one record to the client, which takes it at once unless its buffer is full.
func (w *recordWriter) write(number int, r *kgo.Record) {
	r.Topic = w.topic
	r.Partition = w.partition
	w.client.Produce(w.stopped, r, func(_ *kgo.Record, err error) {
		if err != nil {
			w.fail(number, err)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.mu.written++
	})
}

// fail counts a record that is not written. Errors of a single record leave the others a chance.
func (w *recordWriter) fail(number int, err error) {
	var bad *badRecordError
	single := errors.As(err, &bad) || errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord)
	if !single {
		w.stop()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.failed++
	switch {
	case w.mu.failed < maxReports:
		fmt.Fprintf(w.log, "riffle: record %d: %v\n", number, w.explain(err))
	case w.mu.failed == maxReports:
		fmt.Fprintln(w.log, "riffle: more records failed; they are counted, but not listed")
	}
}

func (w *recordWriter) explain(err error) error {
	var e *kerr.Error
	if errors.As(err, &e) {
		return topicError(w.topic, err)
	}
	return err
}

// watch fails all records when there has been no broker for as long as timeout, or when one that answers has acknowledged
// nothing for four times as long. Who waits at a terminal wants to hear of that; the client itself would try for ever. Its
// own limit cannot be used, because it counts from the records' timestamps, which the input may set.
func (w *recordWriter) watch(timeout time.Duration) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	finished, since := int64(0), time.Now()
	for {
		select {
		case <-w.stopped.Done():
			return
		case <-tick.C:
			if n := w.finished(); n != finished || w.client.BufferedProduceRecords() == 0 {
				finished, since = n, time.Now()
				continue
			}
			if w.live.gone(timeout) != nil || time.Since(since) > 4*timeout {
				w.stop()
				w.client.Close() // fails what is buffered; the context alone is looked at only while there is a broker
				return
			}
		}
	}
}

// flush waits until all records are acknowledged or have failed, which watch sees to.
func (w *recordWriter) flush() error { return w.client.Flush(context.Background()) }

// finished is how many records are no longer waited for.
func (w *recordWriter) finished() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.written + w.mu.failed
}

func (w *recordWriter) written() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.written
}

// err says how many records failed and, if that may be why, that there is no broker any more.
func (w *recordWriter) err(flags *clientFlags) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.failed == 0 {
		return nil
	}
	err := fmt.Errorf("%d of %s failed", w.mu.failed, count(w.mu.failed+w.mu.written, "record"))
	if cause := w.live.gone(0); cause != nil {
		return errors.Join(err, &unreachableError{flags.brokers, flags.timeout, cause})
	}
	return err
}
