package stream

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Calls of different keys of one partition are made at the same time, and answers go on in the order of the records.
func TestAsyncInParallel(t *testing.T) {
	t.Parallel()
	const keys = 10
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines")
		in := someLines(300, keys)
		write(t, c, lines, in...)
		var all sync.WaitGroup // the first calls wait for each other
		all.Add(keys)
		b := NewBuilder("asking")
		b.From(lines).AsyncMapRecord("ask", func(_ context.Context, r Record[string, string]) (string, error) {
			if r.Offset < keys {
				all.Done()
				all.Wait()
			}
			return r.Value + "?", nil
		}, Async{MaxInFlight: keys}).To(shouts)
		stats := runToEnd(t, build(t, b), c, Config{})
		var want, got []string
		for _, r := range in {
			want = append(want, r.Key+": "+r.Value+"?")
		}
		for _, r := range read(t, c, shouts) {
			got = append(got, r.Key+": "+r.Value)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("answers in order (-want +got):\n%s", diff)
		}
		if stats.Processed != int64(len(in)) {
			t.Errorf("processed %d records, want %d", stats.Processed, len(in))
		}
	})
}

// A call that hangs holds back what is behind it in its partition, and nothing else. A stop cancels it, with nothing
// committed that was not consumed; the next run calls again.
func TestAsyncHangs(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines")
		createTopics(t, c, 1, "others")
		others := NewTopic("others", lines.Key, lines.Value)
		write(t, c, lines, someLines(100, 5)...)
		write(t, c, others, someLines(50, 5)...)
		begun := make(chan struct{})
		hang := func(ctx context.Context, r Record[string, string]) (string, error) {
			if r.Value == "line 70" {
				close(begun)
				<-ctx.Done()
				return "", ctx.Err()
			}
			return r.Value, nil
		}
		define := func(f func(context.Context, Record[string, string]) (string, error)) *Topology {
			b := NewBuilder("asking")
			b.From(lines).AsyncMapRecord("ask", f, Async{Timeout: time.Hour}).To(shouts)
			b.From(others).To(NewTopic("copies", lines.Key, lines.Value))
			return build(t, b)
		}
		app, stop := background(t, define(hang), c, Config{})
		<-begun
		eventually(t, "the others are done, and what is before the call", func() bool {
			return app.Stats().Processed == 120 && committed(t, c, "asking", "lines") == 70 && committed(t, c, "asking", "others") == 50
		})
		if err := stop(); err != nil {
			t.Fatalf("Run returned %v", err)
		}
		if n := committed(t, c, "asking", "lines"); n != 70 {
			t.Errorf("%d records are committed, want the 70 before the call that hangs", n)
		}
		stats := runToEnd(t, define(func(_ context.Context, r Record[string, string]) (string, error) { return r.Value, nil }), c, Config{})
		if stats.Processed != 30 {
			t.Errorf("the next run processed %d records, want the 30 that were left", stats.Processed)
		}
		for i, r := range read(t, c, shouts) {
			if want := fmt.Sprintf("line %d", i); r.Value != want {
				t.Fatalf("output %d is %q, want %q", i, r.Value, want)
			}
		}
		if n := len(read(t, c, shouts)); n != 100 {
			t.Errorf("%d outputs, want 100", n)
		}
	})
}

// A call that fails or does not answer in time is made again, and then its record is a dead letter.
func TestAsyncFails(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, "lines")
		write(t, c, lines, someLines(20, 20)...)
		var mu sync.Mutex
		calls := make(map[string]int)
		b := NewBuilder("asking")
		b.From(lines).AsyncMap("ask", func(ctx context.Context, v string) (string, error) {
			mu.Lock()
			calls[v]++
			n := calls[v]
			mu.Unlock()
			if v == "line 7" || v == "line 8" && n == 1 {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return v, nil
		}, Async{Timeout: time.Millisecond * 20, Attempts: 2, Backoff: time.Millisecond}).To(shouts)
		stats := runToEnd(t, build(t, b), c, Config{})
		if stats.Processed != 20 || stats.DeadLetters != 1 || calls["line 7"] != 2 || calls["line 8"] < 2 {
			t.Errorf("the run has %+v, %d and %d calls; want 20 records, one dead letter, 2 calls each", stats, calls["line 7"], calls["line 8"])
		}
		dead := read(t, c, NewTopic("asking-dead-letters", lines.Key, lines.Value))
		if len(dead) != 1 || dead[0].Value != "line 7" {
			t.Fatalf("dead letters are %v, want line 7", dead)
		}
		want := "no answer within 20ms: context deadline exceeded (attempt 2)"
		for _, h := range dead[0].Headers {
			if h.Key == HeaderCause && string(h.Value) != want {
				t.Errorf("the cause is %q, want %q", h.Value, want)
			}
		}
	})
}

// BenchmarkAsync has a service that answers after a millisecond, or at once, asked for each record of one partition.
func BenchmarkAsync(b *testing.B) {
	const records = 20_000
	for _, latency := range []time.Duration{0, time.Millisecond} {
		for _, inFlight := range []int{1, 64, 256} {
			if inFlight == 1 && latency > 0 {
				continue // it takes the time of all calls
			}
			b.Run(fmt.Sprintf("latency=%v/in-flight=%d", latency, inFlight), func(b *testing.B) {
				c := benchInput(b, 1, records)
				n := 0
				for b.Loop() {
					n++
					builder := NewBuilder(fmt.Sprintf("bench-%d", n))
					builder.From(lines).AsyncMap("ask", func(ctx context.Context, v string) (string, error) {
						if latency == 0 {
							return v, nil
						}
						timer := time.NewTimer(latency)
						defer timer.Stop()
						select {
						case <-timer.C:
						case <-ctx.Done():
						}
						return v, nil
					}, Async{MaxInFlight: inFlight}).To(NewTopic(fmt.Sprintf("bench-%d-out", n), lines.Key, lines.Value))
					runToEnd(b, build(b, builder), c, Config{})
				}
				b.ReportMetric(float64(n*records)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}
