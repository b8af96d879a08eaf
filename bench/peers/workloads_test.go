package peers

import (
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/window"
)

// workload is one thing to do, in the ways of the contenders.
type workload struct {
	name   string
	detail string // for the name of the benchmark, as "/key=value" of what else tells it from others
	input  input
	topics int // that the same records are in
	// partitions are the numbers of them that the input topics have in turn.
	partitions []int
	// records is what a fast contender takes in one run, and preload what its state has seen before the first.
	records, preload int

	topology func(b *stream.Builder, in []source, out string)
	plain    func() step // with its state in Go maps
	goka     storedStep  // nil if goka is not among the contenders
	engines  []string    // in the order of their runs, riffle first
}

type source = stream.Topic[string, []byte]

// sourceTopics are the inputs of a workload as the engine sees them.
func (w workload) sourceTopics() []source {
	topics := make([]source, w.topics)
	for i, name := range w.topicNames() {
		topics[i] = stream.NewTopic(name, serde.String, serde.Bytes)
	}
	return topics
}

func (w workload) topicNames() []string {
	names := make([]string, w.topics)
	for i := range names {
		names[i] = fmt.Sprintf("in-%d", i)
	}
	return names
}

var (
	everyEngine = []string{"riffle", "riffle-alo", "kgo", "kgo-alo", "goka", "jetstream"}
	mapEngines  = []string{"riffle", "riffle-alo", "kgo"}
)

// workloads returns all of them.
func workloads() []workload {
	const million = 1_000_000
	pass := workload{
		name: "pass", topics: 1, partitions: []int{1, 6, 100}, records: 2_400_000,
		input:    input{keys: 100_000, stepMillis: 1},
		topology: passThrough, plain: plainPass, goka: storedPass, engines: everyEngine,
	}
	count := workload{
		name: "count", detail: "/keys=100k/dist=uniform", topics: 1, partitions: []int{1, 6, 100}, records: 1_600_000,
		input:    input{keys: 100_000, stepMillis: 1},
		topology: countByKey, plain: plainCount, goka: storedCount, engines: everyEngine,
	}
	zipf := count
	zipf.detail, zipf.input.zipf, zipf.engines = "/keys=100k/dist=zipf", true, mapEngines
	zipf.partitions = []int{1, 6}
	many := count
	many.partitions = []int{6}
	many.detail, many.input.keys, many.preload, many.records, many.engines = "/keys=5M/dist=uniform", 5*million, 5*million, 800_000, mapEngines
	tumbling := workload{
		name: "tumbling", detail: "/keys=10k/window=1m", topics: 1, partitions: []int{6}, records: 1_000_000,
		input:    input{keys: 10_000, stepMillis: 1},
		topology: tumblingCount, plain: plainTumbling, goka: storedTumbling, engines: append(mapEngines, "goka"),
	}
	// At 10 ms from one record to the next, an hour has 36 records of a key.
	sliding := workload{
		name: "sliding", detail: "/keys=10k/windows=6", topics: 1, partitions: []int{6}, records: 360_000, preload: 400_000,
		input:    input{keys: 10_000, stepMillis: 10},
		topology: slidingFeatures, plain: plainSliding, goka: storedCount, engines: append(mapEngines, "goka-count"),
	}
	join := workload{
		name: "join", detail: "/keys=100k/within=10s", topics: 2, partitions: []int{6}, records: 400_000,
		input:    input{keys: 100_000, stepMillis: 1},
		topology: joinStreams, plain: plainJoin, engines: mapEngines,
	}
	// At 8 ms from one record to the next, 9.7 million ids are younger than 24 hours.
	dedup := workload{
		name: "dedup", detail: "/ids=10M/ttl=24h", topics: 1, partitions: []int{6}, records: 1_000_000, preload: 10*million + million/2,
		input:    input{keys: 100_000, stepMillis: 8, duplicates: 10},
		topology: dedupByID, plain: plainDedup, engines: append(mapEngines, "kgo-badger"),
	}
	return []workload{pass, count, zipf, many, tumbling, sliding, join, dedup}
}

// Topologies

func passThrough(b *stream.Builder, in []source, out string) {
	b.From(in[0]).To(stream.NewTopic(out, serde.String, serde.Bytes))
}

func countByKey(b *stream.Builder, in []source, out string) {
	counts := state.NewTableStore("counts", serde.String, serde.Int64)
	b.From(in[0]).Count(counts).Stream().To(stream.NewTopic(out, serde.String, serde.Int64))
}

// tally counts by key and passes the record on.
func tally(b *stream.Builder, in []source, out string) {
	counts := state.NewKeyValueStore("counts", serde.String, serde.Int64)
	b.From(in[0]).
		Process("tally", func(c *stream.Context[string, []byte], r stream.Record[string, []byte]) error {
			seen := counts.In(c)
			n, _, err := seen.Get(r.Key)
			if err != nil {
				return err
			}
			if err := seen.Put(r.Key, n+1); err != nil {
				return err
			}
			return c.Forward(r.Key, r.Value)
		}, counts).
		To(stream.NewTopic(out, serde.String, serde.Bytes))
}

func tumblingCount(b *stream.Builder, in []source, out string) {
	counts := state.NewWindowStore("counts", serde.String, serde.Int64).Retention(2 * tumblingSize)
	b.From(in[0]).
		Window(window.Tumbling(tumblingSize).Grace(0)).
		Count(counts).
		Stream().
		To(stream.NewTopic(out, window.KeySerde(serde.String), serde.Int64))
}

func slidingFeatures(b *stream.Builder, in []source, out string) {
	var cfg processors.SlidingConfig
	for _, width := range slidingWidths {
		cfg.Windows = append(cfg.Windows, processors.SlidingWindow{Width: width})
	}
	seen := processors.NewSlidingStore("seen", serde.String, cfg)
	observe := func(value []byte) processors.Observation { return processors.Observation{Amount: amountOf(value)} }
	b.From(in[0]).
		Process("windows", processors.Sliding(observe, seen), seen).
		Map(func(a processors.Aggregated[[]byte]) []byte {
			features := make([]byte, 0, featureBytes)
			for _, w := range a.Windows {
				features = appendFeatures(features, w.Count, w.Sum, w.Min, w.Max)
			}
			return features
		}).
		To(stream.NewTopic(out, serde.String, serde.Bytes))
}

func joinStreams(b *stream.Builder, in []source, out string) {
	both := state.NewJoinStore("both", serde.String, serde.Bytes, serde.Bytes)
	b.From(in[0]).
		JoinStream(b.From(in[1]), window.Within(joinWithin).Grace(0), both, func(l, _ []byte) []byte { return l }).
		To(stream.NewTopic(out, serde.String, serde.Bytes))
}

func dedupByID(b *stream.Builder, in []source, out string) {
	seen := processors.NewDedupStore("seen", serde.String).TTL(dedupTTL)
	b.From(in[0]).
		Process("once", processors.Dedup(func(value []byte) string { return string(idOf(value)) }, seen), seen).
		To(stream.NewTopic(out, serde.String, serde.Bytes))
}

const (
	tumblingSize = time.Minute
	joinWithin   = 10 * time.Second
	dedupTTL     = 24 * time.Hour
)

var slidingWidths = []time.Duration{
	time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour,
}
