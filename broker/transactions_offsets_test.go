package broker_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

func (c *txnClient) addOffsets(group string) int16 {
	c.t.Helper()
	req := at(3, kmsg.NewPtrAddOffsetsToTxnRequest())
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = c.tx, c.id, c.epoch, group
	return do[*kmsg.AddOffsetsToTxnResponse](c.raw, req).ErrorCode
}

// commitOffset commits an offset of partition 0 in the transaction, for a member or,
// if that is nil, for nobody.
func (c *txnClient) commitOffset(version int16, group string, m *groupClient, topic string, id [16]byte, offset int64) int16 {
	c.t.Helper()
	req := at(version, kmsg.NewPtrTxnOffsetCommitRequest())
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = c.tx, c.id, c.epoch, group
	req.Generation, req.MemberID = -1, ""
	if m != nil {
		req.Generation, req.MemberID = m.generation, m.memberID
	}
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset = offset
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return do[*kmsg.TxnOffsetCommitResponse](c.raw, req).Topics[0].Partitions[0].ErrorCode
}

// Assertion 39: offsets of a transaction count when it is committed, are named
// unstable until then, and are refused to members of the past.
func TestOffsetsInTransactions(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys))
		id := r.create("orders", 1)
		c := newTxn(r, "tx")
		m := &groupClient{raw: r.again(), group: "g", version: 9}
		m.join()
		m.sync(m.memberID)
		wantOffset := func(what string, offset int64, want *kerr.Error) {
			t.Helper()
			for _, version := range []int16{7, 9, 10} {
				got := r.fetchOffset(version, "g", "orders", id)
				wantCode(t, fmt.Sprintf("%s: OffsetFetch v%d", what, version), got.Code, want)
				if got.Offset != offset {
					t.Errorf("%s: offset %d, want %d", what, got.Offset, offset)
				}
			}
		}
		stale, stranger := *m, *m
		stale.generation--
		stranger.memberID = "stranger"
		for version := int16(3); version <= 6; version++ {
			if version < 5 {
				wantCode(t, "AddOffsetsToTxn", c.addOffsets("g"), nil)
			}
			commit := func(m *groupClient, offset int64) int16 {
				return c.commitOffset(version, "g", m, "orders", id, offset)
			}
			before := int64(version-3)*10 - 1
			if version == 3 {
				before = -1
			}
			wantCode(t, "a stale generation", commit(&stale, 99), kerr.IllegalGeneration)
			wantCode(t, "an unknown member", commit(&stranger, 99), kerr.UnknownMemberID)
			wantCode(t, "a member", commit(m, before+5), nil)
			wantOffset("in the transaction", -1, kerr.UnstableOffsetCommit)
			if got := r.fetchOffset(5, "g", "orders", id).Offset; got != before {
				t.Errorf("without RequireStable the offset is %d, want %d", got, before)
			}
			c.mustEnd(false)
			wantOffset("aborted", before, nil)

			if version < 5 {
				wantCode(t, "AddOffsetsToTxn", c.addOffsets("g"), nil)
			}
			after := int64(version-2)*10 - 1
			wantCode(t, "a member", commit(m, after), nil)
			c.mustEnd(true)
			wantOffset("committed", after, nil)
		}
		// A group that is not part of the transaction.
		wantCode(t, "v3 to a group that was not added", c.commitOffset(3, "other", nil, "orders", id, 1), kerr.InvalidTxnState)
		wantCode(t, "v4 to a group that was not added", c.commitOffset(4, "other", nil, "orders", id, 1), kerr.TransactionAbortable)
		// A group that is not there.
		wantCode(t, "v5 as a member of no group", c.commitOffset(5, "nobody", m, "orders", id, 1), kerr.IllegalGeneration)
		wantCode(t, "v6 as a member of no group", c.commitOffset(6, "nobody", m, "orders", id, 1), kerr.GroupIDNotFound)
		wantCode(t, "without a membership", c.commitOffset(6, "simple", nil, "orders", id, 3), nil)
		fenced := *c
		fenced.epoch--
		wantCode(t, "of a fenced producer", fenced.commitOffset(6, "simple", nil, "orders", id, 4), kerr.InvalidProducerEpoch)
		c.mustEnd(true)

		brokertest.Stop(t, r.b)
		again := start(brokertest.FS(fsys))
		for group, want := range map[string]int64{"g": 39, "simple": 3} {
			if got := again.fetchOffset(10, group, "orders", id); got.Offset != want || got.Code != 0 {
				t.Errorf("after a restart %q has %+v, want %d", group, got, want)
			}
		}
	})
}

// What administrators see of transactions, and how they end one that hangs.
func TestTransactionsAreShown(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 2)
		c, done := newTxn(r, "open"), newTxn(r, "done")
		c.mustWrite("orders", "a")
		done.mustWrite("orders", "b")
		done.mustEnd(true)

		describe := kmsg.NewPtrDescribeTransactionsRequest()
		describe.TransactionalIDs = []string{"open", "done", "nobody"}
		states := do[*kmsg.DescribeTransactionsResponse](r, describe).TransactionStates
		if s := states[0]; s.State != "Ongoing" || s.ProducerID != c.id || s.TimeoutMillis != 60_000 || s.StartTimestamp <= 0 ||
			len(s.Topics) != 1 || s.Topics[0].Topic != "orders" || !cmp.Equal(s.Topics[0].Partitions, []int32{0}) {
			t.Errorf("the open transaction is %+v", s)
		}
		if s := states[1]; s.State != "CompleteCommit" || s.ProducerEpoch != done.epoch || len(s.Topics) > 0 {
			t.Errorf("the finished transaction is %+v", s)
		}
		wantCode(t, "DescribeTransactions of an unknown id", states[2].ErrorCode, kerr.TransactionalIDNotFound)

		list := func(change func(*kmsg.ListTransactionsRequest)) []string {
			req := at(2, kmsg.NewPtrListTransactionsRequest())
			req.DurationFilterMillis = -1
			change(req)
			resp := do[*kmsg.ListTransactionsResponse](r, req)
			wantCode(t, "ListTransactions", resp.ErrorCode, nil)
			ids := []string{}
			for _, s := range resp.TransactionStates {
				ids = append(ids, s.TransactionalID)
			}
			return append(ids, resp.UnknownStateFilters...)
		}
		for name, c := range map[string]struct {
			change func(*kmsg.ListTransactionsRequest)
			want   []string
		}{
			"all":      {func(*kmsg.ListTransactionsRequest) {}, []string{"done", "open"}},
			"state":    {func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Ongoing", "Odd"} }, []string{"open", "Odd"}},
			"producer": {func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{done.id} }, []string{"done"}},
			"duration": {func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = 60_000 }, []string{}},
			"pattern":  {func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = kmsg.StringPtr("o.*") }, []string{"open"}},
		} {
			if diff := cmp.Diff(c.want, list(c.change)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}

		producers := kmsg.NewPtrDescribeProducersRequest()
		pt := kmsg.NewDescribeProducersRequestTopic()
		pt.Topic, pt.Partitions = "orders", []int32{0, 7}
		producers.Topics = append(producers.Topics, pt)
		shown := do[*kmsg.DescribeProducersResponse](r, producers).Topics[0].Partitions
		if a := shown[0].ActiveProducers; len(a) != 2 || a[0].CurrentTxnStartOffset != 0 || a[1].CurrentTxnStartOffset != -1 || a[0].ProducerID != c.id || a[0].LastSequence != 0 {
			t.Errorf("producers of the partition are %+v", a)
		}
		wantCode(t, "DescribeProducers of no partition", shown[1].ErrorCode, kerr.UnknownTopicOrPartition)

		// Its coordinator is believed to have forgotten the transaction.
		abort := at(1, kmsg.NewPtrWriteTxnMarkersRequest())
		marker := kmsg.NewWriteTxnMarkersRequestMarker()
		marker.ProducerID, marker.ProducerEpoch = c.id, c.epoch
		mt := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		mt.Topic, mt.Partitions = "orders", []int32{0, 7}
		marker.Topics = append(marker.Topics, mt)
		abort.Markers = append(abort.Markers, marker)
		written := do[*kmsg.WriteTxnMarkersResponse](r, abort).Markers[0].Topics[0].Partitions
		wantCode(t, "WriteTxnMarkers", written[0].ErrorCode, nil)
		wantCode(t, "WriteTxnMarkers of no partition", written[1].ErrorCode, kerr.UnknownTopicOrPartition)
		if diff := cmp.Diff([]string{"b"}, committedValues(t, r.fetchCommitted("orders", 0))); diff != "" {
			t.Errorf("committed values (-want +got):\n%s", diff)
		}
	})
}

// Brokers and new clients add and verify the partitions of many transactions at once.
func TestAddPartitionsInBatches(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 2)
		c := newTxn(r, "tx")
		ask := func(version int16, verify bool, topic string, partitions ...int32) []int16 {
			req := at(version, kmsg.NewPtrAddPartitionsToTxnRequest())
			rx := kmsg.NewAddPartitionsToTxnRequestTransaction()
			rx.TransactionalID, rx.ProducerID, rx.ProducerEpoch, rx.VerifyOnly = c.tx, c.id, c.epoch, verify
			rt := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
			rt.Topic, rt.Partitions = topic, partitions
			rx.Topics = append(rx.Topics, rt)
			req.Transactions = append(req.Transactions, rx)
			codes := []int16{}
			for _, p := range do[*kmsg.AddPartitionsToTxnResponse](r, req).Transactions[0].Topics[0].Partitions {
				codes = append(codes, p.ErrorCode)
			}
			return codes
		}
		for _, step := range []struct {
			name string
			got  []int16
			want []int16
		}{
			{"add one", ask(4, false, "orders", 0), []int16{0}},
			{"verify v4", ask(4, true, "orders", 0, 1), []int16{0, kerr.InvalidTxnState.Code}},
			{"verify v5", ask(5, true, "orders", 0, 1), []int16{0, kerr.TransactionAbortable.Code}},
			{"add one that is not there", ask(5, false, "orders", 1, 2), []int16{kerr.OperationNotAttempted.Code, kerr.UnknownTopicOrPartition.Code}},
			{"add the broker's", ask(5, false, "__transaction_state", 0), []int16{kerr.InvalidTopicException.Code}},
		} {
			if diff := cmp.Diff(step.want, step.got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", step.name, diff)
			}
		}
	})
}
