package broker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

// slowSync is a file system whose fsync takes a second.
func slowSync() vfs.FS { return faultfs.SlowSync(vfs.NewMem(), func() { time.Sleep(time.Second) }) }

// A record is answered after its fsync, and no consumer sees it before: it could
// still be lost.
func TestRecordsAppearWhenTheyAreDurable(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *broker.Config) { c.FS = slowSync() }, func(t *testing.T, r *raw) {
		r.create("each", 1, "riffle.flush", "each")
		r.create("os", 1, "riffle.flush", "os")
		reader := r.again()
		_ = reader.nc.SetDeadline(time.Time{})

		began := time.Now()
		r.produce("os", batch(1, "a"))
		if got := time.Since(began); got != 0 {
			t.Errorf("flush=os: answered after %v, want at once", got)
		}
		began = time.Now()
		req := produceRequest("each", -1, batch(1, "a"))
		r.send(req)
		synctest.Wait()
		if p := reader.fetch("each", 0); p.HighWatermark != 0 || len(p.RecordBatches) != 0 {
			t.Errorf("before the fsync: high watermark %d, %d bytes, want none", p.HighWatermark, len(p.RecordBatches))
		}
		if p := reader.fetch("each", 1); p.ErrorCode != 1 {
			t.Errorf("fetch behind a record that is not durable: error %d, want 1", p.ErrorCode)
		}
		waiting := fetchRequest("each", 0)
		waiting.MaxWaitMillis = 10_000
		resp := do[*kmsg.FetchResponse](reader, waiting)
		if got := time.Since(began); got < time.Second || got > 3*time.Second || len(resp.Topics[0].Partitions[0].RecordBatches) == 0 {
			t.Errorf("a waiting fetch got %d bytes after %v, want the record with its fsync", len(resp.Topics[0].Partitions[0].RecordBatches), got)
		}
		fetched := time.Since(began)
		recv[*kmsg.ProduceResponse](r, req)
		if got := time.Since(began); got != fetched {
			t.Errorf("the producer was answered after %v, a consumer after %v, want the same moment", got, fetched)
		}
	})
}

// Batches that wait together share an fsync.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *broker.Config) { c.FS = slowSync() }, func(t *testing.T, r *raw) {
		r.create("orders", 1)
		var conns []*raw
		for range 20 {
			c := r.again()
			_ = c.nc.SetDeadline(time.Time{})
			conns = append(conns, c)
		}
		began := time.Now()
		var reqs []kmsg.Request
		for range 5 {
			reqs = append(reqs, produceRequest("orders", -1, batch(1, "a")))
		}
		for _, c := range conns {
			c.send(reqs...)
		}
		for _, c := range conns {
			for _, req := range reqs {
				if p := recv[*kmsg.ProduceResponse](c, req).Topics[0].Partitions[0]; p.ErrorCode != 0 {
					t.Fatalf("produce: error %d", p.ErrorCode)
				}
			}
		}
		if got := time.Since(began); got > 10*time.Second {
			t.Errorf("100 batches took %v, want a few fsyncs of a second", got)
		}
	})
}

// The partitions of a request are flushed side by side.
func TestPartitionsShareTheWait(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *broker.Config) { c.FS = slowSync() }, func(t *testing.T, r *raw) {
		_ = r.nc.SetDeadline(time.Time{})
		r.create("orders", 6)
		do[*kmsg.ProduceResponse](r, produceRequest("orders", -1, batch(1, "a"))) // makes the journal
		req := produceRequest("orders", -1, batch(1, "a"))
		rt := &req.Topics[0]
		for p := range int32(5) {
			rp := rt.Partitions[0]
			rp.Partition, rp.Records = p+1, batch(1, "a")
			rt.Partitions = append(rt.Partitions, rp)
		}
		began := time.Now()
		for _, p := range do[*kmsg.ProduceResponse](r, req).Topics[0].Partitions {
			if p.ErrorCode != 0 {
				t.Errorf("partition %d: error %d", p.Partition, p.ErrorCode)
			}
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("six partitions took %v, want the second of one fsync", took)
		}
	})
}

// The end of a transaction waits for two fsyncs, whatever it wrote to: that of the outcome, and those of
// all markers, which take as long as one.
func TestEndOfATransactionWaitsTwice(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *broker.Config) { c.FS = slowSync() }, func(t *testing.T, r *raw) {
		_ = r.nc.SetDeadline(time.Time{})
		id := r.create("orders", 3)
		c := newTxn(r, "tx")
		for range 2 { // the first one makes __consumer_offsets
			for p := range int32(3) {
				if got := c.write(12, "orders", p, "a"); got.ErrorCode != 0 {
					t.Fatalf("Produce: error %d", got.ErrorCode)
				}
			}
			if code := c.commitOffset(5, "g", nil, "orders", id, 1); code != 0 {
				t.Fatalf("TxnOffsetCommit: error %d", code)
			}
			began := time.Now()
			c.mustEnd(true)
			if took := time.Since(began); took != 2*time.Second {
				t.Errorf("EndTxn took %v, want two fsyncs of a second", took)
			}
		}
	})
}

// Offsets wait for their own fsync only, from the second transaction on: the group's partition is part of it from
// its beginning. A transaction without offsets leaves nothing behind in the group.
func TestOffsetsOfATransactionWaitOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *broker.Config) { c.FS = slowSync() }, func(t *testing.T, r *raw) {
		_ = r.nc.SetDeadline(time.Time{})
		id := r.create("orders", 1)
		c := newTxn(r, "tx")
		for i := range 4 {
			if got := c.write(12, "orders", 0, "a"); got.ErrorCode != 0 {
				t.Fatalf("Produce: error %d", got.ErrorCode)
			}
			if i != 2 {
				began := time.Now()
				if code := c.commitOffset(5, "g", nil, "orders", id, int64(i)); code != 0 {
					t.Fatalf("TxnOffsetCommit: error %d", code)
				}
				// The first one makes the topic; the last one follows a transaction without offsets.
				if took := time.Since(began); i == 1 && took != time.Second || i == 3 && took != 2*time.Second {
					t.Errorf("transaction %d: TxnOffsetCommit took %v", i, took)
				}
			}
			c.mustEnd(true)
			want := int64(i)
			if i == 2 {
				want = 1
			}
			if got := r.fetchOffset(9, "g", "orders", id); got.Offset != want || got.Code != 0 {
				t.Errorf("transaction %d: the offset is %d (error %d), want %d", i, got.Offset, got.Code, want)
			}
		}
	})
}

// A failed fsync is not acknowledged, and fences its partition only.
func TestFailedFsyncFencesThePartition(t *testing.T) {
	t.Parallel()
	fsys := faultfs.New(vfs.NewMem())
	// Not brokertest: its Stop demands an end in order, and this log has none.
	b, err := broker.Start(broker.Config{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop(t.Context())
	r := dial(t, b, "memory")
	r.create("orders", 2)
	r.produce("orders", batch(1, "a"))
	fsys.Inject(faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Sync}})
	for i := range 3 {
		if p := r.produce("orders", batch(1, "b")); p.ErrorCode != 56 || p.BaseOffset != -1 {
			t.Errorf("produce %d onto a failed disk: error %d, offset %d, want 56", i, p.ErrorCode, p.BaseOffset)
		}
	}
	if fsys.Injected() == 0 {
		t.Fatal("no fsync failed")
	}
	if p := r.fetch("orders", 0); p.ErrorCode != 0 || p.HighWatermark != 1 {
		t.Errorf("fetch: error %d, high watermark %d, want the one durable record", p.ErrorCode, p.HighWatermark)
	}
	resp := do[*kmsg.ProduceResponse](r, produceRequest("orders", -1, batch(1, "c"), batch(1, "c")))
	if p := resp.Topics[0].Partitions; p[0].ErrorCode != 56 || p[1].ErrorCode != 0 {
		t.Errorf("errors %d and %d, want 56 for the fenced partition and none for the other", p[0].ErrorCode, p[1].ErrorCode)
	}
}
