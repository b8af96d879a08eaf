package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// Heartbeat: v0-4
//
//   - v1: throttle time
//   - v3: instance id (KIP-345)
//   - v4: flexible
func handleHeartbeat(b *Broker, _ context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.HeartbeatRequest)
	resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
	var err error = kerr.InvalidGroupID
	if req.Group != "" {
		err = c.authorize(acl.Read, acl.Group, req.Group)
	}
	if err == nil {
		err = b.groups.heartbeat(req.Group, req.MemberID, orEmpty(req.InstanceID), req.Generation)
	}
	resp.ErrorCode = b.metrics.failed(req.Key(), err)
	return resp, nil
}
