package peers

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// kgoLoop is what a program would do that takes records with franz-go, and knows what it knows in Go maps.
type kgoLoop struct {
	onTopics
	steps   func() step
	durable bool // the state outlives the loop
	step    step
	cancel  context.CancelFunc
	ended   chan struct{}
	err     atomic.Pointer[error]
	began   time.Time // of the last commit
}

// pollRecords bounds a poll, so that a commit is not late.
const pollRecords = 10_000

func (l *kgoLoop) consumer() []kgo.Opt {
	return append(l.options(),
		kgo.ConsumerGroup(l.group),
		kgo.ConsumeTopics(l.topicNames()...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
}

// run makes the state, and calls loop until stop. What was preloaded goes into the state without a broker.
func (l *kgoLoop) run(loop func(ctx context.Context) error) {
	l.step = l.steps()
	if !l.durable {
		l.input.each(0, l.preload, func(e event) { l.step(0, e, func([]byte, []byte) {}) })
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.began = time.Now()
	l.cancel, l.ended = cancel, make(chan struct{})
	go func() {
		defer close(l.ended)
		if err := loop(ctx); err != nil && ctx.Err() == nil {
			l.fail(err)
		}
	}()
}

// prepare leaves out what was preloaded.
func (l *kgoLoop) prepare(b *testing.B, n int) {
	b.Helper()
	if l.done(b) < int64(l.preload) {
		l.skip(b, l.group)
	}
	l.onTopics.prepare(b, n)
}

func (l *kgoLoop) fail(err error) {
	if err != nil {
		l.err.CompareAndSwap(nil, &err)
	}
}

func (l *kgoLoop) failed() error {
	if err := l.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *kgoLoop) stop(b *testing.B) {
	b.Helper()
	l.cancel()
	<-l.ended
	l.step = nil
	check(b, l.failed())
}

// producing sends a record; its failure is known later.
type producing func(*kgo.Record, func(*kgo.Record, error))

func sendTo(topic string, produce func(context.Context, *kgo.Record, func(*kgo.Record, error))) producing {
	return func(r *kgo.Record, done func(*kgo.Record, error)) {
		r.Topic = topic
		produce(context.Background(), r, done)
	}
}

// interval processes until the next commit is due, commitInterval after the last one was, and there is something to commit: after an
// empty transaction franz-go's session pauses for half a second, which would use up the interval behind it.
func (l *kgoLoop) interval(ctx context.Context, poll func(context.Context, int) kgo.Fetches, produce producing) error {
	due, cancel := context.WithDeadline(ctx, l.began.Add(commitInterval))
	defer cancel()
	defer func() { l.began = time.Now() }()
	for until := ctx; until.Err() == nil; {
		fetches := poll(until, pollRecords)
		l.process(fetches, produce)
		if err := errors.Join(fetches.Err0(), l.failed()); err != nil && until.Err() == nil {
			return err
		}
		if !fetches.Empty() {
			until = due
		}
	}
	return nil
}

// process takes the records of a poll. What comes of them is of their time.
func (l *kgoLoop) process(fetches kgo.Fetches, produce producing) {
	produced := func(_ *kgo.Record, err error) {
		if !errors.Is(err, kgo.ErrClientClosed) { // the loop closes it, at stop
			l.fail(err)
		}
	}
	var r *kgo.Record
	emit := func(key, value []byte) {
		produce(&kgo.Record{Key: key, Value: value, Timestamp: r.Timestamp}, produced)
	}
	names := l.topicNames()
	for all := fetches.RecordIter(); !all.Done(); {
		r = all.Next()
		topic := 0
		if len(names) > 1 && r.Topic == names[1] {
			topic = 1
		}
		l.step(topic, event{r.Key, r.Value, r.Timestamp.UnixMilli()}, emit)
	}
}

// kgoTransactions commits exactly once, as franz-go's session of a group does it.
type kgoTransactions struct{ kgoLoop }

func (l *kgoTransactions) start(b *testing.B) {
	b.Helper()
	out := l.output(b, l.group)
	session, err := kgo.NewGroupTransactSession(append(l.consumer(),
		kgo.TransactionalID(l.group),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)...)
	check(b, err)
	l.run(func(ctx context.Context) error {
		defer session.Close()
		for {
			if err := session.Begin(); err != nil {
				return err
			}
			if err := l.interval(ctx, session.PollRecords, sendTo(out, session.Produce)); err != nil {
				return err
			}
			if _, err := session.End(ctx, kgo.TryCommit); err != nil || ctx.Err() != nil {
				return err
			}
		}
	})
}

// kgoOffsets commits at least once.
type kgoOffsets struct{ kgoLoop }

func (l *kgoOffsets) start(b *testing.B) {
	b.Helper()
	out := l.output(b, l.group)
	cl, err := kgo.NewClient(append(l.consumer(), kgo.DisableAutoCommit())...)
	check(b, err)
	l.run(func(ctx context.Context) error {
		defer cl.Close()
		for {
			if err := l.interval(ctx, cl.PollRecords, sendTo(out, cl.Produce)); err != nil {
				return err
			}
			if err := cl.Flush(ctx); err != nil {
				return err
			}
			if err := cl.CommitUncommittedOffsets(ctx); err != nil || ctx.Err() != nil {
				return err
			}
		}
	})
}
