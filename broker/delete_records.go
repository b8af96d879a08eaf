package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// toHighWatermark is the offset of DeleteRecords that means all records.
const toHighWatermark = -1

// DeleteRecords: v0-2
//
//   - v1: nothing
//   - v2: flexible
//
// Records below an offset are gone for good when the answer comes. Whole segments are
// deleted at once; what shares a segment with later records takes up space until that
// segment goes. A topic that is only compacted refuses: a key's last value would go
// without a tombstone.
func handleDeleteRecords(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.DeleteRecordsRequest)
	resp := r.ResponseKind().(*kmsg.DeleteRecordsResponse)
	for _, rt := range r.Topics {
		st := kmsg.NewDeleteRecordsResponseTopic()
		st.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			sp := kmsg.NewDeleteRecordsResponseTopicPartition()
			sp.Partition = rp.Partition
			start, err := c.deleteRecords(rt.Topic, rp.Partition, rp.Offset)
			sp.LowWatermark = start
			if err != nil {
				sp.LowWatermark = -1
				sp.ErrorCode = b.metrics.failed(r.Key(), err)
			}
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

// deleteRecords returns the log start offset.
func (c *conn) deleteRecords(topic string, index int32, offset int64) (start int64, err error) {
	p, err := c.partition(acl.Delete, topic, index)
	if err != nil {
		return 0, err
	}
	switch t := p.topic(); {
	case t.Internal:
		return 0, fmt.Errorf("%w: %q belongs to the broker", kerr.InvalidTopicException, t.Name)
	case !t.cfg.Delete:
		return 0, fmt.Errorf("%w: %q is compacted, its cleanup.policy does not hold delete", kerr.PolicyViolation, t.Name)
	}
	end := p.highWatermark()
	if offset == toHighWatermark {
		offset = end
	}
	if offset < 0 || offset > end {
		return 0, fmt.Errorf("%w: %d of %s, which has [%d, %d]", kerr.OffsetOutOfRange, offset, p, p.startOffset(), end)
	}
	if err := p.log.DeleteBefore(offset); err != nil {
		return 0, fmt.Errorf("broker: delete records of %s: %w", p, err)
	}
	return p.startOffset(), nil
}
