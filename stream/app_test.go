package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eachBroker runs a test on the broker of this process and on another implementation of the protocol: the same
// topology, only the address differs.
func eachBroker(t *testing.T, test func(t *testing.T, c *Cluster)) {
	t.Run("broker=embedded", func(t *testing.T) {
		t.Parallel()
		test(t, openCluster(t, Embedded(t.TempDir())))
	})
	t.Run("broker=kfake", func(t *testing.T) {
		t.Parallel()
		test(t, startFake(t))
	})
}

func openCluster(t testing.TB, c *Cluster) *Cluster {
	t.Helper()
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close the cluster: %v", err)
		}
	})
	return c
}

func startFake(t testing.TB) *Cluster {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return Kafka(fake.ListenAddrs()...)
}

var (
	lines  = NewTopic("lines", serde.String, serde.String)
	shouts = NewTopic("shouts", serde.String, serde.String)
	counts = NewTopic("counts", serde.String, serde.Int64)

	seenStore = state.NewKeyValueStore("seen", serde.String, serde.Int64)
)

// build returns the topology or ends the test.
func build(t testing.TB, b *Builder) *Topology {
	t.Helper()
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

// shout passes every line on in upper case.
func shout(t testing.TB) *Topology {
	b := NewBuilder("shout")
	b.From(lines).Map(strings.ToUpper).To(shouts)
	return build(t, b)
}

// count counts the records of each key and sends each new count.
func count(c *Context[string, int64], r Record[string, string]) error {
	seen := seenStore.In(c)
	n, _, err := seen.Get(r.Key)
	if err != nil {
		return err
	}
	if err := seen.Put(r.Key, n+1); err != nil {
		return err
	}
	return c.Forward(r.Key, n+1)
}

func counting(t testing.TB) *Topology {
	b := NewBuilder("counting")
	b.From(lines).Process("count", count, seenStore).To(counts)
	return build(t, b)
}

// quiet is a configuration for tests.
func quiet(cfg Config) Config {
	cfg.Logger = slog.New(slog.DiscardHandler)
	if cfg.Backend == nil && cfg.StateDir == "" {
		cfg.Backend = state.NewMemory()
	}
	return cfg
}

// runToEnd processes what the inputs hold.
func runToEnd(t testing.TB, topology *Topology, c *Cluster, cfg Config) Stats {
	t.Helper()
	return runWithin(t, topology, c, cfg, time.Minute)
}

// runWithin is runToEnd for much input.
func runWithin(t testing.TB, topology *Topology, c *Cluster, cfg Config, limit time.Duration) Stats {
	t.Helper()
	cfg.StopAtEnd = true
	app, err := NewApp(topology, c, quiet(cfg))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := app.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("the run did not reach the end of its inputs within %v: %+v", limit, app.Stats())
	}
	return app.Stats()
}

// write writes records and waits until they are acknowledged.
func write[K, V any](t testing.TB, c *Cluster, topic Topic[K, V], records ...Record[K, V]) {
	t.Helper()
	w, err := NewWriter(t.Context(), c, topic, WriterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Write(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// read returns what a topic holds.
func read[K, V any](t testing.TB, c *Cluster, topic Topic[K, V]) []Record[K, V] {
	t.Helper()
	var records []Record[K, V]
	for r, err := range c.Read(t.Context(), topic) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// byKey collects the values of each key, in the order of the topic.
func byKey[K comparable, V any](records []Record[K, V]) map[K][]V {
	values := make(map[K][]V)
	for _, r := range records {
		values[r.Key] = append(values[r.Key], r.Value)
	}
	return values
}

func createTopics(t testing.TB, c *Cluster, partitions int, names ...string) {
	t.Helper()
	if err := c.CreateTopics(t.Context(), partitions, names...); err != nil {
		t.Fatal(err)
	}
}

// someLines returns n records over the given number of keys, a millisecond apart.
func someLines(n, keys int) []Record[string, string] {
	records := make([]Record[string, string], n)
	for i := range records {
		records[i] = Record[string, string]{
			Key: fmt.Sprintf("key-%d", i%keys), Value: fmt.Sprintf("line %d", i), Time: time.UnixMilli(int64(1000 + i)),
		}
	}
	return records
}

func TestPassThrough(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 4, "lines")
		in := someLines(3000, 17)
		in[5].Headers = []Header{{"h", []byte("1")}, {"null", nil}}
		write(t, c, lines, in...)
		stats := runToEnd(t, shout(t), c, Config{})

		out := read(t, c, shouts)
		want := make(map[string][]string)
		for _, r := range in {
			want[r.Key] = append(want[r.Key], strings.ToUpper(r.Value))
		}
		if diff := cmp.Diff(want, byKey(out)); diff != "" {
			t.Errorf("outputs by key (-want +got):\n%s", diff)
		}
		if stats.Processed != 3000 || stats.Lag != 0 || stats.Commits == 0 {
			t.Errorf("stats are %+v, want 3000 processed, no lag, some commits", stats)
		}
		i := slices.IndexFunc(out, func(r Record[string, string]) bool { return r.Value == "LINE 5" })
		if diff := cmp.Diff(in[5].Headers, out[i].Headers); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
		if !out[i].Time.Equal(in[5].Time) {
			t.Errorf("time is %v, want that of the input, %v", out[i].Time, in[5].Time)
		}
	})
}

func TestRestartGoesOn(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 3, "lines")
		backend := state.NewMemory()
		want := make(map[string][]int64)
		for round := range 3 {
			write(t, c, lines, someLines(500, 7)...)
			for _, r := range someLines(500, 7) {
				want[r.Key] = append(want[r.Key], int64(len(want[r.Key]))+1)
			}
			cfg := Config{Backend: backend}
			if round == 2 {
				cfg.Backend = nil // an instance on another machine: everything comes from the changelog
			}
			stats := runToEnd(t, counting(t), c, cfg)
			if stats.Processed != 500 {
				t.Errorf("run %d processed %d records, want the 500 new ones", round, stats.Processed)
			}
			if diff := cmp.Diff(want, byKey(read(t, c, counts))); diff != "" {
				t.Fatalf("counts after run %d (-want +got):\n%s", round, diff)
			}
		}
	})
}

func TestRekeyRepartitions(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 3, "lines")
		b := NewBuilder("by-length")
		b.From(lines).
			Rekey("length", serde.String, serde.String, func(_, v string) string { return fmt.Sprint(len(v)) }).
			Process("count", count, seenStore).
			To(counts)
		write(t, c, lines, someLines(1200, 11)...)
		stats := runToEnd(t, build(t, b), c, Config{})
		if stats.Processed != 2400 {
			t.Errorf("processed %d records, want 1200 twice: before and after the repartition topic", stats.Processed)
		}
		want := make(map[string][]int64)
		for _, r := range someLines(1200, 11) {
			key := fmt.Sprint(len(r.Value))
			want[key] = append(want[key], int64(len(want[key]))+1)
		}
		if diff := cmp.Diff(want, byKey(read(t, c, counts))); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, "lines")
		b := NewBuilder("picky")
		b.From(lines).TryMap(func(v string) (string, error) {
			switch {
			case strings.HasSuffix(v, "7"):
				return "", errors.New("sevens are bad")
			case strings.HasSuffix(v, "8"):
				panic("eights are worse")
			}
			return v, nil
		}).To(shouts)
		in := someLines(100, 5)
		in[7].Headers = []Header{{"mine", []byte("x")}, {HeaderCause, []byte("an earlier failure")}}
		write(t, c, lines, in...)
		stats := runToEnd(t, build(t, b), c, Config{})
		if stats.DeadLetters != 20 || stats.Processed != 100 {
			t.Errorf("stats are %+v, want 100 processed of which 20 dead letters", stats)
		}
		if n := len(read(t, c, shouts)); n != 80 {
			t.Errorf("%d outputs, want 80", n)
		}
		dead := read(t, c, NewTopic("picky-dead-letters", serde.String, serde.String))
		if len(dead) != 20 {
			t.Fatalf("%d dead letters, want 20", len(dead))
		}
		origin := make(map[string]Record[string, string])
		for _, r := range read(t, c, lines) {
			origin[r.Value] = r
		}
		for _, r := range dead {
			from := origin[r.Value]
			headers := make(map[string]string)
			for _, h := range r.Headers {
				headers[h.Key] += string(h.Value)
			}
			want := map[string]string{
				HeaderCause: "sevens are bad", HeaderNode: "lines-map-1", HeaderStage: "processing",
				HeaderTopic: "lines", HeaderPartition: fmt.Sprint(from.Partition), HeaderOffset: fmt.Sprint(from.Offset),
			}
			if strings.HasSuffix(r.Value, "8") {
				want[HeaderCause] = "panic: eights are worse"
			}
			if r.Value == "line 7" {
				want["mine"] = "x"
			}
			delete(headers, "")
			if diff := cmp.Diff(want, headers); diff != "" {
				t.Errorf("headers of %q (-want +got):\n%s", r.Value, diff)
			}
			if r.Key != from.Key || !r.Time.Equal(from.Time) {
				t.Errorf("dead letter %q has key %q and time %v, want %q and %v", r.Value, r.Key, r.Time, from.Key, from.Time)
			}
		}
	})
}

// A topology with one input per task writes the same bytes in each partition, however many workers share it.
func TestWorkersDoNotChangeOutputs(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 6, "lines")
		write(t, c, lines, someLines(6000, 50)...)
		outputs := make(map[int][]Record[string, int64])
		for _, workers := range []int{1, 4} {
			out := NewTopic(fmt.Sprintf("counts-%d", workers), serde.String, serde.Int64)
			b := NewBuilder(fmt.Sprintf("counting-%d", workers))
			b.From(lines).Process("count", count, seenStore).To(out)
			cfg := Config{Workers: workers, CommitInterval: time.Duration(workers) * 5 * time.Millisecond, MaxPollRecords: 1000 / workers}
			runToEnd(t, build(t, b), c, cfg)
			for _, r := range read(t, c, out) {
				// The ends of transactions lie between the records.
				r.Topic, r.Offset = "", 0
				outputs[workers] = append(outputs[workers], r)
			}
		}
		if len(outputs[1]) != 6000 {
			t.Fatalf("%d outputs, want 6000", len(outputs[1]))
		}
		if diff := cmp.Diff(outputs[1], outputs[4]); diff != "" {
			t.Errorf("outputs of 1 worker (-) and 4 workers (+) differ:\n%s", diff)
		}
	})
}
