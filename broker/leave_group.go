package broker

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/group"
)

// LeaveGroup: v0-5
//
//   - v1: throttle time
//   - v3: many members, static ones by instance id; each has an error (KIP-345)
//   - v4: flexible
//   - v5: reason, which is logged (KIP-800)
func handleLeaveGroup(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.LeaveGroupRequest)
	resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	if req.Group == "" {
		resp.ErrorCode = b.metrics.failed(req.Key(), kerr.InvalidGroupID)
		return resp, nil
	}
	if err := c.authorize(acl.Read, acl.Group, req.Group); err != nil {
		resp.ErrorCode = b.metrics.failed(req.Key(), err)
		return resp, nil
	}
	members := req.Members
	if req.Version < 3 {
		members = []kmsg.LeaveGroupRequestMember{{MemberID: req.MemberID}}
	}
	leaving := make([]group.Leaving, len(members))
	for i, m := range members {
		leaving[i] = group.Leaving{MemberID: m.MemberID, InstanceID: orEmpty(m.InstanceID)}
		if m.Reason != nil && *m.Reason != "" {
			b.cfg.Logger.Debug("broker: member leaves", "group", req.Group, "member", m.MemberID, "reason", *m.Reason)
		}
	}
	errs, err := b.groups.leave(ctx, req.Group, leaving)
	if err != nil {
		errs = make([]error, len(members))
		for i := range errs {
			errs[i] = err
		}
		// Of a group that is not there each member is unknown; other errors are the
		// whole request's.
		if !errors.Is(err, group.ErrUnknownMember) {
			resp.ErrorCode = b.metrics.failed(req.Key(), err)
			return resp, nil
		}
	}
	if req.Version < 3 {
		resp.ErrorCode = b.metrics.failed(req.Key(), errs[0])
		return resp, nil
	}
	for i, m := range members {
		rm := kmsg.NewLeaveGroupResponseMember()
		rm.MemberID, rm.InstanceID = m.MemberID, m.InstanceID
		rm.ErrorCode = b.metrics.failed(req.Key(), errs[i])
		resp.Members = append(resp.Members, rm)
	}
	return resp, nil
}
