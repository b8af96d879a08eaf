package group

import "time"

// Restore takes over a decoded record, in the order of the log. It is for a
// group that has seen no events yet.
func (g *Group) Restore(e Entry) {
	switch {
	case e.Topic != "" && e.Deleted:
		g.Forget(e.Topic, e.Partition)
	case e.Topic != "":
		g.Apply(e.Topic, e.Partition, e.Committed)
	default:
		g.restoreMembership(e)
	}
}

// Dissolve forgets the membership, so that the group can become one of another
// protocol; the offsets stay. It is for an empty group.
func (g *Group) Dissolve() {
	g.restoreMembership(Entry{Deleted: true})
	clear(g.pending)
}

func (g *Group) restoreMembership(e Entry) {
	g.state, g.stateSince, g.generation = Empty, time.Time{}, 0
	g.protocolType, g.protocol, g.leader = "", "", ""
	g.members = nil
	clear(g.static)
	if e.Deleted {
		return
	}
	v := e.membership
	g.generation = v.Generation
	g.protocolType = v.ProtocolType
	g.stateSince = time.UnixMilli(v.CurrentStateTimestamp)
	if len(v.Members) == 0 {
		return
	}
	// The members had an assignment when the record was written, or it would not
	// have been; whatever rebalance came after it did not finish.
	g.state = Stable
	g.protocol, g.leader = deref(v.Protocol), deref(v.Leader)
	for _, vm := range v.Members {
		m := &member{
			id:               vm.MemberID,
			instanceID:       deref(vm.InstanceID),
			clientID:         vm.ClientID,
			clientHost:       vm.ClientHost,
			sessionTimeout:   time.Duration(vm.SessionTimeoutMillis) * time.Millisecond,
			rebalanceTimeout: time.Duration(vm.RebalanceTimeoutMillis) * time.Millisecond,
			protocols:        []Protocol{{Name: g.protocol, Metadata: vm.Subscription}},
			assignment:       append([]byte{}, vm.Assignment...),
			synced:           true,
		}
		if m.rebalanceTimeout <= 0 {
			m.rebalanceTimeout = m.sessionTimeout
		}
		g.members = append(g.members, m)
		if m.instanceID != "" {
			g.static[m.instanceID] = m
		}
	}
}

// Resume starts the sessions of restored members: they could not beat while
// nobody listened.
func (g *Group) Resume(now time.Time) {
	for _, m := range g.members {
		m.beat(now)
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
