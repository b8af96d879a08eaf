package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/txn"
)

// EndTxn: v0-5
//
//   - v2: PRODUCER_FENCED (before: INVALID_PRODUCER_EPOCH)
//   - v3: flexible
//   - v5: each transaction has an epoch of its own: the answer holds the producer id
//     and epoch for the next one (KIP-890)
//
// It is answered when the outcome is durable and, unless a log fails, the markers are
// written: whoever reads then sees the outcome.
func handleEndTxn(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.EndTxnRequest)
	resp := req.ResponseKind().(*kmsg.EndTxnResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	version := txn.TV1
	if req.Version >= 5 {
		version = txn.TV2
	}
	p := txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}
	err := c.authorize(acl.Write, acl.TransactionalID, req.TransactionalID)
	var next txn.Producer
	if err == nil {
		next, err = b.txns.end(ctx, req.TransactionalID, p, req.Commit, version)
	}
	if err != nil {
		resp.ErrorCode = b.metrics.failed(req.Key(), beforeFenced(err, req.Version, 2))
		return resp, nil
	}
	resp.ProducerID, resp.ProducerEpoch = next.ID, next.Epoch
	return resp, nil
}
