package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/stream"
)

// deskPartitions are those of a desk unless it is asked for others. Benchmarks have as many as the machine of the aims has cores, too: each
// partition is more to write at a commit.
const (
	deskPartitions  = 4
	benchPartitions = 2
)

// benchDesk is a running desk with the starter's rules and the shipped models.
type benchDesk struct {
	b          testing.TB
	partitions int
	cluster    *stream.Cluster
	generator  *generator.Generator
	app        *stream.App
	inputsDone chan struct{}
	ended      chan error
}

func newBenchDesk(b testing.TB, partitions int) *benchDesk {
	b.Helper()
	d := &benchDesk{b: b, partitions: partitions, cluster: stream.Embedded(b.TempDir()), inputsDone: make(chan struct{}), ended: make(chan error, 1)}
	if err := d.cluster.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, def := range desk.Definitions(partitions) {
		if err := d.cluster.CreateTopic(b.Context(), def.Name, def.Partitions, def.Settings); err != nil {
			b.Fatal(err)
		}
	}
	topology, err := chain{partitions: partitions}.topology()
	if err != nil {
		b.Fatal(err)
	}
	if d.app, err = stream.NewApp(topology, d.cluster, stream.Config{InputsDone: d.inputsDone, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		b.Fatal(err)
	}
	go func() { d.ended <- d.app.Run(context.WithoutCancel(b.Context())) }()
	if d.generator, err = generator.New(generator.Config{}); err != nil {
		b.Fatal(err)
	}
	d.rules()
	return d
}

func (d *benchDesk) rules() {
	d.b.Helper()
	from := beginning{who: "benchmark", command: "benchmark"}
	if err := from.bringIntoForce(d.b.Context(), d.cluster, chain{partitions: d.partitions}); err != nil {
		d.b.Fatal(err)
	}
}

func (d *benchDesk) writer() *stream.Writer[string, payment.Transaction] {
	d.b.Helper()
	w, err := stream.NewWriter(d.b.Context(), d.cluster, desk.Transactions, stream.WriterConfig{Linger: time.Millisecond})
	if err != nil {
		d.b.Fatal(err)
	}
	return w
}

// pay writes the next payment of the generator.
func (d *benchDesk) pay(w *stream.Writer[string, payment.Transaction]) {
	d.write(w, d.generator.Next())
}

func (d *benchDesk) write(w *stream.Writer[string, payment.Transaction], tx payment.Transaction) {
	if err := w.Write(d.b.Context(), stream.Record[string, payment.Transaction]{Key: tx.Card, Value: tx}); err != nil {
		d.b.Error(err) // not Fatal: it may be called beside the benchmark's goroutine
	}
}

// stop waits until everything that was written is decided.
func (d *benchDesk) stop(w *stream.Writer[string, payment.Transaction]) {
	d.b.Helper()
	if err := w.Close(); err != nil {
		d.b.Fatal(err)
	}
	close(d.inputsDone)
	if err := <-d.ended; err != nil {
		d.b.Fatal(err)
	}
}

// close ends the cluster.
func (d *benchDesk) close() {
	if n := d.app.Stats().DeadLetters; n > 0 {
		d.b.Errorf("%d dead letters", n)
	}
	if err := d.cluster.Close(); err != nil {
		d.b.Error(err)
	}
}

// BenchmarkDesk is the whole way of a payment, exactly once: written, through duplicates, features, rules and model, to its decision, with the
// broker in the same process.
func BenchmarkDesk(b *testing.B) {
	for _, partitions := range []int{benchPartitions, deskPartitions} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			d := newBenchDesk(b, partitions)
			defer d.close()
			w := d.writer()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				d.pay(w)
			}
			d.stop(w)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
		})
	}
}

// BenchmarkDecisionLatency measures from when a payment was to be sent, at a rate, until its decision has been read, after a second of
// payments that do not count. Run it with -benchtime=50000x: that many payments. They are made now, at that rate, by 100,000
// cards: by the generator's 5,000 each card would pay several times within seconds, and nearly every payment raise an alert.
func BenchmarkDecisionLatency(b *testing.B) {
	for _, partitions := range []int{benchPartitions, deskPartitions} {
		for _, rate := range []int{2_000, 10_000} {
			b.Run(fmt.Sprintf("partitions=%d/rate=%d", partitions, rate), func(b *testing.B) { benchLatency(b, partitions, rate) })
		}
	}
}

func benchLatency(b *testing.B, partitions, rate int) {
	d := newBenchDesk(b, partitions)
	defer d.close()
	w := d.writer()
	payments := many(b, rate+b.N)
	read := make(chan []time.Duration)
	go func() {
		var took []time.Duration
		for r, err := range d.cluster.Follow(b.Context(), desk.Decisions, 0) {
			if err != nil {
				break
			}
			if took = append(took, time.Since(r.Value.Time)); len(took) == len(payments) {
				break
			}
		}
		read <- took
	}()
	start := time.Now().Truncate(time.Millisecond)
	for i := range payments {
		if i == rate {
			b.ResetTimer()
		}
		at := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		<-time.After(time.Until(at))
		payments[i].Time = at
		d.write(w, payments[i])
	}
	took := <-read
	b.StopTimer()
	d.stop(w)
	if len(took) < len(payments) {
		b.Fatalf("%d of %d decisions", len(took), len(payments))
	}
	took = took[rate:]
	slices.Sort(took)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50-ms", 0.5}, {"p99-ms", 0.99}, {"p99.9-ms", 0.999}, {"max-ms", 1}} {
		b.ReportMetric(float64(took[int(q.at*float64(len(took)-1))])/1e6, q.name)
	}
}

// many are n payments of a day by 100,000 cards at 50,000 terminals.
func many(b *testing.B, n int) []payment.Transaction {
	b.Helper()
	g, err := generator.New(generator.Config{Customers: 100_000, Terminals: 50_000, Radius: 1})
	if err != nil {
		b.Fatal(err)
	}
	payments := make([]payment.Transaction, n)
	for i := range payments {
		payments[i] = g.Next()
	}
	return payments
}
