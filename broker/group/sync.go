package group

import (
	"bytes"
	"time"
)

// SyncRequest asks for the member's assignment. The leader's brings those of all.
type SyncRequest struct {
	MemberID    string
	InstanceID  string // "" for a dynamic member
	Generation  int32
	Assignments []Assignment // of the leader; copied

	// ProtocolType and Protocol, if not empty, must be the group's (KIP-559).
	ProtocolType string
	Protocol     string
}

// Assignment is what the leader assigns to one member.
type Assignment struct {
	MemberID string
	Data     []byte // opaque here
}

// Sync asks for the member's assignment. It is answered when the leader's
// assignments are durable.
func (g *Group) Sync(now time.Time, tok Token, r SyncRequest) Effects {
	if err := g.sync(now, tok, r); err != nil {
		g.replySync(tok, SyncReply{Err: err})
	}
	return g.take()
}

func (g *Group) sync(now time.Time, tok Token, r SyncRequest) error {
	m, err := g.validate(r.MemberID, r.InstanceID)
	switch {
	case err != nil:
		return err
	case r.Generation != g.generation:
		return ErrIllegalGeneration
	case r.ProtocolType != "" && r.ProtocolType != g.protocolType,
		r.Protocol != "" && r.Protocol != g.protocol:
		return ErrInconsistentProtocol
	}
	switch g.state {
	case PreparingRebalance:
		return ErrRebalanceInProgress
	case Stable:
		m.synced = true
		g.endSyncPhase()
		g.replySync(tok, g.assigned(m))
		m.beat(now)
	case CompletingRebalance:
		m.synced = true
		g.failSync(m, ErrRebalanceInProgress) // an earlier sync of a lost connection
		m.syncToken, m.syncParked = tok, true
		m.deadline = time.Time{}
		if m.id == g.leader && g.proposal == nil {
			g.propose(r.Assignments)
		}
	default:
		return ErrUnknownMember
	}
	return nil
}

func (g *Group) assigned(m *member) SyncReply {
	return SyncReply{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// propose sends the leader's assignments to the log. They count when they are
// durable: a coordinator that comes back must know what it handed out.
func (g *Group) propose(as []Assignment) {
	byMember := make(map[string][]byte, len(g.members))
	for _, m := range g.members {
		byMember[m.id] = []byte{} // a member the leader forgot owns nothing
	}
	for _, a := range as {
		if _, ok := byMember[a.MemberID]; ok {
			byMember[a.MemberID] = append([]byte{}, a.Data...)
		}
	}
	g.proposal = &proposal{seq: g.store(byMember, true), assignments: byMember}
}

// Stored reports the outcome of an awaited Store. One that the group no longer
// waits for is ignored.
func (g *Group) Stored(now time.Time, seq uint64, durable bool) Effects {
	if p := g.proposal; p != nil && p.seq == seq {
		g.proposal = nil
		if durable {
			g.assign(now, p.assignments)
		} else {
			g.failSyncs(now, ErrNotStored)
			g.prepareRebalance(now)
		}
	}
	for _, m := range g.members {
		if !m.joinParked || m.joinStore != seq || g.state != Stable {
			continue
		}
		if durable {
			g.answerStaticRejoin(now, m)
		} else {
			g.failJoin(m, ErrNotStored)
			m.beat(now)
		}
	}
	return g.take()
}

// assign makes the group stable.
func (g *Group) assign(now time.Time, byMember map[string][]byte) {
	g.enter(Stable, now)
	for _, m := range g.members {
		m.assignment = byMember[m.id]
		if m.syncParked {
			m.syncParked = false
			g.replySync(m.syncToken, g.assigned(m))
			m.beat(now)
		}
	}
	g.endSyncPhase()
}

// endSyncPhase stops waiting for syncs once every member has sent one.
func (g *Group) endSyncPhase() {
	for _, m := range g.members {
		if !m.synced {
			return
		}
	}
	g.syncDeadline = time.Time{}
}

// Heartbeat keeps the member's session alive. ErrRebalanceInProgress tells a
// member to join again; its session is kept alive all the same.
func (g *Group) Heartbeat(now time.Time, memberID, instanceID string, generation int32) error {
	m, err := g.validate(memberID, instanceID)
	switch {
	case err != nil:
		return err
	case generation != g.generation:
		return ErrIllegalGeneration
	}
	m.beat(now)
	if g.state == PreparingRebalance {
		return ErrRebalanceInProgress
	}
	return nil
}

// sameSubscription reports whether two members' metadata ask for the same
// topics. What it cannot read it takes for the same only if the bytes are equal.
func sameSubscription(protocolType string, a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if protocolType != consumerProtocol {
		return false
	}
	at, aok := subscribedTopics(a)
	bt, bok := subscribedTopics(b)
	return aok && bok && equalSets(at, bt)
}
