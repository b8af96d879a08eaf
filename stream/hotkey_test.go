package stream

import (
	"fmt"
	"math/rand"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/internal/reliability"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// skewed are records of keys, each numbered by its key, that one key has most of.
type skewed struct {
	name string
	key  func(rng *rand.Rand) string
}

// A key that most records have keeps its order, and holds up nobody else: what lies in the other partitions of a backlog is done by the
// time that it would be if all partitions had as much as they, or at most twice that and a fetch of the hot one; and memory does not grow
// with the backlog. It runs by itself, since it looks at the heap.
func TestHotKey(t *testing.T) {
	zipf := rand.NewZipf(rand.New(rand.NewSource(24)), 1.2, 1, 1<<20)
	for _, s := range []skewed{
		{"nine of ten", func(rng *rand.Rand) string {
			if rng.Intn(10) > 0 {
				return "hot"
			}
			return fmt.Sprint("key-", rng.Intn(1000))
		}},
		{"zipf", func(*rand.Rand) string { return fmt.Sprint("key-", zipf.Uint64()) }},
	} {
		t.Run(s.name, func(t *testing.T) { hotKey(t, s, reliability.Figure(300_000, 10_000_000)) })
	}
}

func hotKey(t *testing.T, s skewed, records int) {
	const (
		partitions = 4
		fetch      = 1 << 16 // more records than a fetch has of a partition
		heap       = 256 << 20
	)
	numbers := NewTopic("numbers", serde.String, serde.Int64)
	last := state.NewKeyValueStore("last", serde.String, serde.Int64)
	c := openCluster(t, Embedded(t.TempDir()))
	createTopics(t, c, partitions, "numbers")

	rng := rand.New(rand.NewSource(24))
	w, err := NewWriter(t.Context(), c, numbers, WriterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	next := make(map[string]int64)
	for i := range records {
		key := s.key(rng)
		next[key]++
		if err := w.Write(t.Context(), Record[string, int64]{Key: key, Value: next[key], Time: time.UnixMilli(int64(i))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	var progress struct {
		sync.Mutex
		done [partitions]int // records
		at   [partitions]int // how many were done in all when the last one of the partition was
		all  int
		heap uint64 // the most bytes
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	b := NewBuilder("ordered")
	b.From(numbers).Process("in-order", func(c *Context[string, int64], r Record[string, int64]) error {
		n, _, err := last.In(c).Get(r.Key)
		if err != nil {
			return err
		}
		if r.Value != n+1 {
			return fmt.Errorf("record %d of %s after %d", r.Value, r.Key, n)
		}
		progress.Lock()
		progress.all++
		progress.done[r.Partition]++
		progress.at[r.Partition] = progress.all
		if progress.all%1000 == 0 {
			metrics.Read(sample)
			progress.heap = max(progress.heap, sample[0].Value.Uint64())
		}
		progress.Unlock()
		return last.In(c).Put(r.Key, r.Value)
	}, last)
	stats := runWithin(t, build(t, b), c, Config{}, 10*time.Minute)
	if stats.Processed != int64(records) || stats.DeadLetters > 0 {
		t.Errorf("the run has %+v, want %d records in order", stats, records)
	}
	hot := 0
	for p, n := range progress.done {
		if n > progress.done[hot] {
			hot = p
		}
	}
	var lines strings.Builder
	for p, n := range progress.done {
		fmt.Fprintf(&lines, " %d of partition %d by %d;", n, p, progress.at[p])
		if fair := partitions * n; p != hot && progress.at[p] > 2*fair+fetch {
			t.Errorf("the %d records of partition %d were done when %d were in all: want %d, or twice that and a fetch", n, p, progress.at[p], fair)
		}
	}
	if progress.heap > heap {
		t.Errorf("%d MiB on the heap, want at most %d", progress.heap>>20, heap>>20)
	}
	t.Logf("%s heap of %d MiB at most", lines.String(), progress.heap>>20)
}
