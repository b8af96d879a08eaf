package peers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkLatency is the time from when a record was due to be appended to the input until a reader of committed records has
// its output, at a share of the rate that the same contender, producer and reader reach at most. A record that is sent late
// counts from when it was due.
func BenchmarkLatency(b *testing.B) {
	engines := []string{"riffle", "riffle-alo", "kgo", "kgo-alo"}
	for _, w := range []workload{
		{name: "pass", topology: passThrough, plain: plainPass},
		{name: "count", topology: tally, plain: plainTally},
	} {
		w.input, w.topics = input{keys: 100_000, stepMillis: 1}, 1
		b.Run(fmt.Sprintf("work=%s/keys=100k/partitions=6", w.name), func(b *testing.B) {
			b.Cleanup(func() { _ = os.RemoveAll(w.dir(6)) })
			p := openPlant(b, w, 6)
			// A record is appended when it is due: franz-go would let it wait 10 ms for others.
			p.producer = p.client(b, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0))
			peaks := make(map[string]float64)
			for _, percent := range []int{10, 80} {
				for _, engine := range engines {
					b.Run(fmt.Sprintf("load=%d%%/engine=%s", percent, engine), func(b *testing.B) {
						measureLatency(b, newPipe(b, p, engine), func(peak float64) float64 {
							peaks[engine] = max(peaks[engine], peak)
							return peaks[engine] * float64(percent) / 100
						})
					})
				}
			}
		})
	}
}

// pipe is a producer, a contender at work, and a reader of its output.
type pipe struct {
	*plant
	contender contender
	reader    *kgo.Client
	start     time.Time
}

// newPipe starts a contender that has nothing to do yet.
func newPipe(b *testing.B, p *plant, engine string) *pipe {
	b.Helper()
	c := newContender(p, engine)
	group := engine
	if r, ok := c.(*riffle); ok {
		group = r.group
	}
	p.skip(b, group)
	out := p.output(b, group)
	ends, err := p.admin.ListEndOffsets(b.Context(), out)
	check(b, errors.Join(err, ends.Error()))
	from := make(map[int32]kgo.Offset)
	ends.Each(func(o kadm.ListedOffset) { from[o.Partition] = kgo.NewOffset().At(o.Offset) })
	reader := p.client(b, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{out: from}))
	c.start(b)
	return &pipe{p, c, reader, time.Now()}
}

func measureLatency(b *testing.B, p *pipe, rateOf func(peak float64) float64) {
	const (
		burst  = 200_000
		length = 2 * time.Second // of which the first third does not count
	)
	p.flow(b, 100, 1e9) // connections, metadata, and the group
	began := time.Now()
	p.flow(b, burst, 1e9)
	rate := rateOf(burst / time.Since(began).Seconds())
	latencies := p.flow(b, int(rate*length.Seconds()), rate)
	latencies = latencies[len(latencies)/3:]
	slices.Sort(latencies)
	for _, q := range []struct {
		unit string
		of   float64
	}{{"p50-ms", .5}, {"p99-ms", .99}, {"p99.9-ms", .999}} {
		b.ReportMetric(float64(latencies[int(q.of*float64(len(latencies)-1))].Microseconds())/1000, q.unit)
	}
	b.ReportMetric(rate, "offered/s")
	b.ReportMetric(0, "ns/op")
	p.contender.stop(b)
}

// flow sends n records at a rate and returns how old their outputs were when they were read.
func (p *pipe) flow(b *testing.B, n int, rate float64) []time.Duration {
	b.Helper()
	from := time.Since(p.start)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		tick := time.NewTicker(time.Millisecond / 2)
		defer tick.Stop()
		p.input.fill(p.events, n, func(e event) {
			due := from + time.Duration(float64(int(e.millis-firstMillis)-p.events)/rate*float64(time.Second))
			for time.Since(p.start) < due {
				<-tick.C
			}
			binary.BigEndian.PutUint64(e.value[idSize:], uint64(due))
			p.append(b, e)
		})
	}()
	latencies := make([]time.Duration, 0, n)
	for len(latencies) < n {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		fetches := p.reader.PollFetches(ctx)
		cancel()
		check(b, errors.Join(fetches.Err0(), p.contender.failed()))
		now := time.Since(p.start)
		fetches.EachRecord(func(r *kgo.Record) {
			latencies = append(latencies, now-time.Duration(binary.BigEndian.Uint64(r.Value[idSize:])))
		})
	}
	<-sent
	p.events += n
	return latencies
}
