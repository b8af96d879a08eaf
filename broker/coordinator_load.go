package broker

import (
	"errors"
	"maps"
	"time"

	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/group"
	"github.com/riffle-stream/riffle/broker/group/consumer"
	"github.com/riffle-stream/riffle/broker/record"
)

// loading is the replay of __consumer_offsets.
type loading struct {
	co      *coordinator
	groups  map[string]*coordinated
	records int // applied

	// undecided are the groups with offsets of transactions of the partition that is
	// being replayed whose markers have not come, by producer id.
	undecided map[int64]map[string]struct{}

	skipped int // of a kind or version that is not known, or that do not parse
	damaged int // ranges of the log that cannot be read
}

// load replays __consumer_offsets and begins to serve.
func (co *coordinator) load() {
	began := time.Now()
	l := loading{co: co, groups: map[string]*coordinated{}}
	undecided := map[int64]map[string]struct{}{}
	for _, p := range co.logs {
		l.undecided = map[int64]map[string]struct{}{}
		l.partition(p)
		for producerID, ids := range l.undecided {
			if undecided[producerID] == nil {
				undecided[producerID] = map[string]struct{}{}
			}
			maps.Copy(undecided[producerID], ids)
		}
	}
	now := time.Now()
	for id, g := range l.groups {
		g.mu.Resume(now)
		if g.mu.consumer != nil {
			g.mu.consumer.Configure(co.consumerConfig(id))
			g.mu.consumer.Resume(now)
			g.noteEmpty(now)
		}
		if g.disposable() {
			delete(l.groups, id)
		}
	}
	co.mu.Lock()
	if co.mu.state != coordinatorLoading {
		co.mu.Unlock()
		return
	}
	co.mu.groups, co.mu.state = l.groups, coordinatorReady
	co.mu.undecided = undecided
	count := len(l.groups)
	co.mu.Unlock()

	// A topic that was deleted just before a crash may have left offsets here.
	_ = co.forEach(func(g *coordinated) {
		for _, topic := range g.mu.Topics() {
			co.forgetTopic(g, topic)
		}
		co.schedule(g)
	})
	co.metrics.skipped.Add(float64(l.skipped))
	co.metrics.damaged.Add(float64(l.damaged))
	log := co.logger.Info
	if l.skipped > 0 || l.damaged > 0 {
		log = co.logger.Error
	}
	log("broker: groups loaded", "groups", count, "records", l.records,
		"skipped", l.skipped, "damaged", l.damaged, "took", time.Since(began))
}

// partition replays one partition. A part that cannot be read is skipped: it loses
// commits, so that some consumers read records again, but nothing else does.
func (l *loading) partition(p *partition) {
	const chunkBytes = 1 << 20
	logger := l.co.logger.With("partition", p.String())
	offset, end := p.startOffset(), p.highWatermark()
	for buf := []byte(nil); offset < end && l.co.ctx.Err() == nil; {
		b, err := p.read(offset, chunkBytes, buf)
		next := offset
		if err == nil {
			buf = b
			next, err = l.batches(p, b, offset)
		}
		if next > offset {
			offset = next
			continue
		}
		l.damaged++
		var corrupt *commitlog.CorruptError
		if !errors.As(err, &corrupt) || corrupt.NextOffset <= offset {
			logger.Error("broker: the rest of a log of offsets cannot be read: consumers may read records again",
				"offset", offset, "end", end, "cause", err)
			return
		}
		logger.Error("broker: a part of a log of offsets cannot be read: consumers may read records again",
			"offset", offset, "next", corrupt.NextOffset, "cause", err)
		offset = corrupt.NextOffset
	}
}

// batches replays whole batches from offset on and returns the offset after them.
func (l *loading) batches(p *partition, b []byte, offset int64) (next int64, err error) {
	next = offset
	for len(b) > 0 {
		batch, rest, err := record.Next(b)
		if err != nil {
			return next, err
		}
		if batch.Attributes().Control() {
			l.marker(batch)
			next, b = batch.NextOffset(), rest
			continue
		}
		for r, err := range batch.Records() {
			if err == nil {
				err = l.record(batch, r)
			}
			if err != nil {
				l.skipped++
				l.co.logger.Warn("broker: record of a group skipped", "partition", p.String(), "offset", r.Offset, "cause", err)
			}
		}
		next, b = batch.NextOffset(), rest
	}
	return next, nil
}

// marker ends a transaction for the groups that have offsets of it. Those of one
// partition are enough: a producer's offsets for a group lie where the group's do.
func (l *loading) marker(batch record.Batch) {
	m, err := batch.Marker()
	if err != nil {
		l.skipped++
		return
	}
	for id := range l.undecided[m.ProducerID] {
		if g, ok := l.groups[id]; ok {
			g.mu.EndTransaction(m.ProducerID, m.Commit, nil)
		}
	}
	delete(l.undecided, m.ProducerID)
}

// group returns the group of a record, which it makes if it is missing.
func (l *loading) group(id string) *coordinated {
	g := l.groups[id]
	if g == nil {
		g = l.co.newGroup(id)
		l.groups[id] = g
	}
	return g
}

// consumers replays a record of the membership of a group of consumers.
func (l *loading) consumers(r record.Record) error {
	e, err := consumer.Decode(r.Key, r.Value)
	if err != nil {
		return err
	}
	l.records++
	g := l.group(e.Group)
	switch {
	case e.Ends():
		g.mu.consumer = nil
	case e.Deleted && g.mu.consumer == nil:
	default:
		if g.mu.consumer == nil {
			g.mu.consumer = consumer.New(e.Group, consumer.Config{})
		}
		g.mu.consumer.Restore(e)
	}
	return nil
}

func (l *loading) record(batch record.Batch, r record.Record) error {
	if consumer.Known(r.Key) {
		return l.consumers(r)
	}
	e, err := group.Decode(r.Key, r.Value)
	if err != nil {
		return err
	}
	e.Committed.Position = r.Offset
	g := l.group(e.Group)
	if batch.Attributes().Transactional() && e.Topic != "" && !e.Deleted {
		g.mu.AddPending(batch.ProducerID(), e.Topic, e.Partition, e.Committed)
		if l.undecided[batch.ProducerID()] == nil {
			l.undecided[batch.ProducerID()] = map[string]struct{}{}
		}
		l.undecided[batch.ProducerID()][e.Group] = struct{}{}
	} else {
		g.mu.Restore(e)
	}
	l.records++
	return nil
}
