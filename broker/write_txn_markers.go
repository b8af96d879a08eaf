package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/txn"
)

// WriteTxnMarkers: v1-2
//
//   - v1: flexible
//   - v2: the protocol of the transaction: with TV2 the epoch of the marker must be
//     above that of the records
//
// Our coordinator does not send it. An administrator ends a transaction by it whose
// coordinator has forgotten it.
func handleWriteTxnMarkers(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.WriteTxnMarkersRequest)
	resp := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	for _, rm := range req.Markers {
		sm := kmsg.NewWriteTxnMarkersResponseMarker()
		sm.ProducerID = rm.ProducerID
		m := producer.Marker{
			ID: rm.ProducerID, Epoch: rm.ProducerEpoch, CoordinatorEpoch: rm.CoordinatorEpoch,
			Commit: rm.Committed, Raised: txn.Version(rm.TransactionVersion) >= txn.TV2,
		}
		for _, rt := range rm.Topics {
			st := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			st.Topic = rt.Topic
			for _, index := range rt.Partitions {
				sp := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
				sp.Partition = index
				sp.ErrorCode = b.metrics.failed(req.Key(), c.writeForeignMarker(ctx, rt.Topic, index, m))
				st.Partitions = append(st.Partitions, sp)
			}
			sm.Topics = append(sm.Topics, st)
		}
		resp.Markers = append(resp.Markers, sm)
	}
	return resp, nil
}

// writeForeignMarker writes a marker that is not our coordinator's: it may not fit.
func (c *conn) writeForeignMarker(ctx context.Context, topic string, index int32, m producer.Marker) error {
	b := c.b
	if !c.may(acl.Alter, acl.Cluster, acl.ClusterName) {
		if err := c.authorizeCluster(acl.ClusterAction); err != nil {
			return err
		}
	}
	p, err := b.partition(topic, index)
	if err != nil {
		return err
	}
	if m.ID < 0 || m.Epoch < 0 {
		return fmt.Errorf("%w: marker of producer %d with epoch %d", producer.ErrInvalidProducerEpoch, m.ID, m.Epoch)
	}
	if topic == offsetsTopic {
		wait, err := b.groups.endTransaction(ctx, index, m)
		if err != nil || wait == nil {
			return err
		}
		return wait()
	}
	a, err := p.appendMarker(m)
	if err != nil {
		return err
	}
	return p.wait(b.hard(ctx), a.NextOffset)
}
