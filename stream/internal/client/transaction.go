package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/riffle-stream/riffle/internal/failpoint"
)

// ErrAborted means that what was done since the last commit may not count: the transaction was aborted or timed out, another
// producer of its id has begun, or nobody answered when it was to end. Rewind, and do it again.
var ErrAborted = errors.New("client: transaction not committed")

const (
	// abortTimeout bounds the abort of an open transaction at Close. Without it the transaction's timeout ends it.
	abortTimeout = 2 * time.Second
	// txnBackoff is the pause before a step of a transaction is tried again that the cluster was not ready for.
	txnBackoff = 20 * time.Millisecond
	// commitPatience is how long a commit waits for this client to hear of the group's new generation, and for the cluster to be done
	// with another step of the transaction.
	commitPatience = 5 * time.Second
)

// transaction is the producer of a client that commits exactly once. A producer lives until a transaction fails;
// the next one takes over its transactional id, and the cluster then ends whatever was open and refuses the old
// one's late requests. So nothing has to be known about how a transaction ended that went wrong.
type transaction struct {
	producer *kgo.Client
	open     bool
	implicit bool // transaction.version 2: offsets need not be announced before they are added
	used     atomic.Bool
	writes   produceHook
	// inTurns says that the cluster does not take offsets while a partition is being added: without implicit, or because it
	// said so once.
	inTurns bool
}

// produceHook gets a token when a producer has written outputs to a broker. It has room for one.
type produceHook chan struct{}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (h produceHook) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err != nil || key != int16(kmsg.Produce) {
		return
	}
	select {
	case h <- struct{}{}:
	default:
	}
}

// Begin opens a transaction unless one is open. A new producer first ends what the last one of its id has left open;
// Begin waits for that, until ctx ends. Sinks made before belong to a producer that is gone.
func (c *Client) Begin(ctx context.Context) error {
	t := &c.txn
	for !t.open {
		err := c.begin(ctx)
		switch {
		case err == nil:
			t.open = true
		case ctx.Err() != nil:
			return fmt.Errorf("client: begin a transaction: %w", context.Cause(ctx))
		case !c.worthWaiting(err):
			return fmt.Errorf("client: begin a transaction as %s: %w; commit at least once, if the cluster has no transactions", c.cfg.TransactionalID, err)
		default:
			c.discard()
			c.cfg.Logger.Warn("cannot begin a transaction, trying again", "transactional_id", c.cfg.TransactionalID, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(commitBackoff):
			}
		}
	}
	return nil
}

// worthWaiting tells a cluster that is not ready from one that refuses.
func (c *Client) worthWaiting(err error) bool {
	var refused *kerr.Error
	return !errors.As(err, &refused) || refused.Retriable || abortedBy(err)
}

func (c *Client) begin(ctx context.Context) error {
	t := &c.txn
	if t.producer == nil {
		if err := c.newProducer(ctx); err != nil {
			return err
		}
	}
	if _, _, err := t.producer.ProducerID(ctx); err != nil {
		return err
	}
	select {
	case <-t.writes: // of the last transaction
	default:
	}
	return t.producer.BeginTransaction()
}

// newProducer makes a producer for the cluster's version of transactions.
func (c *Client) newProducer(ctx context.Context) error {
	versions := kversion.Stable()
	implicit, err := c.implicitOffsets(ctx)
	if err != nil {
		return err
	}
	// Version 5 of the request asks for transaction.version 2; version 6 names topics by id.
	limit := int16(4)
	if implicit {
		limit = 5
	}
	versions.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), limit)
	writes := make(produceHook, 1)
	opts := append(c.producerOptions(),
		kgo.TransactionalID(c.cfg.TransactionalID),
		kgo.TransactionTimeout(c.cfg.TransactionTimeout),
		kgo.MaxVersions(versions),
		kgo.WithHooks(writes),
	)
	producer, err := c.cfg.Conn.open(c.cfg.Group, opts...)
	if err != nil {
		return err
	}
	c.txn.producer, c.txn.implicit, c.txn.writes = producer, implicit, writes
	c.txn.inTurns = c.txn.inTurns || !implicit
	return nil
}

// implicitOffsets reports whether the cluster has finalized transaction.version 2 (KIP-890).
func (c *Client) implicitOffsets(ctx context.Context) (bool, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "riffle", "1"
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return false, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return false, err
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" {
			return f.MaxVersionLevel >= 2, nil
		}
	}
	return false, nil
}

// discard lets go of the producer and all that it has not sent.
func (c *Client) discard() {
	t := &c.txn
	if t.producer != nil {
		t.producer.Close()
	}
	t.producer, t.open = nil, false
	t.used.Store(false)
}

// Abort gives up the open transaction. The next Begin ends it in the cluster.
func (c *Client) Abort() { c.discard() }

// AddOffsets adds the next offsets of the inputs to the transaction while its outputs are flushed: neither counts before the
// transaction ends. The caller then flushes and calls finish with the error of that, which is returned, or else one that wraps
// ErrFenced or ErrAborted: the caller aborts and rewinds.
func (c *Client) AddOffsets(ctx context.Context, offsets Offsets) (finish func(flushed error) error) {
	t := &c.txn
	if !t.used.Load() || len(offsets) == 0 {
		return func(flushed error) error { return flushed } // CommitTransaction commits them
	}
	if t.inTurns {
		return func(flushed error) error {
			if flushed != nil {
				return flushed
			}
			return c.addOffsets(ctx, offsets)
		}
	}
	done, added := make(chan struct{}), make(chan error, 1)
	go func() {
		// Behind the first output: if the offsets began the transaction, the outputs would wait for them.
		select {
		case <-t.writes:
		case <-done:
		}
		added <- c.addOffsets(ctx, offsets)
	}()
	return func(flushed error) error {
		close(done)
		return cmp.Or(flushed, <-added)
	}
}

// CommitTransaction makes what was sent since Begin permanent, together with the offsets that AddOffsets was given.
// After nil a new transaction has to begin. After an error that wraps ErrFenced or
// ErrAborted the caller aborts and rewinds; it is not known whether the transaction counts.
func (c *Client) CommitTransaction(ctx context.Context, offsets Offsets) error {
	t := &c.txn
	if !t.used.Load() {
		// Offsets alone are one write; it needs no transaction to be atomic.
		return c.Commit(ctx, offsets)
	}
	failpoint.Hit("commit-offsets-added")
	if err := c.settle(ctx); err != nil {
		return fmt.Errorf("%w: end the transaction: %w", ErrAborted, err)
	}
	if err := t.producer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("%w: end the transaction: %w", ErrAborted, err)
	}
	t.open = false
	t.used.Store(false)
	return nil
}

// settle waits until the producer knows of every topic that it has written to. kgo (up to v1.22.3) sends the first records for a
// topic before it stores the topic's partitions, both under a lock, and EndTransaction looks only at what is stored: where
// the records were acknowledged in between, it takes the transaction for one without records, aborts it, and returns nil.
// AbortBufferedRecords takes that lock, too; after a flush it has nothing to abort.
func (c *Client) settle(ctx context.Context) error { return c.txn.producer.AbortBufferedRecords(ctx) }

// addOffsets adds the offsets to the transaction, if this client is still the member that may commit them (KIP-447).
func (c *Client) addOffsets(ctx context.Context, offsets Offsets) error {
	id, epoch, err := c.txn.producer.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAborted, err)
	}
	if !c.txn.implicit {
		err := c.retry(ctx, func() error {
			req := kmsg.NewPtrAddOffsetsToTxnRequest()
			req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = c.cfg.TransactionalID, id, epoch, c.cfg.Group
			resp, err := req.RequestWith(ctx, c.txn.producer)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(resp.ErrorCode)
		}, func(error) bool { return false })
		if err != nil {
			return fmt.Errorf("client: announce offsets of group %s: %w", c.cfg.Group, transactionError(err))
		}
	}
	member, _ := c.cl.GroupMetadata()
	start := time.Now()
	err = c.retry(ctx, func() error {
		resp, err := c.offsetsRequest(id, epoch, offsets).RequestWith(ctx, c.txn.producer)
		if err != nil {
			return err
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					c.txn.inTurns = c.txn.inTurns || errors.Is(err, kerr.ConcurrentTransactions)
					return fmt.Errorf("topic %s partition %d: %w", t.Topic, p.Partition, err)
				}
			}
		}
		return nil
	}, func(err error) bool {
		// The group went on to its next generation, and this client is about to hear of it. As long as it is the same
		// member its partitions are its own until it gives them up, which waits for this commit.
		now, _ := c.cl.GroupMetadata()
		moved := errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.RebalanceInProgress)
		busy := errors.Is(err, kerr.ConcurrentTransactions)
		return (busy || moved && now == member) && time.Since(start) < commitPatience
	})
	if err != nil {
		return fmt.Errorf("client: commit offsets of group %s: %w", c.cfg.Group, transactionError(err))
	}
	return nil
}

func (c *Client) offsetsRequest(id int64, epoch int16, offsets Offsets) *kmsg.TxnOffsetCommitRequest {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = c.cfg.TransactionalID, id, epoch, c.cfg.Group
	req.MemberID, req.Generation = c.cl.GroupMetadata()
	if c.cfg.Instance != "" {
		req.InstanceID = &c.cfg.Instance
	}
	for topic, partitions := range offsets {
		rt := kmsg.NewTxnOffsetCommitRequestTopic()
		rt.Topic = topic
		for p, at := range partitions {
			rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			rp.Partition, rp.Offset = p, at
			rp.Metadata = c.noteOf(topic, p)
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
	}
	return req
}

// retry repeats a step until ctx ends while the cluster is not ready for it, or again says so of the error. Both steps may
// be taken twice.
func (c *Client) retry(ctx context.Context, step func() error, again func(error) bool) error {
	for {
		err := step()
		var refused *kerr.Error
		switch {
		case err == nil, !errors.As(err, &refused):
			return err
		case again(err):
		case !refused.Retriable, fencedBy(err):
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(txnBackoff):
		}
	}
}

// transactionError says what an error of a step means for the caller.
func transactionError(err error) error {
	var refused *kerr.Error
	switch {
	case fencedBy(err):
		return fmt.Errorf("%w: %w", ErrFenced, err)
	case abortedBy(err), !errors.As(err, &refused):
		return fmt.Errorf("%w: %w", ErrAborted, err)
	}
	return err
}

// abortedBy reports whether an error concerns the producer or its transaction, and not what was sent: a new producer
// would not see it.
func abortedBy(err error) bool {
	return isAny(err,
		kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.UnknownProducerID,
		kerr.InvalidTxnState, kerr.TransactionAbortable, kerr.ConcurrentTransactions, kerr.OutOfOrderSequenceNumber,
		kerr.DuplicateSequenceNumber, kerr.OperationNotAttempted, kgo.ErrAborting, kgo.ErrClientClosed)
}

// Member returns an error that wraps ErrFenced unless the group counts this client as a member of the generation that
// it believes to be in. Who is not must not take over a transactional id: it may have a new owner.
func (c *Client) Member(ctx context.Context) error {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group = c.cfg.Group
	req.MemberID, req.Generation = c.cl.GroupMetadata()
	if c.cfg.Instance != "" {
		req.InstanceID = &c.cfg.Instance
	}
	resp, err := req.RequestWith(ctx, c.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	switch {
	case err == nil, errors.Is(err, kerr.RebalanceInProgress):
		return nil
	case fencedBy(err):
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return fmt.Errorf("client: heartbeat to group %s: %w", c.cfg.Group, err)
}

// endTransaction aborts an open transaction before the client closes, so that readers need not wait for its timeout.
func (c *Client) endTransaction() {
	t := &c.txn
	if t.open && t.used.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), abortTimeout)
		defer cancel()
		err := t.producer.AbortBufferedRecords(ctx)
		if err == nil {
			err = t.producer.EndTransaction(ctx, kgo.TryAbort)
		}
		if err != nil {
			c.cfg.Logger.Debug("could not abort the last transaction: its timeout ends it", "transactional_id", c.cfg.TransactionalID, "err", err)
		}
	}
	c.discard()
}
