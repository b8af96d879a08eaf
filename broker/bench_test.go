package broker_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/broker/brokertest"
)

// BenchmarkProduceFetch moves records of 100 bytes through franz-go, our broker and
// franz-go again, and for comparison through kfake, which keeps them in memory.
func BenchmarkProduceFetch(b *testing.B) {
	const records, size = 100_000, 100
	for _, tc := range []struct {
		name  string
		start func(b *testing.B, opts ...kgo.Opt) *kgo.Client
	}{
		{"broker=riffle/transport=memory/flush=each", riffle("each", false)},
		{"broker=riffle/transport=memory/flush=os", riffle("os", false)},
		{"broker=riffle/transport=tcp/flush=each", riffle("each", true)},
		{"broker=riffle/transport=tcp/flush=os", riffle("os", true)},
		{"broker=kfake/transport=tcp", func(b *testing.B, opts ...kgo.Opt) *kgo.Client {
			c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "bench"))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(c.Close)
			cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.ListenAddrs()...))...)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(cl.Close)
			return cl
		}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			cl := tc.start(b,
				kgo.ConsumeTopics("bench"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
				kgo.DefaultProduceTopic("bench"), kgo.ProducerBatchCompression(kgo.NoCompression()))
			value := make([]byte, size)
			ctx := context.Background()
			b.SetBytes(records * size)
			b.ReportAllocs()
			for b.Loop() {
				go func() {
					for range records {
						cl.Produce(ctx, &kgo.Record{Value: value}, nil)
					}
				}()
				for got := 0; got < records; {
					fetches := cl.PollFetches(ctx)
					if err := fetches.Err(); err != nil {
						b.Fatal(err)
					}
					got += fetches.NumRecords()
				}
			}
			b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// riffle starts our broker on disk with a topic of four partitions.
func riffle(flush string, tcp bool) func(b *testing.B, opts ...kgo.Opt) *kgo.Client {
	return func(b *testing.B, opts ...kgo.Opt) *kgo.Client {
		bk := brokertest.Start(b, brokertest.Dir(b.TempDir()), brokertest.TCP())
		_, err := kadm.NewClient(brokertest.Client(b, bk)).CreateTopic(b.Context(), 4, 1, map[string]*string{"riffle.flush": &flush}, "bench")
		if err != nil {
			b.Fatal(err)
		}
		if tcp {
			return tcpClient(b, bk, opts...)
		}
		return brokertest.Client(b, bk, opts...)
	}
}

// BenchmarkProduceLatency is the time of one acknowledged record.
func BenchmarkProduceLatency(b *testing.B) {
	for _, flush := range []string{"each", "os"} {
		for _, tcp := range []bool{false, true} {
			b.Run(fmt.Sprintf("flush=%s/tcp=%t", flush, tcp), func(b *testing.B) {
				cl := riffle(flush, tcp)(b, kgo.DefaultProduceTopic("bench"), kgo.ProducerLinger(0))
				b.ReportAllocs()
				for b.Loop() {
					if err := cl.ProduceSync(context.Background(), &kgo.Record{Value: []byte("v")}).FirstErr(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
