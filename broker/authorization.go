package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/acl"
)

// AuthorizationConfig tunes who may do what. The zero value is a working
// configuration.
type AuthorizationConfig struct {
	// Required asks for ACLs also where nobody proves who they are. They are asked for
	// anyway as soon as a listener authenticates its clients.
	Required bool
	// SuperUsers may do everything (super.users): User:admin, or User:ANONYMOUS for the
	// clients of listeners that do not ask who they are.
	SuperUsers []string
}

func (c AuthorizationConfig) validate() error {
	var errs []error
	for _, u := range c.SuperUsers {
		if name, ok := strings.CutPrefix(u, "User:"); !ok || name == "" {
			errs = append(errs, fmt.Errorf("broker: Authorization.SuperUsers: %q is not User:name", u))
		}
	}
	return errors.Join(errs...)
}

// authorizes reports whether ACLs are asked for.
func (c Config) authorizes() bool {
	return c.Authorization.Required || c.SASL.Dial || slices.ContainsFunc(c.Listen, func(listen string) bool {
		l, err := parseListen(listen)
		return err == nil && (l.sasl || l.tls && c.TLS.clientAuth(l) != clientAuthNone)
	})
}

// identify notes who the client is, and whether it may do everything: nobody is asked,
// it is a super user, or it is part of this process.
func (c *conn) identify(principal string) {
	c.auth.principal = principal
	c.auth.client = acl.Client{Principal: acl.User(principal), Host: remoteIP(c)}
	c.auth.mayAll = !c.b.authorizes || c.listener.memory && !c.auth.required ||
		slices.Contains(c.b.cfg.Authorization.SuperUsers, c.auth.client.Principal)
}

// may reports whether the client may do something with a resource.
func (c *conn) may(op acl.Operation, t acl.ResourceType, name string) bool {
	return c.auth.mayAll || c.b.access.ACLs().Allowed(c.auth.client, op, t, name)
}

// authorize returns the error for something that the client may not do.
func (c *conn) authorize(op acl.Operation, t acl.ResourceType, name string) error {
	if c.may(op, t, name) {
		return nil
	}
	c.logger.Debug("broker: denied", "user", c.auth.principal, "operation", op, "type", t, "name", name)
	return fmt.Errorf("%w: %s may not %s %s %q", denials[t], c.auth.client.Principal, op, t, name)
}

// authorizeCluster is authorize for the cluster as a whole.
func (c *conn) authorizeCluster(op acl.Operation) error {
	return c.authorize(op, acl.Cluster, acl.ClusterName)
}

var denials = map[acl.ResourceType]*kerr.Error{
	acl.Topic:           kerr.TopicAuthorizationFailed,
	acl.Group:           kerr.GroupAuthorizationFailed,
	acl.Cluster:         kerr.ClusterAuthorizationFailed,
	acl.TransactionalID: kerr.TransactionalIDAuthorizationFailed,
}

// mayWriteSomewhere reports whether there is a topic, now or later, that the client may
// write to (KIP-679).
func (c *conn) mayWriteSomewhere() bool {
	return c.auth.mayAll || c.b.access.ACLs().AllowedSomewhere(c.auth.client, acl.Write, acl.Topic)
}

// operations is the bit field of what the client may do with a resource.
func (c *conn) operations(t acl.ResourceType, name string) int32 {
	if c.auth.mayAll {
		return acl.AllOperations(t)
	}
	return c.b.access.ACLs().Operations(c.auth.client, t, name)
}

// clusterOperations is operations for the cluster: nothing for who may not describe
// it.
func (c *conn) clusterOperations() int32 {
	if !c.may(acl.Describe, acl.Cluster, acl.ClusterName) {
		return 0
	}
	return c.operations(acl.Cluster, acl.ClusterName)
}

// find returns a topic that the client may do something with, by id where the version
// of the request goes by ids, or by name. Without permission it does not tell whether
// there is a topic of that name.
func (c *conn) find(op acl.Operation, byID bool, id [16]byte, name string) (*topic, error) {
	if !byID {
		if err := c.authorize(op, acl.Topic, name); err != nil {
			return nil, err
		}
		return c.b.find(false, id, name)
	}
	t, err := c.b.find(true, id, name)
	if err == nil {
		err = c.authorize(op, acl.Topic, t.Name)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// partition returns a partition of a topic that the client may do something with.
func (c *conn) partition(op acl.Operation, name string, index int32) (*partition, error) {
	if err := c.authorize(op, acl.Topic, name); err != nil {
		return nil, err
	}
	return c.b.partition(name, index)
}

// described are the topics that the client may describe, sorted by name.
func (c *conn) described() []*topic {
	return slices.DeleteFunc(c.b.topics.all(), func(t *topic) bool { return !c.may(acl.Describe, acl.Topic, t.Name) })
}

// warnWithoutAdministrator says so if nobody is left who could allow anything.
func (b *Broker) warnWithoutAdministrator() {
	if b.authorizes && len(b.cfg.Authorization.SuperUsers) == 0 && len(b.access.ACLs().Bindings()) == 0 {
		b.cfg.Logger.Warn("broker: clients need permissions, but there are no ACLs and no super users: nobody may do anything; " +
			"name a user in Authorization.SuperUsers (--super-users User:name)")
	}
}
