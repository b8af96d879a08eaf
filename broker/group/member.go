package group

import (
	"bytes"
	"slices"
	"time"
)

// Protocol is one way of assigning partitions that a member supports.
type Protocol struct {
	Name     string
	Metadata []byte // opaque here
}

// member is one member of a group.
type member struct {
	id                 string
	instanceID         string // "" for a dynamic member
	clientID           string
	clientHost         string
	sessionTimeout     time.Duration
	rebalanceTimeout   time.Duration
	protocols          []Protocol // in order of preference
	assignment         []byte     // nil before the first
	deadline           time.Time  // end of the session; zero while it is paused
	isNew              bool       // has never been told its id by a completed join
	synced             bool       // has sent its sync in this generation
	joinToken          Token
	joinParked         bool
	joinStore          uint64 // the store that the parked join waits for; 0 for none
	canSkipAssignment  bool   // the parked join understands SkipAssignment
	leaderBeforeRejoin string // who led when the parked join replaced a static member
	syncToken          Token
	syncParked         bool
}

func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

func (m *member) supports(protocol string) bool {
	return slices.ContainsFunc(m.protocols, func(p Protocol) bool { return p.Name == protocol })
}

// sameProtocols reports whether a join repeats what the member said before.
func (m *member) sameProtocols(ps []Protocol) bool {
	return slices.EqualFunc(m.protocols, ps, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

// beat restarts the member's session. It stays paused while a join or a sync of
// the member is parked: the client's connection is then busy waiting for us.
func (m *member) beat(now time.Time) {
	if m.joinParked || m.syncParked {
		return
	}
	m.deadline = now.Add(m.sessionTimeout)
}

// member returns the member with that id, or nil.
func (g *Group) member(id string) *member {
	for _, m := range g.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// validate finds the member that a request speaks for.
func (g *Group) validate(memberID, instanceID string) (*member, error) {
	if instanceID != "" {
		switch m := g.static[instanceID]; {
		case m == nil:
			return nil, ErrUnknownMember
		case m.id != memberID:
			return nil, ErrFencedInstance
		}
	}
	m := g.member(memberID)
	if m == nil {
		return nil, ErrUnknownMember
	}
	return m, nil
}

// add makes a member of a join and parks the join.
func (g *Group) add(now time.Time, tok Token, id string, r JoinRequest) {
	if len(g.members) == 0 {
		g.protocolType = r.ProtocolType
	}
	m := &member{
		id:         id,
		instanceID: r.InstanceID,
		clientID:   r.ClientID,
		clientHost: r.ClientHost,
		isNew:      true,
	}
	m.update(r)
	g.members = append(g.members, m)
	if m.instanceID != "" {
		g.static[m.instanceID] = m
	}
	if g.leader == "" {
		g.leader = id
	}
	delete(g.pending, id)
	if g.state == PreparingRebalance && g.initial {
		g.memberAdded = true
	}
	g.parkJoin(m, tok, r)
	// A new member does not know its id yet, so it cannot beat, and a client
	// that gave up and retries comes as another new member. Without an end its
	// parked join would keep a dead member in the group for ever.
	m.deadline = now.Add(g.cfg.NewMemberJoinTimeout)
}

// update takes over what a join says about the member.
func (m *member) update(r JoinRequest) {
	m.sessionTimeout = r.SessionTimeout
	m.rebalanceTimeout = r.RebalanceTimeout
	m.protocols = make([]Protocol, len(r.Protocols))
	for i, p := range r.Protocols {
		m.protocols[i] = Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)}
	}
}

// parkJoin makes the member wait for the end of the join phase.
func (g *Group) parkJoin(m *member, tok Token, r JoinRequest) {
	// A second join while one is parked comes from a client that lost its
	// connection. Kafka forgets the first; here nothing stays unanswered.
	g.failJoin(m, ErrRebalanceInProgress)
	g.failSync(m, ErrRebalanceInProgress)
	m.joinToken, m.joinParked = tok, true
	m.canSkipAssignment = r.CanSkipAssignment
	if !m.isNew {
		m.deadline = time.Time{}
	}
}

// failJoin answers the member's parked join, if there is one, with an error.
func (g *Group) failJoin(m *member, err error) {
	if m.joinParked {
		g.replyJoin(m.unparkJoin(), JoinReply{Err: err, MemberID: m.id})
	}
}

// failSync answers the member's parked sync, if there is one, with an error.
func (g *Group) failSync(m *member, err error) {
	if m.syncParked {
		m.syncParked = false
		g.replySync(m.syncToken, SyncReply{Err: err})
	}
}

func (m *member) unparkJoin() Token {
	m.joinParked, m.joinStore, m.leaderBeforeRejoin = false, 0, ""
	return m.joinToken
}

// remove takes the member out of the group. Parked requests of it are told that
// it is unknown, so that a client that still waits starts over.
func (g *Group) remove(m *member) {
	if m.joinParked {
		g.replyJoin(m.unparkJoin(), JoinReply{Err: ErrUnknownMember})
	}
	g.failSync(m, ErrUnknownMember)
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	if g.static[m.instanceID] == m {
		delete(g.static, m.instanceID)
	}
	if g.leader == m.id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
}

// rebalanceTimeout is the longest rebalance timeout of the members.
func (g *Group) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, m := range g.members {
		longest = max(longest, m.rebalanceTimeout)
	}
	return longest
}
