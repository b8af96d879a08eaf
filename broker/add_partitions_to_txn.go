package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/txn"
)

// AddPartitionsToTxn: v0-5
//
//   - v2: PRODUCER_FENCED (before: INVALID_PRODUCER_EPOCH)
//   - v3: flexible
//   - v4: many transactions in one request, and verification, as brokers send it
//   - v5: TRANSACTION_ABORTABLE where a partition is not part of the transaction
//
// If one partition is not there none is added: the others are answered with
// OPERATION_NOT_ATTEMPTED.
func handleAddPartitionsToTxn(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.AddPartitionsToTxnRequest)
	resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if req.Version < 4 {
		denied := c.authorize(acl.Write, acl.TransactionalID, req.TransactionalID)
		added := c.addPartitions(ctx, req, addPartitionsOf(req), denied)
		for _, t := range added.Topics {
			st := kmsg.NewAddPartitionsToTxnResponseTopic()
			st.Topic = t.Topic
			for _, p := range t.Partitions {
				sp := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				sp.Partition, sp.ErrorCode = p.Partition, p.ErrorCode
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil
	}
	if err := c.authorizeCluster(acl.ClusterAction); err != nil {
		resp.ErrorCode = b.metrics.failed(req.Key(), err)
		return resp, nil
	}
	for _, rt := range req.Transactions {
		resp.Transactions = append(resp.Transactions, c.addPartitions(ctx, req, rt, nil))
	}
	return resp, nil
}

// addPartitionsOf is the one transaction of an older request.
func addPartitionsOf(req *kmsg.AddPartitionsToTxnRequest) kmsg.AddPartitionsToTxnRequestTransaction {
	rt := kmsg.NewAddPartitionsToTxnRequestTransaction()
	rt.TransactionalID, rt.ProducerID, rt.ProducerEpoch = req.TransactionalID, req.ProducerID, req.ProducerEpoch
	for _, t := range req.Topics {
		topic := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
		topic.Topic, topic.Partitions = t.Topic, t.Partitions
		rt.Topics = append(rt.Topics, topic)
	}
	return rt
}

// addPartitions adds, or verifies, the partitions of one transaction, unless that is
// denied.
func (c *conn) addPartitions(ctx context.Context, req *kmsg.AddPartitionsToTxnRequest, rt kmsg.AddPartitionsToTxnRequestTransaction, denied error) kmsg.AddPartitionsToTxnResponseTransaction {
	b := c.b
	st := kmsg.NewAddPartitionsToTxnResponseTransaction()
	st.TransactionalID = rt.TransactionalID
	var partitions []txn.Partition
	missing := map[txn.Partition]error{}
	for _, t := range rt.Topics {
		for _, index := range t.Partitions {
			at := txn.Partition{Topic: t.Topic, Index: index}
			partitions = append(partitions, at)
			if p, err := c.partition(acl.Write, at.Topic, at.Index); err != nil {
				missing[at] = err
			} else if p.topic().Internal {
				missing[at] = fmt.Errorf("%w: %q belongs to the broker", kerr.InvalidTopicException, at.Topic)
			}
		}
	}
	p := txn.Producer{ID: rt.ProducerID, Epoch: rt.ProducerEpoch}
	verified := map[txn.Partition]error{}
	var err error
	switch {
	case denied != nil:
		clear(missing)
		err = denied
	case rt.VerifyOnly:
		verified, err = b.txns.verify(ctx, rt.TransactionalID, p, partitions)
	case len(missing) > 0:
		err = kerr.OperationNotAttempted
	default:
		err = b.txns.add(ctx, rt.TransactionalID, p, txn.TV1, partitions)
	}
	for _, t := range rt.Topics {
		topic := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
		topic.Topic = t.Topic
		for _, index := range t.Partitions {
			at := txn.Partition{Topic: t.Topic, Index: index}
			own := errors.Join(missing[at], verified[at])
			if own == nil {
				own = err
			}
			if errors.Is(own, txn.ErrNotAdded) && req.Version >= 5 {
				own = kerr.TransactionAbortable
			}
			sp := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
			sp.Partition = index
			sp.ErrorCode = b.metrics.failed(req.Key(), beforeFenced(own, req.Version, 2))
			topic.Partitions = append(topic.Partitions, sp)
		}
		st.Topics = append(st.Topics, topic)
	}
	return st
}
