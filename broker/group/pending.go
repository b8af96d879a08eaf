package group

import (
	"cmp"
	"slices"
	"time"
)

// Place is a partition of a topic, by name.
type Place struct {
	Topic     string
	Partition int32
}

func (p Place) compare(o Place) int {
	return cmp.Or(cmp.Compare(p.Topic, o.Topic), cmp.Compare(p.Partition, o.Partition))
}

// CheckTxnCommit reports whether a transaction may commit offsets for the group
// (KIP-447). A client that says who it is must be a member of the present generation.
// One that says nothing is fenced by its transactional id alone, as clients did before.
// The commit of a member counts as its heartbeat.
func (g *Group) CheckTxnCommit(now time.Time, r CommitRequest) error {
	if r.Generation < 0 && (g.state == Empty || r.MemberID == "" && r.InstanceID == "") {
		return nil
	}
	m, err := g.validate(r.MemberID, r.InstanceID)
	switch {
	case err != nil:
		return err
	case r.Generation != g.generation:
		return ErrIllegalGeneration
	}
	m.beat(now)
	return nil
}

// AddPending notes an offset that counts only when the transaction of a producer is
// committed. Of two for a partition in one transaction the later one counts.
func (g *Group) AddPending(producerID int64, topic string, partition int32, c Committed) {
	if g.pendingOffsets == nil {
		g.pendingOffsets = map[int64]map[Place]Committed{}
	}
	of := g.pendingOffsets[producerID]
	if of == nil {
		of = map[Place]Committed{}
		g.pendingOffsets[producerID] = of
	}
	at := Place{topic, partition}
	if old, ok := of[at]; ok && old.Position > c.Position {
		return
	}
	of[at] = c
}

// EndTransaction applies the pending offsets of a producer, or drops them. keep, if
// not nil, says which of them may be applied.
func (g *Group) EndTransaction(producerID int64, commit bool, keep func(topic string, c Committed) bool) (applied int) {
	for at, c := range g.pendingOffsets[producerID] {
		if commit && (keep == nil || keep(at.Topic, c)) {
			g.Apply(at.Topic, at.Partition, c)
			applied++
		}
	}
	delete(g.pendingOffsets, producerID)
	return applied
}

// HasPending reports whether an offset of a partition waits for the end of a
// transaction.
func (g *Group) HasPending(topic string, partition int32) bool {
	for _, of := range g.pendingOffsets {
		if _, ok := of[Place{topic, partition}]; ok {
			return true
		}
	}
	return false
}

// PendingPartitions lists the partitions of a topic with offsets that wait for the
// end of a transaction, sorted.
func (g *Group) PendingPartitions(topic string) []int32 {
	var partitions []int32
	for _, of := range g.pendingOffsets {
		for at := range of {
			if at.Topic == topic && !slices.Contains(partitions, at.Partition) {
				partitions = append(partitions, at.Partition)
			}
		}
	}
	slices.Sort(partitions)
	return partitions
}

// PendingProducers lists the producers whose transactions hold offsets of the group,
// sorted.
func (g *Group) PendingProducers() []int64 {
	ids := make([]int64, 0, len(g.pendingOffsets))
	for id := range g.pendingOffsets {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
