package consumer

import "github.com/riffle-stream/riffle/broker/group"

// CheckCommit reports whether a request may commit offsets now. It may come with an
// older epoch: then CheckPartition decides for each partition.
func (g *Group) CheckCommit(r group.CommitRequest) error {
	if r.Generation < 0 && len(g.members) == 0 {
		return nil // an administrator, or a client without a group
	}
	if _, known := g.members[r.MemberID]; known && !r.KnowsEpochs {
		return ErrOldCommit
	}
	return g.checkEpoch(r)
}

// CheckTxnCommit is CheckCommit for offsets in a transaction. A client that says
// nothing of a membership is fenced by its transactional id alone.
func (g *Group) CheckTxnCommit(r group.CommitRequest) error {
	if r.Generation < 0 && (len(g.members) == 0 || r.MemberID == "" && r.InstanceID == "") {
		return nil
	}
	return g.checkEpoch(r)
}

func (g *Group) checkEpoch(r group.CommitRequest) error {
	m := g.members[r.MemberID]
	switch {
	case m == nil:
		return group.ErrUnknownMember
	case r.Generation > m.epoch:
		return ErrStaleEpoch
	}
	return nil
}

// CheckPartition reports whether a request that passed CheckCommit may commit an offset
// of a partition: a member that has it, in the epoch in which it got it or a later one
// (KIP-1251).
func (g *Group) CheckPartition(r group.CommitRequest, p Partition) error {
	m := g.members[r.MemberID]
	if m == nil || r.Generation == m.epoch {
		return nil
	}
	if since, ok := m.holds(p); !ok || r.Generation < since {
		return ErrStaleEpoch
	}
	return nil
}

// CheckFetch reports whether a member may read committed offsets now. Who says nothing
// of a membership may.
func (g *Group) CheckFetch(memberID string, epoch int32) error {
	if memberID == "" && epoch < 0 {
		return nil
	}
	m := g.members[memberID]
	switch {
	case m == nil:
		return group.ErrUnknownMember
	case m.epoch != epoch:
		return ErrStaleEpoch
	}
	return nil
}
