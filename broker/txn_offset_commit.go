package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/group"
	"github.com/riffle-stream/riffle/broker/group/consumer"
	"github.com/riffle-stream/riffle/broker/txn"
)

// TxnOffsetCommit: v0-6
//
//   - v2: leader epoch; COORDINATOR_LOAD_IN_PROGRESS (before:
//     COORDINATOR_NOT_AVAILABLE)
//   - v3: flexible; member, instance and generation, which fence (KIP-447)
//   - v4: TRANSACTION_ABORTABLE where the group is not part of the transaction
//     (before: INVALID_TXN_STATE)
//   - v5: the commit adds the group to the transaction (KIP-890)
//   - v6: topic ids; GROUP_ID_NOT_FOUND for a group that is not there (before:
//     ILLEGAL_GENERATION), STALE_MEMBER_EPOCH likewise (KIP-1319)
//
// The offsets count when the transaction is committed.
func handleTxnOffsetCommit(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.TxnOffsetCommitRequest)
	resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	var offsets []offsetCommit
	for _, rt := range req.Topics {
		t, err := c.find(acl.Read, req.Version >= 6, rt.TopicID, rt.Topic)
		for _, rp := range rt.Partitions {
			offsets = append(offsets, newOffsetCommit(t, err, rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata))
		}
	}
	err := c.authorize(acl.Write, acl.TransactionalID, req.TransactionalID)
	if err == nil {
		err = c.authorize(acl.Read, acl.Group, req.Group)
	}
	if err == nil && !allFailed(offsets) {
		err = b.commitOffsetsInTransaction(ctx, req, offsets)
	}
	for _, rt := range req.Topics {
		st := kmsg.NewTxnOffsetCommitResponseTopic()
		st.Topic, st.TopicID = rt.Topic, rt.TopicID
		for _, rp := range rt.Partitions {
			sp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			sp.Partition = rp.Partition
			own := offsets[0].err
			if own == nil {
				own = err
			}
			if errors.Is(own, consumer.ErrStaleEpoch) && req.Version < 6 {
				own = kerr.IllegalGeneration
			}
			sp.ErrorCode = b.metrics.failed(req.Key(), own)
			offsets = offsets[1:]
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

// commitOffsetsInTransaction holds the turn of the transactional id while the offsets
// are stored, so that the transaction does not end before.
func (b *Broker) commitOffsetsInTransaction(ctx context.Context, req *kmsg.TxnOffsetCommitRequest, offsets []offsetCommit) error {
	x, err := b.txns.lock(ctx, req.TransactionalID, false)
	if err == nil {
		defer b.txns.unlock(x)
		p := txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}
		at := b.groups.offsetsPlace(req.Group)
		if req.Version >= implicitAddOffsets {
			err = b.txns.addOffsets(ctx, x, p, at)
		} else {
			err = x.txn.Verify(p, at)
		}
		if err == nil {
			r := group.CommitRequest{MemberID: req.MemberID, InstanceID: orEmpty(req.InstanceID), Generation: req.Generation}
			err = b.groups.commitInTransaction(ctx, req.Group, r, p, offsets)
		}
	}
	code := errorCode(err)
	switch {
	case errors.Is(err, txn.ErrNotAdded) && req.Version >= 4:
		return fmt.Errorf("%w: %w", kerr.TransactionAbortable, err)
	case errors.Is(err, errNoGroup) && req.Version < 6:
		return kerr.IllegalGeneration
	case code == kerr.ProducerFenced.Code:
		return fmt.Errorf("%w: %w", kerr.InvalidProducerEpoch, err)
	case code == kerr.CoordinatorLoadInProgress.Code && req.Version < 2:
		return fmt.Errorf("%w: %w", kerr.CoordinatorNotAvailable, err)
	}
	return err
}
