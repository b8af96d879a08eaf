package broker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// clients returns a client of b for each transport.
func clients(t *testing.T, b *broker.Broker, opts ...kgo.Opt) map[string]*kgo.Client {
	return map[string]*kgo.Client{
		"memory": brokertest.Client(t, b, opts...),
		"tcp":    tcpClient(t, b, opts...),
	}
}

func tcpClient(t testing.TB, b *broker.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// consume reads n records of a topic from its beginning.
func consume(t testing.TB, b *broker.Broker, topic string, n int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cl := brokertest.Client(t, b, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var records []*kgo.Record
	for len(records) < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(records), n, err)
		}
		records = append(records, fetches.Records()...)
	}
	cl.Close()
	return records
}

// A foreign client's records come back as they were, and lie in the log compressed
// as the client compressed them: a client that believes it must not compress shows
// here and nowhere else.
func TestCodecs(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.TCP())
	for codec, compression := range map[record.Codec]kgo.CompressionCodec{
		record.None:   kgo.NoCompression(),
		record.Gzip:   kgo.GzipCompression(),
		record.Snappy: kgo.SnappyCompression(),
		record.LZ4:    kgo.Lz4Compression(),
		record.Zstd:   kgo.ZstdCompression(),
	} {
		for transport, cl := range clients(t, b, kgo.ProducerBatchCompression(compression)) {
			topic := fmt.Sprintf("%s-%s", codec, transport)
			if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
				t.Fatal(err)
			}
			const n = 1000
			var records []*kgo.Record
			for i := range n {
				records = append(records, &kgo.Record{
					Topic: topic, Key: fmt.Append(nil, "key", i%7), Value: fmt.Append(nil, "the same value over and over, number ", i),
					Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{1, 2}}, {Key: "null"}},
				})
			}
			if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
				t.Fatalf("%s: %v", topic, err)
			}
			for i, got := range consume(t, b, topic, n) {
				want := records[i]
				if got.Offset != int64(i) || string(got.Key) != string(want.Key) || string(got.Value) != string(want.Value) ||
					len(got.Headers) != 2 || got.Headers[1].Value != nil || got.Timestamp.UnixMilli() != want.Timestamp.UnixMilli() {
					t.Fatalf("%s: record %d is %+v, want %+v", topic, i, got, want)
				}
			}
			stored := dial(t, b, transport).fetch(topic, 0).RecordBatches
			first, _, err := record.Next(stored)
			if err != nil || first.Attributes().Codec() != codec {
				t.Errorf("%s: the stored batch has codec %s, %v, want %s", topic, first.Attributes().Codec(), err, codec)
			}
		}
	}
}

// Topics, records, their offsets and the sequence numbers of producers outlive the
// broker, as does what a client holds: the same client goes on.
func TestRestartKeepsAll(t *testing.T) {
	t.Parallel()
	for _, flush := range []string{"each", "os"} {
		t.Run("flush="+flush, func(t *testing.T) {
			t.Parallel()
			fsys := vfs.NewMem()
			const rounds, each = 3, 100
			for round := range rounds {
				b := brokertest.Start(t, brokertest.FS(fsys))
				cl := brokertest.Client(t, b)
				if round == 0 {
					if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 3, 1, map[string]*string{"riffle.flush": &flush}, "orders"); err != nil {
						t.Fatal(err)
					}
				}
				for i := range each {
					r := &kgo.Record{Topic: "orders", Key: fmt.Append(nil, i), Value: fmt.Append(nil, round, i)}
					if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				cl.Close()
				want := (round + 1) * each
				got := map[string]bool{}
				for _, r := range consume(t, b, "orders", want) {
					got[string(r.Value)] = true
				}
				if len(got) != want {
					t.Errorf("after round %d: %d different records, want %d", round, len(got), want)
				}
				brokertest.Stop(t, b)
			}
		})
	}
}
