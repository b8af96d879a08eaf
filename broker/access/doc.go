// Package access is what a broker knows about who may use it and how: its users, as
// SCRAM verifiers, its ACLs, and its quotas.
//
// A Store lies in one file of the broker's directory (docs/format/access.md) that is
// replaced in one step at each change. A change is durable when its call returns.
// Lookups read an immutable copy in memory and take no lock.
//
// The file holds no password, only what package scram makes of one. It is secret all
// the same: whoever has it can guess at passwords.
package access
