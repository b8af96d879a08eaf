package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// Types of keys in FindCoordinator.
const (
	coordinatorOfGroup       = 0
	coordinatorOfTransaction = 1
)

// FindCoordinator: v0-6
//
//   - v1: type of the key, error message, throttle time
//   - v3: flexible
//   - v4: many keys in one request (KIP-699)
//   - v6: share groups (KIP-932)
//
// This broker coordinates every group and every transaction. There are no share groups
// yet: their keys are answered with INVALID_REQUEST, which ends a client at once,
// rather than with COORDINATOR_NOT_AVAILABLE, on which it would try for minutes.
func handleFindCoordinator(b *Broker, _ context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.FindCoordinatorRequest)
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	keys := req.CoordinatorKeys
	if req.Version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	host, port := c.advertised()
	for _, key := range keys {
		found := kmsg.NewFindCoordinatorResponseCoordinator()
		found.Key = key
		found.NodeID, found.Host, found.Port = b.cfg.NodeID, host, port
		if err := c.checkCoordinated(req.CoordinatorType, key); err != nil {
			found.NodeID, found.Host, found.Port = -1, "", -1
			found.ErrorCode, found.ErrorMessage = b.metrics.failed(req.Key(), err), errorMessage(err)
		}
		resp.Coordinators = append(resp.Coordinators, found)
	}
	if req.Version < 4 {
		only := resp.Coordinators[0]
		resp.ErrorCode, resp.ErrorMessage = only.ErrorCode, only.ErrorMessage
		resp.NodeID, resp.Host, resp.Port = only.NodeID, only.Host, only.Port
	}
	return resp, nil
}

// checkCoordinated says why the client has no coordinator for a key.
func (c *conn) checkCoordinated(kind int8, key string) error {
	switch kind {
	case coordinatorOfGroup:
		return c.authorize(acl.Describe, acl.Group, key)
	case coordinatorOfTransaction:
		return c.authorize(acl.Describe, acl.TransactionalID, key)
	}
	return fmt.Errorf("%w: this broker coordinates consumer groups and transactions only", kerr.InvalidRequest)
}
