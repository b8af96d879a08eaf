package broker

import (
	"errors"
	"time"

	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/broker/txn"
)

// load replays __transaction_state and begins to serve. Transactions whose end was
// decided, and perhaps not written everywhere, are finished by run.
func (ts *transactions) load() {
	began := time.Now()
	ids := map[string]*transactional{}
	records, skipped := 0, 0
	for _, p := range ts.mu.logs {
		n, bad := ts.replay(p, func(t txn.Txn) {
			if t.State == txn.Dead {
				delete(ids, t.ID)
				return
			}
			ids[t.ID] = newTransactional(p, t)
		})
		records, skipped = records+n, skipped+bad
	}
	ts.mu.Lock()
	if ts.mu.state == coordinatorLoading {
		ts.mu.ids, ts.mu.state = ids, coordinatorReady
	}
	ts.mu.Unlock()
	log := ts.logger.Info
	if skipped > 0 {
		log = ts.logger.Error
	}
	log("broker: transactions loaded", "ids", len(ids), "records", records, "skipped", skipped, "took", time.Since(began))
}

// replay reads one partition. A part that cannot be read is skipped: it may lose the
// end of a transaction, which then runs into its timeout.
func (ts *transactions) replay(p *partition, apply func(txn.Txn)) (records, skipped int) {
	const chunkBytes = 1 << 20
	logger := ts.logger.With("partition", p.String())
	offset, end := p.startOffset(), p.highWatermark()
	for buf := []byte(nil); offset < end && ts.ctx.Err() == nil; {
		b, err := p.read(offset, chunkBytes, buf)
		next := offset
		for buf = b; err == nil && len(b) > 0; {
			var batch record.Batch
			if batch, b, err = record.Next(b); err != nil {
				break
			}
			n, bad := ts.replayBatch(batch, apply)
			records, skipped, next = records+n, skipped+bad, batch.NextOffset()
		}
		if next > offset {
			offset = next
			continue
		}
		skipped++
		var corrupt *commitlog.CorruptError
		if !errors.As(err, &corrupt) || corrupt.NextOffset <= offset {
			logger.Error("broker: the rest of a log of transactions cannot be read", "offset", offset, "end", end, "cause", err)
			return records, skipped
		}
		logger.Error("broker: a part of a log of transactions cannot be read", "offset", offset, "next", corrupt.NextOffset, "cause", err)
		offset = corrupt.NextOffset
	}
	return records, skipped
}

func (ts *transactions) replayBatch(batch record.Batch, apply func(txn.Txn)) (records, skipped int) {
	for r, err := range batch.Records() {
		var t txn.Txn
		if err == nil {
			t, err = txn.Decode(r.Key, r.Value)
		}
		if err != nil {
			skipped++
			ts.logger.Warn("broker: record of a transactional id skipped", "offset", r.Offset, "cause", err)
			continue
		}
		records++
		apply(t)
	}
	return records, skipped
}
