package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startFake(t *testing.T, topics ...string) (Conn, *kfake.Cluster) {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return Conn{Seeds: fake.ListenAddrs()}, fake
}

// open starts a client that is closed with the test.
func open(t *testing.T, cfg Config) *Client {
	t.Helper()
	if cfg.Group == "" {
		cfg.Group = "group"
	}
	c, err := Open(context.WithoutCancel(t.Context()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// sendMany writes n records of nine keys to a topic.
func sendMany(t *testing.T, conn Conn, topic string, n int) {
	t.Helper()
	producer, err := NewProducer(conn, ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for i := range n {
		if err := producer.Send(t.Context(), Output{Topic: topic, Key: fmt.Append(nil, i%9), Value: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// readAll returns what a topic holds, by partition.
func readAll(t *testing.T, conn Conn, topic string) map[int32][]Record {
	t.Helper()
	admin, err := NewAdmin(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	ends, err := admin.EndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var spans []Span
	for p, end := range ends[topic] {
		spans = append(spans, Span{Topic: topic, Partition: p, To: end})
	}
	records := make(map[int32][]Record)
	err = r.Read(t.Context(), spans, func(b Batch) error {
		records[b.Partition] = append(records[b.Partition], b.Records...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// Bytes that are handed to Send can be changed at once, slabs that were reset can be reused after a flush, and a
// changelog's records go where they say.
func TestSinkCopies(t *testing.T) {
	t.Parallel()
	conn, _ := startFake(t, "in", "log", "out")
	c := open(t, Config{Conn: conn, Sets: [][]string{{"in"}}, Manual: []string{"log"}})
	sink := c.NewSink()
	buf := make([]byte, 0, 64)
	const rounds, each = 5, 700
	for round := range rounds {
		var first Receipt
		for i := range each {
			buf = fmt.Appendf(buf[:0], "value %d", round*each+i)
			receipt, err := sink.Send(t.Context(), Output{
				Topic: "log", Partition: 2, Key: buf[:5], Value: buf, Timestamp: int64(i),
				Headers: []Header{{"h", buf[6:]}, {"null", nil}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = receipt
			}
			for j := range buf {
				buf[j] = '!'
			}
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := sink.Err(); err != nil {
			t.Fatal(err)
		}
		if got, want := first.Offset(), int64(round*each); got != want {
			t.Errorf("offset of the first record of round %d is %d, want %d", round, got, want)
		}
		sink.Reset()
	}
	got := readAll(t, conn, "log")
	if len(got) != 1 || len(got[2]) != rounds*each {
		t.Fatalf("partition 2 holds %d records, want all %d and nothing elsewhere", len(got[2]), rounds*each)
	}
	for i, r := range got[2] {
		n := fmt.Sprint(i)
		want := Record{
			Key: []byte("value"), Value: []byte("value " + n), Timestamp: int64(i % each), Offset: int64(i),
			Headers: []Header{{"h", []byte(n)}, {"null", nil}},
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Fatalf("record %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestSinkLimits(t *testing.T) {
	t.Parallel()
	conn, fake := startFake(t, "in", "out")
	c := open(t, Config{Conn: conn, Sets: [][]string{{"in"}}, RecordLimits: map[string]int{"out": 1000}})
	sink := c.NewSink()
	_, err := sink.Send(t.Context(), Output{Topic: "out", Value: bytes.Repeat([]byte("x"), 1001)})
	if !errors.Is(err, ErrRecordTooLarge) || !strings.Contains(err.Error(), "topic out, which takes 1000") {
		t.Errorf("a record above the limit: %v", err)
	}
	if _, err := sink.Send(t.Context(), Output{Topic: "out", Value: bytes.Repeat([]byte("x"), 1000)}); err != nil {
		t.Errorf("a record at the limit: %v", err)
	}
	if err := c.Flush(t.Context()); err != nil || sink.Err() != nil {
		t.Errorf("flush: %v, sink: %v", err, sink.Err())
	}

	// A write that the broker refuses spoils the sink for good.
	fake.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		r := req.(*kmsg.ProduceRequest)
		resp := r.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range r.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, 29 // TOPIC_AUTHORIZATION_FAILED
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	if _, err := sink.Send(t.Context(), Output{Topic: "out", Value: []byte("y")}); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sink.Err(); err == nil || !strings.Contains(err.Error(), "write to topic out: TOPIC_AUTHORIZATION_FAILED") {
		t.Errorf("the sink's error is %v", err)
	}
	if _, err := sink.Send(t.Context(), Output{Topic: "out"}); err == nil {
		t.Error("a spoiled sink took another record")
	}
}

// The end of a transaction moves the position, and is not a record.
func TestPollSeesTheEndOfTransactions(t *testing.T) {
	t.Parallel()
	conn, _ := startFake(t, "in")
	producer, err := kgo.NewClient(kgo.SeedBrokers(conn.Seeds...), kgo.TransactionalID("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := producer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}

	c := open(t, Config{Conn: conn, Sets: [][]string{{"in"}}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var records, next int64
	for next < 2 && ctx.Err() == nil {
		if err := c.Poll(ctx, func(b Batch) { records += int64(len(b.Records)); next = b.Next }); err != nil {
			t.Fatal(err)
		}
		c.AllowRebalance()
	}
	if records != 1 || next != 2 {
		t.Errorf("polled %d records up to offset %d, want 1 and 2", records, next)
	}
}

// Offsets are added while outputs are on their way, unless the cluster does not take both at a time: then they wait.
func TestOffsetsBesideOutputs(t *testing.T) {
	t.Parallel()
	conn, fake := startFake(t, "in", "out")
	busy := true
	fake.ControlKey(int16(kmsg.TxnOffsetCommit), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		if !busy {
			return nil, nil, false
		}
		busy = false
		req := kreq.(*kmsg.TxnOffsetCommitRequest)
		resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		for _, rt := range req.Topics {
			st := kmsg.NewTxnOffsetCommitResponseTopic()
			st.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				sp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				sp.Partition, sp.ErrorCode = rp.Partition, kerr.ConcurrentTransactions.Code
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
	assigned := make(chan struct{}, 1)
	c := open(t, Config{Conn: conn, Sets: [][]string{{"in"}}, TransactionalID: "id", Assigned: func(context.Context, Assignment) { assigned <- struct{}{} }})
	if err := c.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-assigned
	c.txn.inTurns = false // kfake may not have transaction.version 2
	sink := c.NewSink()
	for commit := range int64(3) {
		if err := c.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Send(t.Context(), Output{Topic: "out", Key: []byte("k"), Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
		offsets := Offsets{"in": {0: commit + 1}}
		added := c.AddOffsets(t.Context(), offsets)
		if err := added(c.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := c.CommitTransaction(t.Context(), offsets); err != nil {
			t.Fatal(err)
		}
		sink.Reset()
		if got, err := c.Admin().Committed(t.Context(), "group"); err != nil || got["in"][0] != commit+1 {
			t.Fatalf("commit %d: the group stands at %v (%v), want %d", commit, got, err, commit+1)
		}
		if !c.txn.inTurns {
			t.Errorf("commit %d: offsets still go beside outputs", commit)
		}
	}
	if n := len(readAll(t, conn, "out")); n != 1 {
		t.Errorf("outputs are in %d partitions, want one", n)
	}
}

// partitioned is a hook that holds the producer up where it has sent the first records for a topic, and has not yet stored
// the topic's partitions.
type partitioned struct{ begun, release chan struct{} }

// OnProduceRecordPartitioned implements kgo.HookProduceRecordPartitioned.
func (h partitioned) OnProduceRecordPartitioned(r *kgo.Record, _ int32) {
	if r.Topic == "late" {
		close(h.begun)
		<-h.release
	}
}

// A transaction ends only when the producer knows of all topics that it has written to: it would take the first one for
// empty, abort it, and say that it was committed.
func TestCommitWaitsForTopics(t *testing.T) {
	t.Parallel()
	conn, fake := startFake(t, "in", "out", "late")
	var commits bool
	ended := make(chan struct{})
	fake.ControlKey(int16(kmsg.EndTxn), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		commits = kreq.(*kmsg.EndTxnRequest).Commit
		close(ended)
		return nil, nil, false
	})
	c := open(t, Config{Conn: conn, Sets: [][]string{{"in"}}, TransactionalID: "id"})
	hook := partitioned{make(chan struct{}), make(chan struct{})}
	producer, err := conn.open("group", append(c.producerOptions(), kgo.TransactionalID("id"), kgo.WithHooks(hook))...)
	if err != nil {
		t.Fatal(err)
	}
	c.txn.producer = producer
	if err := c.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.NewSink().Send(t.Context(), Output{Topic: "out", Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	producer.Produce(t.Context(), &kgo.Record{Topic: "late"}, nil)
	<-hook.begun
	committed := make(chan error, 1)
	go func() { committed <- c.CommitTransaction(t.Context(), nil) }()
	select {
	case <-ended:
		t.Error("the transaction ended before the producer knew the partitions of all its topics")
	case <-time.After(100 * time.Millisecond):
	}
	close(hook.release)
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	<-ended
	if !commits {
		t.Error("the transaction was aborted")
	}
}

// A poll takes what was fetched of all partitions, however much that is, and also when it may not wait.
func TestPollTakesAll(t *testing.T) {
	t.Parallel()
	conn, _ := startFake(t, "in")
	const records = 30_000
	sendMany(t, conn, "in", records)
	c := open(t, Config{Conn: conn, Sets: [][]string{{"in"}}})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	got := make(map[int32]int)
	for total, deadline := 0, time.Now().Add(20*time.Second); total < records && time.Now().Before(deadline); {
		fetched := c.Buffered()
		polled := int64(0)
		if err := c.Poll(over, func(b Batch) {
			got[b.Partition] += len(b.Records)
			polled += int64(len(b.Records))
		}); err != nil {
			t.Fatal(err)
		}
		if polled < fetched {
			t.Errorf("polled %d records when %d were fetched", polled, fetched)
		}
		total += int(polled)
		c.AllowRebalance()
		runtime.Gosched()
	}
	if len(got) != 3 || got[0]+got[1]+got[2] != records {
		t.Errorf("polled %v of the partitions, want %d records of three", got, records)
	}
}

// Where a group resumes can be raised above what it has committed.
func TestResume(t *testing.T) {
	t.Parallel()
	conn, _ := startFake(t, "in")
	sendMany(t, conn, "in", 90)
	asked := make(chan map[string]map[int32]int64, 1)
	c := open(t, Config{Conn: conn, Sets: [][]string{{"in"}}, Resume: func(_ context.Context, committed map[string]map[int32]int64) error {
		asked <- map[string]map[int32]int64{"in": {0: committed["in"][0], 1: committed["in"][1], 2: committed["in"][2]}}
		committed["in"][1] = 7
		return nil
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	first := make(map[int32]int64)
	for len(first) < 3 && ctx.Err() == nil {
		err := c.Poll(ctx, func(b Batch) {
			if _, ok := first[b.Partition]; !ok {
				first[b.Partition] = b.Records[0].Offset
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		c.AllowRebalance()
	}
	if diff := cmp.Diff(map[int32]int64{0: 0, 1: 7, 2: 0}, first); diff != "" {
		t.Errorf("first offsets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]map[int32]int64{"in": {0: -1, 1: -1, 2: -1}}, <-asked); diff != "" {
		t.Errorf("committed before (-want +got):\n%s", diff)
	}
	if err := c.Commit(t.Context(), Offsets{"in": {0: 3, 1: 9}}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Admin().Committed(t.Context(), "group")
	if err != nil {
		t.Fatal(err)
	}
	if got["in"][0] != 3 || got["in"][1] != 9 {
		t.Errorf("committed offsets are %v, want 3 and 9", got)
	}
	if got, err := c.Admin().Committed(t.Context(), "nobody"); err != nil || len(got) != 0 {
		t.Errorf("offsets of a group that does not exist: %v, %v", got, err)
	}
}

func TestReaderStopsAtTheSpan(t *testing.T) {
	t.Parallel()
	conn, _ := startFake(t, "in")
	c := open(t, Config{Conn: conn, Sets: [][]string{{"in"}}, Manual: []string{"in"}})
	sink := c.NewSink()
	for i := range 30 {
		if _, err := sink.Send(t.Context(), Output{Topic: "in", Partition: int32(i % 3), Value: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, tt := range []struct {
		spans []Span
		want  map[int32][]int64
	}{
		{[]Span{{"in", 0, 2, 5}}, map[int32][]int64{0: {2, 3, 4}}},
		{[]Span{{"in", 0, 9, 10}, {"in", 1, 3, 3}, {"in", 2, 0, 1}}, map[int32][]int64{0: {9}, 2: {0}}},
		{nil, map[int32][]int64{}},
	} {
		got := make(map[int32][]int64)
		err := r.Read(t.Context(), tt.spans, func(b Batch) error {
			for _, rec := range b.Records {
				got[b.Partition] = append(got[b.Partition], rec.Offset)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("offsets of %v (-want +got):\n%s", tt.spans, diff)
		}
	}
	boom := errors.New("boom")
	if err := r.Read(t.Context(), []Span{{"in", 0, 0, 5}}, func(Batch) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("Read returned %v, want the error of the function", err)
	}
	if err := r.Read(t.Context(), []Span{{"in", 0, 50, 60}}, func(Batch) error { return nil }); err == nil {
		t.Error("a span beyond the end was read")
	}
}

func TestCommitErrors(t *testing.T) {
	t.Parallel()
	for code, fenced := range map[int16]bool{22: true, 25: true, 27: true, 82: true, 30: false, 3: false} {
		resp := kmsg.NewPtrOffsetCommitResponse()
		resp.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 1, ErrorCode: code}}}}
		err := commitError(resp, nil)
		if err == nil || errors.Is(err, ErrFenced) != fenced {
			t.Errorf("error code %d gives %v, fenced should be %v", code, err, fenced)
		}
	}
	if err := commitError(kmsg.NewPtrOffsetCommitResponse(), nil); err != nil {
		t.Errorf("an empty response gives %v", err)
	}
}
