package consumer

import (
	"time"

	"github.com/riffle-stream/riffle/broker/group"
)

// Why a member is removed without having left.
const (
	reasonSession   = "session timed out"
	reasonRebalance = "did not give up its partitions within the rebalance timeout"
)

// Tick removes the members whose time ran out at or before now. Calling it early or late
// does no harm.
func (g *Group) Tick(now time.Time) []group.Expired {
	var expired []group.Expired
	for _, m := range g.sorted() {
		reason := ""
		switch {
		case due(m.sessionEnd, now):
			reason = reasonSession
		case due(m.rebalanceEnd, now):
			reason = reasonRebalance
		default:
			continue
		}
		g.remove(m)
		expired = append(expired, group.Expired{MemberID: m.id, InstanceID: m.instanceID, Reason: reason})
	}
	return expired
}

// Deadline is when Tick has something to do next; zero for never.
func (g *Group) Deadline() time.Time {
	var next time.Time
	for _, m := range g.members {
		for _, end := range []time.Time{m.sessionEnd, m.rebalanceEnd} {
			if !end.IsZero() && (next.IsZero() || end.Before(next)) {
				next = end
			}
		}
	}
	return next
}

func due(deadline, now time.Time) bool { return !deadline.IsZero() && !deadline.After(now) }
