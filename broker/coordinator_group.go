package broker

import (
	"time"

	"github.com/riffle-stream/riffle/broker/group"
)

// consumerProtocol is the protocol type of groups whose members are consumers.
const consumerProtocol = "consumer"

// empty reports whether the group has no members. The caller holds the group's lock, as
// for all methods of coordinated.
func (g *coordinated) empty() bool { return g.mu.State() == group.Empty }

// protocolType is what the members call their protocol; empty if there never were any.
func (g *coordinated) protocolType() string { return g.mu.ProtocolType() }

// subscribed reports whether a member wants to read a topic.
func (g *coordinated) subscribed(topic string) bool { return g.mu.Subscribed(topic) }

// expired lists the offsets that may be forgotten.
func (g *coordinated) expired(cutoff time.Time) []group.Place { return g.mu.Expired(cutoff) }

// tombstones are the records that delete the group.
func (g *coordinated) tombstones() []group.Record { return g.mu.Tombstones() }
