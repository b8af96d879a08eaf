package broker_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
)

// committedOnly reads a topic from its beginning as read_committed does, until it has
// seen all partitions' last stable offsets, and counts the values.
func committedOnly(t testing.TB, b *broker.Broker, topic string) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	adm := kadm.NewClient(brokertest.Client(t, b))
	ends, err := adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	cl := brokertest.Client(t, b, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	values := map[string]int{}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("with %v left to read: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				values[string(r.Value)]++
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return values
}

// A foreign client copies a topic record by record, exactly once, while every third
// transaction is aborted and the client is replaced now and then: the copy has each
// record once, and nothing of the aborted transactions.
func TestGroupTransactSession(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cl := brokertest.Client(t, b)
	if _, err := kadm.NewClient(cl).CreateTopics(ctx, 3, 1, nil, "in", "out"); err != nil {
		t.Fatal(err)
	}
	const n = 600
	for i := range n {
		cl.Produce(ctx, &kgo.Record{Topic: "in", Key: fmt.Append(nil, i), Value: fmt.Append(nil, "record ", i)}, nil)
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	copied, transactions, aborted := 0, 0, 0
	for copied < n {
		copied += copySome(ctx, t, b, &transactions, &aborted)
	}
	if aborted < 3 {
		t.Errorf("only %d of %d transactions were aborted", aborted, transactions)
	}
	got := committedOnly(t, b, "out")
	for i := range n {
		if v := fmt.Sprint("record ", i); got[v] != 1 {
			t.Errorf("%q is there %d times, want once", v, got[v])
		}
		delete(got, fmt.Sprint("record ", i))
	}
	if len(got) > 0 {
		t.Errorf("more is there: %v", got)
	}
}

// copySome is the life of one client: it copies some records and goes away.
func copySome(ctx context.Context, t *testing.T, b *broker.Broker, transactions, aborted *int) (copied int) {
	s := transactSession(t, b)
	defer s.Close()
	for range 5 {
		pollCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
		fetches := s.PollRecords(pollCtx, 40)
		cancel()
		if fetches.NumRecords() == 0 {
			return copied
		}
		if err := s.Begin(); err != nil {
			t.Fatal(err)
		}
		*transactions++
		abort := *transactions%3 == 0
		fetches.EachRecord(func(r *kgo.Record) {
			value := r.Value
			if abort {
				value = append([]byte("aborted "), value...)
			}
			s.Produce(ctx, &kgo.Record{Topic: "out", Key: r.Key, Value: value}, nil)
		})
		committed, err := s.End(ctx, kgo.TransactionEndTry(!abort))
		if err != nil {
			t.Fatal(err)
		}
		if committed {
			copied += fetches.NumRecords()
		} else {
			*aborted++
		}
	}
	return copied
}

func transactSession(t *testing.T, b *broker.Broker) *kgo.GroupTransactSession {
	t.Helper()
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers("memory.riffle.invalid:9092"),
		kgo.Dialer(func(ctx context.Context, _, _ string) (net.Conn, error) { return b.Dial(ctx) }),
		kgo.AlwaysRetryEOF(),
		kgo.TransactionalID("copier"), kgo.ConsumerGroup("copiers"), kgo.ConsumeTopics("in"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A client that is taken over by another one with its transactional id is fenced, and
// nothing of what it wrote last counts.
func TestClientIsFenced(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	first := brokertest.Client(t, b, kgo.TransactionalID("tx"))
	if _, err := kadm.NewClient(first).CreateTopic(ctx, 1, 1, nil, "out"); err != nil {
		t.Fatal(err)
	}
	if err := beginAndProduce(ctx, first, "out", "of the first"); err != nil {
		t.Fatal(err)
	}
	second := brokertest.Client(t, b, kgo.TransactionalID("tx"))
	if err := beginAndProduce(ctx, second, "out", "of the second"); err != nil {
		t.Fatal(err)
	}
	if err := first.EndTransaction(ctx, kgo.TryCommit); err == nil {
		t.Error("the first client could commit")
	}
	if err := second.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if got := committedOnly(t, b, "out"); got["of the first"] != 0 || got["of the second"] != 1 {
		t.Errorf("committed are %v, want what the second client wrote", got)
	}
}

func beginAndProduce(ctx context.Context, cl *kgo.Client, topic, value string) error {
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	return cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr()
}
