package group

import (
	"iter"
	"maps"
	"slices"
	"time"
)

// Committed is an offset that a group has committed for one partition.
type Committed struct {
	Offset      int64
	LeaderEpoch int32 // -1 if the client did not know
	Metadata    string
	TopicID     [16]byte // of the topic at the time; zero if unknown
	Time        time.Time

	// Position is where in the log of the group the commit stands. Of two commits
	// for a partition the one with the higher position wins.
	Position int64
}

// CommitRequest says who commits. A client that assigns itself partitions, and
// has no membership, sends no ids and generation -1.
type CommitRequest struct {
	MemberID   string
	InstanceID string
	Generation int32 // or the epoch of a member of the consumer protocol

	// KnowsEpochs means that the client knows the errors about member epochs
	// (OffsetCommit v9). It is for members of the consumer protocol.
	KnowsEpochs bool
}

// CheckCommit reports whether the request may commit offsets now. A commit of a
// member counts as its heartbeat. If it may, the caller appends the offsets to
// the log and calls Apply once they are durable.
func (g *Group) CheckCommit(now time.Time, r CommitRequest) error {
	if r.Generation < 0 && g.state == Empty {
		return nil
	}
	if r.Generation < 0 && r.MemberID == "" && r.InstanceID == "" {
		return ErrUnknownMember // only an empty group takes offsets from strangers
	}
	m, err := g.validate(r.MemberID, r.InstanceID)
	switch {
	case err != nil:
		return err
	case r.Generation != g.generation:
		return ErrIllegalGeneration
	case g.state == CompletingRebalance:
		// The member has the generation from its join, but no partitions yet.
		return ErrRebalanceInProgress
	}
	m.beat(now)
	return nil
}

// CheckMetadata reports whether the metadata of an offset may be stored.
func (g *Group) CheckMetadata(metadata string) error {
	if len(metadata) > g.cfg.MaxMetadataBytes {
		return ErrMetadataTooLarge
	}
	return nil
}

// Apply takes over a durable commit, unless a later one is there already.
func (g *Group) Apply(topic string, partition int32, c Committed) {
	partitions := g.offsets[topic]
	if partitions == nil {
		partitions = map[int32]Committed{}
		g.offsets[topic] = partitions
	}
	if old, ok := partitions[partition]; ok && old.Position > c.Position {
		return
	}
	partitions[partition] = c
}

// Committed is the offset committed for a partition.
func (g *Group) Committed(topic string, partition int32) (Committed, bool) {
	c, ok := g.offsets[topic][partition]
	return c, ok
}

// Topics lists the topics with committed offsets, sorted.
func (g *Group) Topics() []string { return slices.Sorted(maps.Keys(g.offsets)) }

// Partitions yields the committed offsets of a topic, by ascending partition.
func (g *Group) Partitions(topic string) iter.Seq2[int32, Committed] {
	return func(yield func(int32, Committed) bool) {
		partitions := g.offsets[topic]
		for _, p := range slices.Sorted(maps.Keys(partitions)) {
			if !yield(p, partitions[p]) {
				return
			}
		}
	}
}

// Forget drops the committed offset of a partition, and those that wait for the end
// of a transaction.
func (g *Group) Forget(topic string, partition int32) {
	delete(g.offsets[topic], partition)
	if len(g.offsets[topic]) == 0 {
		delete(g.offsets, topic)
	}
	for producerID, of := range g.pendingOffsets {
		delete(of, Place{topic, partition})
		if len(of) == 0 {
			delete(g.pendingOffsets, producerID)
		}
	}
}

// Places lists the partitions with offsets, committed or waiting for the end of a
// transaction, in order.
func (g *Group) Places() []Place {
	all := map[Place]struct{}{}
	for topic, partitions := range g.offsets {
		for partition := range partitions {
			all[Place{topic, partition}] = struct{}{}
		}
	}
	for _, of := range g.pendingOffsets {
		for at := range of {
			all[at] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(all), Place.compare)
}

// Subscribed reports whether a member asks for a topic. Of protocols other than the
// consumers' it is not known what they ask for, so it is everything.
func (g *Group) Subscribed(topic string) bool {
	for _, m := range g.members {
		if g.protocolType != consumerProtocol {
			return true
		}
		for _, p := range m.protocols {
			if topics, ok := subscribedTopics(p.Metadata); !ok || slices.Contains(topics, topic) {
				return true
			}
		}
	}
	return false
}

// Expired lists the offsets that may be forgotten, in order: those of partitions that
// nobody asks for, after they were committed and the group was left, at or before
// cutoff (KIP-211). While members agree on a generation nothing expires.
func (g *Group) Expired(cutoff time.Time) []Place {
	switch {
	case g.state == Stable, g.state == Empty && g.protocolType == "":
		return g.CommittedBefore(cutoff, g.Subscribed)
	case g.state == Empty && !g.stateSince.After(cutoff):
		return g.CommittedBefore(cutoff, g.Subscribed)
	default:
		return nil
	}
}

// CommittedBefore lists the partitions whose offsets were committed at or before
// cutoff, of topics that are not kept, in order. Where a transaction may change an
// offset it does not count.
func (g *Group) CommittedBefore(cutoff time.Time, keep func(topic string) bool) []Place {
	var places []Place
	for topic, partitions := range g.offsets {
		if keep(topic) {
			continue
		}
		for partition, c := range partitions {
			if !c.Time.After(cutoff) && !g.HasPending(topic, partition) {
				places = append(places, Place{topic, partition})
			}
		}
	}
	slices.SortFunc(places, Place.compare)
	return places
}
