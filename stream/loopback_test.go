package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/serde"
)

var halves = NewTopic("halves", serde.String, serde.String)

// chained counts lines by key, in a second sub-topology behind a topic of the user's and a third behind a rekey step.
func chained(t testing.TB) *Topology {
	b := NewBuilder("chained")
	b.From(lines).To(halves)
	b.From(halves).
		Rekey("by-value", serde.String, serde.String, func(_, v string) string { return v }).
		Process("count", count, seenStore).
		To(counts)
	return build(t, b)
}

// A chain of sub-topologies in one instance is one transaction.
func TestChainIsOneCommit(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, lines.Name, halves.Name, counts.Name)
		app := newApp(t, chained(t), c, Config{})
		stop := start(t, app)
		for i := range 10 {
			write(t, c, lines, Record[string, string]{Key: fmt.Sprint("k", i%3), Value: "v"})
			awaitCounts(t, c, i+1)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := app.Stats().Rewinds; n > 0 {
			t.Errorf("%d rewinds", n)
		}
		var epochs []int16
		for _, topic := range []string{halves.Name, "chained-by-value-repartition", counts.Name} {
			epochs = append(epochs, lastEpoch(t, c, topic))
		}
		if epochs[0] != epochs[1] || epochs[1] != epochs[2] {
			t.Errorf("the last record was written with epochs %v of the producer: want one transaction", epochs)
		}
	})
}

// Somebody else writes to a topic between two parts of an application, and there is more than is kept in memory between them: each
// record is processed once, and none is lost.
func TestChainWithForeignRecords(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 3} {
		t.Run(fmt.Sprintf("MaxPollRecords=%d", limit), func(t *testing.T) {
			t.Parallel()
			testForeignRecords(t, Config{MaxPollRecords: limit})
		})
	}
}

func testForeignRecords(t *testing.T, cfg Config) {
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, lines.Name, halves.Name, counts.Name)
		app := newApp(t, chained(t), c, cfg)
		stop := start(t, app)
		want := make(map[string]int)
		n := 0
		say := func(topic Topic[string, string], value string, times int) {
			records := make([]Record[string, string], times)
			for i := range records {
				records[i] = Record[string, string]{Key: fmt.Sprint("k", n%7), Value: value}
				n++
			}
			want[value] += times
			write(t, c, topic, records...)
		}
		say(lines, "first", 20)
		awaitCounts(t, c, n)
		// Whether it comes between is a matter of moments: go on until it has.
		for i := 0; i < 100 || app.Stats().Rewinds == 0 && i < 1000; i++ {
			say(lines, "ours", 50)
			say(halves, "theirs", 1+i%3)
			awaitCounts(t, c, n-rand.IntN(30))
		}
		awaitCounts(t, c, n)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		got := make(map[string]int)
		for value, seen := range byKey(read(t, c, counts)) {
			for i, at := range seen {
				if at != int64(i+1) {
					t.Fatalf("%s was counted %v", value, seen)
				}
			}
			got[value] = len(seen)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		if app.Stats().Rewinds == 0 {
			t.Error("nobody came between the application's records")
		}
	})
}

// A task that reads two topics of its own application is handed the records of both.
func TestChainsMeet(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, lines.Name, counts.Name)
		b := NewBuilder("meeting")
		value := func(_, v string) string { return v }
		left := b.From(lines).Rekey("left", serde.String, serde.String, value)
		right := b.From(lines).Rekey("right", serde.String, serde.String, value)
		left.Merge(right).Process("count", count, seenStore).To(counts)
		app := newApp(t, build(t, b), c, Config{})
		stop := start(t, app)
		const rounds, each = 50, 40
		for range rounds {
			write(t, c, lines, someLines(each, 7)...)
		}
		awaitCounts(t, c, 2*rounds*each)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for value, seen := range byKey(read(t, c, counts)) {
			if len(seen) != 2*rounds {
				t.Errorf("%s was counted %d times, want %d", value, len(seen), 2*rounds)
			}
			for i, at := range seen {
				if at != int64(i+1) {
					t.Fatalf("%s was counted %v", value, seen)
				}
			}
		}
	})
}

func newApp(t *testing.T, topology *Topology, c *Cluster, cfg Config) *App {
	t.Helper()
	app, err := NewApp(topology, c, quiet(cfg))
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// awaitCounts waits until so many counts have come.
func awaitCounts(t *testing.T, c *Cluster, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := 0
	for _, err := range c.Follow(ctx, counts, 1_000_000) {
		if err != nil {
			t.Fatalf("%d of %d counts: %v", got, n, err)
		}
		if got++; got == n {
			return
		}
	}
	t.Fatalf("%d of %d counts", got, n)
}

// lastEpoch is that of the producer that wrote the last record of a topic.
func lastEpoch(t *testing.T, c *Cluster, topic string) int16 {
	t.Helper()
	opts := []kgo.Opt{kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords()}
	if c.seeds == nil {
		opts = append(opts, kgo.SeedBrokers("embedded:9092"), kgo.Dialer(c.Dial))
	} else {
		opts = append(opts, kgo.SeedBrokers(c.seeds...))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	left := make(map[int32]int64) // where partitions end that were not read to their ends
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			left[end.Partition] = end.Offset
		}
	})
	var last *kgo.Record
	for len(left) > 0 && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() && (last == nil || r.ProducerEpoch > last.ProducerEpoch) {
				last = r
			}
		})
	}
	if last == nil || len(left) > 0 {
		t.Fatalf("of topic %s, partitions %v were not read to their ends", topic, left)
	}
	return last.ProducerEpoch
}
