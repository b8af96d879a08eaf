package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/catalog"
	"github.com/riffle-stream/riffle/broker/txn"
)

// InitProducerID: v0-5
//
//   - v2: flexible
//   - v3: the producer's present id and epoch (KIP-360). Without a transactional id
//     they do not matter: each call gets a new id with epoch 0, as in Kafka.
//   - v4: PRODUCER_FENCED (before: INVALID_PRODUCER_EPOCH)
//   - v5: no change here
//
// With a transactional id the producer before is fenced. If it has a transaction open
// that is aborted, and the answer is CONCURRENT_TRANSACTIONS: the client comes again.
func handleInitProducerID(b *Broker, ctx context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.InitProducerIDRequest)
	resp := r.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if err := c.mayProduce(r.TransactionalID); err != nil {
		resp.ErrorCode = b.metrics.failed(r.Key(), err)
		return resp, nil
	}
	if r.TransactionalID != nil {
		producer, err := b.txns.init(ctx, *r.TransactionalID, txn.InitRequest{
			Timeout: time.Duration(r.TransactionTimeoutMillis) * time.Millisecond,
			Present: txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch},
		})
		if err != nil {
			resp.ErrorCode = b.metrics.failed(r.Key(), beforeFenced(err, r.Version, 4))
			return resp, nil
		}
		resp.ProducerID, resp.ProducerEpoch = producer.ID, producer.Epoch
		return resp, nil
	}
	id, err := b.pids.next()
	if err != nil {
		b.cfg.Logger.Error("broker: no producer id", "cause", err)
		resp.ErrorCode = b.metrics.failed(r.Key(), err)
		return resp, nil
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp, nil
}

// mayProduce says why the client may not get a producer id: that takes the permission
// for its transactional id or, without one, to write to some topic.
func (c *conn) mayProduce(transactionalID *string) error {
	switch {
	case transactionalID != nil:
		return c.authorize(acl.Write, acl.TransactionalID, *transactionalID)
	case c.mayWriteSomewhere():
		return nil
	}
	return c.authorizeCluster(acl.IdempotentWrite)
}

// producerIDBlock is how many ids are reserved by one write to disk.
const producerIDBlock = 1000

// producerIDs hands out ids that were never used before, across restarts: what is
// left of a block when the broker ends is lost.
type producerIDs struct {
	catalog *catalog.Catalog

	mu    sync.Mutex
	first int64
	left  int
}

func (p *producerIDs) next() (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		first, err := p.catalog.ReserveProducerIDs(producerIDBlock)
		if err != nil {
			return 0, fmt.Errorf("broker: reserve producer ids: %w", err)
		}
		p.first, p.left = first, producerIDBlock
	}
	id := p.first
	p.first++
	p.left--
	return id, nil
}
