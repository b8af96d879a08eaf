package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/stream"
)

// plant is a broker in this process with the topics of a workload. Whatever belongs to a contender is named after it.
type plant struct {
	workload
	partitions int
	dir        string
	cluster    *stream.Cluster
	admin      *kadm.Client
	producer   *kgo.Client
	events     int // that each of the input topics has
}

// base is where plants lie: RIFFLE_BENCH_DIR, or a directory for this process.
var base string

func TestMain(m *testing.M) {
	if runChild() {
		return
	}
	os.Exit(runBenchmarks(m))
}

func runBenchmarks(m *testing.M) int {
	base = os.Getenv("RIFFLE_BENCH_DIR")
	if base == "" {
		dir, err := os.MkdirTemp("", "riffle-bench-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		base = dir
	}
	return m.Run()
}

// dir is where the plant of a workload lies.
func (w workload) dir(partitions int) string {
	kind := "uniform"
	if w.input.zipf {
		kind = "zipf"
	}
	return filepath.Join(base, fmt.Sprintf("%s-%d-%s-%d", w.name, w.input.keys, kind, partitions))
}

// openPlant opens the plant of a workload, or makes it. It stays on disk.
func openPlant(b *testing.B, w workload, partitions int) *plant {
	b.Helper()
	p := &plant{workload: w, partitions: partitions, dir: w.dir(partitions)}
	p.cluster = stream.Embedded(p.dir)
	check(b, p.cluster.Open(b.Context()))
	b.Cleanup(func() { check(b, p.cluster.Close()) })
	p.producer = p.client(b, kgo.ProducerBatchCompression(kgo.NoCompression()))
	p.admin = kadm.NewClient(p.client(b))
	p.createTopics(b, w.topicNames()...)
	ends, err := p.admin.ListEndOffsets(b.Context(), w.topicNames()...)
	check(b, errors.Join(err, ends.Error()))
	ends.Each(func(o kadm.ListedOffset) { p.events += int(o.Offset) })
	p.events /= w.topics
	return p
}

func check(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// options are what a franz-go client needs to reach the broker.
func (p *plant) options() []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers("in-this-process:9092"), // any name: Dial knows one broker
		kgo.Dialer(p.cluster.Dial),
		kgo.AlwaysRetryEOF(),
	}
}

func (p *plant) client(b *testing.B, opts ...kgo.Opt) *kgo.Client {
	b.Helper()
	cl, err := kgo.NewClient(append(p.options(), opts...)...)
	check(b, err)
	b.Cleanup(cl.Close)
	return cl
}

// ensure makes the input topics have so many records in sum.
func (p *plant) ensure(b *testing.B, records int) {
	b.Helper()
	const chunk = 100_000 // records that are in memory at once
	for wanted := (records + p.topics - 1) / p.topics; p.events < wanted; {
		n := min(chunk, wanted-p.events)
		fill := p.input.fill
		if p.events < p.preload {
			fill, n = p.input.each, min(n, p.preload-p.events)
		}
		fill(p.events, n, func(e event) { p.append(b, e) })
		check(b, p.producer.Flush(b.Context()))
		p.events += n
	}
}

func (p *plant) append(b *testing.B, e event) {
	for _, topic := range p.topicNames() {
		r := &kgo.Record{Topic: topic, Key: e.key, Value: e.value, Timestamp: timeOf(e)}
		p.producer.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
}

// createTopics makes the topics that are missing. Their records stay, although their event times are long ago.
func (p *plant) createTopics(b *testing.B, names ...string) {
	b.Helper()
	forever := "-1"
	made, err := p.admin.CreateTopics(b.Context(), int32(p.partitions), 1, map[string]*string{"retention.ms": &forever}, names...)
	check(b, err)
	for _, topic := range made {
		if !errors.Is(topic.Err, kerr.TopicAlreadyExists) {
			check(b, topic.Err)
		}
	}
}

// output makes the output topic of a contender.
func (p *plant) output(b *testing.B, group string) string {
	b.Helper()
	topic := group + "-out"
	p.createTopics(b, topic)
	return topic
}

// committed is the number of records that a group is done with.
func (p *plant) committed(b *testing.B, group string) (n int64) {
	b.Helper()
	offsets, err := p.admin.FetchOffsets(b.Context(), group)
	check(b, errors.Join(err, offsets.Error()))
	offsets.KeepFunc(func(o kadm.OffsetResponse) bool { return o.At > 0 })
	offsets.Each(func(o kadm.OffsetResponse) { n += o.At })
	return n
}

// skip commits the ends of the input topics for a group that is not at work.
func (p *plant) skip(b *testing.B, group string) {
	b.Helper()
	ends, err := p.admin.ListEndOffsets(b.Context(), p.topicNames()...)
	check(b, errors.Join(err, ends.Error()))
	check(b, p.admin.CommitAllOffsets(b.Context(), group, ends.Offsets()))
}
