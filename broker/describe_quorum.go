package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// quorumTopic is the log of Kafka's controllers, which tools ask for.
const quorumTopic = "__cluster_metadata"

// DescribeQuorum: v0-2, flexible
//
//   - v1: when a voter fetched last and had caught up
//   - v2: error messages, directory ids, and where the voters are
//
// The one node is the quorum: its leader, only voter, and always caught up. There is no
// log of metadata here: the offsets count the changes of the catalog, as if each had been
// a record, and the epoch is 1.
func handleDescribeQuorum(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.DescribeQuorumRequest)
	resp := r.ResponseKind().(*kmsg.DescribeQuorumResponse)
	if err := c.authorizeCluster(acl.Describe); err != nil {
		resp.ErrorCode, resp.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		return resp, nil
	}
	for _, rt := range r.Topics {
		st := kmsg.NewDescribeQuorumResponseTopic()
		st.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			sp := kmsg.NewDescribeQuorumResponseTopicPartition()
			sp.Partition = rp.Partition
			if rt.Topic != quorumTopic || rp.Partition != 0 {
				err := kerr.UnknownTopicOrPartition
				sp.LeaderID, sp.LeaderEpoch, sp.HighWatermark = -1, -1, -1
				sp.ErrorCode, sp.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
				st.Partitions = append(st.Partitions, sp)
				continue
			}
			now := time.Now().UnixMilli()
			voter := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
			voter.ReplicaID, voter.LastFetchTimestamp, voter.LastCaughtUpTimestamp = b.cfg.NodeID, now, now
			voter.LogEndOffset = b.catalog.Changes()
			sp.LeaderID, sp.LeaderEpoch, sp.HighWatermark = b.cfg.NodeID, 1, voter.LogEndOffset
			sp.CurrentVoters = append(sp.CurrentVoters, voter)
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	node := kmsg.NewDescribeQuorumResponseNode()
	node.NodeID = b.cfg.NodeID
	at := kmsg.NewDescribeQuorumResponseNodeListener()
	host, port := c.advertised()
	at.Name, at.Host, at.Port = "CONTROLLER", host, uint16(port)
	node.Listeners = append(node.Listeners, at)
	resp.Nodes = append(resp.Nodes, node)
	return resp, nil
}
