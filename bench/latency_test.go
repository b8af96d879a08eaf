package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkLatency is the time from the moment a record was to be sent until a
// consumer has it, at a share of the rate that the same broker and clients reach at
// most. Records are due at even intervals; one that is sent late, because those
// before it held up the producer, counts from when it was due: the wait of a queue
// is not left out. One operation is a second of it.
func BenchmarkLatency(b *testing.B) {
	for _, flush := range []string{"each", "os"} {
		for _, percent := range []int{10, 80} {
			for _, c := range contenders {
				b.Run(fmt.Sprintf("value=100B/partitions=6/flush=%s/load=%d%%/broker=%s", flush, percent, c.name), func(b *testing.B) {
					opts := c.start(b, setup{partitions: 6, flush: flush, transport: "tcp"})
					p := newPipe(b, opts)
					rate := p.peak(b) * float64(percent) / 100
					var latencies []time.Duration
					for b.Loop() {
						latencies = p.run(b, rate, latencies)
					}
					slices.Sort(latencies)
					for _, q := range []struct {
						name string
						of   float64
					}{{"p50", .5}, {"p99", .99}, {"p99.9", .999}} {
						b.ReportMetric(float64(latencies[int(q.of*float64(len(latencies)-1))].Microseconds()), q.name+"-µs")
					}
					b.ReportMetric(rate, "records/s")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}

// pipe is a producer, a topic and a consumer. The value of a record starts with the
// time at which it was due.
type pipe struct {
	producer, consumer *kgo.Client
	start              time.Time
}

const latencyValueSize = 100

func newPipe(b *testing.B, opts []kgo.Opt) *pipe {
	p := &pipe{
		producer: client(b, opts, kgo.ProducerLinger(0)),
		consumer: client(b, opts, kgo.ConsumeTopics(topic)),
		start:    time.Now(),
	}
	p.send(b, 1, func(int) time.Duration { return 0 }) // connections and metadata
	p.receive(b, 1, nil)
	return p
}

func (p *pipe) send(b *testing.B, n int, due func(i int) time.Duration) {
	b.Helper()
	failed := func(_ *kgo.Record, err error) {
		if err != nil {
			b.Error(err)
		}
	}
	for i := range n {
		at := due(i)
		for wait := at - time.Since(p.start); wait > 0; wait = at - time.Since(p.start) {
			<-time.After(wait) // nothing is due; the next few may come together
		}
		value := binary.BigEndian.AppendUint64(make([]byte, 0, latencyValueSize), uint64(at))
		p.producer.Produce(context.Background(), &kgo.Record{Value: value[:latencyValueSize]}, failed)
	}
}

// receive takes n records and appends how old they are.
func (p *pipe) receive(b *testing.B, n int, latencies []time.Duration) []time.Duration {
	b.Helper()
	for n > 0 {
		fetches := p.consumer.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			b.Fatal(err)
		}
		now := time.Since(p.start)
		fetches.EachRecord(func(r *kgo.Record) {
			latencies = append(latencies, now-time.Duration(binary.BigEndian.Uint64(r.Value)))
			n--
		})
	}
	return latencies
}

// peak is how many records a second go through when none waits for its time.
func (p *pipe) peak(b *testing.B) float64 {
	b.Helper()
	const records = 500_000
	began := time.Now()
	go p.send(b, records, func(int) time.Duration { return 0 })
	p.receive(b, records, nil)
	return records / time.Since(began).Seconds()
}

// run sends a second's records at a rate.
func (p *pipe) run(b *testing.B, rate float64, latencies []time.Duration) []time.Duration {
	b.Helper()
	n, from := int(rate), time.Since(p.start)
	go p.send(b, n, func(i int) time.Duration { return from + time.Duration(float64(i)/rate*float64(time.Second)) })
	return p.receive(b, n, latencies)
}
