package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/txn"
)

// AddOffsetsToTxn: v0-4
//
//   - v2: PRODUCER_FENCED (before: INVALID_PRODUCER_EPOCH)
//   - v3: flexible
//   - v4: no change here
//
// It adds the partition of __consumer_offsets that holds the group to the
// transaction. Clients with TV2 do not send it.
func handleAddOffsetsToTxn(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.AddOffsetsToTxnRequest)
	resp := req.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
	p := txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}
	err := c.authorize(acl.Write, acl.TransactionalID, req.TransactionalID)
	if err == nil {
		err = c.authorize(acl.Read, acl.Group, req.Group)
	}
	if err == nil {
		err = b.txns.add(ctx, req.TransactionalID, p, txn.TV1, []txn.Partition{b.groups.offsetsPlace(req.Group)})
	}
	resp.ErrorCode = b.metrics.failed(req.Key(), beforeFenced(err, req.Version, 2))
	return resp, nil
}
