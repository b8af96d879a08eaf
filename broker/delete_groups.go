package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// DeleteGroups: v0-3
//
//   - v1: throttle time
//   - v2: flexible
//   - v3: error message
//
// A group without members is deleted with all its offsets, also those that wait for
// the end of a transaction. While a commit is on its way the answer is
// COORDINATOR_NOT_AVAILABLE, which clients try again.
func handleDeleteGroups(b *Broker, ctx context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DeleteGroupsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	for _, id := range req.Groups {
		sg := kmsg.NewDeleteGroupsResponseGroup()
		sg.Group = id
		var err error = kerr.InvalidGroupID
		if id != "" {
			err = c.authorize(acl.Delete, acl.Group, id)
		}
		if err == nil {
			err = b.groups.deleteGroup(ctx, id)
		}
		sg.ErrorCode, sg.ErrorMessage = b.metrics.failed(req.Key(), err), errorMessage(err)
		resp.Groups = append(resp.Groups, sg)
	}
	return resp, nil
}
