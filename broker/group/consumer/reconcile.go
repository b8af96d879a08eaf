package consumer

import "time"

// reconcile moves a member towards its target as far as it can go, and reports whether
// it may use other partitions than before. subscribed says that it has just subscribed
// to something else, owned is what it says that it has, nil for what it had.
func (g *Group) reconcile(now time.Time, m *member, subscribed bool, owned map[Partition]struct{}) (changed bool) {
	switch {
	case m.state == unrevoked && stillHas(owned, m.revoking):
		if !subscribed {
			return false
		}
	case m.reconciled(g.targetEpoch) && !subscribed:
		return false
	}
	return g.advance(now, m, owned)
}

// stillHas reports whether the member has, or may have, one of the partitions.
func stillHas(owned map[Partition]struct{}, revoking map[Partition]int32) bool {
	if owned == nil {
		return len(revoking) > 0
	}
	for p := range revoking {
		if _, ok := owned[p]; ok {
			return true
		}
	}
	return false
}

// advance computes what the member has next. First it gives up what is not meant for it
// any more; until it says that it has, it stays in its epoch. Then it reaches the epoch
// of the target with those partitions that nobody else holds.
func (g *Group) advance(now time.Time, m *member, owned map[Partition]struct{}) (changed bool) {
	kept, revoking := map[Partition]int32{}, map[Partition]int32{}
	for p, since := range m.assigned {
		if _, ok := m.target[p]; ok {
			kept[p] = since
		} else {
			revoking[p] = since
		}
	}
	if stillHas(owned, m.revoking) {
		for p, since := range m.revoking {
			revoking[p] = since
		}
	}
	shrunk := len(kept) < len(m.assigned)
	g.changes.current.add(m.id)
	if stillHas(owned, revoking) {
		m.state = unrevoked
		m.reach(m.epoch)
		m.rebalanceEnd = now.Add(m.rebalanceTimeout)
		g.hold(m, kept, revoking)
		return shrunk
	}

	m.state, m.rebalanceEnd = stable, time.Time{}
	m.reach(g.targetEpoch)
	grown := false
	for p := range m.target {
		if _, ok := kept[p]; ok {
			continue
		}
		if holder := g.holders[p]; holder != nil && holder != m {
			m.state = unreleased
			continue
		}
		kept[p], grown = g.targetEpoch, true
	}
	g.hold(m, kept, map[Partition]int32{})
	return shrunk || grown
}
