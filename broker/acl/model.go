package acl

import (
	"fmt"
	"strings"
)

// Operation is something that can be done with a resource, by its number in Kafka's
// protocol.
type Operation int8

// The operations. AnyOperation is for filters, All for bindings.
const (
	AnyOperation    Operation = 1
	All             Operation = 2
	Read            Operation = 3
	Write           Operation = 4
	Create          Operation = 5
	Delete          Operation = 6
	Alter           Operation = 7
	Describe        Operation = 8
	ClusterAction   Operation = 9
	DescribeConfigs Operation = 10
	AlterConfigs    Operation = 11
	IdempotentWrite Operation = 12
)

var operationNames = [...]string{
	AnyOperation: "Any", All: "All", Read: "Read", Write: "Write", Create: "Create", Delete: "Delete", Alter: "Alter", Describe: "Describe",
	ClusterAction: "ClusterAction", DescribeConfigs: "DescribeConfigs", AlterConfigs: "AlterConfigs", IdempotentWrite: "IdempotentWrite",
}

func (o Operation) String() string { return nameOf(operationNames[:], int(o)) }

// ResourceType is a type of resource, by its number in Kafka's protocol.
type ResourceType int8

// The types of resources. AnyType is for filters. Delegation tokens do not exist here,
// and users have no bindings.
const (
	AnyType         ResourceType = 1
	Topic           ResourceType = 2
	Group           ResourceType = 3
	Cluster         ResourceType = 4
	TransactionalID ResourceType = 5
)

var typeNames = [...]string{AnyType: "Any", Topic: "Topic", Group: "Group", Cluster: "Cluster", TransactionalID: "TransactionalId"}

func (t ResourceType) String() string { return nameOf(typeNames[:], int(t)) }

// ClusterName is the name of the one resource of type Cluster.
const ClusterName = "kafka-cluster"

// Pattern is how a resource is named, by its number in Kafka's protocol.
type Pattern int8

// The patterns. AnyPattern and Match are for filters: Match finds all bindings that
// concern a resource of that name.
const (
	AnyPattern Pattern = 1
	Match      Pattern = 2
	Literal    Pattern = 3
	Prefixed   Pattern = 4
)

var patternNames = [...]string{AnyPattern: "Any", Match: "Match", Literal: "Literal", Prefixed: "Prefixed"}

func (p Pattern) String() string { return nameOf(patternNames[:], int(p)) }

// Permission is what a binding does, by its number in Kafka's protocol.
type Permission int8

// The permissions. AnyPermission is for filters.
const (
	AnyPermission Permission = 1
	Deny          Permission = 2
	Allow         Permission = 3
)

var permissionNames = [...]string{AnyPermission: "Any", Deny: "Deny", Allow: "Allow"}

func (p Permission) String() string { return nameOf(permissionNames[:], int(p)) }

func nameOf(names []string, i int) string {
	if i > 0 && i < len(names) && names[i] != "" {
		return names[i]
	}
	return fmt.Sprintf("unknown (%d)", i)
}

// wildcard stands for all names of a type, or all hosts.
const wildcard = "*"

// principalType is the only type of principal there is.
const principalType = "User:"

// User is the principal of a user.
func User(name string) string { return principalType + name }

// operations are those that a resource type has, in the order of their numbers.
func (t ResourceType) operations() []Operation {
	switch t {
	case Topic:
		return []Operation{Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs}
	case Group:
		return []Operation{Read, Delete, Describe, DescribeConfigs, AlterConfigs}
	case Cluster:
		return []Operation{Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite}
	case TransactionalID:
		return []Operation{Write, Describe}
	}
	return nil
}

// Binding allows or denies a principal an operation on a resource, from a host.
type Binding struct {
	Type       ResourceType
	Name       string // "*" with Literal: all of the type
	Pattern    Pattern
	Principal  string // "User:alice"; "User:*" is everybody
	Host       string // an address; "*" is all
	Operation  Operation
	Permission Permission
}

func (b Binding) String() string {
	return fmt.Sprintf("%s %s %s on %s %s %q from %s", b.Permission, b.Principal, b.Operation, b.Pattern, b.Type, b.Name, b.Host)
}

// maxTextBytes limits names, principals and hosts.
const maxTextBytes = 512

// Validate says what is wrong with a binding.
func (b Binding) Validate() error {
	name, ofUser := strings.CutPrefix(b.Principal, principalType)
	switch {
	case b.Type.operations() == nil:
		return fmt.Errorf("acl: resource type %s has no ACLs", b.Type)
	case b.Pattern != Literal && b.Pattern != Prefixed:
		return fmt.Errorf("acl: pattern type is %s, want Literal or Prefixed", b.Pattern)
	case b.Permission != Allow && b.Permission != Deny:
		return fmt.Errorf("acl: permission is %s, want Allow or Deny", b.Permission)
	case b.Operation < All || b.Operation > IdempotentWrite:
		return fmt.Errorf("acl: operation is %s, want one that can be done", b.Operation)
	case b.Operation != All && !b.Type.has(b.Operation):
		return fmt.Errorf("acl: a %s has no operation %s", b.Type, b.Operation)
	case b.Name == "" || len(b.Name) > maxTextBytes:
		return fmt.Errorf("acl: a resource name of %d bytes, want 1 to %d", len(b.Name), maxTextBytes)
	case b.Type == Cluster && b.Name != ClusterName && b.Name != wildcard:
		return fmt.Errorf("acl: the cluster's name is %q, not %q", ClusterName, b.Name)
	case !ofUser || name == "" || len(name) > maxTextBytes:
		return fmt.Errorf("acl: principal %.64q is not User:name", b.Principal)
	case b.Host == "" || len(b.Host) > maxTextBytes:
		return fmt.Errorf("acl: a host of %d bytes, want an address or *", len(b.Host))
	}
	return nil
}

func (t ResourceType) has(op Operation) bool {
	for _, o := range t.operations() {
		if o == op {
			return true
		}
	}
	return false
}
