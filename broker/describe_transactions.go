package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/txn"
)

// DescribeTransactions: v0
func handleDescribeTransactions(b *Broker, _ context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeTransactionsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	known := map[string]txn.Txn{}
	err := b.txns.show(func(t txn.Txn) { known[t.ID] = t })
	for _, id := range req.TransactionalIDs {
		st := kmsg.NewDescribeTransactionsResponseTransactionState()
		st.TransactionalID = id
		t, ok := known[id]
		own := c.authorize(acl.Describe, acl.TransactionalID, id)
		if own == nil {
			own = err
		}
		if own == nil && !ok {
			own = fmt.Errorf("%w: %q", kerr.TransactionalIDNotFound, id)
		}
		if own != nil {
			st.ErrorCode = b.metrics.failed(req.Key(), own)
			resp.TransactionStates = append(resp.TransactionStates, st)
			continue
		}
		c.describeTransaction(&st, t)
		resp.TransactionStates = append(resp.TransactionStates, st)
	}
	return resp, nil
}

// describeTransaction leaves out topics that the client may not describe.
func (c *conn) describeTransaction(st *kmsg.DescribeTransactionsResponseTransactionState, t txn.Txn) {
	st.State = t.State.String()
	st.TimeoutMillis = int32(t.Timeout.Milliseconds())
	st.ProducerID, st.ProducerEpoch = t.ProducerID, t.Epoch
	st.StartTimestamp = -1
	if t.State == txn.Ongoing || t.Preparing() {
		st.StartTimestamp = t.Start.UnixMilli()
	}
	for _, p := range t.Partitions {
		if !c.may(acl.Describe, acl.Topic, p.Topic) {
			continue
		}
		if n := len(st.Topics); n == 0 || st.Topics[n-1].Topic != p.Topic {
			topic := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
			topic.Topic = p.Topic
			st.Topics = append(st.Topics, topic)
		}
		topic := &st.Topics[len(st.Topics)-1]
		topic.Partitions = append(topic.Partitions, p.Index)
	}
}
