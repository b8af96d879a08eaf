package consumer

// Description is what an administrator may see of a group.
type Description struct {
	ID          string
	State       State
	Epoch       int32
	TargetEpoch int32
	Assignor    string
	Members     []Described // by id
}

// Described is a member of a Description.
type Described struct {
	ID, InstanceID, RackID string
	ClientID, ClientHost   string
	Epoch                  int32
	Topics                 []string
	Regex                  string
	Assigned, Target       []Partition // in order
}

// Describe shows the group.
func (g *Group) Describe() Description {
	d := Description{ID: g.id, State: g.State(), Epoch: g.epoch, TargetEpoch: g.targetEpoch, Assignor: g.assignor()}
	for _, m := range g.sorted() {
		d.Members = append(d.Members, Described{
			ID: m.id, InstanceID: m.instanceID, RackID: m.rackID, ClientID: m.clientID, ClientHost: m.clientHost,
			Epoch: m.epoch, Topics: m.topics, Regex: m.regex,
			Assigned: ordered(m.assigned), Target: ordered(m.target),
		})
	}
	return d
}

// Len is the number of members.
func (g *Group) Len() int { return len(g.members) }
