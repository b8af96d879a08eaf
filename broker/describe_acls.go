package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// DescribeACLs: v1-3
//
//   - v1: how resources are named (KIP-290)
//   - v2: flexible
//   - v3: users, which have no ACLs here
func handleDescribeACLs(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.DescribeACLsRequest)
	resp := r.ResponseKind().(*kmsg.DescribeACLsResponse)
	f, err := aclFilter(r.ResourceType, r.ResourceName, r.ResourcePatternType, r.Principal, r.Host, r.Operation, r.PermissionType)
	if denied := c.checkAuthorizer(acl.Describe); denied != nil {
		err = denied
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		return resp, nil
	}
	resp.Resources = []kmsg.DescribeACLsResponseResource{}
	for _, binding := range b.access.ACLs().Choose(f) { // sorted by resource
		t, pattern := kmsg.ACLResourceType(binding.Type), kmsg.ACLResourcePatternType(binding.Pattern)
		if n := len(resp.Resources); n == 0 || resp.Resources[n-1].ResourceType != t || resp.Resources[n-1].ResourceName != binding.Name ||
			resp.Resources[n-1].ResourcePatternType != pattern {
			sr := kmsg.NewDescribeACLsResponseResource()
			sr.ResourceType, sr.ResourceName, sr.ResourcePatternType = t, binding.Name, pattern
			resp.Resources = append(resp.Resources, sr)
		}
		sa := kmsg.NewDescribeACLsResponseResourceACL()
		sa.Principal, sa.Host = binding.Principal, binding.Host
		sa.Operation, sa.PermissionType = kmsg.ACLOperation(binding.Operation), kmsg.ACLPermissionType(binding.Permission)
		last := &resp.Resources[len(resp.Resources)-1]
		last.ACLs = append(last.ACLs, sa)
	}
	return resp, nil
}
