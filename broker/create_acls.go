package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// CreateACLs: v1-3
//
//   - v1: how resources are named (KIP-290)
//   - v2: flexible
//   - v3: users, which have no ACLs here
//
// They hold from the next request on. What would never apply is refused: an operation
// that a resource does not have, a delegation token, another cluster.
func handleCreateACLs(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.CreateACLsRequest)
	resp := r.ResponseKind().(*kmsg.CreateACLsResponse)
	denied := c.checkAuthorizer(acl.Alter)
	errs := make([]error, len(r.Creations))
	var good []acl.Binding
	for i, rc := range r.Creations {
		binding := acl.Binding{
			Type: acl.ResourceType(rc.ResourceType), Name: rc.ResourceName, Pattern: acl.Pattern(rc.ResourcePatternType),
			Principal: rc.Principal, Host: rc.Host, Operation: acl.Operation(rc.Operation), Permission: acl.Permission(rc.PermissionType),
		}
		switch err := binding.Validate(); {
		case denied != nil:
			errs[i] = denied
		case err != nil:
			errs[i] = fmt.Errorf("%w: %w", kerr.InvalidRequest, err)
		default:
			good = append(good, binding)
		}
	}
	var failed error
	if len(good) > 0 {
		failed = aclError(b.access.AddACLs(good...))
	}
	for _, err := range errs {
		if err == nil {
			err = failed
		}
		sr := kmsg.NewCreateACLsResponseResult()
		sr.ErrorCode, sr.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		resp.Results = append(resp.Results, sr)
	}
	if failed == nil && len(good) > 0 {
		b.topics.version.Add(1) // regular expressions may match others now
		b.cfg.Logger.Info("broker: ACLs added", "user", c.auth.principal, "acls", good)
	}
	return resp, nil
}
