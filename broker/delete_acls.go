package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// DeleteACLs: v1-3
//
//   - v1: how resources are named (KIP-290)
//   - v2: flexible
//   - v3: users, which have no ACLs here
func handleDeleteACLs(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.DeleteACLsRequest)
	resp := r.ResponseKind().(*kmsg.DeleteACLsResponse)
	denied := c.checkAuthorizer(acl.Alter)
	for _, rf := range r.Filters {
		sr := kmsg.NewDeleteACLsResponseResult()
		sr.MatchingACLs = []kmsg.DeleteACLsResponseResultMatchingACL{}
		f, err := aclFilter(rf.ResourceType, rf.ResourceName, rf.ResourcePatternType, rf.Principal, rf.Host, rf.Operation, rf.PermissionType)
		if denied != nil {
			err = denied
		}
		var deleted [][]acl.Binding
		if err == nil {
			deleted, err = b.access.DeleteACLs(f)
		}
		if err != nil {
			sr.ErrorCode, sr.ErrorMessage = b.metrics.failed(r.Key(), aclError(err)), errorMessage(err)
			resp.Results = append(resp.Results, sr)
			continue
		}
		for _, binding := range deleted[0] {
			sm := kmsg.NewDeleteACLsResponseResultMatchingACL()
			sm.ResourceType, sm.ResourceName = kmsg.ACLResourceType(binding.Type), binding.Name
			sm.ResourcePatternType = kmsg.ACLResourcePatternType(binding.Pattern)
			sm.Principal, sm.Host = binding.Principal, binding.Host
			sm.Operation, sm.PermissionType = kmsg.ACLOperation(binding.Operation), kmsg.ACLPermissionType(binding.Permission)
			sr.MatchingACLs = append(sr.MatchingACLs, sm)
		}
		if len(deleted[0]) > 0 {
			b.topics.version.Add(1) // regular expressions may match others now
			b.cfg.Logger.Info("broker: ACLs deleted", "user", c.auth.principal, "acls", deleted[0])
		}
		resp.Results = append(resp.Results, sr)
	}
	return resp, nil
}
