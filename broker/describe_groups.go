package broker

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/group"
)

// DescribeGroups: v0-6
//
//   - v1: throttle time
//   - v3: authorized operations
//   - v4: instance id (KIP-345)
//   - v5: flexible
//   - v6: GROUP_ID_NOT_FOUND with a message for a group that is not there, or not a
//     classic one (KIP-1043); before it is Dead and no error
//
// Protocol, subscriptions and assignments are those of a stable group; while it
// rebalances they are empty.
func handleDescribeGroups(b *Broker, _ context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeGroupsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	for _, id := range distinct(req.Groups, itself) {
		sg := kmsg.NewDescribeGroupsResponseGroup()
		sg.Group = id
		err := c.authorize(acl.Describe, acl.Group, id)
		if err == nil {
			err = b.groups.view(id, func(g *coordinated) error {
				if g.mu.consumer != nil {
					return g.isNot(groupTypeClassic)
				}
				describeGroup(&sg, g.mu.Describe())
				return nil
			})
		}
		switch {
		case errors.Is(err, kerr.GroupIDNotFound):
			sg.State = group.Dead.String()
			if req.Version >= 6 {
				sg.ErrorCode, sg.ErrorMessage = b.metrics.failed(req.Key(), err), errorMessage(err)
			}
		case err != nil:
			sg.ErrorCode = b.metrics.failed(req.Key(), err)
		}
		if req.IncludeAuthorizedOperations && err == nil {
			sg.AuthorizedOperations = c.operations(acl.Group, id)
		}
		resp.Groups = append(resp.Groups, sg)
	}
	return resp, nil
}

func describeGroup(sg *kmsg.DescribeGroupsResponseGroup, d group.Description) {
	sg.State = d.State.String()
	sg.ProtocolType, sg.Protocol = d.ProtocolType, d.Protocol
	for _, m := range d.Members {
		sm := kmsg.NewDescribeGroupsResponseGroupMember()
		sm.MemberID, sm.InstanceID = m.ID, orNull(m.InstanceID)
		sm.ClientID, sm.ClientHost = m.ClientID, m.ClientHost
		sm.ProtocolMetadata, sm.MemberAssignment = m.Metadata, m.Assignment
		sg.Members = append(sg.Members, sm)
	}
}
