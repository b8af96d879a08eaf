package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// AlterPartitionReassignments: v0-1
//
//   - v1: AllowReplicationFactorChange
//
// There is one broker, and it has all partitions. To assign it one is to leave all
// as it is; other nodes do not exist, and there is never anything to cancel.
func handleAlterPartitionReassignments(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.AlterPartitionAssignmentsRequest)
	resp := r.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	resp.AllowReplicationFactorChange = r.AllowReplicationFactorChange
	if err := c.authorizeCluster(acl.Alter); err != nil {
		resp.ErrorCode, resp.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		return resp, nil
	}
	for _, rt := range r.Topics {
		st := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		st.Topic = rt.Topic
		for i := range rt.Partitions {
			_, err := b.partition(rt.Topic, rt.Partitions[i].Partition)
			if err == nil {
				err = b.checkReassignment(r, rt.Partitions[i].Replicas)
			}
			sp := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			sp.Partition = rt.Partitions[i].Partition
			sp.ErrorCode, sp.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

// checkReassignment says why a partition cannot be on these nodes; null means that
// a reassignment is to be cancelled.
func (b *Broker) checkReassignment(r *kmsg.AlterPartitionAssignmentsRequest, nodes []int32) error {
	switch {
	case nodes == nil:
		return kerr.NoReassignmentInProgress
	case len(nodes) == 1 && nodes[0] == b.cfg.NodeID:
		return nil
	case len(nodes) > 1 && !r.AllowReplicationFactorChange:
		return fmt.Errorf("%w: the partition has one replica, not %d", kerr.InvalidReplicationFactor, len(nodes))
	default:
		return fmt.Errorf("%w: the partition can be on node %d alone, not on %v", kerr.InvalidReplicaAssignment, b.cfg.NodeID, nodes)
	}
}
