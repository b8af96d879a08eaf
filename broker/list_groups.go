package broker

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// ListGroups: v0-5
//
//   - v1: throttle time
//   - v3: flexible
//   - v4: filter by state; state in the response (KIP-518)
//   - v5: filter by type; type in the response (KIP-848)
//
// Who may not describe the cluster sees the groups that it may describe.
func handleListGroups(b *Broker, _ context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ListGroupsRequest)
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	all := c.may(acl.Describe, acl.Cluster, acl.ClusterName)
	err := b.groups.forEach(func(g *coordinated) {
		if !all && !c.may(acl.Describe, acl.Group, g.mu.ID()) {
			return
		}
		sg := kmsg.NewListGroupsResponseGroup()
		sg.Group, sg.ProtocolType = g.mu.ID(), g.protocolType()
		sg.GroupState, sg.GroupType = g.state(), g.kind()
		if wanted(req.StatesFilter, sg.GroupState) && wanted(req.TypesFilter, sg.GroupType) {
			resp.Groups = append(resp.Groups, sg)
		}
	})
	if resp.ErrorCode = b.metrics.failed(req.Key(), err); err != nil {
		resp.Groups = nil
	}
	slices.SortFunc(resp.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return strings.Compare(a.Group, b.Group) })
	return resp, nil
}

// wanted reports whether a filter is empty or names the value, in whatever case.
func wanted(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
