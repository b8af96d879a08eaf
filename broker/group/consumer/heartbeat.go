package consumer

import (
	"math"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/broker/group"
)

// Epochs with a meaning in a heartbeat.
const (
	// JoinEpoch asks to be a member.
	JoinEpoch = 0
	// LeaveEpoch leaves the group.
	LeaveEpoch = -1
	// StaticLeaveEpoch leaves for a while: a static member keeps its partitions until
	// its session ends.
	StaticLeaveEpoch = -2
)

// maxIDBytes is what an id may have in the key of a record.
const maxIDBytes = math.MaxInt16

// Request is a heartbeat. Where a field says unchanged, the member keeps what it said
// before; a joining member says all.
type Request struct {
	MemberID   string
	Epoch      int32
	InstanceID string // "" for a dynamic member
	ClientID   string
	ClientHost string

	RackID           *string                // nil is unchanged
	RebalanceTimeout time.Duration          // how long it may take to give up partitions; negative is unchanged
	Topics           []string               // subscribed to; nil is unchanged
	Regex            *string                // subscribed to, "" is none; nil is unchanged
	Assignor         *string                // nil is unchanged
	Owned            map[Partition]struct{} // that the member uses or has not given up; nil is unchanged
}

// Validate reports whether the request makes sense by itself, whatever group it is for.
func (r Request) Validate() error {
	switch {
	case r.MemberID == "" || len(r.MemberID) > maxIDBytes || len(r.InstanceID) > maxIDBytes:
		return group.ErrInvalidRequest
	case r.Epoch < StaticLeaveEpoch || r.Epoch == StaticLeaveEpoch && r.InstanceID == "":
		return group.ErrInvalidRequest
	case r.Epoch == JoinEpoch && (r.RebalanceTimeout < 0 || r.Owned == nil || len(r.Owned) > 0 || r.Topics == nil && r.Regex == nil):
		return group.ErrInvalidRequest
	case r.Assignor != nil && assignors[*r.Assignor] == nil:
		return ErrUnsupportedAssignor
	case r.Regex != nil && *r.Regex != "":
		_, err := compile(*r.Regex)
		return err
	}
	return nil
}

// full reports whether the heartbeat says all there is to say, as after an answer that
// was lost: it is told its assignment again.
func (r Request) full() bool {
	return r.Epoch == JoinEpoch || r.RebalanceTimeout >= 0 && (r.Topics != nil || r.Regex != nil) && r.Owned != nil
}

// Reply answers a heartbeat.
type Reply struct {
	MemberID string
	Epoch    int32
	// Assignment is what the member may use, in order; nil if it is what it was.
	Assignment []Partition
}

// Heartbeat handles a heartbeat. It may be answered when all Changes are durable.
func (g *Group) Heartbeat(now time.Time, topics Topics, r Request) (Reply, error) {
	if err := r.Validate(); err != nil {
		return Reply{}, err
	}
	if r.Epoch < 0 {
		return g.leave(r)
	}
	m, err := g.speaker(r)
	if err != nil {
		return Reply{}, err
	}
	subscribed := g.update(m, r)
	g.retarget(topics, subscribed)
	assigned := g.reconcile(now, m, subscribed, r.Owned)
	m.sessionEnd = now.Add(g.cfg.SessionTimeout)

	reply := Reply{MemberID: m.id, Epoch: m.epoch}
	if assigned || r.full() {
		reply.Assignment = ordered(m.assigned)
	}
	return reply, nil
}

// leave handles the heartbeat of a member that leaves, for good or for a while.
func (g *Group) leave(r Request) (Reply, error) {
	m := g.members[r.MemberID]
	if s := g.static[r.InstanceID]; r.InstanceID != "" {
		if s != nil && s != m {
			return Reply{}, group.ErrFencedInstance
		}
		m = s
	}
	if m == nil {
		return Reply{}, group.ErrUnknownMember
	}
	if r.Epoch == LeaveEpoch {
		g.remove(m)
	} else {
		m.epoch, m.state, m.rebalanceEnd = StaticLeaveEpoch, stable, time.Time{}
		g.hold(m, m.assigned, map[Partition]int32{})
		g.changes.current.add(m.id)
	}
	return Reply{MemberID: m.id, Epoch: r.Epoch}, nil
}

// RemoveInstance takes a static member out of the group, as an administrator asks for.
func (g *Group) RemoveInstance(instanceID string) error {
	m := g.static[instanceID]
	if m == nil {
		return group.ErrUnknownMember
	}
	g.remove(m)
	return nil
}

// ordered lists partitions in order; never nil.
func ordered[V any](set map[Partition]V) []Partition {
	list := make([]Partition, 0, len(set))
	for p := range set {
		list = append(list, p)
	}
	slices.SortFunc(list, Partition.compare)
	return list
}
