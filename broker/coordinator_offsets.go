package broker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/group"
)

// maxAppendBytes is the size at which a commit of many partitions is split into
// batches.
const maxAppendBytes = 512 << 10

// offsetCommit is one partition of an OffsetCommit request.
type offsetCommit struct {
	topic     *topic
	partition int32
	committed group.Committed
	err       error // result
}

// commit handles OffsetCommit. It fills in the result of each offset that has none
// yet, and returns an error if the group takes none at all. Offsets count, and are
// acknowledged, when they are as durable as the topic __consumer_offsets is.
func (co *coordinator) commit(ctx context.Context, id string, r group.CommitRequest, offsets []offsetCommit) error {
	// A client without a group makes one by committing (a "simple consumer").
	g, err := co.lock(id, r.Generation < 0)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := g.checkCommit(now, r); err != nil {
		co.unlock(g)
		return err
	}
	next, err := co.appendOffsets(g, now, r, offsets, co.append)
	g.mu.committing++ // also keeps a new group
	co.unlock(g)
	if err == nil && next > 0 {
		err = g.log.wait(co.b.hard(ctx), next)
	}
	co.applyOffsets(g, offsets, err == nil && next > 0)
	if err != nil {
		co.logger.Error("broker: offsets were not stored", "group", id, "cause", err)
		if errors.Is(err, commitlog.ErrBatchTooLarge) {
			return kerr.InvalidCommitOffsetSize
		}
		return kerr.CoordinatorNotAvailable // tells clients to try again
	}
	return nil
}

// appendOffsets appends, by appendTo, the offsets that may be stored, notes their positions and
// returns the offset after the last, or 0 if there was none.
func (co *coordinator) appendOffsets(g *coordinated, now time.Time, r group.CommitRequest, offsets []offsetCommit, appendTo func(*partition, ...group.Record) (int64, error)) (next int64, err error) {
	var records []group.Record
	var of []*offsetCommit
	size := 0
	flush := func() error {
		if len(records) == 0 {
			return nil
		}
		if next, err = appendTo(g.log, records...); err != nil {
			return err
		}
		for i, o := range of {
			o.committed.Position = next - int64(len(of)-i)
		}
		records, of, size = records[:0], of[:0], 0
		return nil
	}
	for i := range offsets {
		o := &offsets[i]
		if o.err == nil {
			o.err = g.mu.CheckMetadata(o.committed.Metadata)
		}
		if o.err == nil {
			o.err = g.checkPlace(r, o.topic.ID, o.partition)
		}
		if o.err != nil {
			continue
		}
		o.committed.Time = now
		o.committed.TopicID = o.topic.ID
		rec := group.OffsetRecord(g.mu.ID(), o.topic.Name, o.partition, o.committed)
		records, of, size = append(records, rec), append(of, o), size+len(rec.Key)+len(rec.Value)
		if size >= maxAppendBytes {
			if err := flush(); err != nil {
				return 0, err
			}
		}
	}
	return next, flush()
}

// applyOffsets ends a commit: offsets that are durable become those of the group.
func (co *coordinator) applyOffsets(g *coordinated, offsets []offsetCommit, durable bool) {
	g.mu.Lock()
	defer co.unlock(g)
	g.mu.committing--
	for _, o := range offsets {
		if o.err != nil || !durable {
			continue
		}
		if _, ok := co.b.topics.lookupID(o.topic.ID); !ok {
			continue // deleted meanwhile; topicDeleted may have been here already
		}
		g.mu.Apply(o.topic.Name, o.partition, o.committed)
		co.metrics.offsets.Inc()
	}
}

// committed is the offset of a partition that a group has committed. Offsets of an
// earlier topic of the same name do not count.
func (co *coordinator) committed(g *group.Group, topic string, partition int32) (group.Committed, bool) {
	c, ok := g.Committed(topic, partition)
	if !ok || !co.current(topic, c) {
		return group.Committed{}, false
	}
	return c, true
}

// current reports whether an offset was committed for the topic that has the name
// today. Offsets of other brokers' records may not say.
func (co *coordinator) current(topic string, c group.Committed) bool {
	t, ok := co.b.topics.lookup(topic)
	return ok && (c.TopicID == [16]byte{} || c.TopicID == t.ID)
}

// topicDeleted makes all groups forget their offsets of a topic that is no longer
// in b.topics.
func (co *coordinator) topicDeleted(name string) {
	err := co.forEach(func(g *coordinated) { co.forgetTopic(g, name) })
	if err != nil {
		// Loading and stopping: what is stale is dropped when it is loaded.
		co.logger.Debug("broker: offsets of a deleted topic remain for now", "topic", name, "cause", err)
	}
}

// forgetTopic drops the offsets of a topic that are not current. The caller holds
// the group's lock.
func (co *coordinator) forgetTopic(g *coordinated, name string) {
	var tombstones []group.Record
	for partition, c := range g.mu.Partitions(name) {
		if !co.current(name, c) {
			tombstones = append(tombstones, group.OffsetTombstone(g.mu.ID(), name, partition))
			g.mu.Forget(name, partition)
		}
	}
	if len(tombstones) == 0 {
		return
	}
	// If this fails the offsets come back at the next start, and are dropped again:
	// the topic's id is not that of any topic.
	if _, err := co.append(g.log, tombstones...); err != nil {
		co.logger.Warn("broker: offsets of a deleted topic stay in the log for now", "group", g.mu.ID(), "topic", name, "cause", err)
	}
}
