package group

import "time"

// Leaving names a member that leaves. An administrator may name a static member
// by its instance id alone.
type Leaving struct {
	MemberID   string
	InstanceID string
}

// Leave removes members from the group, and reports for each whether it was one.
func (g *Group) Leave(now time.Time, leaving []Leaving) ([]error, Effects) {
	errs := make([]error, len(leaving))
	changed := false
	for i, l := range leaving {
		if _, ok := g.pending[l.MemberID]; ok {
			delete(g.pending, l.MemberID)
			changed = true
			continue
		}
		m, err := g.leaver(l)
		if err != nil {
			errs[i] = err
			continue
		}
		g.remove(m)
		changed = true
	}
	if changed {
		g.membersLeft(now)
	}
	return errs, g.take()
}

func (g *Group) leaver(l Leaving) (*member, error) {
	if l.MemberID != "" || l.InstanceID == "" {
		return g.validate(l.MemberID, l.InstanceID)
	}
	if m := g.static[l.InstanceID]; m != nil {
		return m, nil
	}
	return nil, ErrUnknownMember
}

// membersLeft reacts to members, or members to be, having gone.
func (g *Group) membersLeft(now time.Time) {
	switch g.state {
	case PreparingRebalance:
		g.completeJoinIfAllHere(now)
	case CompletingRebalance, Stable:
		g.prepareRebalance(now)
	case Empty, Dead:
	}
}
