package group

import "time"

// Description is what an administrator may see of a group.
type Description struct {
	ID           string
	State        State
	Since        time.Time // when the group entered the state
	Generation   int32
	ProtocolType string
	Protocol     string // agreed on; only when Stable
	Leader       string
	Members      []Described // in the order they joined
}

// Described is a member of a Description.
type Described struct {
	ID, InstanceID       string
	ClientID, ClientHost string
	Metadata, Assignment []byte // only when Stable; not to be changed
}

// Describe shows the group.
func (g *Group) Describe() Description {
	d := Description{
		ID:           g.id,
		State:        g.state,
		Since:        g.stateSince,
		Generation:   g.generation,
		ProtocolType: g.protocolType,
		Leader:       g.leader,
		Members:      make([]Described, len(g.members)),
	}
	if g.state == Stable {
		d.Protocol = g.protocol
	}
	for i, m := range g.members {
		d.Members[i] = Described{ID: m.id, InstanceID: m.instanceID, ClientID: m.clientID, ClientHost: m.clientHost}
		if g.state == Stable {
			d.Members[i].Metadata, d.Members[i].Assignment = m.metadata(g.protocol), m.assignment
		}
	}
	return d
}
