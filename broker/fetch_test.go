package broker_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/broker/record"
)

func TestFetchVersions(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		id := r.create("orders", 1)
		r.produce("orders", batch(1, "a", "b"))
		for v := int16(4); v <= 18; v++ {
			for isolation := range int8(2) {
				req := at(v, fetchRequest("orders", 1))
				req.Topics[0].TopicID = id
				req.IsolationLevel = isolation
				resp := do[*kmsg.FetchResponse](r, req)
				p := resp.Topics[0].Partitions[0]
				if p.ErrorCode != 0 || p.HighWatermark != 2 || p.LastStableOffset != 2 || !slices.Equal(offsets(t, p.RecordBatches), []int64{0}) {
					t.Errorf("v%d: %+v, want the whole batch at 0", v, p)
				}
				if v >= 5 && p.LogStartOffset != 0 || resp.SessionID != 0 {
					t.Errorf("v%d: log start %d, session %d", v, p.LogStartOffset, resp.SessionID)
				}
				if (p.AbortedTransactions == nil) != (isolation == 0) {
					t.Errorf("v%d isolation %d: aborted transactions %v", v, isolation, p.AbortedTransactions)
				}
			}
		}
	})
}

// Assertion 18: the ends of the log, and what is in between.
func TestFetchOffsets(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		for range 3 {
			r.produce("orders", batch(1, "a", "b", "c"))
		}
		for _, tc := range []struct {
			offset int64
			code   int16
			bases  []int64
		}{
			{0, 0, []int64{0, 3, 6}},
			{2, 0, []int64{0, 3, 6}}, // the whole batch that holds it
			{4, 0, []int64{3, 6}},
			{8, 0, []int64{6}},
			{9, 0, nil},
			{10, 1, nil},
			{-1, 1, nil},
		} {
			p := r.fetch("orders", tc.offset)
			if got := offsets(t, p.RecordBatches); p.ErrorCode != tc.code || !slices.Equal(got, tc.bases) {
				t.Errorf("fetch at %d: batches %v, error %d, want %v and %d", tc.offset, got, p.ErrorCode, tc.bases, tc.code)
			}
		}
		for _, tc := range []struct {
			name  string
			epoch int32
			code  int16
		}{{"current", 0, 0}, {"newer", 1, 75}, {"unknown", -1, 0}} {
			req := fetchRequest("orders", 0)
			req.Topics[0].Partitions[0].CurrentLeaderEpoch = tc.epoch
			if code := do[*kmsg.FetchResponse](r, req).Topics[0].Partitions[0].ErrorCode; code != tc.code {
				t.Errorf("%s leader epoch: error %d, want %d", tc.name, code, tc.code)
			}
		}
		req := fetchRequest("orders", 0)
		req.Topics[0].Partitions[0].Partition = 1
		if code := do[*kmsg.FetchResponse](r, req).Topics[0].Partitions[0].ErrorCode; code != 3 {
			t.Errorf("partition 1 of one: error %d, want 3", code)
		}
	})
}

// Assertion 15: an offset inside a compressed batch gets the whole batch, also the last one.
func TestFetchInsideCompressedBatches(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		b := compress(batch(1, "a", "b", "c"))
		for range 2 {
			if p := r.produce("orders", slices.Clone(b)); p.ErrorCode != 0 {
				t.Fatalf("produce: error %d (%s)", p.ErrorCode, text(p.ErrorMessage))
			}
		}
		for offset, want := range map[int64][]int64{1: {0, 3}, 4: {3}, 5: {3}} {
			if got := offsets(t, r.fetch("orders", offset).RecordBatches); !slices.Equal(got, want) {
				t.Errorf("fetch at %d: batches at %v, want %v", offset, got, want)
			}
		}
	})
}

// compress is the batch with its records compressed by gzip.
func compress(b record.Batch) record.Batch {
	var buf bytes.Buffer
	buf.Write(b[:record.HeaderLen])
	w := gzip.NewWriter(&buf)
	_, _ = w.Write(b.Payload())
	_ = w.Close()
	c := record.Batch(buf.Bytes())
	binary.BigEndian.PutUint32(c[8:], uint32(len(c)-12))
	binary.BigEndian.PutUint16(c[21:], uint16(record.Gzip))
	return reseal(c)
}

// Assertion 16: limits hold, but for the first batch.
func TestFetchLimits(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 3)
		kib := batch(1, strings.Repeat("x", 1000))
		size := int32(len(kib))
		for range 4 {
			do[*kmsg.ProduceResponse](r, produceRequest("orders", -1, slices.Clone(kib), slices.Clone(kib), slices.Clone(kib)))
		}
		for _, tc := range []struct {
			name              string
			maxBytes, perPart int32
			want              []int // batches of each partition
		}{
			{"all", 1 << 20, 1 << 20, []int{4, 4, 4}},
			{"tiny partition limit", 1 << 20, 1, []int{1, 0, 0}},
			{"tiny response limit", 1, 1 << 20, []int{1, 0, 0}},
			{"no limit at all", 0, 0, []int{1, 0, 0}},
			{"two batches a partition", 1 << 20, 2 * size, []int{2, 2, 2}},
			{"response ends in the second partition", 6 * size, 1 << 20, []int{4, 2, 0}},
			{"response ends between batches", 6*size - 1, 1 << 20, []int{4, 1, 0}},
		} {
			req := fetchRequest("orders", 0)
			req.MaxBytes = tc.maxBytes
			rp := req.Topics[0].Partitions[0]
			req.Topics[0].Partitions = nil
			for i := range int32(3) {
				rp.Partition, rp.PartitionMaxBytes = i, tc.perPart
				req.Topics[0].Partitions = append(req.Topics[0].Partitions, rp)
			}
			var got []int
			for _, p := range do[*kmsg.FetchResponse](r, req).Topics[0].Partitions {
				got = append(got, len(offsets(t, p.RecordBatches)))
				if p.ErrorCode != 0 || p.HighWatermark != 4 {
					t.Errorf("%s: partition %d: error %d, high watermark %d", tc.name, p.Partition, p.ErrorCode, p.HighWatermark)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%s: %v batches, want %v", tc.name, got, tc.want)
			}
		}
	})
}

// Assertion 17: an append wakes who waits for it.
func TestFetchWaits(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		writer := r.again()
		for _, flush := range []string{"each", "os"} {
			topic := "orders-" + flush
			r.create(topic, 1, "riffle.flush", flush)
			size := len(batch(1, "a"))
			for i, tc := range []struct {
				batches  int
				minBytes int
			}{{1, 1}, {3, 3 * size}} {
				req := fetchRequest(topic, r.fetch(topic, 0).HighWatermark)
				req.MaxWaitMillis, req.MinBytes = 10_000, int32(tc.minBytes)
				r.send(req)
				for range tc.batches {
					writer.produce(topic, batch(1, "a"))
				}
				answered := time.Now()
				p := recv[*kmsg.FetchResponse](r, req).Topics[0].Partitions[0]
				if late := time.Since(answered); late > time.Second || len(p.RecordBatches) < tc.minBytes {
					t.Errorf("%s %d: %d bytes %v after the append, want %d at once", flush, i, len(p.RecordBatches), late, tc.minBytes)
				}
			}
		}
	})
}

// A topic that is deleted does not keep a fetch waiting.
func TestFetchEndsWithTheTopic(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		req := fetchRequest("orders", 0)
		req.MaxWaitMillis = 10_000
		r.send(req)
		del := at(1, kmsg.NewPtrDeleteTopicsRequest())
		del.TopicNames = []string{"orders"}
		do[*kmsg.DeleteTopicsResponse](r.again(), del)
		began := time.Now()
		if code := recv[*kmsg.FetchResponse](r, req).Topics[0].Partitions[0].ErrorCode; code != 3 || time.Since(began) > time.Second {
			t.Errorf("error %d after %v, want 3 at once", code, time.Since(began))
		}
	})
}

// Assertion 19: times, and the names that are written as times.
func TestListOffsets(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1, "segment.bytes", "1048576")
		// Offsets 0 to 5 at times 1000, 1001, 1002 and 2000, 2001, 2002; the seventh is older.
		r.produce("orders", batch(1000, "a", "b", "c"))
		r.produce("orders", batch(2000, "d", "e", "f"))
		r.produce("orders", batch(1500, "g"))
		type answer struct {
			code         int16
			offset, time int64
		}
		for _, tc := range []struct {
			name  string
			ms    int64
			since int16 // version
			want  answer
		}{
			{"latest", -1, 1, answer{0, 7, -1}},
			{"earliest", -2, 1, answer{0, 0, -1}},
			{"max timestamp", -3, 7, answer{0, 5, 2002}},
			{"earliest local", -4, 8, answer{0, 0, -1}},
			{"latest tiered", -5, 9, answer{0, -1, -1}},
			{"earliest pending", -6, 11, answer{0, -1, -1}},
			{"unknown", -7, 99, answer{35, -1, -1}},
			{"before all", 0, 1, answer{0, 0, 1000}},
			{"exact", 1001, 1, answer{0, 1, 1001}},
			{"between", 1003, 1, answer{0, 3, 2000}},
			{"last", 2002, 1, answer{0, 5, 2002}},
			{"after all", 2003, 1, answer{0, -1, -1}},
		} {
			for v := int16(1); v <= 11; v++ {
				want := tc.want
				if v < tc.since {
					want = answer{35, -1, -1}
				}
				p := do[*kmsg.ListOffsetsResponse](r, listOffsetsRequest(v, tc.ms)).Topics[0].Partitions[0]
				if got := (answer{p.ErrorCode, p.Offset, p.Timestamp}); got != want {
					t.Errorf("%s v%d: %+v, want %+v", tc.name, v, got, want)
				}
			}
		}
		for _, p := range do[*kmsg.ListOffsetsResponse](r, listOffsetsRequest(4, -1, -2)).Topics[0].Partitions {
			if p.ErrorCode != 42 {
				t.Errorf("a partition named twice: error %d, want 42", p.ErrorCode)
			}
		}
	})
}

// listOffsetsRequest asks for the offsets of times in partition 0 of "orders".
func listOffsetsRequest(version int16, times ...int64) *kmsg.ListOffsetsRequest {
	req := at(version, kmsg.NewPtrListOffsetsRequest())
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = "orders"
	for _, ms := range times {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Timestamp = ms
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

// Assertion 19, continued: times are found across segments, and again after a restart.
func TestListOffsetsAcrossSegments(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		dir := t.TempDir()
		r := start(brokertest.Dir(dir))
		r.create("orders", 1, "segment.bytes", "1048576")
		const batches = 40 // 100 KiB each
		for i := range batches {
			r.mustProduce("orders", batch(int64(i)*10, strings.Repeat("x", 100<<10), "y"))
		}
		check := func() {
			t.Helper()
			for i := range int64(batches) {
				p := do[*kmsg.ListOffsetsResponse](r, listOffsetsRequest(7, i*10+1)).Topics[0].Partitions[0]
				if want := 2*i + 1; p.ErrorCode != 0 || p.Offset != want {
					t.Errorf("time %d: offset %d, error %d, want %d", i*10+1, p.Offset, p.ErrorCode, want)
				}
			}
			for i := range int64(2 * batches) {
				if got := offsets(t, r.fetch("orders", i).RecordBatches); len(got) == 0 || got[0] != i/2*2 {
					t.Errorf("fetch at %d: batches %v", i, fmt.Sprint(got))
				}
			}
		}
		check()
		brokertest.Stop(t, r.b)
		r = start(brokertest.Dir(dir))
		check()
	})
}

// Buffers are shared by all connections: what is being written to one must not be
// filled for another. Each topic has bytes of its own.
func TestAnswersAreNotMixedUp(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		const clients, fetches, rounds = 8, 4, 6
		r := start()
		var conns []*raw
		for i := range clients {
			topic := fmt.Sprint("topic-", i)
			r.create(topic, 1)
			for range 4 {
				r.mustProduce(topic, batch(1, strings.Repeat(string(rune('a'+i)), 200<<10)))
			}
			conns = append(conns, r.again())
		}
		for range rounds {
			var reqs [clients][]kmsg.Request
			for i, c := range conns { // all ask before anybody reads
				for range fetches {
					reqs[i] = append(reqs[i], fetchRequest(fmt.Sprint("topic-", i), 0))
				}
				c.send(reqs[i]...)
			}
			for i, c := range conns {
				for _, req := range reqs[i] {
					records := recv[*kmsg.FetchResponse](c, req).Topics[0].Partitions[0].RecordBatches
					for left := records; len(left) > 0; {
						b, rest, err := record.Next(left)
						if err == nil {
							err = b.Check()
						}
						if err != nil {
							t.Fatalf("topic-%d: %v", i, err)
						}
						for rec, err := range b.Records() {
							if err != nil || len(rec.Value) != 200<<10 || rec.Value[0] != byte('a'+i) {
								t.Fatalf("topic-%d: a record of %d bytes of %q, %v", i, len(rec.Value), rec.Value[:1], err)
							}
						}
						left = rest
					}
				}
			}
		}
	})
}
