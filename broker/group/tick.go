package group

import "time"

// Expired is a member whose time ran out.
type Expired struct {
	MemberID   string
	InstanceID string
	// Reason is for the log.
	Reason string
}

// Why a member is removed without having left.
const (
	reasonSession = "session timed out"
	reasonJoin    = "join of a new member timed out"
	reasonRejoin  = "did not join again within the rebalance timeout"
	reasonSync    = "did not sync within the rebalance timeout"
)

// Tick ends what is due at or before now: sessions, the ids handed out, and the
// phases of a rebalance. Calling it early or late does no harm.
func (g *Group) Tick(now time.Time) ([]Expired, Effects) {
	left := false
	for id, lapse := range g.pending {
		if !lapse.After(now) {
			delete(g.pending, id)
			left = true
		}
	}
	removed := false
	for _, m := range g.snapshotMembers() {
		if due(m.deadline, now) {
			reason := reasonSession
			if m.isNew {
				reason = reasonJoin
			}
			g.expire(m, reason)
			removed = true
		}
	}
	switch {
	case removed:
		g.membersLeft(now)
	case left && g.state == PreparingRebalance:
		g.completeJoinIfAllHere(now)
	}
	if due(g.syncDeadline, now) {
		g.endOfSync(now)
	}
	if due(g.joinDeadline, now) {
		if g.initial {
			g.endInitialDelay(now)
		} else {
			g.completeJoin(now)
		}
	}
	expired := g.expired
	g.expired = nil
	return expired, g.take()
}

// expire removes a member and notes why.
func (g *Group) expire(m *member, reason string) {
	g.expired = append(g.expired, Expired{MemberID: m.id, InstanceID: m.instanceID, Reason: reason})
	g.remove(m)
}

// endOfSync removes the members that have not synced in time.
func (g *Group) endOfSync(now time.Time) {
	g.syncDeadline = time.Time{}
	removed := false
	for _, m := range g.snapshotMembers() {
		if !m.synced {
			g.expire(m, reasonSync)
			removed = true
		}
	}
	if removed {
		g.prepareRebalance(now)
	}
}

// Deadline is when Tick has something to do next; zero for never.
func (g *Group) Deadline() time.Time {
	next := earlier(g.joinDeadline, g.syncDeadline)
	for _, m := range g.members {
		next = earlier(next, m.deadline)
	}
	for _, lapse := range g.pending {
		next = earlier(next, lapse)
	}
	return next
}

func due(deadline, now time.Time) bool { return !deadline.IsZero() && !deadline.After(now) }

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
