package group

import (
	"slices"
	"time"
)

// supports reports whether the group could agree on a protocol with the joining
// client as one more member.
func (g *Group) supports(r JoinRequest) bool {
	if r.ProtocolType == "" || len(r.Protocols) == 0 {
		return false
	}
	if len(g.members) == 0 {
		return true
	}
	if r.ProtocolType != g.protocolType {
		return false
	}
	for _, p := range r.Protocols {
		if g.allSupport(p.Name) {
			return true
		}
	}
	return false
}

func (g *Group) allSupport(protocol string) bool {
	for _, m := range g.members {
		if !m.supports(protocol) {
			return false
		}
	}
	return true
}

// selectProtocol lets every member vote for the first of its protocols that all
// support. Ties go to the protocol that got a vote first.
func (g *Group) selectProtocol() string {
	votes := make(map[string]int)
	winner := ""
	var order []string
	for _, m := range g.members {
		for _, p := range m.protocols {
			if votes[p.Name] == 0 && !g.allSupport(p.Name) {
				continue
			}
			if votes[p.Name] == 0 {
				order = append(order, p.Name)
			}
			votes[p.Name]++
			break
		}
	}
	for _, name := range order {
		if votes[name] > votes[winner] {
			winner = name
		}
	}
	return winner
}

// rebalanceOrComplete starts a rebalance, or moves a running one on.
func (g *Group) rebalanceOrComplete(now time.Time) {
	if g.state == PreparingRebalance {
		g.completeJoinIfAllHere(now)
		return
	}
	g.prepareRebalance(now)
}

// prepareRebalance starts a join phase.
func (g *Group) prepareRebalance(now time.Time) {
	if g.state == CompletingRebalance {
		g.failSyncs(now, ErrRebalanceInProgress)
	}
	g.proposal = nil
	g.syncDeadline = time.Time{}
	g.initial = g.state == Empty
	g.enter(PreparingRebalance, now)

	if !g.initial {
		g.joinDeadline = now.Add(g.rebalanceTimeout())
		g.completeJoinIfAllHere(now)
		return
	}
	delay := g.cfg.InitialRebalanceDelay
	if delay <= 0 {
		g.completeJoin(now)
		return
	}
	g.memberAdded = false
	g.extendable = max(g.rebalanceTimeout()-delay, 0)
	g.joinDeadline = now.Add(delay)
}

// failSyncs answers every parked sync with an error and takes back assignments.
func (g *Group) failSyncs(now time.Time, err error) {
	for _, m := range g.members {
		m.assignment = nil
		if m.syncParked {
			g.failSync(m, err)
			m.beat(now)
		}
	}
}

// endInitialDelay ends the wait of an empty group's first members, or extends it
// if more came meanwhile.
func (g *Group) endInitialDelay(now time.Time) {
	if !g.memberAdded || g.extendable <= 0 {
		g.completeJoin(now)
		return
	}
	g.memberAdded = false
	extension := min(g.cfg.InitialRebalanceDelay, g.extendable)
	g.extendable -= extension
	g.joinDeadline = now.Add(extension)
}

// completeJoinIfAllHere ends the join phase if every member has joined and no
// handed-out id is expected back.
func (g *Group) completeJoinIfAllHere(now time.Time) {
	if g.initial || len(g.pending) > 0 {
		return
	}
	for _, m := range g.members {
		if !m.joinParked {
			return
		}
	}
	g.completeJoin(now)
}

// completeJoin forms the next generation of the members that have joined. The
// others are removed, except static ones, which may be restarting.
func (g *Group) completeJoin(now time.Time) {
	g.joinDeadline = time.Time{}
	for _, m := range g.snapshotMembers() {
		if !m.joinParked && m.instanceID == "" {
			g.expire(m, reasonRejoin) // only Tick gets here: else all have joined
		}
	}
	if len(g.members) > 0 && !g.electLeader() {
		// Only static members, none of which is here. Their sessions decide.
		g.joinDeadline = now.Add(g.rebalanceTimeout())
		return
	}
	g.generation++
	g.initial = false
	if len(g.members) == 0 {
		g.enter(Empty, now)
		g.protocol = ""
		g.store(nil, false)
		return
	}
	g.enter(CompletingRebalance, now)
	g.protocol = g.selectProtocol()
	g.syncDeadline = now.Add(g.rebalanceTimeout())
	for _, m := range g.members {
		m.synced = false
		if m.joinParked {
			g.answerJoin(now, m.unparkJoin(), m)
		}
	}
}

// electLeader makes sure that the leader is a member that has joined.
func (g *Group) electLeader() bool {
	if m := g.member(g.leader); m != nil && m.joinParked {
		return true
	}
	for _, m := range g.members {
		if m.joinParked {
			g.leader = m.id
			return true
		}
	}
	return false
}

// snapshotMembers is a copy of the list of members, to remove some on the way.
func (g *Group) snapshotMembers() []*member { return slices.Clone(g.members) }
