package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// loopback hands what the tasks of this instance write to topics that other tasks of it read over to those at once, in the same
// transaction: a chain of sub-topologies is one commit then, and not one for each. (Otherwise each waits for the commit of the
// one before it, which is the earliest that it may read what that wrote.)
//
// For that it foretells the offsets of the records: in a partition that only this instance writes to, and whose end it
// knows, they are the next ones. Before the commit it is looked up where the records really lie. If that is elsewhere, because
// somebody else has written, too, the transaction is aborted, the tasks go back, and for a while read all from the log.
// What is handed over is read from the log as well; tasks leave out what they have seen.
//
// It belongs to the worker's loop, and in a round to its turns, but for the lanes' send.
type loopback struct {
	topics map[string]*loopTopic
	tasks  int // of the whole application
	limit  int // of records handed over in a partition, and not yet taken
	lanes  map[partition]*lane
	paused time.Time     // until when nothing is handed over
	pause  time.Duration // how long that was

	mu     sync.Mutex
	filled []*lane // those that have records
}

// loopTopic is a topic that the application both writes and reads.
type loopTopic struct {
	lanes []*lane // by partition, nil where no task of this instance reads
	// keyless says that records without a key were written: nobody can tell where they go.
	keyless atomic.Bool
}

// lane is a partition of such a topic.
//
// A transaction takes an offset more than its records, for the marker at its end.
type lane struct {
	at      partition
	all     *loopback
	limit   int
	readers []*running
	read    int64 // the readers have, or know to be no records, what lies below; -1 if that is not known
	tail    int64 // the partition ends here, or later
	open    bool  // what is sent is handed over

	mu      sync.Mutex
	base    int64            // where the first of handed is to lie
	handed  []client.Receipt // of the transaction
	records []client.Record  // handed over, and not yet taken
	bytes   []byte           // the rest of a slab for them
	other   client.Receipt   // of the last record in the transaction that was not handed over
	mixed   bool             // there is one
}

const (
	// minLoopbackPause is for how long nothing is handed over after somebody else has written where that is done. It is twice
	// as long each time, up to maxLoopbackPause.
	minLoopbackPause = 100 * time.Millisecond
	maxLoopbackPause = time.Minute
	// loopbackSlab is how many bytes of records lie together in memory.
	loopbackSlab = 64 << 10
)

func newLoopback(topics []string, limit int) *loopback {
	l := &loopback{limit: limit, topics: make(map[string]*loopTopic), lanes: make(map[partition]*lane)}
	for _, topic := range topics {
		l.topics[topic] = &loopTopic{}
	}
	return l
}

// know tells how many partitions the inputs have.
func (l *loopback) know(subs []Sub, found map[string]client.Topic) {
	l.tasks = 0
	for _, sub := range subs {
		most := int32(0)
		for _, topic := range sub.Inputs {
			most = max(most, found[topic].Partitions)
		}
		l.tasks += int(most)
	}
	for topic, t := range l.topics {
		if n := int(found[topic].Partitions); n != len(t.lanes) {
			t.lanes = make([]*lane, n)
		}
	}
}

// setTasks tells which tasks read what.
func (l *loopback) setTasks(routes map[partition][]*running) {
	before := l.lanes
	l.lanes = make(map[partition]*lane)
	for topic, t := range l.topics {
		for p := range t.lanes {
			at := partition{topic, int32(p)}
			t.lanes[p] = nil
			if len(routes[at]) == 0 {
				continue
			}
			kept := before[at]
			if kept == nil {
				kept = &lane{at: at, all: l, limit: l.limit, read: -1}
			}
			kept.readers = append(kept.readers[:0], routes[at]...)
			t.lanes[p], l.lanes[at] = kept, kept
			for _, r := range kept.readers {
				r.merges = l.topicsOf(r) > 1
			}
		}
	}
	l.filled = slices.DeleteFunc(l.filled, func(a *lane) bool { return l.lanes[a.at] != a })
}

// topicsOf is how many topics of the loopback a task reads.
func (l *loopback) topicsOf(r *running) int {
	n := 0
	for _, in := range r.inputs {
		if l.topics[in.topic] != nil {
			n++
		}
	}
	return n
}

// fetched follows what was read from the log.
func (l *loopback) fetched(b client.Batch) {
	if a := l.lanes[partition{b.Topic, b.Partition}]; a != nil {
		a.read, a.tail = max(a.read, b.Next), max(a.tail, b.End)
	}
}

// begin gives the tasks what is left of an earlier round, and decides for which partitions more is taken. No task runs meanwhile.
func (l *loopback) begin(tasks int, now time.Time) error {
	if _, err := l.deliver(true); err != nil {
		return err
	}
	all := tasks == l.tasks && !now.Before(l.paused)
	for _, t := range l.topics {
		for _, a := range t.lanes {
			if a != nil {
				a.open = all && !t.keyless.Load() && a.ready()
			}
		}
	}
	return nil
}

// deliver gives the tasks that do not run what was handed over to them, those that merge topics only if asked to, and says which
// those are.
func (l *loopback) deliver(merging bool) (to []*running, err error) {
	l.mu.Lock()
	filled := l.filled
	l.filled = nil
	l.mu.Unlock()
	var left []*lane
	for _, a := range filled {
		if !a.idle(merging) {
			left = append(left, a)
			continue
		}
		if err := a.deliver(); err != nil {
			return nil, err
		}
		to = append(to, a.readers...) // one that reads several is there several times
	}
	l.mu.Lock()
	l.filled = append(left, l.filled...)
	l.mu.Unlock()
	return to, nil
}

// waiting reports whether something was handed over that no task has yet.
func (l *loopback) waiting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.filled) > 0
}

// check compares the places of what was handed over with what was foretold, once all is acknowledged.
func (l *loopback) check() error {
	for _, a := range l.lanes {
		for i, r := range a.handed {
			if want := a.base + int64(i); r.Offset() != want || r.Partition() != a.at.partition {
				l.pause = min(max(2*l.pause, minLoopbackPause), maxLoopbackPause)
				l.paused = time.Now().Add(l.pause)
				return fmt.Errorf("%w: a record for topic %s, foretold to lie at offset %d of partition %d, lies at %d of %d: somebody else writes there; for %v all is read from the log",
					client.ErrAborted, a.at.topic, want, a.at.partition, r.Offset(), r.Partition(), l.pause)
			}
		}
	}
	return nil
}

// committed follows the end of the transaction.
func (l *loopback) committed() {
	for _, a := range l.lanes {
		if n := int64(len(a.handed)); n > 0 {
			a.read, a.tail = a.base+n, a.base+n+1
			if !a.mixed {
				a.read = a.tail // the marker is no record
			}
		}
		if a.mixed {
			a.tail = a.other.Offset() + 2
		}
		clear(a.handed)
		a.handed, a.other, a.mixed = a.handed[:0], client.Receipt{}, false
	}
}

// lane is where a record goes, nil if that is no input of this instance.
func (t *loopTopic) lane(keys *client.KeyPartitioner, key []byte) *lane {
	switch {
	case t == nil || len(t.lanes) == 0:
		return nil
	case key == nil:
		t.keyless.Store(true)
		return nil
	}
	return t.lanes[keys.Of(key, int32(len(t.lanes)))]
}

// ready reports whether the readers have all there is, and have not got too much.
func (a *lane) ready() bool {
	if a.mixed || a.read < 0 || a.read < a.tail {
		return false
	}
	for _, r := range a.readers {
		if in := r.input(a.at.topic); in == nil || in.paused || r.full {
			return false
		}
	}
	return true
}

// idle reports whether no reader runs, nor merges topics if those are not wanted.
func (a *lane) idle(merging bool) bool {
	for _, r := range a.readers {
		if r.busy || r.merges && !merging {
			return false
		}
	}
	return true
}

// send sends a record to the log, and hands it over if the lane is open. At the limit it closes: the rest is read from the
// log. The lock keeps one order for both.
func (a *lane) send(ctx context.Context, to *client.Sink, o client.Output) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	receipt, err := to.Send(ctx, o)
	if err != nil {
		return err
	}
	if a.open = a.open && len(a.records) < a.limit; !a.open {
		a.other, a.mixed = receipt, true
		return nil
	}
	if len(a.handed) == 0 {
		a.base = a.tail
	}
	r := client.Record{
		Key: a.copy(o.Key), Value: a.copy(o.Value), Timestamp: o.Timestamp, Offset: a.base + int64(len(a.handed)),
	}
	if len(o.Headers) > 0 {
		r.Headers = make([]client.Header, len(o.Headers))
		for i, h := range o.Headers {
			r.Headers[i] = client.Header{Key: h.Key, Value: a.copy(h.Value)}
		}
	}
	a.handed = append(a.handed, receipt)
	a.keep(r)
	return nil
}

// keep has a record delivered, some time. The caller holds the lock.
func (a *lane) keep(r client.Record) {
	if len(a.records) == 0 {
		a.all.mu.Lock()
		a.all.filled = append(a.all.filled, a)
		a.all.mu.Unlock()
	}
	a.records = append(a.records, r)
}

// copy keeps the difference between null and empty. Tasks may hold on to what they get, so that slabs are not used again.
func (a *lane) copy(b []byte) []byte {
	if b == nil {
		return nil
	}
	if len(b) > cap(a.bytes)-len(a.bytes) {
		a.bytes = make([]byte, 0, max(loopbackSlab, len(b)))
	}
	from := len(a.bytes)
	a.bytes = append(a.bytes, b...)
	return a.bytes[from:len(a.bytes):len(a.bytes)]
}

// deliver gives the readers the records. Those that have too much get no more in this round.
func (a *lane) deliver() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	records := a.records
	a.records = make([]client.Record, 0, len(records))
	next := records[len(records)-1].Offset + 1
	for _, r := range a.readers {
		if err := r.take(client.Batch{Topic: a.at.topic, Partition: a.at.partition, Records: records, Next: next, End: next}); err != nil {
			return err
		}
	}
	a.open = a.open && a.ready()
	return nil
}
