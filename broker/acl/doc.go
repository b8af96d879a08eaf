// Package acl is Kafka's model of who may do what: access control lists (KIP-11,
// KIP-290) as its own authorizer understands them.
//
// A Binding allows or denies a principal an operation on a resource, from a host. The
// resource is named as it is (literal), by how its name begins (prefixed), or stands
// for all of its type (the literal name "*"). A Set answers whether something is
// allowed:
//
//   - what no binding allows is denied;
//   - a binding that denies wins over all that allow;
//   - to be allowed to read, write, delete or alter something implies describing it,
//     and to alter its configs describing them. To be denied implies nothing.
//
// The package is pure, and a Set never changes: a change makes another one. Who the
// super users are is up to the caller.
package acl
