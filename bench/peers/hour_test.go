package peers

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/window"
)

// BenchmarkHour is whether a record costs after an hour what it cost at first: the engine counts by key and by key and window,
// exactly once, at a fixed rate, while the broker deletes what is old of the input and compacts the changelogs. RIFFLE_BENCH_HOUR
// is how long it takes, a minute by default. It says what each twelfth of that time took, the first and the last in the result.
// The costs are those of the process: of making the records as well.
func BenchmarkHour(b *testing.B) {
	const (
		parts = 12
		rate  = 20_000 // records/s: a few percent of what the engine can do
	)
	length := time.Minute
	if s := os.Getenv("RIFFLE_BENCH_HOUR"); s != "" {
		var err error
		length, err = time.ParseDuration(s)
		check(b, err)
	}
	w := workload{
		name: "hour", topics: 1, topology: countTwice,
		input: input{keys: 100_000, stepMillis: 1},
	}
	b.Cleanup(func() { _ = os.RemoveAll(w.dir(6)) })
	p := openPlant(b, w, 6)
	r := newRiffle(p, stream.ExactlyOnce)
	p.keepLittle(b, append(p.topicNames(), p.output(b, r.group))...)
	r.start(b)

	ctx, cancel := context.WithCancel(b.Context())
	made := make(chan struct{})
	go func() {
		defer close(made)
		p.drip(ctx, b, rate)
	}()
	each := int64(rate * length.Seconds() / parts)
	awaitEvery(b, r, rate, time.Second) // the group and the state's directory are there
	stop := profile(b)
	first, start := read(b), r.done(b)
	from, begun := first, start
	for part := range parts {
		done := awaitEvery(b, r, begun+each, time.Second)
		to := read(b)
		n := float64(done - begun)
		cost := float64((to.cpu - from.cpu).Nanoseconds()) / n
		fmt.Printf("hour: part %d of %d: %.0f records, %.0f cpu-ns/record, %.2f allocs/record, %d MiB\n",
			part+1, parts, n, cost, float64(to.allocs-from.allocs)/n, procValue(b, "/proc/self/status", rss)/1024)
		switch part {
		case 0:
			b.ReportMetric(cost, "first-cpu-ns/record")
		case parts - 1:
			b.ReportMetric(cost, "last-cpu-ns/record")
		}
		from, begun = to, done
	}
	stop()
	report(b, first, from, begun-start)
	cancel()
	<-made
	r.stop(b)
}

// countTwice counts by key, and by key and window.
func countTwice(b *stream.Builder, in []source, out string) {
	counts := state.NewTableStore("counts", serde.String, serde.Int64)
	windows := state.NewWindowStore("windows", serde.String, serde.Int64).Retention(2 * tumblingSize)
	records := b.From(in[0])
	records.Count(counts)
	records.
		Window(window.Tumbling(tumblingSize).Grace(0)).
		Count(windows).
		Stream().
		To(stream.NewTopic(out, window.KeySerde(serde.String), serde.Int64))
}

// drip appends records at a rate until ctx ends.
func (p *plant) drip(ctx context.Context, b *testing.B, rate int) {
	const perTick = 100
	tick := time.NewTicker(time.Second * perTick / time.Duration(rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.input.fill(p.events, perTick, func(e event) { p.append(b, e) })
		p.events += perTick
	}
}

// keepLittle makes topics keep about the last minutes of what comes.
func (p *plant) keepLittle(b *testing.B, topics ...string) {
	b.Helper()
	size, segment := fmt.Sprint(64<<20), fmt.Sprint(16<<20)
	answers, err := p.admin.AlterTopicConfigs(b.Context(), []kadm.AlterConfig{
		{Name: "retention.bytes", Value: &size}, {Name: "segment.bytes", Value: &segment},
	}, topics...)
	check(b, err)
	for _, a := range answers {
		check(b, a.Err)
	}
}
