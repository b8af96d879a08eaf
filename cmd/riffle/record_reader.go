package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// pollInterval is how long a poll waits before it is looked whether all is well.
	pollInterval = 250 * time.Millisecond
	// maxFetchWait is how long a broker holds a request back that it has nothing for, and so how late it is that one
	// hears of a topic that was deleted.
	maxFetchWait = time.Second
)

// recordTaker takes records one by one; after a batch of them it is flushed.
type recordTaker interface {
	write(*kgo.FetchPartition, *kgo.Record) error
	flush() error
}

// recordReader passes on the records that its client reads, at most limit of them.
type recordReader struct {
	flags *clientFlags
	out   recordTaker
	limit int64

	client *kgo.Client
	live   liveness
}

// connect gives the reader its client.
func (rr *recordReader) connect(ctx context.Context, opts ...kgo.Opt) (err error) {
	rr.client, err = rr.flags.connect(ctx, append(opts,
		kgo.WithHooks(&rr.live),
		kgo.FetchMaxWait(maxFetchWait),
		// Shows a topic that is deleted meanwhile. What passes by itself is left out by problem.
		kgo.KeepRetryableFetchErrors(),
	)...)
	return err
}

// readSpans reads until all spans have ended.
func (rr *recordReader) readSpans(ctx context.Context, spans map[place]*span) error {
	if len(spans) == 0 {
		return nil
	}
	start := make(map[string]map[int32]kgo.Offset)
	for p, s := range spans {
		if start[p.topic] == nil {
			start[p.topic] = make(map[int32]kgo.Offset)
		}
		start[p.topic][p.partition] = kgo.NewOffset().At(s.fetch)
	}
	// Retention may delete what is about to be read: that is an error, not a reason to jump.
	err := rr.connect(ctx, kgo.ConsumePartitions(start), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer rr.client.Close()
	for len(spans) > 0 && rr.limit > 0 {
		fetches, err := rr.poll(ctx)
		if ctx.Err() != nil {
			return nil // Ctrl-C
		}
		if err != nil {
			return err
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			at := place{p.Topic, p.Partition}
			s, ok := spans[at]
			if !ok || err != nil {
				return
			}
			var done bool
			if done, err = rr.takeSpan(s, &p.FetchPartition); done {
				delete(spans, at)
				rr.client.PauseFetchPartitions(map[string][]int32{p.Topic: {p.Partition}})
			}
		})
		if err := errors.Join(err, rr.out.flush()); err != nil {
			return err
		}
	}
	return nil
}

// takeSpan passes on what belongs to the span and reports whether it has ended.
func (rr *recordReader) takeSpan(s *span, p *kgo.FetchPartition) (done bool, err error) {
	for _, r := range p.Records {
		if rr.limit == 0 {
			return true, nil
		}
		belongs, done := s.take(r)
		if belongs {
			if err := rr.out.write(p, r); err != nil {
				return true, err
			}
			rr.limit--
		}
		if done {
			return true, nil
		}
	}
	return false, nil
}

// poll returns what has come, or nothing after a while. The error is one that waiting does not mend.
func (rr *recordReader) poll(ctx context.Context) (kgo.Fetches, error) {
	timed, cancel := context.WithTimeout(ctx, pollInterval)
	defer cancel()
	fetches := rr.client.PollFetches(timed)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, e := range fetches.Errors() {
		if err := rr.problem(ctx, e); err != nil {
			return nil, err
		}
	}
	if cause := rr.live.gone(rr.flags.timeout); cause != nil {
		return nil, &unreachableError{rr.flags.brokers, rr.flags.timeout, cause}
	}
	return fetches, nil
}

// problem explains an error of a poll, or returns nil if it may pass.
func (rr *recordReader) problem(ctx context.Context, e kgo.FetchError) error {
	switch err := e.Err; {
	case errors.Is(err, context.DeadlineExceeded):
		return nil // the poll's
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID):
		return rr.deleted(ctx, e.Topic)
	case errors.Is(err, kerr.OffsetOutOfRange):
		return fmt.Errorf("%s partition %d: records were deleted before they were read: -o start begins with those that are left", e.Topic, e.Partition)
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.RebalanceInProgress):
		return nil // the client joins again
	case kerr.IsRetriable(err), isNetwork(err):
		return nil // the client tries again; a broker that has gone is noticed by rr.live
	case e.Topic == "":
		return err // of the group
	default:
		return fmt.Errorf("%s partition %d: %w", e.Topic, e.Partition, err)
	}
}

// isNetwork reports whether an error comes from a connection.
func isNetwork(err error) bool {
	var op net.Error
	return kgo.IsRetryableBrokerErr(err) || errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed)
}

// deleted asks whether the topic is really gone: right after it is made, or when partitions move, brokers differ.
func (rr *recordReader) deleted(ctx context.Context, topic string) error {
	_, err := findTopics(ctx, kadm.NewClient(rr.client), []string{topic})
	return err
}
