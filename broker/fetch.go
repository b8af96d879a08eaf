package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/producer"
)

// maxFetchWait limits how long a fetch may wait, whatever the client asks for.
const maxFetchWait = 5 * time.Minute

// readCommitted is the isolation level of clients that want only what was committed.
const readCommitted = 1

// Fetch: v4-18
//
//   - v5: log start offset
//   - v7: fetch sessions (KIP-227, see fetchSession); without room for one the
//     session id is 0, and the client sends whole requests
//   - v9: the client's leader epoch
//   - v11: rack: ignored, there is one replica
//   - v12: flexible; the leader epoch last fetched: a client that has read what a crash
//     took back gets the offset at which its epoch ended, and no records
//   - v13: topic ids in place of names
//   - v15-v18: fields of replicas: ignored
//
// A response holds whole batches, from the one that contains the offset asked for
// up to the high watermark. The first partition that has records gets at least one
// batch, however small the limits (KIP-74). With less than MinBytes to give, and no
// error, the fetch waits until there is more, up to MaxWait.
//
// A client that wants only what was committed gets batches up to the last stable
// offset, and the aborted transactions among them, by which it skips their records.
func handleFetch(b *Broker, ctx context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.FetchRequest)
	resp := &fetchResponse{FetchResponse: r.ResponseKind().(*kmsg.FetchResponse), b: b}
	session, err := b.sessions.begin(r, time.Now())
	if err != nil {
		resp.ErrorCode = b.metrics.failed(r.Key(), err)
		return resp, nil
	}
	if session != nil {
		defer func() { b.sessions.end(session, time.Now()) }()
	}
	f := newFetch(b, c, r, session)
	if f.read(); !f.enough() && r.MaxWaitMillis > 0 {
		f.await(ctx)
	}
	f.fill(resp.FetchResponse)
	resp.buf, resp.held = f.buf, f.held
	return resp, nil
}

// fetch is one request under way.
type fetch struct {
	b          *Broker
	c          *conn
	r          *kmsg.FetchRequest
	session    *fetchSession    // nil without one
	partitions []fetchPartition // in the order of the request or the session
	bytes      int              // of records, as last read
	failed     bool             // a partition has an error
	buf        []byte           // holds the records, as far as they fit
	held       int              // bytes of Broker.fetches
}

// fetchPartition is what one partition has to give.
type fetchPartition struct {
	p        *partition // nil: unknown
	topic    string     // by its name or
	id       [16]byte   // its id, as the request has it
	asked    *kmsg.FetchRequestTopicPartition
	known    *sessionPartition // what the client was told last; nil without a session
	err      error
	records  []byte
	hw, base int64 // high watermark and log start offset when it was read
	stable   int64 // last stable offset, then
	diverged kmsg.FetchResponseTopicPartitionDivergingEpoch
	aborted  []producer.Aborted
}

func newFetch(b *Broker, c *conn, r *kmsg.FetchRequest, session *fetchSession) *fetch {
	f := &fetch{b: b, c: c, r: r, session: session, partitions: c.partitions[:0]}
	if session != nil {
		for _, sp := range session.partitions {
			f.add(fetchPartition{topic: sp.topic, id: sp.id, asked: &sp.asked, known: sp})
		}
	} else {
		for i := range r.Topics {
			rt := &r.Topics[i]
			for j := range rt.Partitions {
				f.add(fetchPartition{topic: rt.Topic, id: rt.TopicID, asked: &rt.Partitions[j]})
			}
		}
	}
	c.partitions = f.partitions
	return f
}

// add looks a partition up.
func (f *fetch) add(fp fetchPartition) {
	var t *topic
	if n := len(f.partitions); n > 0 && f.partitions[n-1].sameTopic(&fp) && f.partitions[n-1].p != nil {
		t = f.partitions[n-1].p.topic()
	} else {
		t, fp.err = f.c.find(acl.Read, f.r.Version >= 13, fp.id, fp.topic)
	}
	if fp.err == nil {
		fp.p, fp.err = t.partition(fp.asked.Partition)
	}
	if fp.err == nil {
		fp.err = fp.p.checkEpoch(fp.asked.CurrentLeaderEpoch)
	}
	fp.diverged = kmsg.NewFetchResponseTopicPartitionDivergingEpoch()
	if fp.err == nil && f.r.Version >= 12 {
		if epoch, end, diverges := fp.p.diverges(fp.asked.LastFetchedEpoch, fp.asked.FetchOffset); diverges {
			fp.diverged.Epoch, fp.diverged.EndOffset = epoch, end
		}
	}
	fp.hw, fp.stable, fp.base = -1, -1, -1
	f.partitions = append(f.partitions, fp)
}

func (fp *fetchPartition) sameTopic(other *fetchPartition) bool {
	return fp.topic == other.topic && fp.id == other.id
}

// read reads all partitions, within the limits.
func (f *fetch) read() {
	limit := f.b.cfg.MaxFetchBytes
	if asked := int(f.r.MaxBytes); asked > 0 {
		limit = min(limit, asked)
	}
	f.drop()
	f.held = f.b.fetches.take(limit)
	limit = f.held
	f.buf = f.b.buffers.sized(f.c.fetched)
	defer f.trim()

	buf := f.buf
	f.bytes, f.failed = 0, false
	for i := range f.partitions {
		fp := &f.partitions[i]
		fp.records = nil
		if fp.p == nil || fp.err != nil {
			f.failed = f.failed || fp.err != nil
			continue
		}
		fp.hw, fp.base, fp.aborted = fp.p.highWatermark(), fp.p.startOffset(), nil
		fp.stable = min(fp.hw, fp.p.log.LastStableOffset())
		if fp.diverged.EndOffset >= 0 {
			f.failed = true // the client has to hear of it at once
			continue
		}
		spec := commitlog.ReadSpec{
			From: fp.asked.FetchOffset, UpTo: f.readable(fp),
			MaxBytes: min(max(int(fp.asked.PartitionMaxBytes), 0), limit-f.bytes), WholeFirst: f.bytes == 0,
		}
		if spec.MaxBytes <= 0 && !spec.WholeFirst {
			spec.MaxBytes = 0
			if spec.From <= spec.UpTo && spec.From >= fp.base {
				continue // full, and the offset is good
			}
		}
		if spec.From > spec.UpTo && spec.From <= fp.hw && spec.From >= fp.base {
			continue // what is there is undecided
		}
		records, err := f.readPartition(fp, spec, buf)
		if errors.Is(err, commitlog.ErrExceedsMaxBytes) {
			continue // it comes first in one of the next requests
		}
		if err != nil {
			fp.err, f.failed = err, true
			f.report(fp)
			continue
		}
		fp.records = records
		f.bytes += len(records)
		if len(records) > 0 {
			buf = records[len(records):] // what is left of the buffer
		}
	}
}

// readable is the offset before which the client may read.
func (f *fetch) readable(fp *fetchPartition) int64 {
	if f.r.IsolationLevel == readCommitted {
		return fp.stable
	}
	return fp.hw
}

// readPartition reads what the client may read, and for readers of committed records
// looks up the transactions whose records they must skip.
func (f *fetch) readPartition(fp *fetchPartition, spec commitlog.ReadSpec, buf []byte) (records []byte, err error) {
	if f.r.IsolationLevel != readCommitted {
		return fp.p.readSpec(spec, buf)
	}
	records, fp.aborted, err = fp.p.readCommitted(spec, buf)
	return records, err
}

// drop gives back what an earlier read took.
func (f *fetch) drop() {
	f.b.fetches.give(f.held)
	f.b.buffers.put(f.buf)
	f.buf, f.held = nil, 0
}

// trim gives back what the last read did not need. A fetch that waits holds nothing.
func (f *fetch) trim() {
	if f.bytes == 0 {
		f.drop()
		return
	}
	f.c.fetched = f.bytes
	f.b.fetches.give(f.held - f.bytes)
	f.held = f.bytes
}

// report logs damage that a client ran into, once for each place: clients ask again
// and again.
func (f *fetch) report(fp *fetchPartition) {
	var corrupt *commitlog.CorruptError
	if errors.As(fp.err, &corrupt) && fp.p.reported.Swap(corrupt.Offset+1) != corrupt.Offset+1 {
		f.b.cfg.Logger.Error("broker: a client asked for records that are damaged; to skip them it can go on at the next offset",
			"partition", fp.p.String(), "offset", corrupt.Offset, "next", corrupt.NextOffset, "cause", fp.err)
	}
}

// enough reports whether the response can go out.
func (f *fetch) enough() bool { return f.failed || f.bytes >= int(f.r.MinBytes) }

// await reads again each time something moved, until there is enough, the client's
// time is over, or ctx ends.
func (f *fetch) await(ctx context.Context) {
	moved := make(chan struct{}, 1)
	for i := range f.partitions {
		if p := f.partitions[i].p; p != nil {
			p.log.Notify(moved)
			defer p.log.StopNotify(moved)
		}
	}
	timeout := time.NewTimer(min(time.Duration(f.r.MaxWaitMillis)*time.Millisecond, maxFetchWait))
	defer timeout.Stop()
	for {
		// Also before the first wait: something may have moved before Notify.
		if f.moved() {
			if f.read(); f.enough() {
				return
			}
		}
		resume := pause(ctx)
		select {
		case <-moved:
			resume()
		case <-timeout.C:
			resume()
			return
		case <-ctx.Done():
			return
		}
	}
}

// moved reports whether a partition may have something else to give than when it
// was read.
func (f *fetch) moved() bool {
	for i := range f.partitions {
		fp := &f.partitions[i]
		if fp.p == nil || fp.err != nil {
			continue
		}
		if _, alive := f.b.topics.lookupID(fp.p.topic().ID); !alive {
			fp.err = fmt.Errorf("%w: %q was deleted", kerr.UnknownTopicOrPartition, fp.p.topic().Name)
			return true
		}
		if fp.hw != fp.p.highWatermark() || fp.stable != fp.p.lastStableOffset() || fp.base != fp.p.startOffset() {
			return true
		}
	}
	return false
}

// fill makes the response: partitions as they were asked for or, where the client
// asked for what is new since its last request, those that have news.
func (f *fetch) fill(resp *kmsg.FetchResponse) {
	news := f.session != nil && f.r.SessionEpoch > 0
	if f.session != nil && len(f.session.partitions) > 0 {
		resp.SessionID = f.session.id
	}
	var (
		before *fetchPartition // the last one that is in the response
		sp     kmsg.FetchResponseTopicPartition
	)
	for i := range f.partitions {
		fp := &f.partitions[i]
		sp = kmsg.NewFetchResponseTopicPartition()
		f.fillPartition(&sp, fp)
		if fp.known != nil && !fp.known.news(&sp) && news {
			continue
		}
		if before == nil || !before.sameTopic(fp) {
			st := kmsg.NewFetchResponseTopic()
			st.Topic, st.TopicID = fp.topic, fp.id
			if !news {
				st.Partitions = make([]kmsg.FetchResponseTopicPartition, 0, f.sameTopicFrom(i))
			}
			resp.Topics = append(resp.Topics, st)
		}
		before = fp
		st := &resp.Topics[len(resp.Topics)-1]
		st.Partitions = append(st.Partitions, sp)
	}
	if f.session != nil {
		f.session.rotate()
	}
}

// sameTopicFrom counts the partitions of one topic from the one at i on.
func (f *fetch) sameTopicFrom(i int) int {
	n := 1
	for i+n < len(f.partitions) && f.partitions[i].sameTopic(&f.partitions[i+n]) {
		n++
	}
	return n
}

func (f *fetch) fillPartition(sp *kmsg.FetchResponseTopicPartition, fp *fetchPartition) {
	sp.Partition = fp.asked.Partition
	sp.ErrorCode = f.b.metrics.failed(f.r.Key(), fp.err)
	sp.HighWatermark, sp.LastStableOffset, sp.LogStartOffset = fp.hw, fp.stable, fp.base
	sp.DivergingEpoch = fp.diverged
	sp.RecordBatches = fp.records
	if sp.RecordBatches == nil {
		sp.RecordBatches = []byte{} // null would be an error to some clients
	}
	if f.r.IsolationLevel == readCommitted {
		sp.AbortedTransactions = make([]kmsg.FetchResponseTopicPartitionAbortedTransaction, len(fp.aborted))
		for i, a := range fp.aborted {
			sp.AbortedTransactions[i].ProducerID, sp.AbortedTransactions[i].FirstOffset = a.ID, a.First
		}
	}
}
