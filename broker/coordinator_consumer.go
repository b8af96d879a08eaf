package broker

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/broker/group"
	"github.com/riffle-stream/riffle/broker/group/consumer"
)

// consumerHeartbeat handles ConsumerGroupHeartbeat, for a client to which some topics
// are visible. It is answered when what the answer says is durable.
func (co *coordinator) consumerHeartbeat(ctx context.Context, id string, r consumer.Request, visible clusterTopics) (consumer.Reply, error) {
	if err := r.Validate(); err != nil {
		return consumer.Reply{}, err
	}
	g, err := co.lock(id, r.Epoch == consumer.JoinEpoch)
	if err != nil {
		return consumer.Reply{}, err
	}
	reply, err := co.beat(g, r, visible)
	next := g.mu.written
	co.unlock(g)
	if err != nil {
		return consumer.Reply{}, err
	}
	if err := g.log.wait(co.b.hard(ctx), next); err != nil {
		return consumer.Reply{}, co.notStored(id, err)
	}
	return reply, nil
}

// beat hands a heartbeat to the group, which becomes one of consumers if it can. The
// caller holds the group's lock.
func (co *coordinator) beat(g *coordinated, r consumer.Request, visible clusterTopics) (consumer.Reply, error) {
	now := time.Now()
	members, fresh := g.mu.consumer, g.mu.consumer == nil
	if fresh {
		if !g.empty() || r.Epoch != consumer.JoinEpoch {
			return consumer.Reply{}, g.isNot(groupTypeConsumer)
		}
		members = consumer.New(g.mu.ID(), consumer.Config{})
	}
	members.Configure(co.consumerConfig(g.mu.ID()))
	state := members.State()
	reply, err := members.Heartbeat(now, visible, r)
	if err != nil {
		return consumer.Reply{}, err
	}
	if fresh {
		err = co.becomeConsumers(g, members)
	} else {
		err = co.storeConsumer(g, members)
	}
	if g.mu.consumer != nil { // its sessions run, whether or not the change is in the log
		g.noteEmpty(now)
		co.schedule(g)
	}
	if err != nil {
		return consumer.Reply{}, err
	}
	if state != consumer.Stable && members.State() == consumer.Stable {
		co.metrics.rebalances.Inc()
	}
	return reply, nil
}

// storeConsumer writes what changed in a group of consumers. If that fails it is written
// with the next change. The caller holds the group's lock.
func (co *coordinator) storeConsumer(g *coordinated, members *consumer.Group, before ...group.Record) error {
	records := slices.Concat(before, members.Changes())
	if len(records) == 0 {
		return nil
	}
	next, err := co.append(g.log, records...)
	if err != nil {
		return co.notStored(g.mu.ID(), err)
	}
	members.Stored()
	g.mu.written = next
	return nil
}

// noteEmpty remembers since when a group of consumers has no members.
func (g *coordinated) noteEmpty(now time.Time) {
	switch {
	case g.mu.consumer.Len() > 0:
		g.mu.emptySince = time.Time{}
	case g.mu.emptySince.IsZero():
		g.mu.emptySince = now
	}
}

// tickConsumers removes the members of a group of consumers whose time ran out. The
// caller holds the group's lock.
func (co *coordinator) tickConsumers(g *coordinated, now time.Time) []group.Expired {
	expired := g.mu.consumer.Tick(now)
	_ = co.storeConsumer(g, g.mu.consumer) // it logs why; those who ask next wait for the disk
	g.noteEmpty(now)
	return expired
}

// becomeConsumers makes a group of consumers of a classic one without members. The caller
// holds the group's lock.
func (co *coordinator) becomeConsumers(g *coordinated, members *consumer.Group) error {
	// What was a classic group ends in the same batch.
	if err := co.storeConsumer(g, members, group.MembershipTombstone(g.mu.ID())); err != nil {
		return err
	}
	g.mu.Dissolve()
	g.mu.consumer = members
	return nil
}

// becomeClassic makes a classic group of one whose consumers have all left. The caller
// holds the group's lock.
func (co *coordinator) becomeClassic(g *coordinated) error {
	if !g.empty() {
		return group.ErrInconsistentProtocol
	}
	if _, err := co.append(g.log, g.mu.consumer.Tombstones()...); err != nil {
		return co.notStored(g.mu.ID(), err)
	}
	g.mu.consumer = nil
	return nil
}

// removeInstances takes static members out of a group of consumers, as administrators do
// by LeaveGroup with an instance id alone. Others leave by heartbeat: to the classic
// protocol they are unknown. The caller holds the group's lock.
func (co *coordinator) removeInstances(g *coordinated, leaving []group.Leaving) []error {
	errs := make([]error, len(leaving))
	for i, l := range leaving {
		if errs[i] = group.ErrUnknownMember; l.MemberID == "" && l.InstanceID != "" {
			errs[i] = g.mu.consumer.RemoveInstance(l.InstanceID)
		}
	}
	_ = co.storeConsumer(g, g.mu.consumer) // it logs why; those who ask next wait for the disk
	g.noteEmpty(time.Now())
	return errs
}

// clusterTopics are the topics as a member of a group of consumers sees them.
type clusterTopics struct {
	ts *topics
	// may reports whether the member may know of a topic. It decides what a regular
	// expression matches; names that a member subscribes to were checked before.
	may func(name string) bool
}

// Version implements consumer.Topics.
func (ct clusterTopics) Version() uint64 { return ct.ts.version.Load() }

// Topic implements consumer.Topics.
func (ct clusterTopics) Topic(name string) (consumer.Topic, bool) {
	t, ok := ct.ts.lookup(name)
	if !ok {
		return consumer.Topic{}, false
	}
	return consumer.Topic{Name: t.Name, ID: t.ID, Partitions: t.Partitions}, true
}

// Names implements consumer.Topics.
func (ct clusterTopics) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, t := range ct.ts.all() {
			if ct.may(t.Name) && !yield(t.Name) {
				return
			}
		}
	}
}

// consumerConfig is how a group of consumers is configured.
func (co *coordinator) consumerConfig(id string) consumer.Config {
	gc := co.b.groupConfig(co.b.catalog.GroupConfigs(id))
	return consumer.Config{SessionTimeout: gc.sessionTimeout, MaxMembers: co.cfg.MaxMembers}
}
