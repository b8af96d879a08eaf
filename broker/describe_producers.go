package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// DescribeProducers: v0
//
// It shows the producers that a partition remembers: those that are idempotent or use
// transactions, whether or not they are still there.
func handleDescribeProducers(b *Broker, _ context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeProducersRequest)
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	for _, rt := range distinct(req.Topics, producersTopic) {
		st := kmsg.NewDescribeProducersResponseTopic()
		st.Topic = rt.Topic
		for _, index := range distinct(rt.Partitions, itself) {
			sp := kmsg.NewDescribeProducersResponseTopicPartition()
			sp.Partition = index
			p, err := c.partition(acl.Read, rt.Topic, index)
			if err != nil {
				sp.ErrorCode, sp.ErrorMessage = b.metrics.failed(req.Key(), err), errorMessage(err)
				st.Partitions = append(st.Partitions, sp)
				continue
			}
			for _, info := range p.log.Producers() {
				sa := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
				sa.ProducerID, sa.ProducerEpoch = info.ID, int32(info.Epoch)
				sa.LastSequence, sa.LastTimestamp = info.LastSeq, info.LastTimestampMillis
				sa.CoordinatorEpoch, sa.CurrentTxnStartOffset = info.CoordinatorEpoch, info.TxnFirst
				sp.ActiveProducers = append(sp.ActiveProducers, sa)
			}
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

func producersTopic(rt kmsg.DescribeProducersRequestTopic) string { return rt.Topic }
