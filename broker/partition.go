package broker

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/catalog"
	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
)

// partition is one partition of a topic with its log. It is safe for concurrent
// use.
type partition struct {
	current atomic.Pointer[topic] // the topic as it is now
	index   int32
	log     *commitlog.Log
	flusher *commitlog.Flusher

	// shown is the largest high watermark under FlushOS.
	shown atomic.Int64
	// reported is one more than the offset of the damage that was logged last.
	reported atomic.Int64
}

// topic is the topic as it is now. Its configs may be others the next time; its
// name and id never are.
func (p *partition) topic() *topic { return p.current.Load() }

// highWatermark is the offset before which consumers may read: what is durable,
// or where the topic leaves that to the operating system, everything. So no
// consumer sees a record that a crash could take back. It never goes back, also
// where riffle.flush changes from os to each before all was flushed.
func (p *partition) highWatermark() int64 {
	if p.topic().cfg.Flush != catalog.FlushOS {
		return max(p.log.FlushedOffset(), p.shown.Load())
	}
	end := p.log.EndOffset()
	for {
		shown := p.shown.Load()
		if shown >= end || p.shown.CompareAndSwap(shown, end) {
			return max(end, shown)
		}
	}
}

// lastStableOffset is the offset before which a consumer may read that wants only
// what was committed.
func (p *partition) lastStableOffset() int64 {
	hw := p.highWatermark()
	return min(hw, p.log.LastStableOffset())
}

// startOffset is the log start offset.
func (p *partition) startOffset() int64 { return p.log.StartOffset() }

// append appends a batch that was admitted (record.Batch.Admit). It is acknowledged
// only after wait.
func (p *partition) append(b record.Batch) (commitlog.Appended, error) {
	a, err := p.log.Append(b, time.Now())
	if err != nil {
		return a, fmt.Errorf("broker: append to %s: %w", p, err)
	}
	return a, nil
}

// appendFromStart is append for a producer that starts at sequence number 0 where it is
// not known (KIP-890).
func (p *partition) appendFromStart(b record.Batch) (commitlog.Appended, error) {
	a, err := p.log.AppendFromStart(b, time.Now())
	if err != nil {
		return a, fmt.Errorf("broker: append to %s: %w", p, err)
	}
	return a, nil
}

// appendMarker appends the marker that ends a transaction of a producer.
func (p *partition) appendMarker(m producer.Marker) (commitlog.Appended, error) {
	a, err := p.log.AppendMarker(m, time.Now())
	if err != nil {
		return a, fmt.Errorf("broker: append a marker to %s: %w", p, err)
	}
	return a, nil
}

// wait returns when the records before next are as durable as the topic wants
// before a producer is answered.
func (p *partition) wait(ctx context.Context, next int64) error {
	return p.flushed(ctx, p.flush(ctx, next))
}

// flush asks for what wait waits for, so that the partitions of a request are flushed at
// the same time; flushed waits for it.
func (p *partition) flush(ctx context.Context, next int64) commitlog.Pending {
	if p.topic().cfg.Flush == catalog.FlushOS {
		return commitlog.Pending{}
	}
	return p.flusher.Start(ctx, p.log, next)
}

func (p *partition) flushed(ctx context.Context, asked commitlog.Pending) error {
	if asked == (commitlog.Pending{}) {
		return nil
	}
	defer pause(ctx)()
	if err := asked.Wait(ctx); err != nil {
		return fmt.Errorf("broker: flush %s: %w", p, err)
	}
	return nil
}

// read returns whole batches from the one that holds offset from up to the high
// watermark, at most maxBytes but at least one batch, or nothing at the high
// watermark. It uses buf's capacity where it suffices.
func (p *partition) read(from int64, maxBytes int, buf []byte) ([]byte, error) {
	return p.readSpec(commitlog.ReadSpec{From: from, UpTo: p.highWatermark(), MaxBytes: maxBytes, WholeFirst: true}, buf)
}

func (p *partition) readSpec(spec commitlog.ReadSpec, buf []byte) ([]byte, error) {
	if err := p.checkVisible(spec); err != nil {
		return nil, err
	}
	b, err := p.log.Read(spec, buf)
	if err != nil {
		return b, fmt.Errorf("broker: read %s: %w", p, err)
	}
	return b, nil
}

// readCommitted reads, below the last stable offset, and returns the transactions
// whose records the client must skip.
func (p *partition) readCommitted(spec commitlog.ReadSpec, buf []byte) ([]byte, []producer.Aborted, error) {
	if err := p.checkVisible(spec); err != nil {
		return nil, nil, err
	}
	b, aborted, err := p.log.ReadCommitted(spec, buf)
	if err != nil {
		return b, nil, fmt.Errorf("broker: read %s: %w", p, err)
	}
	return b, aborted, nil
}

// checkVisible refuses offsets that do not exist for readers yet: records that are in
// the log but not durable.
func (p *partition) checkVisible(spec commitlog.ReadSpec) error {
	if spec.From > spec.UpTo {
		return fmt.Errorf("%w: %d of %s, which has [%d, %d)", commitlog.ErrOffsetOutOfRange, spec.From, p, p.startOffset(), spec.UpTo)
	}
	return nil
}

// checkEpoch compares the leader epoch that a client knows, or -1, with ours.
func (p *partition) checkEpoch(known int32) error {
	epoch, err := p.log.LeaderEpoch(), error(nil)
	switch {
	case known > epoch:
		err = kerr.UnknownLeaderEpoch
	case known != -1 && known < epoch:
		err = kerr.FencedLeaderEpoch
	default:
		return nil
	}
	return fmt.Errorf("%w: %s is at epoch %d, the client at %d", err, p, epoch, known)
}

// diverges reports whether a client that has read up to next, at last in the leader
// epoch given, has read what a crash took back: where that epoch, or the largest one
// below it, ends before.
func (p *partition) diverges(last int32, next int64) (epoch int32, end int64, diverges bool) {
	epoch, end, known := p.log.LeaderEpochEnd(last, p.highWatermark())
	return epoch, end, known && (end < next || epoch < last)
}

// String is the partition's name in messages.
func (p *partition) String() string { return fmt.Sprintf("%s-%d", p.topic().Name, p.index) }
