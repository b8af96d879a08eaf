package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// Assertions 6 and 48: acks=0 has no answer, acks=all needs enough replicas, and there
// are no other acks.
func TestProduceAcks(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		r.create("safe", 1, "min.insync.replicas", "2")
		for _, tc := range []struct {
			topic string
			acks  int16
			code  int16
		}{
			{"orders", -1, 0},
			{"orders", 1, 0},
			{"orders", 2, 21},
			{"orders", -2, 21},
			{"safe", -1, 19},
			{"safe", 1, 0},
			{"missing", -1, 3},
			{"__consumer_offsets", -1, 17},
		} {
			resp := do[*kmsg.ProduceResponse](r, produceRequest(tc.topic, tc.acks, batch(1, "a")))
			if p := resp.Topics[0].Partitions[0]; p.ErrorCode != tc.code {
				t.Errorf("topic %s acks %d: error %d (%s), want %d", tc.topic, tc.acks, p.ErrorCode, text(p.ErrorMessage), tc.code)
			}
		}

		// acks=0 is not answered: the next answer is the next request's.
		quiet := produceRequest("orders", 0, batch(1, "b", "c"))
		r.send(quiet)
		r.received++
		do[*kmsg.MetadataResponse](r, at(1, kmsg.NewPtrMetadataRequest()))
		if got := offsets(t, r.fetch("orders", 0).RecordBatches); !slices.Equal(got, []int64{0, 1, 2}) {
			t.Errorf("batches at %v, want 0, 1 and the unanswered one at 2", got)
		}
		r.send(produceRequest("missing", 0, batch(1, "b")))
		r.wantClosed("acks=0 with an error")
	})
}

// Assertion 3: versions 0 to 2 are advertised and refused.
func TestProduceVersions(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		id := r.create("orders", 2)
		for v := int16(0); v <= 13; v++ {
			req := at(v, produceRequest("orders", -1, batch(1, "a"), batch(1, "b"), batch(1, "c")))
			req.Topics[0].TopicID = id
			resp := do[*kmsg.ProduceResponse](r, req)
			for i, p := range resp.Topics[0].Partitions {
				want, offset := int16(0), int64(v)-3
				switch {
				case v < 3:
					want, offset = 35, -1
				case i == 2:
					want, offset = 3, -1
				}
				if p.ErrorCode != want || p.BaseOffset != offset || p.LogAppendTime != -1 && v >= 2 {
					t.Errorf("v%d partition %d: error %d, offset %d, log append time %d, want %d, %d and none", v, i, p.ErrorCode, p.BaseOffset, p.LogAppendTime, want, offset)
				}
			}
		}
		req := at(13, produceRequest("", -1, batch(1, "a")))
		req.Topics[0].TopicID = [16]byte{5}
		if code := do[*kmsg.ProduceResponse](r, req).Topics[0].Partitions[0].ErrorCode; code != 100 {
			t.Errorf("unknown topic id: error %d, want 100", code)
		}
	})
}

// Assertion 3, continued: the broker stores what it is given, in whatever codec.
func TestCodecsAreKept(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		for codec, c := range map[record.Codec]kgo.CompressionCodec{
			record.None: kgo.NoCompression(), record.Gzip: kgo.GzipCompression(), record.Snappy: kgo.SnappyCompression(),
			record.LZ4: kgo.Lz4Compression(), record.Zstd: kgo.ZstdCompression(),
		} {
			compressor, err := kgo.DefaultCompressor(c)
			if err != nil {
				t.Fatal(err)
			}
			plain := batch(1, strings.Repeat("the same again ", 100), "b")
			sent := slices.Clone(plain[:record.HeaderLen])
			if codec == record.None {
				sent = plain
			} else {
				payload, _ := compressor.Compress(new(bytes.Buffer), plain.Payload())
				sent = append(sent, payload...)
				binary.BigEndian.PutUint32(sent[8:], uint32(len(sent)-12))
				binary.BigEndian.PutUint16(sent[21:], uint16(codec))
				reseal(sent)
			}
			base := r.mustProduce("orders", slices.Clone(sent))
			stored, _, err := record.Next(r.fetch("orders", base).RecordBatches)
			if err != nil {
				t.Fatal(err)
			}
			// The base offset and the leader epoch are the broker's.
			if got := stored.Attributes().Codec(); got != codec || !bytes.Equal(stored[16:], sent[16:]) {
				t.Errorf("%s: stored as %s, or otherwise than it was sent", codec, got)
			}
		}
	})
}

// reseal rewrites the checksum after a test changed what it covers.
func reseal(b record.Batch) record.Batch {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// changed is a batch of two records with bytes set at a position of the header.
func changed(position int, bytes ...byte) record.Batch {
	b := slices.Clone(batch(1000, "a", "b"))
	copy(b[position:], bytes)
	return b
}

// Assertions 11, 12 and 13: a bad batch has its error and leaves nothing behind.
func TestProduceRefusesBadBatches(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1, "max.message.bytes", "51200")
		good := slices.Clone(batch(1000, "a", "b"))
		future := batch(time.Now().Add(2*time.Hour).UnixMilli(), "x")
		for _, tc := range []struct {
			name    string
			records []byte
			code    int16
		}{
			{"flipped byte in the records", changed(len(good)-1, 0xff), 2},
			{"flipped byte in the header", changed(30, 0xff), 2},
			{"cut short", good[:len(good)-1], 2},
			{"header only", good[:61], 2},
			{"less than a header", good[:20], 2},
			{"null", nil, 87},
			{"empty", []byte{}, 87},
			{"two batches", append(slices.Clone(good), good...), 87},
			{"trailing byte", append(slices.Clone(good), 0), 87},
			{"magic byte 1", changed(16, 1), 87},
			{"negative length", changed(8, 0xff, 0xff, 0xff, 0xff), 2},
			{"count below the offsets", reseal(changed(57, 0, 0, 0, 1)), 87},
			{"count above the offsets", reseal(changed(57, 0, 0, 0, 9)), 87},
			{"no records", reseal(changed(57, 0, 0, 0, 0)), 87},
			{"negative count", reseal(changed(57, 0xff, 0xff, 0xff, 0xff)), 87},
			{"huge count", reseal(changed(57, 0x7f, 0xff, 0xff, 0xff)), 87},
			{"unknown codec", reseal(changed(21, 0, 7)), 87},
			{"control batch", reseal(changed(21, 0, 0x20)), 87},
			{"transactional", reseal(changed(21, 0, 0x10)), 87},
			{"above max.message.bytes", batch(1000, strings.Repeat("x", 60<<10)), 10},
			{"from the future", future, 32},
		} {
			if p := r.produce("orders", slices.Clone(tc.records)); p.ErrorCode != tc.code || p.BaseOffset != -1 {
				t.Errorf("%s: error %d (%s), offset %d, want error %d and -1", tc.name, p.ErrorCode, text(p.ErrorMessage), p.BaseOffset, tc.code)
			}
			if hw := r.fetch("orders", 0).HighWatermark; hw != 0 {
				t.Fatalf("%s: %d records were appended", tc.name, hw)
			}
		}
		for i, b := range []record.Batch{
			good,
			changed(0, 0, 0, 0, 0, 0, 0, 0, 9), // base offset: not covered by the checksum, the broker sets it
			changed(12, 0, 0, 0, 7),            // leader epoch: likewise
			batch(1000, "small after large"),
		} {
			if p := r.produce("orders", slices.Clone(b)); p.ErrorCode != 0 {
				t.Errorf("good batch %d: error %d (%s)", i, p.ErrorCode, text(p.ErrorMessage))
			}
		}
		if got := offsets(t, r.fetch("orders", 0).RecordBatches); !slices.Equal(got, []int64{0, 2, 4, 6}) {
			t.Errorf("good batches at %v, want 0, 2, 4, 6", got)
		}
	})
}

func TestCompactedTopicsWantKeys(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("cards", 1, "cleanup.policy", "compact")
		var w record.Builder
		w.Append(1, []byte("k"), []byte("v"))
		w.Append(1, []byte{}, nil)
		if p := r.produce("cards", w.Finish()); p.ErrorCode != 0 {
			t.Errorf("records with keys: error %d (%s)", p.ErrorCode, text(p.ErrorMessage))
		}
		w.Append(1, nil, []byte("v"))
		if p := r.produce("cards", w.Finish()); p.ErrorCode != 87 || !strings.Contains(text(p.ErrorMessage), "record 2") {
			t.Errorf("the third record has no key: error %d (%s), want 87 and which", p.ErrorCode, text(p.ErrorMessage))
		}
	})
}

// Assertion 14: the time of the append is in the answer and in the stored batch.
func TestLogAppendTime(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1, "message.timestamp.type", "LogAppendTime")
		before := time.Now().UnixMilli()
		p := r.produce("orders", batch(1000, "a", "b"))
		if p.ErrorCode != 0 || p.LogAppendTime < before || p.LogAppendTime > time.Now().UnixMilli() {
			t.Fatalf("error %d, log append time %d, want now", p.ErrorCode, p.LogAppendTime)
		}
		b, _, err := record.Next(r.fetch("orders", 0).RecordBatches)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Check(); err != nil || !b.Attributes().LogAppendTime() {
			t.Errorf("stored batch: %v, log append time %v", err, b.Attributes().LogAppendTime())
		}
		for rec, err := range b.Records() {
			if err != nil || rec.Timestamp != p.LogAppendTime {
				t.Errorf("timestamp %d, %v, want that of the answer, %d", rec.Timestamp, err, p.LogAppendTime)
			}
		}
	})
}

func TestInitProducerID(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		seen := map[int64]bool{}
		for range 3 {
			r := start(brokertest.FS(fsys))
			for v := int16(0); v <= 5; v++ {
				req := at(v, kmsg.NewPtrInitProducerIDRequest())
				req.ProducerID, req.ProducerEpoch = 3, 4
				resp := do[*kmsg.InitProducerIDResponse](r, req)
				if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 || resp.ProducerID < 0 || seen[resp.ProducerID] {
					t.Errorf("v%d: id %d (seen before: %v), epoch %d, error %d", v, resp.ProducerID, seen[resp.ProducerID], resp.ProducerEpoch, resp.ErrorCode)
				}
				seen[resp.ProducerID] = true
			}
			brokertest.Stop(t, r.b)
		}
	})
}

// Assertions 27, 28, 29, 30 and 31: the last five batches of a producer may be
// repeated, also over a restart or a kill, and none may be left out.
func TestIdempotence(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys))
		r.create("orders", 1)
		want := func(what string, b record.Batch, code int16, offset int64) {
			t.Helper()
			if p := r.produce("orders", b); p.ErrorCode != code || p.BaseOffset != offset {
				t.Errorf("%s: error %d (%s), offset %d, want %d and %d", what, p.ErrorCode, text(p.ErrorMessage), p.BaseOffset, code, offset)
			}
		}
		for i := range int32(6) {
			want(fmt.Sprint("batch ", i), sequenced(1, 0, i*2, 2), 0, int64(i)*2)
		}
		repeats := func() {
			t.Helper()
			for i := int32(1); i < 6; i++ {
				want(fmt.Sprint("repeated batch ", i), sequenced(1, 0, i*2, 2), 0, int64(i)*2)
			}
			want("sixth last", sequenced(1, 0, 0, 2), 45, -1)
			want("gap", sequenced(1, 0, 13, 2), 45, -1)
			if hw := r.fetch("orders", 0).HighWatermark; hw != 12 {
				t.Fatalf("high watermark %d, want 12: nothing was appended", hw)
			}
		}
		repeats()
		brokertest.Stop(t, r.b)
		r = start(brokertest.FS(fsys))
		repeats()
		// A kill, with whatever part of what was not flushed.
		rng := rand.New(rand.NewPCG(30, 30))
		for _, percent := range []int{0, 50, 100} {
			fsys = fsys.CrashClone(percent, rng)
			r = start(brokertest.FS(fsys))
			repeats()
		}

		want("next after the gap", sequenced(1, 0, 12, 2), 0, 12)
		want("new epoch not at 0", sequenced(1, 1, 5, 1), 45, -1)
		want("new epoch", sequenced(1, 1, 0, 1), 0, 14)
		want("old epoch", sequenced(1, 0, 14, 1), 47, -1)
		want("unknown producer may start anywhere", sequenced(2, 0, math.MaxInt32-1, 2), 0, 15)
		want("sequence wraps", sequenced(2, 0, 0, 3), 0, 17)
		want("and goes on", sequenced(2, 0, 3, 1), 0, 20)
	})
}

// How far a timestamp may lie from the broker's time is a setting of the topic, either way.
func TestTimestampLimits(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("free", 1)
		r.create("strict", 1, "message.timestamp.before.max.ms", "86400000", "message.timestamp.after.max.ms", "86400000")
		r.create("stamped", 1, "message.timestamp.before.max.ms", "86400000", "message.timestamp.type", "LogAppendTime")
		hours := func(n int) int64 { return time.Now().Add(time.Duration(n) * time.Hour).UnixMilli() }
		for _, tc := range []struct {
			topic string
			ms    int64
			code  int16
		}{
			{"free", 0, 0},
			{"free", hours(2), 32},
			{"strict", hours(-23), 0},
			{"strict", hours(-25), 32},
			{"strict", hours(23), 0},
			{"strict", hours(25), 32},
			{"stamped", 0, 0}, // its own time counts
		} {
			if p := r.produce(tc.topic, batch(tc.ms, "x")); p.ErrorCode != tc.code {
				t.Errorf("%s at %d: error %d (%s), want %d", tc.topic, tc.ms, p.ErrorCode, text(p.ErrorMessage), tc.code)
			}
		}
	})
}

// A client puts batches for all partitions of a broker into one request, as much as
// Kafka takes by default: franz-go up to 100 MiB. One that is closed on for it sends
// the same again, for ever.
func TestProduceToManyPartitionsAtOnce(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		const partitions = 40
		r := start()
		r.create("wide", partitions, "riffle.flush", "os")
		var w record.Builder
		w.Append(time.Now().UnixMilli(), nil, make([]byte, 1_000_000))
		batches := slices.Repeat([][]byte{w.Finish()}, partitions)
		resp := do[*kmsg.ProduceResponse](r, produceRequest("wide", -1, batches...))
		for _, p := range resp.Topics[0].Partitions {
			if p.ErrorCode != 0 || p.BaseOffset != 0 {
				t.Errorf("partition %d: error %d, offset %d, want 0 and 0", p.Partition, p.ErrorCode, p.BaseOffset)
			}
		}
	})
}
