package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/broker/txn"
)

// implicitAdd is the version of Produce from which on writing to a partition adds it
// to the transaction (TV2), and implicitAddOffsets that of TxnOffsetCommit.
const (
	implicitAdd        = 12
	implicitAddOffsets = 5
)

// producing is the transaction that a produce request writes in. Its turn is held, so
// that it cannot end before the records are in the log.
type producing struct {
	ts      *transactions
	x       *transactional
	version int16
	err     error // why the request may not write in a transaction
}

// openTransaction takes the turn of the request's transactional id and, with TV2, adds
// the partitions. It returns nil for a request without one.
func (c *conn) openTransaction(ctx context.Context, r *kmsg.ProduceRequest) *producing {
	if r.TransactionID == nil {
		return nil
	}
	b := c.b
	held := &producing{ts: b.txns, version: r.Version}
	if held.err = c.authorize(acl.Write, acl.TransactionalID, *r.TransactionID); held.err != nil {
		return held
	}
	x, err := b.txns.lock(ctx, *r.TransactionID, false)
	if err != nil {
		held.err = held.translate(err)
		return held
	}
	held.x = x
	if r.Version < implicitAdd {
		return held
	}
	var producer txn.Producer
	var partitions []txn.Partition
	for i := range r.Topics {
		rt := &r.Topics[i]
		t, err := c.producedTopic(r, rt)
		if err != nil {
			continue // said when it is its turn
		}
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			batch, _, err := record.Next(rp.Records)
			if _, perr := t.partition(rp.Partition); err != nil || perr != nil || !batch.Attributes().Transactional() {
				continue
			}
			producer = producerOf(batch)
			partitions = append(partitions, txn.Partition{Topic: t.Name, Index: rp.Partition})
		}
	}
	if len(partitions) > 0 {
		held.err = held.translate(b.txns.addTo(ctx, x, producer, txn.TV2, partitions))
	}
	return held
}

func producerOf(b record.Batch) txn.Producer {
	return txn.Producer{ID: b.ProducerID(), Epoch: b.ProducerEpoch()}
}

// check reports whether a batch may be appended to a partition of t.
func (held *producing) check(t *topic, index int32, batch record.Batch) error {
	switch {
	case !batch.Attributes().Transactional():
		return nil
	case held == nil:
		return fmt.Errorf("%w: the batch is transactional, but the request names no transactional id", kerr.TransactionalIDAuthorizationFailed)
	case held.err != nil:
		return held.err
	}
	return held.translate(held.x.txn.Verify(producerOf(batch), txn.Partition{Topic: t.Name, Index: index}))
}

// raises reports whether the epoch is raised with each transaction, so that a producer
// starts at 0 where it is not known.
func (held *producing) raises() bool { return held != nil && held.version >= implicitAdd }

func (held *producing) release() {
	if held != nil && held.x != nil {
		held.ts.unlock(held.x)
	}
}

// translate gives an error of the coordinator the code that a producer of the
// request's version expects. What it does not expect it takes for fatal.
func (held *producing) translate(err error) error {
	code := errorCode(err)
	is := func(e *kerr.Error) bool { return code == e.Code }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, txn.ErrNotAdded) && held.version >= 11:
		return fmt.Errorf("%w: %w", kerr.TransactionAbortable, err)
	case is(kerr.ProducerFenced):
		return fmt.Errorf("%w: %w", kerr.InvalidProducerEpoch, err)
	case is(kerr.CoordinatorLoadInProgress), is(kerr.CoordinatorNotAvailable), is(kerr.ConcurrentTransactions) && held.version < implicitAdd:
		return fmt.Errorf("%w: %w", kerr.NotEnoughReplicas, err)
	}
	return err
}
