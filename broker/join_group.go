package broker

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/group"
)

// JoinGroup: v0-9
//
//   - v1: rebalance timeout (before: the session timeout)
//   - v2: throttle time
//   - v4: a dynamic member without an id gets one and joins again (KIP-394)
//   - v5: instance id: static members (KIP-345)
//   - v6: flexible
//   - v7: protocol type in the response; the protocol is null on errors
//   - v8: reason, which is logged (KIP-800)
//   - v9: SkipAssignment (KIP-814)
//
// A request that waits is answered with COORDINATOR_NOT_AVAILABLE when the broker
// stops.
func handleJoinGroup(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.JoinGroupRequest)
	resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
	resp.Generation = -1
	resp.MemberID = req.MemberID
	if req.Group == "" {
		resp.ErrorCode = b.metrics.failed(req.Key(), kerr.InvalidGroupID)
		return resp, nil
	}
	if err := c.authorize(acl.Read, acl.Group, req.Group); err != nil {
		resp.ErrorCode = b.metrics.failed(req.Key(), err)
		return resp, nil
	}
	if req.Reason != nil && *req.Reason != "" {
		b.cfg.Logger.Debug("broker: member joins", "group", req.Group, "member", req.MemberID, "reason", *req.Reason)
	}
	r := group.JoinRequest{
		MemberID:          req.MemberID,
		InstanceID:        orEmpty(req.InstanceID),
		ClientID:          c.clientID(),
		ClientHost:        c.clientHost(),
		SessionTimeout:    time.Duration(req.SessionTimeoutMillis) * time.Millisecond,
		RebalanceTimeout:  time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond, // v0: -1, the session timeout
		ProtocolType:      req.ProtocolType,
		RequireMemberID:   req.Version >= 4,
		CanSkipAssignment: req.Version >= 9,
	}
	if r.MemberID == "" {
		r.NewMemberID = newMemberID(r.ClientID, r.InstanceID)
	}
	for _, p := range req.Protocols {
		r.Protocols = append(r.Protocols, group.Protocol{Name: p.Name, Metadata: p.Metadata})
	}

	reply, err := b.groups.join(ctx, req.Group, r)
	resp.ErrorCode = b.metrics.failed(req.Key(), err)
	if reply.MemberID != "" {
		resp.MemberID = reply.MemberID
	}
	if err != nil {
		return resp, nil
	}
	resp.Generation = reply.Generation
	resp.ProtocolType, resp.Protocol = &reply.ProtocolType, &reply.Protocol
	resp.LeaderID = reply.Leader
	resp.SkipAssignment = reply.SkipAssignment
	for _, m := range reply.Members {
		rm := kmsg.NewJoinGroupResponseMember()
		rm.MemberID, rm.InstanceID, rm.ProtocolMetadata = m.ID, orNull(m.InstanceID), m.Metadata
		resp.Members = append(resp.Members, rm)
	}
	return resp, nil
}

// newMemberID is a member id as Kafka makes them: something to recognise the
// client by, and a UUID.
func newMemberID(clientID, instanceID string) string {
	const prefixBytes = 255 // longer client ids are cut, so that the id fits a record
	prefix := clientID
	if instanceID != "" {
		prefix = instanceID
	}
	if len(prefix) > prefixBytes {
		prefix = strings.ToValidUTF8(prefix[:prefixBytes], "")
	}
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%s-%x-%x-%x-%x-%x", prefix, u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
