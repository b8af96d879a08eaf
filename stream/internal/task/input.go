package task

import (
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

// input is one input partition: a queue of batches, and the offset where it stands.
type input struct {
	topic  string
	node   *graph.Node
	source Source
	ahead  Ahead // nil if nothing is done before a record's turn

	batches []client.Batch // never holds an empty one
	queued  int            // records in batches
	decoded bool           // the source holds the first record
	// eventTime is that of the first record, if it is decoded.
	eventTime int64
	attempts  int              // how often the first record has failed
	place     place            // of the first record, once it was looked for
	replays   map[int64]replay // of queued records, by offset

	prepared  int // how many of the first records were prepared
	aheadAt   int // the batch, and the place in it, of the first that was not
	aheadFrom int

	known bool  // next is known
	next  int64 // offset of the next record to process
	tail  int64 // offset of the next record to queue, once something was queued

	heard      bool      // a batch was added
	ended      bool      // no further one will be
	end        int64     // as last told
	passed     int64     // offset behind the last batch: the ends of transactions take offsets, too
	emptySince time.Time // when Run first found nothing here; zero while it holds records
}

// add queues the records of b that are new.
func (in *input) add(b client.Batch) {
	in.heard = true
	in.end, in.passed = max(in.end, b.End), max(in.passed, b.Next)
	low := in.tail
	if in.known {
		low = max(low, in.next)
	}
	for len(b.Records) > 0 && b.Records[0].Offset < low {
		b.Records = b.Records[1:]
	}
	if len(b.Records) == 0 {
		return
	}
	if !in.known {
		in.known, in.next = true, b.Records[0].Offset
	}
	in.batches = append(in.batches, b)
	in.queued += len(b.Records)
	in.tail = b.Records[len(b.Records)-1].Offset + 1
	in.emptySince = time.Time{}
}

// first returns the record to take next. The queue must not be empty.
func (in *input) first() *client.Record { return &in.batches[0].Records[0] }

// advance removes the first record.
func (in *input) advance() {
	b := &in.batches[0]
	in.next = b.Records[0].Offset + 1
	b.Records = b.Records[1:]
	in.queued--
	in.decoded, in.attempts = false, 0
	if len(in.replays) > 0 {
		delete(in.replays, in.next-1)
	}
	if in.prepared > 0 {
		in.prepared--
		in.ahead.Drop()
		if in.aheadAt == 0 {
			in.aheadFrom--
		}
	}
	if len(b.Records) == 0 {
		in.aheadAt, in.aheadFrom = max(in.aheadAt-1, 0), max(in.aheadFrom, 0)
		in.batches[0] = client.Batch{}
		in.batches = in.batches[1:]
		if len(in.batches) == 0 {
			in.batches = nil
		}
	}
}

// unprepared returns the first record that was not prepared, for the caller to do it, or nil.
func (in *input) unprepared() *client.Record {
	if in.prepared == in.queued {
		return nil
	}
	for in.aheadFrom == len(in.batches[in.aheadAt].Records) {
		in.aheadAt, in.aheadFrom = in.aheadAt+1, 0
	}
	in.aheadFrom++
	return &in.batches[in.aheadAt].Records[in.aheadFrom-1]
}

// lags reports whether the input holds nothing although there is, or may be, more to read.
func (in *input) lags() bool {
	if in.queued > 0 || in.ended {
		return false
	}
	return !in.heard || max(in.next, in.passed) < in.end
}

// wait reports whether the other inputs have to wait for this one, which is empty. The wait begins with the first
// call, and once it is over it does not begin again before the input has held a record.
func (in *input) wait(now time.Time, limit time.Duration) bool {
	if in.emptySince.IsZero() {
		in.emptySince = now
	}
	return in.lags() && now.Sub(in.emptySince) < limit
}
