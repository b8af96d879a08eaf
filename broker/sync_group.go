package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/group"
)

// SyncGroup: v0-5
//
//   - v1: throttle time
//   - v3: instance id (KIP-345)
//   - v4: flexible
//   - v5: protocol type and name, mandatory in the request (KIP-559)
func handleSyncGroup(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.SyncGroupRequest)
	resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
	resp.MemberAssignment = []byte{}
	if err := c.authorize(acl.Read, acl.Group, req.Group); err != nil {
		resp.ErrorCode = b.metrics.failed(req.Key(), err)
		return resp, nil
	}
	switch {
	case req.Group == "":
		resp.ErrorCode = b.metrics.failed(req.Key(), kerr.InvalidGroupID)
		return resp, nil
	case req.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil):
		resp.ErrorCode = b.metrics.failed(req.Key(), kerr.InconsistentGroupProtocol)
		return resp, nil
	}
	r := group.SyncRequest{
		MemberID:     req.MemberID,
		InstanceID:   orEmpty(req.InstanceID),
		Generation:   req.Generation,
		ProtocolType: orEmpty(req.ProtocolType),
		Protocol:     orEmpty(req.Protocol),
	}
	for _, a := range req.GroupAssignment {
		r.Assignments = append(r.Assignments, group.Assignment{MemberID: a.MemberID, Data: a.MemberAssignment})
	}
	reply, err := b.groups.sync(ctx, req.Group, r)
	if err != nil {
		resp.ErrorCode = b.metrics.failed(req.Key(), err)
		return resp, nil
	}
	resp.ProtocolType, resp.Protocol = &reply.ProtocolType, &reply.Protocol
	resp.MemberAssignment = reply.Assignment
	return resp, nil
}
