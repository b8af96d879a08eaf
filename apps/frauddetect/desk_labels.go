package main

import (
	"context"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/internal/ingest"
	"github.com/riffle-stream/riffle/stream"
)

// labelFeed reads payments, and writes the label of each fraud soon after it, with the time when it will be known: until then it does
// not count. After an interruption some labels are written again, and count once.
type labelFeed struct {
	ctx      context.Context
	source   source
	payments *ingest.Import[payment.Transaction]
	writer   *stream.Writer[string, payment.Label]

	due  []payment.Label
	last time.Time // of the payments
	next time.Time // of the clock, when labels are written again
}

// labelsEvery is how often labels are written, by the clock. Before them the payments up to theirs must be safe. Their records are much older than
// these: while a task catches up, labels overtake payments by days, and must not move its time ahead of them.
const labelsEvery = 50 * time.Millisecond

func (f *labelFeed) row() (paymentRow, error) {
	row, err := f.source.Next()
	if err != nil {
		return row, err
	}
	if len(f.due) > 0 && time.Now().After(f.next) {
		if err := f.write(); err != nil {
			return row, err
		}
	}
	if row.Value.Fraud() {
		f.due = append(f.due, payment.Label{Transaction: row.Value, Known: row.Time.Add(features.LabelDelay)})
	}
	f.last = row.Time
	return row, nil
}

func (f *labelFeed) write() error {
	if err := f.payments.Flush(f.ctx); err != nil {
		return err
	}
	for _, l := range f.due {
		r := stream.Record[string, payment.Label]{Key: l.Transaction.Card, Value: l, Time: l.Transaction.Time.Add(-terminalLateness)}
		if err := f.writer.Write(f.ctx, r); err != nil {
			return err
		}
	}
	f.due = f.due[:0]
	f.next = time.Now().Add(labelsEvery)
	return f.writer.Flush(f.ctx)
}
