package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// OffsetForLeaderEpoch: v2-4
//
//   - v2: the client's current leader epoch; librdkafka asks for exactly this version
//   - v3: replica id: ignored, there are no other replicas
//   - v4: flexible
//
// A leader epoch begins each time the broker comes back from a crash, and ends where the
// next one begins, the present one at the high watermark. A client whose position lies
// behind the end of the epoch that it read last has read what a crash took back, which
// can happen with riffle.flush=os only. An epoch that has not come has no end, as in
// Kafka.
func handleOffsetForLeaderEpoch(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.OffsetForLeaderEpochRequest)
	resp := r.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for _, rt := range r.Topics {
		st := kmsg.NewOffsetForLeaderEpochResponseTopic()
		st.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			sp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			sp.Partition = rp.Partition
			if err := c.epochEnd(rt.Topic, &rp, &sp); err != nil {
				sp.ErrorCode = b.metrics.failed(r.Key(), err)
			}
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

// epochEnd fills in one answer. An epoch that is not known keeps the defaults, -1.
func (c *conn) epochEnd(topic string, rp *kmsg.OffsetForLeaderEpochRequestTopicPartition, sp *kmsg.OffsetForLeaderEpochResponseTopicPartition) error {
	p, err := c.partition(acl.Describe, topic, rp.Partition)
	if err != nil {
		return err
	}
	if err := p.checkEpoch(rp.CurrentLeaderEpoch); err != nil {
		return err
	}
	sp.LeaderEpoch, sp.EndOffset, _ = p.log.LeaderEpochEnd(rp.LeaderEpoch, p.highWatermark())
	return nil
}
