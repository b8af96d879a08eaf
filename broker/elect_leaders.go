package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// ElectLeaders: v0-2
//
//   - v0: of the preferred leader
//   - v1: the type of election; a top-level error
//   - v2: flexible
//
// The one broker leads all partitions and is their preferred leader, so no election
// is ever needed. Asked for all partitions, Kafka names only those where something
// happened: none.
func handleElectLeaders(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.ElectLeadersRequest)
	resp := r.ResponseKind().(*kmsg.ElectLeadersResponse)
	resp.Topics = []kmsg.ElectLeadersResponseTopic{}
	denied := c.authorizeCluster(acl.Alter)
	if denied != nil {
		resp.ErrorCode = b.metrics.failed(r.Key(), denied)
	}
	if denied == nil && r.ElectionType != 0 && r.ElectionType != 1 {
		resp.ErrorCode = b.metrics.failed(r.Key(), kerr.InvalidRequest)
		return resp, nil
	}
	for _, rt := range r.Topics {
		st := kmsg.NewElectLeadersResponseTopic()
		st.Topic = rt.Topic
		for _, index := range rt.Partitions {
			err := denied
			if err == nil {
				_, err = b.partition(rt.Topic, index)
			}
			if err == nil {
				err = fmt.Errorf("%w: node %d leads it, and is the only one", kerr.ElectionNotNeeded, b.cfg.NodeID)
			}
			sp := kmsg.NewElectLeadersResponseTopicPartition()
			sp.Partition = index
			sp.ErrorCode, sp.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}
