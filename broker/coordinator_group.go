package broker

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/group"
	"github.com/riffle-stream/riffle/broker/group/consumer"
)

// Types of groups, as ListGroups names them.
const (
	groupTypeClassic  = "classic"
	groupTypeConsumer = "consumer"
)

// consumerProtocol is the protocol type of groups whose members are consumers.
const consumerProtocol = "consumer"

// A group keeps its offsets whatever protocol its members speak. It is of the type of
// those it has; one without members becomes what the next one speaks. The methods here
// are where the two types differ. The caller holds the group's lock.

// kind is the group's type.
func (g *coordinated) kind() string {
	if g.mu.consumer != nil {
		return groupTypeConsumer
	}
	return groupTypeClassic
}

// state is the name of the group's state.
func (g *coordinated) state() string {
	if g.mu.consumer != nil {
		return g.mu.consumer.State().String()
	}
	return g.mu.State().String()
}

// members is how many there are.
func (g *coordinated) members() int {
	if g.mu.consumer != nil {
		return g.mu.consumer.Len()
	}
	return len(g.mu.Describe().Members)
}

// empty reports whether the group has no members.
func (g *coordinated) empty() bool {
	if g.mu.consumer != nil {
		return g.mu.consumer.Len() == 0
	}
	return g.mu.State() == group.Empty
}

// disposable reports whether forgetting the group would lose nothing.
func (g *coordinated) disposable() bool {
	return g.mu.consumer == nil && g.mu.Disposable() && len(g.mu.waiting) == 0 && g.mu.committing == 0
}

// protocolType is what the members call their protocol; empty if there never were any.
func (g *coordinated) protocolType() string {
	if g.mu.consumer != nil {
		return consumerProtocol
	}
	return g.mu.ProtocolType()
}

// subscribed reports whether a member wants to read a topic.
func (g *coordinated) subscribed(topic string) bool {
	if g.mu.consumer != nil {
		return g.mu.consumer.Subscribed(topic)
	}
	return g.mu.Subscribed(topic)
}

// expired lists the offsets that may be forgotten.
func (g *coordinated) expired(cutoff time.Time) []group.Place {
	switch {
	case g.mu.consumer == nil:
		return g.mu.Expired(cutoff)
	case g.empty() && g.mu.emptySince.After(cutoff):
		return nil
	default:
		return g.mu.CommittedBefore(cutoff, g.mu.consumer.Subscribed)
	}
}

// tombstones are the records that delete the group.
func (g *coordinated) tombstones() []group.Record {
	records := g.mu.Tombstones()
	if g.mu.consumer != nil {
		records = append(records, g.mu.consumer.Tombstones()...)
	}
	return records
}

// deadline is when the group wants to hear of the time; zero for never.
func (g *coordinated) deadline() time.Time {
	if g.mu.consumer != nil {
		return g.mu.consumer.Deadline()
	}
	return g.mu.Deadline()
}

// checkCommit says whether a request may commit offsets; checkPlace goes on for each.
func (g *coordinated) checkCommit(now time.Time, r group.CommitRequest) error {
	if g.mu.consumer != nil {
		return g.mu.consumer.CheckCommit(r)
	}
	return g.mu.CheckCommit(now, r)
}

// checkTxnCommit says whether a transaction may commit offsets.
func (g *coordinated) checkTxnCommit(now time.Time, r group.CommitRequest) error {
	if g.mu.consumer != nil {
		return g.mu.consumer.CheckTxnCommit(r)
	}
	return g.mu.CheckTxnCommit(now, r)
}

// checkPlace says whether a request may commit the offset of a partition.
func (g *coordinated) checkPlace(r group.CommitRequest, topic [16]byte, partition int32) error {
	if g.mu.consumer == nil {
		return nil
	}
	return g.mu.consumer.CheckPartition(r, consumer.Partition{Topic: topic, Index: partition})
}

// checkFetch says whether a member may read committed offsets.
func (g *coordinated) checkFetch(memberID string, epoch int32) error {
	if g.mu.consumer == nil {
		return nil
	}
	return g.mu.consumer.CheckFetch(memberID, epoch)
}

// isNot is the error of a request for groups of another type.
func (g *coordinated) isNot(kind string) error {
	return fmt.Errorf("broker: %w: group %s is not a %s group", kerr.GroupIDNotFound, g.mu.ID(), kind)
}
