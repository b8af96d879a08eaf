package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/group"
)

// errCommitting means that offsets are on their way to the disk. Whether they or the
// tombstones count would depend on who comes first: the client tries again.
var errCommitting = fmt.Errorf("broker: %w: offsets are being committed", kerr.CoordinatorNotAvailable)

// deleteGroup handles DeleteGroups for one group: with its offsets it is gone.
func (co *coordinator) deleteGroup(ctx context.Context, id string) error {
	g, err := co.lock(id, false)
	if err != nil {
		return err
	}
	next, err := co.remove(g)
	co.unlock(g)
	if err != nil {
		return err
	}
	co.logger.Info("broker: group deleted", "group", id)
	return g.log.wait(co.b.hard(ctx), next)
}

// remove forgets an empty group, once the tombstones are in the log, and returns the
// offset after them. The caller holds the group's lock.
func (co *coordinator) remove(g *coordinated) (next int64, err error) {
	switch {
	case !g.empty():
		return 0, kerr.NonEmptyGroup
	case g.mu.committing > 0:
		return 0, errCommitting
	}
	if next, err = co.append(g.log, g.tombstones()...); err != nil {
		return 0, co.notStored(g.mu.ID(), err)
	}
	co.forget(g)
	return next, nil
}

// notStored logs why records of a group are not in the log, and says to the client to
// try again.
func (co *coordinator) notStored(id string, err error) error {
	co.logger.Error("broker: a group's change was not stored", "group", id, "cause", err)
	return fmt.Errorf("broker: %w: %w", kerr.CoordinatorNotAvailable, err)
}

// offsetDeletion is one partition of an OffsetDelete request.
type offsetDeletion struct {
	group.Place
	err error // result
}

// deleteOffsets handles OffsetDelete. It fills in the result of each partition that has
// none yet, and returns an error if none is deleted at all.
func (co *coordinator) deleteOffsets(ctx context.Context, id string, deletions []offsetDeletion) error {
	g, err := co.lock(id, false)
	if err != nil {
		return err
	}
	next, err := co.appendDeletions(g, deletions)
	co.unlock(g)
	if err != nil || next == 0 {
		return err
	}
	return g.log.wait(co.b.hard(ctx), next)
}

// appendDeletions forgets offsets whose tombstones are in the log, and returns the
// offset after them, or 0 if there were none. The caller holds the group's lock.
func (co *coordinator) appendDeletions(g *coordinated, deletions []offsetDeletion) (next int64, err error) {
	switch {
	case !g.empty() && g.protocolType() != consumerProtocol:
		return 0, kerr.NonEmptyGroup // what other members want is not known
	case g.mu.committing > 0:
		return 0, errCommitting
	}
	var places []group.Place
	for i := range deletions {
		d := &deletions[i]
		if d.err == nil && g.subscribed(d.Topic) {
			d.err = kerr.GroupSubscribedToTopic
		}
		if d.err == nil {
			places = append(places, d.Place)
		}
	}
	return co.forgetOffsets(g, places)
}

// forgetOffsets makes a group forget offsets, once their tombstones are in the log, and
// returns the offset after them. The caller holds the group's lock.
func (co *coordinator) forgetOffsets(g *coordinated, places []group.Place) (next int64, err error) {
	if len(places) == 0 {
		return 0, nil
	}
	var tombstones []group.Record
	for _, p := range places {
		tombstones = append(tombstones, group.OffsetTombstone(g.mu.ID(), p.Topic, p.Partition))
	}
	if next, err = co.append(g.log, tombstones...); err != nil {
		return 0, co.notStored(g.mu.ID(), err)
	}
	for _, p := range places {
		g.mu.Forget(p.Topic, p.Partition)
	}
	return next, nil
}

// runExpiry forgets old offsets from time to time, until the coordinator stops.
func (co *coordinator) runExpiry() {
	tick := time.NewTicker(co.cfg.OffsetsCheckInterval)
	defer tick.Stop()
	for {
		select {
		case <-co.ctx.Done():
			return
		case now := <-tick.C:
			co.expire(now)
		}
	}
}

// expire forgets the offsets that nobody has use for any more, and groups that hold
// nothing else. What fails is tried again the next time.
func (co *coordinator) expire(now time.Time) {
	cutoff := now.Add(-co.cfg.OffsetsRetention)
	err := co.forEach(func(g *coordinated) {
		if g.mu.committing > 0 {
			return
		}
		expired := g.expired(cutoff)
		if _, err := co.forgetOffsets(g, expired); err != nil {
			return
		}
		co.metrics.expired.Add(float64(len(expired)))
		if len(expired) > 0 {
			co.logger.Info("broker: offsets expired", "group", g.mu.ID(), "offsets", len(expired))
		}
		if g.empty() && len(g.mu.Places()) == 0 && len(g.mu.waiting) == 0 && g.mu.Idle() {
			_, _ = co.remove(g) // notStored has said why
		}
	})
	if err != nil && !errors.Is(err, kerr.CoordinatorNotAvailable) {
		co.logger.Debug("broker: offsets are not looked through", "cause", err)
	}
}
