package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// ListPartitionReassignments: v0
//
// Partitions are never on their way from one node to another: there is one.
func handleListPartitionReassignments(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	resp.Topics = []kmsg.ListPartitionReassignmentsResponseTopic{}
	if err := c.authorizeCluster(acl.Describe); err != nil {
		resp.ErrorCode, resp.ErrorMessage = b.metrics.failed(req.Key(), err), errorMessage(err)
	}
	return resp, nil
}
