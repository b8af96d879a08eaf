package group

import (
	"math"
	"time"
)

const (
	// maxStringBytes is what a string in a record of __consumer_offsets can hold.
	maxStringBytes = math.MaxInt16

	// maxInstanceIDBytes is the length Kafka's clients allow for
	// group.instance.id. The member id is made of it.
	maxInstanceIDBytes = 249

	// maxProtocols bounds the work of agreeing on a protocol. Clients send one
	// per configured assignor.
	maxProtocols = 100
)

// JoinRequest asks for membership in the next generation.
type JoinRequest struct {
	MemberID         string // "" for a client without one
	InstanceID       string // "" for a dynamic member
	ClientID         string
	ClientHost       string
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration // zero or less: the session timeout, as before KIP-62
	ProtocolType     string
	Protocols        []Protocol // in order of preference; copied

	// NewMemberID is the id to give if MemberID is empty: never used before,
	// because it is what tells a member from its predecessor.
	NewMemberID string

	// RequireMemberID means that a dynamic member without an id is given one and
	// sent away to join again with it (JoinGroup v4, KIP-394).
	RequireMemberID bool

	// CanSkipAssignment means that the client understands SkipAssignment
	// (JoinGroup v9, KIP-814).
	CanSkipAssignment bool
}

func (r JoinRequest) validate(cfg Config) error {
	if r.SessionTimeout < cfg.MinSessionTimeout || r.SessionTimeout > cfg.MaxSessionTimeout {
		return ErrInvalidSessionTimeout
	}
	if len(r.InstanceID) > maxInstanceIDBytes || len(r.ProtocolType) > maxStringBytes ||
		len(r.NewMemberID) > maxStringBytes || len(r.ClientID) > maxStringBytes || len(r.ClientHost) > maxStringBytes {
		return ErrInvalidRequest
	}
	for _, p := range r.Protocols {
		if len(p.Name) > maxStringBytes {
			return ErrInvalidRequest
		}
	}
	if len(r.Protocols) > maxProtocols {
		return ErrInconsistentProtocol
	}
	return nil
}

// Join asks to be a member of the next generation. The answer comes as soon as
// the generation is formed, or at once if the request is wrong, the client has
// to come back with a member id, or nothing changed.
func (g *Group) Join(now time.Time, tok Token, r JoinRequest) Effects {
	if r.RebalanceTimeout <= 0 {
		r.RebalanceTimeout = r.SessionTimeout
	}
	if err := g.join(now, tok, r); err != nil {
		g.replyJoin(tok, JoinReply{Err: err, MemberID: r.MemberID})
	}
	return g.take()
}

func (g *Group) join(now time.Time, tok Token, r JoinRequest) error {
	if err := r.validate(g.cfg); err != nil {
		return err
	}
	if r.MemberID == "" {
		return g.joinNew(now, tok, r)
	}
	if _, ok := g.pending[r.MemberID]; ok && r.InstanceID == "" {
		if !g.supports(r) {
			return ErrInconsistentProtocol
		}
		g.add(now, tok, r.MemberID, r)
		g.rebalanceOrComplete(now)
		return nil
	}
	m, err := g.validate(r.MemberID, r.InstanceID)
	if err != nil {
		return err
	}
	if !g.supports(r) {
		return ErrInconsistentProtocol
	}
	g.rejoin(now, tok, m, r)
	return nil
}

// joinNew handles a client without a member id.
func (g *Group) joinNew(now time.Time, tok Token, r JoinRequest) error {
	if !g.supports(r) {
		return ErrInconsistentProtocol
	}
	if old := g.static[r.InstanceID]; r.InstanceID != "" && old != nil {
		g.replaceStatic(now, tok, old, r)
		return nil
	}
	// Kafka admits by the number of members that have rejoined while a rebalance
	// runs, and does not count ids handed out. This rule is stricter, and keeps
	// what a group holds bounded at every moment.
	if len(g.members)+len(g.pending) >= g.cfg.MaxMembers {
		return ErrFull
	}
	if r.InstanceID == "" && r.RequireMemberID {
		g.pending[r.NewMemberID] = now.Add(r.SessionTimeout)
		g.replyJoin(tok, JoinReply{Err: ErrMemberIDRequired, MemberID: r.NewMemberID})
		return nil
	}
	g.add(now, tok, r.NewMemberID, r)
	g.rebalanceOrComplete(now)
	return nil
}

// rejoin handles a join of a member that knows its id.
func (g *Group) rejoin(now time.Time, tok Token, m *member, r JoinRequest) {
	unchanged := m.sameProtocols(r.Protocols)
	switch {
	case g.state == CompletingRebalance && unchanged:
		// The member did not get the answer to its join: it gets it again.
		g.answerJoin(now, tok, m)
	case g.state == Stable && unchanged && g.leader != m.id:
		// Nothing changed; SyncGroup will give it the assignment it has. A leader
		// that rejoins wants a rebalance, because it saw topics change.
		g.answerJoin(now, tok, m)
	default:
		m.update(r)
		g.parkJoin(m, tok, r)
		g.rebalanceOrComplete(now)
	}
}

// answerJoin tells the member about the current generation.
func (g *Group) answerJoin(now time.Time, tok Token, m *member) {
	r := JoinReply{
		MemberID:     m.id,
		Generation:   g.generation,
		ProtocolType: g.protocolType,
		Protocol:     g.protocol,
		Leader:       g.leader,
	}
	if g.leader == m.id {
		r.Members = g.joined()
	}
	g.replyJoin(tok, r)
	m.isNew = false
	m.beat(now)
}

// joined lists the members for the leader.
func (g *Group) joined() []JoinedMember {
	list := make([]JoinedMember, len(g.members))
	for i, m := range g.members {
		list[i] = JoinedMember{ID: m.id, InstanceID: m.instanceID, Metadata: m.metadata(g.protocol)}
	}
	return list
}

// replaceStatic gives the place of a static member to a client that comes with
// the same instance id and no member id: the member has restarted (KIP-345).
// A stable group stays stable if the member's subscription is what it was.
func (g *Group) replaceStatic(now time.Time, tok Token, m *member, r JoinRequest) {
	g.failJoin(m, ErrFencedInstance)
	g.failSync(m, ErrFencedInstance)

	leaderBefore := g.leader
	if g.leader == m.id {
		g.leader = r.NewMemberID
	}
	sameTopics := sameSubscription(g.protocolType, m.metadata(g.protocol), r.metadata(g.protocol))
	m.id, m.clientID, m.clientHost, m.isNew = r.NewMemberID, r.ClientID, r.ClientHost, false
	m.update(r)
	g.parkJoin(m, tok, r)

	switch g.state {
	case Stable:
		if !sameTopics || g.selectProtocol() != g.protocol {
			g.rebalanceOrComplete(now)
			return
		}
		// The new id must survive a restart of the coordinator before the client
		// hears of it.
		m.leaderBeforeRejoin = leaderBefore
		m.joinStore = g.store(nil, true)
	default:
		// In CompletingRebalance the leader may already have assigned to the old
		// id; only another round gives the new one something.
		g.rebalanceOrComplete(now)
	}
}

// answerStaticRejoin answers a static member whose new id is durable.
func (g *Group) answerStaticRejoin(now time.Time, m *member) {
	if g.leader == m.id && !m.canSkipAssignment {
		// Before KIP-814 a leader cannot be told that there is nothing to assign.
		// It is named its predecessor as leader, so it takes itself for a follower.
		r := JoinReply{
			MemberID:     m.id,
			Generation:   g.generation,
			ProtocolType: g.protocolType,
			Protocol:     g.protocol,
			Leader:       m.leaderBeforeRejoin,
		}
		g.replyJoin(m.unparkJoin(), r)
		m.beat(now)
		return
	}
	skip := g.leader == m.id
	g.answerJoin(now, m.unparkJoin(), m)
	g.out.Replies[len(g.out.Replies)-1].Join.SkipAssignment = skip
	m.beat(now)
}

func (r JoinRequest) metadata(protocol string) []byte {
	for _, p := range r.Protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}
