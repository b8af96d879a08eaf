package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/broker/record"
)

// txnClient is a producer that speaks the transaction protocol itself.
type txnClient struct {
	*raw
	tx    string
	id    int64
	epoch int16
	seq   map[string]int32 // by partition
}

// newTxn starts a producer with a transactional id and fails the test if it cannot.
func newTxn(r *raw, tx string) *txnClient {
	r.t.Helper()
	c := &txnClient{raw: r, tx: tx, id: -1, epoch: -1}
	if code := c.init(60_000); code != 0 {
		r.t.Fatalf("InitProducerId of %q: %v", tx, kerr.ErrorForCode(code))
	}
	return c
}

func (c *txnClient) init(timeoutMillis int32) int16 {
	c.t.Helper()
	req := at(5, kmsg.NewPtrInitProducerIDRequest())
	req.TransactionalID, req.TransactionTimeoutMillis = &c.tx, timeoutMillis
	resp := do[*kmsg.InitProducerIDResponse](c.raw, req)
	if resp.ErrorCode == 0 {
		c.id, c.epoch, c.seq = resp.ProducerID, resp.ProducerEpoch, map[string]int32{}
	}
	return resp.ErrorCode
}

// initAgain starts over while the transaction before is aborted.
func (c *txnClient) initAgain() {
	c.t.Helper()
	for range 100 {
		switch code := c.init(60_000); code {
		case 0:
			return
		case kerr.ConcurrentTransactions.Code:
		default:
			c.t.Fatalf("InitProducerId: %v", kerr.ErrorForCode(code))
		}
	}
	c.t.Fatal("InitProducerId is concurrent for ever")
}

// write produces records in the transaction at a version of Produce.
func (c *txnClient) write(version int16, topic string, partition int32, values ...string) kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	var w record.Builder
	for _, v := range values {
		w.Append(time.Now().UnixMilli(), nil, []byte(v))
	}
	at := fmt.Sprint(topic, partition)
	w.SetProducer(c.id, c.epoch, c.seq[at])
	b := w.Finish()
	b.SetTransactional()
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis, req.TransactionID = version, -1, 5000, &c.tx
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, b
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	got := do[*kmsg.ProduceResponse](c.raw, req).Topics[0].Partitions[0]
	if got.ErrorCode == 0 {
		c.seq[at] += int32(len(values))
	}
	return got
}

// mustWrite is write with TV2.
func (c *txnClient) mustWrite(topic string, values ...string) int64 {
	c.t.Helper()
	p := c.write(12, topic, 0, values...)
	if p.ErrorCode != 0 {
		c.t.Fatalf("Produce: %v, %s", kerr.ErrorForCode(p.ErrorCode), text(p.ErrorMessage))
	}
	return p.BaseOffset
}

func (c *txnClient) addPartitions(topic string, partitions ...int32) int16 {
	c.t.Helper()
	req := at(3, kmsg.NewPtrAddPartitionsToTxnRequest())
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = c.tx, c.id, c.epoch
	rt := kmsg.NewAddPartitionsToTxnRequestTopic()
	rt.Topic, rt.Partitions = topic, partitions
	req.Topics = append(req.Topics, rt)
	return do[*kmsg.AddPartitionsToTxnResponse](c.raw, req).Topics[0].Partitions[0].ErrorCode
}

func (c *txnClient) endRequest(version int16, commit bool) *kmsg.EndTxnRequest {
	req := at(version, kmsg.NewPtrEndTxnRequest())
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = c.tx, c.id, c.epoch, commit
	return req
}

// end ends the transaction at a version of EndTxn, and goes on with what it is told.
func (c *txnClient) end(version int16, commit bool) int16 {
	c.t.Helper()
	resp := do[*kmsg.EndTxnResponse](c.raw, c.endRequest(version, commit))
	if resp.ErrorCode == 0 && version >= 5 {
		c.id, c.epoch, c.seq = resp.ProducerID, resp.ProducerEpoch, map[string]int32{}
	}
	return resp.ErrorCode
}

func (c *txnClient) mustEnd(commit bool) {
	c.t.Helper()
	if code := c.end(5, commit); code != 0 {
		c.t.Fatalf("EndTxn: %v", kerr.ErrorForCode(code))
	}
}

// fetchCommitted reads partition 0 as read_committed does.
func (r *raw) fetchCommitted(topic string, offset int64) kmsg.FetchResponseTopicPartition {
	r.t.Helper()
	req := fetchRequest(topic, offset)
	req.IsolationLevel = 1
	return do[*kmsg.FetchResponse](r, req).Topics[0].Partitions[0]
}

// aborted is an entry of the aborted list.
type aborted struct{ ID, First int64 }

func abortedOf(p kmsg.FetchResponseTopicPartition) []aborted {
	list := []aborted{}
	for _, a := range p.AbortedTransactions {
		list = append(list, aborted{a.ProducerID, a.FirstOffset})
	}
	return list
}

// committedValues applies the aborted list as clients do.
func committedValues(t testing.TB, p kmsg.FetchResponseTopicPartition) []string {
	t.Helper()
	values := []string{}
	skipping := map[int64]bool{}
	list := p.AbortedTransactions
	for left := p.RecordBatches; len(left) > 0; {
		b, rest, err := record.Next(left)
		if err != nil {
			t.Fatal(err)
		}
		left = rest
		// Clients take entries off a list that they expect to be sorted.
		for len(list) > 0 && list[0].FirstOffset <= b.LastOffset() {
			skipping[list[0].ProducerID] = true
			list = list[1:]
		}
		if b.Attributes().Control() {
			delete(skipping, b.ProducerID())
			continue
		}
		if b.Attributes().Transactional() && skipping[b.ProducerID()] {
			continue
		}
		for r, err := range b.Records() {
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, string(r.Value))
		}
	}
	return values
}

func (r *raw) latest(topic string, isolation int8) int64 {
	r.t.Helper()
	req := at(7, kmsg.NewPtrListOffsetsRequest())
	req.IsolationLevel = isolation
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp = -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	p := do[*kmsg.ListOffsetsResponse](r, req).Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		r.t.Fatalf("ListOffsets: %v", kerr.ErrorForCode(p.ErrorCode))
	}
	return p.Offset
}

// Assertions 32 and 33: an open transaction holds back readers of what is committed;
// an aborted one is named to them.
func TestReadCommitted(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		r.produce("orders", batch(time.Now().UnixMilli(), "plain"))
		c := newTxn(r, "tx")
		c.mustWrite("orders", "a", "b")
		r.produce("orders", batch(time.Now().UnixMilli(), "behind"))

		p := r.fetchCommitted("orders", 0)
		if p.LastStableOffset != 1 || p.HighWatermark != 4 || len(offsets(t, p.RecordBatches)) != 1 {
			t.Errorf("open: stable %d, high watermark %d, batches at %v, want 1, 4 and one", p.LastStableOffset, p.HighWatermark, offsets(t, p.RecordBatches))
		}
		if p := r.fetchCommitted("orders", 2); p.ErrorCode != 0 || len(p.RecordBatches) > 0 {
			t.Errorf("behind the stable offset: error %d, %d bytes, want neither", p.ErrorCode, len(p.RecordBatches))
		}
		p = r.fetch("orders", 0)
		if p.LastStableOffset != 1 || len(offsets(t, p.RecordBatches)) != 3 || p.AbortedTransactions != nil {
			t.Errorf("read_uncommitted: stable %d, batches at %v, aborted %v", p.LastStableOffset, offsets(t, p.RecordBatches), p.AbortedTransactions)
		}
		if committed, all := r.latest("orders", 1), r.latest("orders", 0); committed != 1 || all != 4 {
			t.Errorf("latest offsets are %d and %d, want 1 and 4", committed, all)
		}
		id := c.id
		c.mustEnd(false)
		p = r.fetchCommitted("orders", 0)
		if diff := cmp.Diff([]aborted{{id, 1}}, abortedOf(p)); diff != "" {
			t.Errorf("aborted list (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"plain", "behind"}, committedValues(t, p)); diff != "" {
			t.Errorf("committed values (-want +got):\n%s", diff)
		}
		if bases := offsets(t, p.RecordBatches); p.LastStableOffset != 5 || bases[len(bases)-1] != 4 {
			t.Errorf("stable %d, batches at %v, want 5 and the marker at 4", p.LastStableOffset, bases)
		}
		// The list is for what is returned: nothing of the transaction is there any more.
		if p := r.fetchCommitted("orders", 5); len(p.AbortedTransactions) != 0 || p.AbortedTransactions == nil {
			t.Errorf("at the end: aborted %v, want an empty list", p.AbortedTransactions)
		}
	})
}

// Assertion 34: of interleaved transactions readers see what was committed, and
// nothing before the open ones are decided. The aborted list is sorted by offsets.
func TestInterleavedTransactions(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		one, two, three := newTxn(r, "one"), newTxn(r, "two"), newTxn(r, "three")
		ids := map[string]int64{"one": one.id, "three": three.id}
		one.mustWrite("orders", "1a")   // 0
		two.mustWrite("orders", "2a")   // 1
		three.mustWrite("orders", "3a") // 2
		one.mustWrite("orders", "1b")   // 3
		stable := func(want int64) {
			t.Helper()
			if got := r.fetchCommitted("orders", 0).LastStableOffset; got != want {
				t.Errorf("stable is %d, want %d", got, want)
			}
		}
		stable(0)
		three.mustEnd(false) // 4
		stable(0)
		one.mustEnd(false) // 5: ends later, began earlier
		stable(1)
		two.mustEnd(true)
		stable(7)
		p := r.fetchCommitted("orders", 0)
		if diff := cmp.Diff([]aborted{{ids["one"], 0}, {ids["three"], 2}}, abortedOf(p)); diff != "" {
			t.Errorf("aborted list (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"2a"}, committedValues(t, p)); diff != "" {
			t.Errorf("committed values (-want +got):\n%s", diff)
		}
	})
}

// A fetch that waits for committed records wakes when the transaction ends.
func TestFetchWakesAtTheEndOfATransaction(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		c := newTxn(r, "tx")
		c.mustWrite("orders", "a")
		reader := r.again()
		req := fetchRequest("orders", 0)
		req.IsolationLevel, req.MaxWaitMillis = 1, 15_000
		reader.send(req)
		began := time.Now()
		c.mustEnd(true)
		p := recv[*kmsg.FetchResponse](reader, req).Topics[0].Partitions[0]
		if diff := cmp.Diff([]string{"a"}, committedValues(t, p)); diff != "" || time.Since(began) > 5*time.Second {
			t.Errorf("after %v (-want +got):\n%s", time.Since(began), diff)
		}
	})
}

// Assertion 35: a transaction that takes too long is aborted, and its producer fenced.
func TestTransactionTimeout(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start(brokertest.With(func(c *broker.Config) { c.Transaction.CheckInterval = 50 * time.Millisecond }))
		r.create("orders", 1)
		c := newTxn(r, "tx")
		if code := c.init(300); code != 0 {
			t.Fatal(kerr.ErrorForCode(code))
		}
		c.mustWrite("orders", "late")
		waitFor(t, "the transaction to be aborted", func() bool { return r.latest("orders", 1) == 2 })
		if p := c.write(12, "orders", 0, "later"); p.ErrorCode != kerr.InvalidProducerEpoch.Code {
			t.Errorf("Produce after the timeout: error %d, want 47", p.ErrorCode)
		}
		wantCode(t, "EndTxn after the timeout", c.end(5, true), kerr.ProducerFenced)
		wantCode(t, "EndTxn v1 after the timeout", c.end(1, true), kerr.InvalidProducerEpoch)
		if got := committedValues(t, r.fetchCommitted("orders", 0)); len(got) != 0 {
			t.Errorf("committed are %v, want none", got)
		}
	})
}

// Assertions 31 and 36: a producer that starts over aborts the transaction, and fences
// the one before.
func TestInitAbortsTheTransaction(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 2)
		first := newTxn(r, "tx")
		first.mustWrite("orders", "a")
		second := &txnClient{raw: r.again(), tx: "tx"}
		wantCode(t, "InitProducerId in a transaction", second.init(60_000), kerr.ConcurrentTransactions)
		second.initAgain()
		if second.id != first.id || second.epoch <= first.epoch {
			t.Errorf("the second has %d:%d, the first %d:%d", second.id, second.epoch, first.id, first.epoch)
		}
		p := r.fetchCommitted("orders", 0)
		last, _, _ := record.Next(p.RecordBatches[len(p.RecordBatches)-78:])
		if m, err := last.Marker(); err != nil || m.Commit {
			t.Errorf("the log ends with %+v, %v, want an abort marker", m, err)
		}
		for version, want := range map[int16]*kerr.Error{0: kerr.InvalidProducerEpoch, 1: kerr.InvalidProducerEpoch, 2: kerr.ProducerFenced, 4: kerr.ProducerFenced, 5: kerr.ProducerFenced} {
			wantCode(t, fmt.Sprint("EndTxn of the first at v", version), first.end(version, true), want)
		}
		wantCode(t, "AddPartitionsToTxn of the first", first.addPartitions("orders", 0), kerr.ProducerFenced)
		// Also where the partition does not know the producer.
		for _, version := range []int16{11, 12} {
			if p := first.write(version, "orders", 1, "x"); p.ErrorCode != kerr.InvalidProducerEpoch.Code {
				t.Errorf("Produce v%d of the first: error %d, want 47", version, p.ErrorCode)
			}
		}
		second.mustWrite("orders", "b")
		second.mustEnd(true)
	})
}

// Assertion 37: with TV2 a batch adds its partition, and each end has its epoch.
func TestImplicitTransaction(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		c := newTxn(r, "tx")
		old := *c
		c.mustWrite("orders", "a")
		c.mustEnd(true)
		if c.id != old.id || c.epoch != old.epoch+1 {
			t.Errorf("EndTxn v5 answered %d:%d, want %d:%d", c.id, c.epoch, old.id, old.epoch+1)
		}
		again := do[*kmsg.EndTxnResponse](r, old.endRequest(5, true))
		if again.ErrorCode != 0 || again.ProducerID != c.id || again.ProducerEpoch != c.epoch {
			t.Errorf("the same EndTxn again: %+v, want %d:%d", again, c.id, c.epoch)
		}
		old.seq = map[string]int32{"orders0": 1}
		if p := old.write(12, "orders", 0, "x"); p.ErrorCode != kerr.InvalidProducerEpoch.Code {
			t.Errorf("Produce with the old epoch: error %d, want 47", p.ErrorCode)
		}
		c.seq["orders0"] = 1
		if p := c.write(12, "orders", 0, "x"); p.ErrorCode != kerr.OutOfOrderSequenceNumber.Code {
			t.Errorf("the first batch of an epoch at 1: error %d, want 45", p.ErrorCode)
		}
		features := do[*kmsg.ApiVersionsResponse](r, func() *kmsg.ApiVersionsRequest {
			req := at(4, kmsg.NewPtrApiVersionsRequest())
			req.ClientSoftwareName, req.ClientSoftwareVersion = "raw", "1"
			return req
		}())
		finalized := map[string]int16{}
		for _, f := range features.FinalizedFeatures {
			finalized[f.Name] = f.MaxVersionLevel
		}
		if finalized["transaction.version"] != 2 || features.FinalizedFeaturesEpoch < 0 {
			t.Errorf("features %v at epoch %d, want transaction.version=2", finalized, features.FinalizedFeaturesEpoch)
		}
	})
}

// Assertion 38: what TV1 refuses.
func TestExplicitTransaction(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 2)
		c := newTxn(r, "tx")
		for _, ms := range []int32{0, -1, 15*60*1000 + 1} {
			wantCode(t, fmt.Sprint("a timeout of ", ms), c.init(ms), kerr.InvalidTransactionTimeout)
		}
		wantCode(t, "AddPartitionsToTxn", c.addPartitions("orders", 0), nil)
		wantCode(t, "AddPartitionsToTxn of no partition", c.addPartitions("orders", 0, 9), kerr.OperationNotAttempted)
		if p := c.write(9, "orders", 0, "a"); p.ErrorCode != 0 {
			t.Errorf("Produce: %v", kerr.ErrorForCode(p.ErrorCode))
		}
		for version, want := range map[int16]*kerr.Error{9: kerr.InvalidTxnState, 10: kerr.InvalidTxnState, 11: kerr.TransactionAbortable} {
			p := c.write(version, "orders", 1, "never added")
			wantCode(t, fmt.Sprintf("Produce v%d to a partition that was not added", version), p.ErrorCode, want)
		}
		plain := sequenced(c.id, c.epoch, 1, 1)
		wantCode(t, "a batch outside of the open transaction", r.produce("orders", plain).ErrorCode, kerr.InvalidTxnState)
		plain.SetTransactional()
		wantCode(t, "a transactional batch without an id", r.produce("orders", plain).ErrorCode, kerr.TransactionalIDAuthorizationFailed)

		wantCode(t, "EndTxn", c.end(3, true), nil)
		wantCode(t, "EndTxn again", c.end(3, true), nil)
		wantCode(t, "EndTxn the other way", c.end(3, false), kerr.InvalidTxnState)
		p := c.write(11, "orders", 0, "after the end")
		wantCode(t, "Produce after the end", p.ErrorCode, kerr.TransactionAbortable)
		// The next transaction of the same epoch.
		wantCode(t, "AddPartitionsToTxn", c.addPartitions("orders", 0), nil)
		if p := c.write(9, "orders", 0, "b"); p.ErrorCode != 0 {
			t.Errorf("Produce: %v, %s", kerr.ErrorForCode(p.ErrorCode), text(p.ErrorMessage))
		}
		wantCode(t, "EndTxn", c.end(3, false), nil)
		if diff := cmp.Diff([]string{"a"}, committedValues(t, r.fetchCommitted("orders", 0))); diff != "" {
			t.Errorf("committed values (-want +got):\n%s", diff)
		}
		nobody := &txnClient{raw: r, tx: "nobody", id: 5}
		wantCode(t, "EndTxn of an unknown id", nobody.end(3, true), kerr.InvalidProducerIDMapping)
	})
}
