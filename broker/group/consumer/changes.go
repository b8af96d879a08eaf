package consumer

import (
	"maps"
	"slices"

	"github.com/riffle-stream/riffle/broker/group"
)

// changes are what the log does not know yet. Members are named by id.
type changes struct {
	group  bool // the group epoch
	target bool // the assignment epoch

	members ids // what members say about themselves
	targets ids // what they are meant to have
	current ids // what they have
	removed ids // ids that are to be forgotten
}

// ids is a set of member ids. The zero value is empty.
type ids map[string]struct{}

func (s *ids) add(id string) {
	if *s == nil {
		*s = ids{}
	}
	(*s)[id] = struct{}{}
}

func (s ids) sorted() []string {
	if len(s) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(s))
}

// all notes that nothing is known of a member.
func (c *changes) all(id string) {
	c.members.add(id)
	c.targets.add(id)
	c.current.add(id)
}

// remove notes that a member is to be forgotten.
func (c *changes) remove(id string) {
	c.removed.add(id)
	delete(c.members, id)
	delete(c.targets, id)
	delete(c.current, id)
}

// Changes are the records that the log needs to know the group as it is, in the order in
// which they are to be written; none if it does. They are asked for again, with what
// changed since, until Stored is called.
func (g *Group) Changes() []group.Record {
	var records []group.Record
	c := &g.changes
	for _, id := range c.removed.sorted() {
		if _, back := g.members[id]; !back {
			records = append(records, g.memberTombstones(id)...)
		}
	}
	for _, id := range c.members.sorted() {
		records = append(records, g.memberRecord(g.members[id]))
	}
	if c.group {
		records = append(records, g.epochRecord())
	}
	for _, id := range c.targets.sorted() {
		records = append(records, g.targetRecord(g.members[id]))
	}
	if c.target {
		records = append(records, g.targetEpochRecord())
	}
	for _, id := range c.current.sorted() {
		records = append(records, g.currentRecord(g.members[id]))
	}
	return records
}

// Stored reports that all Changes are in the log. They need not be durable yet.
func (g *Group) Stored() { g.changes = changes{} }

// Tombstones are the records that delete the group.
func (g *Group) Tombstones() []group.Record {
	var records []group.Record
	for id := range g.changes.removed {
		if _, back := g.members[id]; !back {
			records = append(records, g.memberTombstones(id)...)
		}
	}
	for _, m := range g.sorted() {
		records = append(records, g.memberTombstones(m.id)...)
	}
	return append(records,
		group.Record{Key: g.key(targetEpochKey, "")},
		group.Record{Key: g.key(epochKey, "")})
}
