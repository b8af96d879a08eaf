package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/task"
	"github.com/riffle-stream/riffle/stream/internal/worker"
	"github.com/riffle-stream/riffle/stream/window"
)

// discard is an output without cost.
type discard struct{ records int }

func (d *discard) Emit(task.OutRecord) error { d.records++; return nil }
func (*discard) Skip(task.DeadLetter)        {}

func (d *discard) DeadLetter(task.DeadLetter) error { d.records--; return nil }

// BenchmarkTask measures a record's way through a task, serdes included (8-byte integers, which cost nothing), the
// broker not. What is left is the engine: it must not allocate.
func BenchmarkTask(b *testing.B) {
	numbers := stream.NewTopic("numbers", serde.Int64, serde.Int64)
	out := stream.NewTopic("out", serde.Int64, serde.Int64)
	sums := state.NewKeyValueStore("sums", serde.Int64, serde.Int64)
	recent := state.NewKeyValueStore("recent", serde.Int64, serde.Int64).TTL(time.Minute)
	pass := func(c *stream.Context[int64, int64], r stream.Record[int64, int64]) error {
		return c.Forward(r.Key, r.Value)
	}
	sum := func(store state.KeyValueStore[int64, int64]) func(*stream.Context[int64, int64], stream.Record[int64, int64]) error {
		return func(c *stream.Context[int64, int64], r stream.Record[int64, int64]) error {
			total, _, err := store.In(c).Get(r.Key)
			if err != nil {
				return err
			}
			if err := store.In(c).Put(r.Key, total+r.Value); err != nil {
				return err
			}
			return c.Forward(r.Key, total+r.Value)
		}
	}
	windows := state.NewWindowStore("windows", serde.Int64, serde.Int64).Retention(time.Hour)
	sessions := state.NewSessionStore("sessions", serde.Int64, serde.Int64).Retention(time.Hour)
	perWindow := stream.NewTopic("out", window.KeySerde(serde.Int64), serde.Int64)
	add := func(a, b int64) int64 { return a + b }
	tests := []struct {
		name   string
		define func(s stream.Stream[int64, int64])
	}{
		{"pass", func(s stream.Stream[int64, int64]) { s.To(out) }},
		{"filter+map+process", func(s stream.Stream[int64, int64]) {
			s.Filter(func(n int64) bool { return n >= 0 }).Map(func(n int64) int64 { return n + 1 }).Process("pass", pass).To(out)
		}},
		{"ten-maps", func(s stream.Stream[int64, int64]) {
			for range 10 {
				s = s.Map(func(n int64) int64 { return n + 1 })
			}
			s.To(out)
		}},
		{"sum", func(s stream.Stream[int64, int64]) { s.Process("sum", sum(sums), sums).To(out) }},
		{"tumbling", func(s stream.Stream[int64, int64]) {
			s.Window(window.Tumbling(time.Second).Grace(time.Second)).Aggregate(windows, add).Stream().To(perWindow)
		}},
		{"hopping-5", func(s stream.Stream[int64, int64]) {
			s.Window(window.Hopping(5*time.Second, time.Second).Grace(time.Second)).Aggregate(windows, add).Stream().To(perWindow)
		}},
		{"hopping-60", func(s stream.Stream[int64, int64]) {
			s.Window(window.Hopping(time.Minute, time.Second).Grace(time.Second)).Aggregate(windows, add).Stream().To(perWindow)
		}},
		{"session", func(s stream.Stream[int64, int64]) {
			s.Sessions(window.Session(time.Second).Grace(time.Second)).Aggregate(sessions, add, add).Stream().To(perWindow)
		}},
		{"sliding-2", func(s stream.Stream[int64, int64]) { // 10 and 60 records a window
			s.Sliding(window.Sliding(time.Second, 6*time.Second).Grace(time.Second)).Aggregate(windows, add, add).Stream().To(perWindow)
		}},
		{"sum-ttl", func(s stream.Stream[int64, int64]) { s.Process("sum", sum(recent), recent).To(out) }},
	}
	for _, test := range tests {
		b.Run("topology="+test.name, func(b *testing.B) {
			topology := build(b, func(builder *stream.Builder) { test.define(builder.From(numbers)) })
			benchmarkTask(b, topology)
		})
	}
}

func benchmarkTask(b *testing.B, topology *stream.Topology) {
	const batch, keys = 1000, 100
	out := &discard{}
	metrics := worker.NewMetrics()
	cfg := task.Config{Program: topology.Program(), Output: out}
	cfg.StoreObserver = func(store string) task.StoreObserver { return metrics.Store(cfg.ID, store) }
	if sub := topology.Program().Graph.Subs[0]; sub.Stateful() {
		var err error
		if cfg.State, err = state.NewMemory().OpenTask(cfg.ID, sub.Stores); err != nil {
			b.Fatal(err)
		}
	}
	t, err := task.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	records := make([]client.Record, batch)
	for i := range records {
		key, _ := serde.Int64.Encode(nil, int64(i%keys))
		value, _ := serde.Int64.Encode(nil, int64(i))
		records[i] = client.Record{Key: key, Value: value}
	}
	offset := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range records {
			records[i].Offset, records[i].Timestamp = offset, offset
			offset++
		}
		if err := t.Add(client.Batch{Topic: "numbers", Records: records}); err != nil {
			b.Fatal(err)
		}
		for t.Queued() > 0 { // timers are steps of Run, too
			if n, err := t.Run(batch, time.Time{}); err != nil || n == 0 {
				b.Fatal(n, err)
			}
		}
		if cfg.State != nil {
			if err := cfg.State.Commit(nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	if int64(out.records) < offset {
		b.Fatal(fmt.Errorf("%d outputs of %d records, want one each or more", out.records, offset))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(offset), "ns/record")
	b.ReportMetric(float64(offset)/b.Elapsed().Seconds(), "records/s")
}

// TestEngineDoesNotAllocate pins what the benchmark shows: a record passes without an allocation.
func TestEngineDoesNotAllocate(t *testing.T) {
	numbers := stream.NewTopic("numbers", serde.Int64, serde.Int64)
	out := stream.NewTopic("out", serde.Int64, serde.Int64)
	topology := build(t, func(b *stream.Builder) {
		b.From(numbers).
			Filter(func(n int64) bool { return n >= 0 }).
			Map(func(n int64) int64 { return n + 1 }).
			Process("pass", func(c *stream.Context[int64, int64], r stream.Record[int64, int64]) error {
				return c.Forward(r.Key, r.Value)
			}).
			To(out)
	})
	running, err := task.New(task.Config{Program: topology.Program(), Output: &discard{}})
	if err != nil {
		t.Fatal(err)
	}
	key, _ := serde.Int64.Encode(nil, 1)
	records := make([]client.Record, 1000)
	offset := int64(0)
	perBatch := testing.AllocsPerRun(20, func() {
		for i := range records {
			records[i] = client.Record{Key: key, Value: key, Offset: offset}
			offset++
		}
		if err := running.Add(client.Batch{Topic: "numbers", Records: records}); err != nil {
			t.Fatal(err)
		}
		if n, err := running.Run(len(records), time.Time{}); n != len(records) || err != nil {
			t.Fatal(n, err)
		}
	})
	if perBatch > 4 { // of the queue, once per batch
		t.Errorf("%v allocations for %d records, want none per record", perBatch, len(records))
	}
}

// TestRangesDoNotAllocate pins that steps which go over ranges of their stores for each record allocate for the data
// that they keep, and not for the ranges.
func TestRangesDoNotAllocate(t *testing.T) {
	numbers := stream.NewTopic("numbers", serde.Int64, serde.Int64)
	out := stream.NewTopic("out", serde.Int64, serde.Int64)
	perWindow := stream.NewTopic("out", window.KeySerde(serde.Int64), serde.Int64)
	add := func(a, b int64) int64 { return a + b }
	for name, define := range map[string]func(b *stream.Builder){
		"sessions": func(b *stream.Builder) {
			store := state.NewSessionStore("sessions", serde.Int64, serde.Int64).Retention(time.Hour)
			b.From(numbers).Sessions(window.Session(time.Second).Grace(0)).Aggregate(store, add, add).Stream().To(perWindow)
		},
		"sliding": func(b *stream.Builder) {
			store := state.NewWindowStore("points", serde.Int64, serde.Int64).Retention(time.Hour)
			b.From(numbers).Sliding(window.Sliding(time.Second).Grace(0)).Aggregate(store, add, add).Stream().To(perWindow)
		},
		"join": func(b *stream.Builder) {
			store := state.NewJoinStore("joined", serde.Int64, serde.Int64, serde.Int64)
			b.From(numbers).JoinStream(b.From(numbers), window.Within(0).Grace(0), store, add).To(out)
		},
	} {
		cfg := task.Config{Program: build(t, define).Program(), Output: &discard{}}
		var err error
		if cfg.State, err = state.NewMemory().OpenTask(cfg.ID, cfg.Program.Graph.Subs[0].Stores); err != nil {
			t.Fatal(err)
		}
		running, err := task.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		records := make([]client.Record, 1000)
		for i := range records {
			key, _ := serde.Int64.Encode(nil, int64(i%100))
			records[i] = client.Record{Key: key, Value: key}
		}
		offset := int64(0)
		perBatch := testing.AllocsPerRun(10, func() {
			for i := range records {
				records[i].Offset, records[i].Timestamp = offset, offset
				offset++
			}
			if err := running.Add(client.Batch{Topic: "numbers", Records: records}); err != nil {
				t.Fatal(err)
			}
			for running.Queued() > 0 {
				if n, err := running.Run(len(records), time.Time{}); err != nil || n == 0 {
					t.Fatal(n, err)
				}
			}
			if err := cfg.State.Commit(nil); err != nil {
				t.Fatal(err)
			}
		})
		if perBatch > 200 { // of the overlays, which grow
			t.Errorf("%s: %v allocations for %d records, want a few for what is kept", name, perBatch, len(records))
		}
	}
}
