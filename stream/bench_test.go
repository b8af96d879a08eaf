package stream

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/serde"
)

const benchRecords = 200_000

// benchInput is a topic with records of 100 bytes over 10,000 keys, in an embedded broker.
func benchInput(b *testing.B, partitions, records int) *Cluster {
	b.Helper()
	c := openCluster(b, Embedded(b.TempDir()))
	createTopics(b, c, partitions, "lines")
	w, err := NewWriter(b.Context(), c, lines, WriterConfig{})
	if err != nil {
		b.Fatal(err)
	}
	value := strings.Repeat("x", 100)
	for i := range records {
		r := Record[string, string]{Key: fmt.Sprintf("key-%d", i%10_000), Value: value, Time: time.UnixMilli(int64(1000 + i))}
		if err := w.Write(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return c
}

// benchTopologies are what the benchmarks run, each time as another application.
var benchTopologies = map[string]func(b *testing.B, app string) *Topology{
	"pass": func(b *testing.B, app string) *Topology {
		builder := NewBuilder(app)
		in := NewTopic("lines", serde.Bytes, serde.Bytes)
		builder.From(in).To(NewTopic(app+"-out", serde.Bytes, serde.Bytes))
		return build(b, builder)
	},
	"count": func(b *testing.B, app string) *Topology {
		builder := NewBuilder(app)
		builder.From(lines).Process("count", count, seenStore).To(NewTopic(app+"-out", serde.String, serde.Int64))
		return build(b, builder)
	},
}

// benchRun processes the input once per iteration, each time as another application.
func benchRun(b *testing.B, c *Cluster, topology func(app string) *Topology) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	for b.Loop() {
		n++
		t := topology(fmt.Sprintf("bench-%d", n))
		if stats := runToEnd(b, t, c, Config{}); stats.Processed != benchRecords {
			b.Fatalf("processed %d records, want %d", stats.Processed, benchRecords)
		}
	}
	runtime.ReadMemStats(&after)
	records := float64(n) * benchRecords
	b.ReportMetric(records/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/records, "allocs/record")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/records, "B/record")
}

func BenchmarkApp(b *testing.B) {
	for _, partitions := range []int{1, 6} {
		for _, name := range []string{"pass", "count"} {
			b.Run(fmt.Sprintf("topology=%s/partitions=%d", name, partitions), func(b *testing.B) {
				c := benchInput(b, partitions, benchRecords)
				benchRun(b, c, func(app string) *Topology { return benchTopologies[name](b, app) })
			})
		}
	}
}

// BenchmarkGuarantees runs the same work with both guarantees in turn, and reports the medians of the ratios: of their
// speeds, and of the CPU time of the process, which other load on the machine disturbs less.
func BenchmarkGuarantees(b *testing.B) {
	for _, partitions := range []int{1, 6} {
		for _, name := range []string{"pass", "count"} {
			b.Run(fmt.Sprintf("topology=%s/partitions=%d", name, partitions), func(b *testing.B) {
				const inputs = 5 * benchRecords
				c := benchInput(b, partitions, inputs)
				var ratios, cpuRatios []float64
				took := make(map[Guarantee]time.Duration)
				for b.Loop() {
					round, cpu := make(map[Guarantee]time.Duration), make(map[Guarantee]time.Duration)
					for _, g := range []Guarantee{AtLeastOnce, ExactlyOnce} {
						t := benchTopologies[name](b, fmt.Sprintf("bench-%d-%d", len(ratios), g))
						start, cpuStart := time.Now(), cpuTime(b)
						runToEnd(b, t, c, Config{Guarantee: g})
						round[g], cpu[g] = time.Since(start), cpuTime(b)-cpuStart
						took[g] += round[g]
					}
					ratios = append(ratios, round[AtLeastOnce].Seconds()/round[ExactlyOnce].Seconds())
					cpuRatios = append(cpuRatios, cpu[AtLeastOnce].Seconds()/cpu[ExactlyOnce].Seconds())
				}
				slices.Sort(ratios)
				slices.Sort(cpuRatios)
				records := float64(len(ratios)) * inputs
				b.ReportMetric(records/took[ExactlyOnce].Seconds(), "exactly-once-records/s")
				b.ReportMetric(records/took[AtLeastOnce].Seconds(), "at-least-once-records/s")
				b.ReportMetric(ratios[len(ratios)/2], "ratio")
				b.ReportMetric(cpuRatios[len(ratios)/2], "cpu-ratio")
			})
		}
	}
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLatency writes records at a steady rate and takes the time of each from when it was due to when its output,
// counted by key, has come to a reader of committed records.
func BenchmarkLatency(b *testing.B) {
	for _, rate := range []int{1_000, 10_000, 50_000} {
		for name, g := range map[string]Guarantee{"exactly-once": ExactlyOnce, "at-least-once": AtLeastOnce} {
			b.Run(fmt.Sprintf("guarantee=%s/rate=%d", name, rate), func(b *testing.B) {
				var all []time.Duration
				for b.Loop() {
					all = append(all, benchLatency(b, g, rate)...)
				}
				slices.Sort(all)
				for _, q := range []float64{0.5, 0.99, 0.999} {
					at := all[int(q*float64(len(all)-1))]
					b.ReportMetric(float64(at.Microseconds())/1000, fmt.Sprintf("p%v-ms", q*100))
				}
			})
		}
	}
}

// benchLatency lets an application run for two seconds at a rate, the first half of which does not count.
func benchLatency(b *testing.B, g Guarantee, rate int) []time.Duration {
	b.Helper()
	const app = "latency"
	c := openCluster(b, Embedded(b.TempDir()))
	createTopics(b, c, 1, "lines")
	_, stop := background(b, benchTopologies["count"](b, app), c, Config{Guarantee: g})
	conn := c.conn()
	reader, err := kgo.NewClient(kgo.SeedBrokers(conn.Seeds...), kgo.Dialer(conn.Dial), kgo.ConsumeTopics(app+"-out"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(10*time.Millisecond), kgo.UnknownTopicRetries(-1))
	if err != nil {
		b.Fatal(err)
	}
	defer reader.Close()
	w, err := NewWriter(b.Context(), c, lines, WriterConfig{Linger: time.Microsecond})
	if err != nil {
		b.Fatal(err)
	}
	value := strings.Repeat("x", 100)
	writeAt := func(at time.Time, key int) {
		r := Record[string, string]{Key: fmt.Sprintf("key-%d", key%1000), Value: value, Time: at}
		if err := w.Write(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
	// The time of a record is when it is due, and so is that of its output.
	const length = 2 * time.Second
	total := int(length.Seconds() * float64(rate))
	begun := make(chan struct{})
	go func() {
		<-begun
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		start := time.Now()
		for n := 0; n < total; {
			now := <-tick.C
			for due := int(now.Sub(start).Seconds() * float64(rate)); n < min(due, total); n++ {
				writeAt(start.Add(time.Duration(n)*time.Second/time.Duration(rate)), n)
			}
		}
	}()
	writeAt(time.Now(), 0) // until its output comes, everything starts up
	var latencies []time.Duration
	for n := 0; n <= total; {
		fetches := reader.PollFetches(b.Context())
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			if n == 0 {
				close(begun)
			}
			if n++; n > total/2 {
				latencies = append(latencies, now.Sub(r.Timestamp))
			}
		})
	}
	if err := errors.Join(w.Close(), stop()); err != nil {
		b.Fatal(err)
	}
	return latencies
}
