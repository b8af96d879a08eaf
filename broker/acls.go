package broker

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/access"
	"github.com/riffle-stream/riffle/broker/acl"
)

// checkAuthorizer says what keeps a client from the ACLs. Where nobody is asked for
// permissions there are none to look at, as in Kafka without an authorizer.
func (c *conn) checkAuthorizer(op acl.Operation) error {
	if !c.b.authorizes {
		return fmt.Errorf("%w: no authorizer is configured on the broker", kerr.SecurityDisabled)
	}
	return c.authorizeCluster(op)
}

// aclFilter is what DescribeAcls and DeleteAcls choose by. A user or a delegation
// token is no error: there are no ACLs of that type, so nothing is chosen.
func aclFilter(t kmsg.ACLResourceType, name *string, pattern kmsg.ACLResourcePatternType, principal, host *string,
	op kmsg.ACLOperation, permission kmsg.ACLPermissionType,
) (acl.Filter, error) {
	f := acl.Filter{
		Type: acl.ResourceType(t), Name: orEmpty(name), Pattern: acl.Pattern(pattern),
		Principal: orEmpty(principal), Host: orEmpty(host), Operation: acl.Operation(op), Permission: acl.Permission(permission),
	}
	switch {
	case t < kmsg.ACLResourceTypeAny || t > kmsg.ACLResourceTypeUser:
		return f, fmt.Errorf("%w: resource type %d", kerr.InvalidRequest, t)
	case f.Pattern < acl.AnyPattern || f.Pattern > acl.Prefixed:
		return f, fmt.Errorf("%w: pattern type %d", kerr.InvalidRequest, pattern)
	case op < kmsg.ACLOperationAny || op > kmsg.ACLOperationDescribeTokens:
		return f, fmt.Errorf("%w: operation %d", kerr.InvalidRequest, op)
	case f.Permission < acl.AnyPermission || f.Permission > acl.Allow:
		return f, fmt.Errorf("%w: permission %d", kerr.InvalidRequest, permission)
	}
	return f, nil
}

// aclError gives an error of the store the code that Kafka has for it.
func aclError(err error) error {
	if errors.Is(err, access.ErrTooMany) {
		return fmt.Errorf("%w: %w", kerr.PolicyViolation, err)
	}
	return err
}
