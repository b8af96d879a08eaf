package broker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/group"
	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/broker/txn"
)

// offsetsPlace is the partition of __consumer_offsets that holds a group's offsets, as
// transactions name it.
func (co *coordinator) offsetsPlace(id string) txn.Partition {
	return txn.Partition{Topic: offsetsTopic, Index: int32(offsetsPartition(id, len(co.logs)))}
}

// commitInTransaction handles TxnOffsetCommit, whose transaction was verified and is
// kept from ending. It fills in the result of each offset that has none yet, and
// returns an error if the group takes none at all. The offsets wait for the marker of
// the transaction.
func (co *coordinator) commitInTransaction(ctx context.Context, id string, r group.CommitRequest, p txn.Producer, offsets []offsetCommit) error {
	g, err := co.lock(id, r.Generation < 0)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := g.checkTxnCommit(now, r); err != nil {
		co.unlock(g)
		return err
	}
	next, err := co.appendOffsets(g, now, r, offsets, func(log *partition, records ...group.Record) (int64, error) {
		return co.appendTransactional(log, p, records...)
	})
	if err == nil && next > 0 {
		co.addPending(g, p.ID, offsets)
	}
	co.unlock(g)
	if err == nil && next > 0 {
		err = g.log.wait(co.b.hard(ctx), next)
	}
	if err != nil {
		co.logger.Error("broker: offsets of a transaction were not stored", "group", id, "cause", err)
		switch {
		case errors.Is(err, commitlog.ErrBatchTooLarge):
			return kerr.InvalidCommitOffsetSize
		case errors.Is(err, producer.ErrInvalidProducerEpoch):
			return err
		}
		return kerr.CoordinatorNotAvailable
	}
	return nil
}

// addPending notes offsets that wait for the marker of a producer. The caller holds the
// group's lock.
func (co *coordinator) addPending(g *coordinated, producerID int64, offsets []offsetCommit) {
	for _, o := range offsets {
		if o.err == nil {
			g.mu.AddPending(producerID, o.topic.Name, o.partition, o.committed)
		}
	}
	co.noteUndecided(producerID, g.mu.ID())
}

// noteUndecided remembers that a group has offsets of a transaction of a producer.
func (co *coordinator) noteUndecided(producerID int64, id string) {
	co.mu.Lock()
	defer co.mu.Unlock()
	if co.mu.undecided == nil {
		co.mu.undecided = map[int64]map[string]struct{}{}
	}
	if co.mu.undecided[producerID] == nil {
		co.mu.undecided[producerID] = map[string]struct{}{}
	}
	co.mu.undecided[producerID][id] = struct{}{}
}

// appendTransactional writes records to a group's log as part of a transaction and
// returns the offset after them.
func (co *coordinator) appendTransactional(log *partition, p txn.Producer, records ...group.Record) (next int64, err error) {
	now := time.Now().UnixMilli()
	var b record.Builder
	for _, r := range records {
		b.Append(now, r.Key, r.Value)
	}
	b.SetProducer(p.ID, p.Epoch, producer.NoSequence)
	batch := b.Finish()
	batch.SetTransactional()
	a, err := log.append(batch)
	return a.NextOffset, err
}

// endTransaction appends the marker of a transaction to a partition of
// __consumer_offsets. wait returns when it is durable and the offsets that wait for it are
// applied, or dropped.
func (co *coordinator) endTransaction(ctx context.Context, index int32, m producer.Marker) (wait func() error, err error) {
	co.mu.Lock()
	err = co.serving()
	co.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if index < 0 || int(index) >= len(co.logs) {
		return nil, nil
	}
	log := co.logs[index]
	a, err := log.appendMarker(m)
	if errors.Is(err, producer.ErrInvalidProducerEpoch) {
		co.logger.Warn("broker: a marker was overtaken by a newer producer", "partition", log.String(), "cause", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	asked := log.flush(co.b.hard(ctx), a.NextOffset)
	return func() error {
		if err := log.flushed(co.b.hard(ctx), asked); err != nil {
			return err
		}
		for _, id := range co.undecided(m.ID, log) {
			if err := co.decide(id, m); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// undecided returns the groups of a log with offsets of a producer's transaction.
func (co *coordinator) undecided(producerID int64, log *partition) []string {
	co.mu.Lock()
	defer co.mu.Unlock()
	var ids []string
	for id := range co.mu.undecided[producerID] {
		if g, ok := co.mu.groups[id]; ok && g.log == log {
			ids = append(ids, id)
		}
	}
	return ids
}

// decide ends a producer's transaction for one group.
func (co *coordinator) decide(id string, m producer.Marker) error {
	g, err := co.lock(id, false)
	if err != nil && !errors.Is(err, errNoGroup) {
		return err
	}
	if err == nil {
		applied := g.mu.EndTransaction(m.ID, m.Commit, co.current)
		co.metrics.offsets.Add(float64(applied))
		co.unlock(g)
	}
	co.mu.Lock()
	defer co.mu.Unlock()
	delete(co.mu.undecided[m.ID], id)
	if len(co.mu.undecided[m.ID]) == 0 {
		delete(co.mu.undecided, m.ID)
	}
	return nil
}
