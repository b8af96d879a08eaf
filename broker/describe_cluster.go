package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeCluster: v0-2, flexible
//
//   - v1: endpoint type. Brokers (1) and controllers (2) are the same one node.
//   - v2: fenced brokers. There are none.
//
// Everybody may ask. Authorized operations are reported to who may describe the cluster.
func handleDescribeCluster(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.DescribeClusterRequest)
	resp := r.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.EndpointType = r.EndpointType
	resp.ClusterID = b.catalog.ClusterID()
	resp.ControllerID = b.cfg.NodeID
	resp.ClusterAuthorizedOperations = noAuthorizedOperations
	if r.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = c.clusterOperations()
	}
	node := kmsg.NewDescribeClusterResponseBroker()
	node.NodeID = b.cfg.NodeID
	node.Host, node.Port = c.advertised()
	resp.Brokers = append(resp.Brokers, node)
	return resp, nil
}
