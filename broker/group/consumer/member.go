package consumer

import (
	"slices"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/broker/group"
)

// memberState is where a member stands on the way to its target. The values are those
// of Kafka's records.
type memberState int8

const (
	// stable: it has all of the target of its epoch.
	stable memberState = 1
	// unrevoked: it is to give up partitions and has not said that it has.
	unrevoked memberState = 2
	// unreleased: it waits for partitions that others have not given up.
	unreleased memberState = 3
)

// metadata is what a member says about itself.
type metadata struct {
	instanceID       string // "" for a dynamic member
	rackID           string
	clientID         string
	clientHost       string
	topics           []string // subscribed to by name, ascending
	regex            string   // subscribed to by pattern; "" for none
	rebalanceTimeout time.Duration
	assignor         string // that it asks for; "" for none
}

func (m metadata) equal(o metadata) bool {
	topics := slices.Equal(m.topics, o.topics)
	return topics && m.instanceID == o.instanceID && m.rackID == o.rackID && m.clientID == o.clientID && m.clientHost == o.clientHost &&
		m.regex == o.regex && m.rebalanceTimeout == o.rebalanceTimeout && m.assignor == o.assignor
}

// member is one member of a group.
type member struct {
	id string
	metadata

	state         memberState
	epoch         int32
	previousEpoch int32 // valid while the answer with the epoch may be lost

	target   map[Partition]struct{}
	assigned map[Partition]int32 // what it may use, and the epoch since which it may
	revoking map[Partition]int32 // what it is to give up, likewise

	sessionEnd   time.Time
	rebalanceEnd time.Time // zero unless unrevoked
}

// reconciled reports whether the member has all of the target of an epoch.
func (m *member) reconciled(epoch int32) bool { return m.state == stable && m.epoch == epoch }

// left reports whether the member, a static one, has left to come back.
func (m *member) left() bool { return m.epoch == StaticLeaveEpoch }

// reach moves the member to an epoch.
func (m *member) reach(epoch int32) { m.previousEpoch, m.epoch = m.epoch, epoch }

// holds returns the epoch since which the member has a partition.
func (m *member) holds(p Partition) (since int32, ok bool) {
	if since, ok = m.assigned[p]; !ok {
		since, ok = m.revoking[p]
	}
	return since, ok
}

// admit says whether a heartbeat with that epoch may come from the member. With an
// epoch of 0 it joins again.
func (m *member) admit(r Request) error {
	switch {
	case r.Epoch == JoinEpoch, r.Epoch == m.epoch:
		return nil
	case r.Epoch != m.previousEpoch || r.Epoch > m.epoch || r.Owned == nil:
		return ErrFencedEpoch
	}
	for p := range r.Owned {
		if _, ok := m.assigned[p]; !ok {
			return ErrFencedEpoch
		}
	}
	return nil // the answer that told the new epoch was lost
}

// speaker is the member that a heartbeat speaks for. A joining one is made, or takes
// the place of a static member that has left.
func (g *Group) speaker(r Request) (*member, error) {
	m := g.members[r.MemberID]
	if r.InstanceID == "" {
		if m == nil {
			return g.newcomer(r)
		}
		return m, m.admit(r)
	}
	s := g.static[r.InstanceID]
	switch {
	case r.Epoch != JoinEpoch && s == nil:
		return nil, group.ErrUnknownMember
	case r.Epoch != JoinEpoch && s.id != r.MemberID:
		return nil, group.ErrFencedInstance
	case r.Epoch != JoinEpoch:
		return s, s.admit(r)
	case m != nil && m != s:
		return nil, group.ErrInvalidRequest // the id is that of another instance
	case s == nil:
		return g.newcomer(r)
	case !s.left() && s.id != r.MemberID:
		return nil, ErrUnreleasedInstance
	case s.left():
		g.replace(s, r.MemberID)
	}
	return s, nil
}

// newcomer makes a member.
func (g *Group) newcomer(r Request) (*member, error) {
	switch {
	case r.Epoch != JoinEpoch:
		return nil, group.ErrUnknownMember
	case len(g.members) >= g.cfg.MaxMembers:
		return nil, group.ErrFull
	}
	m := newMember(r.MemberID)
	m.instanceID = r.InstanceID
	g.members[m.id] = m
	if m.instanceID != "" {
		g.static[m.instanceID] = m
	}
	g.changes.all(m.id)
	return m, nil
}

func newMember(id string) *member {
	return &member{
		id: id, state: stable,
		target: map[Partition]struct{}{}, assigned: map[Partition]int32{}, revoking: map[Partition]int32{},
	}
}

// replace gives the place of a static member that has left, with what it has, to the id
// that came back.
func (g *Group) replace(m *member, id string) {
	delete(g.members, m.id)
	g.changes.remove(m.id)
	m.id, m.epoch, m.previousEpoch = id, JoinEpoch, JoinEpoch
	g.members[id] = m
	g.changes.all(id)
}

// remove takes a member out of the group. What it held is free.
func (g *Group) remove(m *member) {
	delete(g.members, m.id)
	if m.instanceID != "" {
		delete(g.static, m.instanceID)
	}
	g.hold(m, nil, nil)
	g.changes.remove(m.id)
	g.bump()
}

// hold makes a member the holder of what it may use and of what it is to give up, and
// of nothing else.
func (g *Group) hold(m *member, assigned, revoking map[Partition]int32) {
	for _, old := range []map[Partition]int32{m.assigned, m.revoking} {
		for p := range old {
			delete(g.holders, p)
		}
	}
	m.assigned, m.revoking = assigned, revoking
	for _, now := range []map[Partition]int32{assigned, revoking} {
		for p := range now {
			g.holders[p] = m
		}
	}
}

// update takes over what a heartbeat says about the member, and reports whether it
// subscribes to something else now.
func (g *Group) update(m *member, r Request) (subscribed bool) {
	now := m.metadata
	now.clientID, now.clientHost = r.ClientID, r.ClientHost
	if r.RackID != nil {
		now.rackID = *r.RackID
	}
	if r.RebalanceTimeout >= 0 {
		now.rebalanceTimeout = r.RebalanceTimeout
	}
	if r.Assignor != nil {
		now.assignor = *r.Assignor
	}
	if r.Regex != nil {
		now.regex = strings.Clone(*r.Regex)
	}
	if r.Topics != nil {
		now.topics = slices.Clone(r.Topics)
		slices.Sort(now.topics)
		now.topics = slices.Compact(now.topics)
	}
	subscribed = now.regex != m.regex || !slices.Equal(now.topics, m.topics)
	if !now.equal(m.metadata) {
		m.metadata = now
		g.changes.members.add(m.id)
	}
	return subscribed
}
