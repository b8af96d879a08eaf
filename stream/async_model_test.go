package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// The model of an asynchronous step is the same topology with a call at a time, in place. Whatever the calls take, how the log is
// cut into batches, and where the task is restarted: the same outputs and dead letters, in the same order.
func TestAsyncIsAsInPlace(t *testing.T) {
	t.Parallel()
	reply := func(v string) (string, error) {
		switch {
		case strings.Contains(v, "e"):
			return "", stream.Permanent(errors.New("an e"))
		case strings.Contains(v, "p"):
			panic("a p")
		}
		return v + "!", nil
	}
	define := func(called func(stream.Stream[string, string]) stream.Stream[string, string]) *stream.Topology {
		return build(t, func(b *stream.Builder) {
			in := b.From(lines)
			a, rest := in.Filter(func(v string) bool { return v != "ab" }).FlatMap(strings.Fields).
				Branch(func(v string) bool { return strings.HasPrefix(v, "a") })
			answers := called(a.Merge(rest.Map(strings.ToUpper)))
			answers.Process("recently", recently, recent).To(counts)
			answers.To(words)
			in.ProcessWith("quiet", quiet).To(others)
		})
	}
	inPlace := define(func(s stream.Stream[string, string]) stream.Stream[string, string] { return s.TryMap(reply) })
	rapid.Check(t, func(rt *rapid.T) {
		records := make([]client.Record, rapid.IntRange(1, 40).Draw(rt, "records"))
		for i := range records {
			records[i] = client.Record{
				Key:       []byte(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key")),
				Value:     []byte(rapid.StringMatching(`[abep ]{0,4}`).Draw(rt, "value")),
				Timestamp: rapid.Int64Range(0, 60_000).Draw(rt, "time"),
				Offset:    int64(i),
			}
			if rapid.IntRange(0, 9).Draw(rt, "null") == 0 {
				records[i].Key = nil
			}
			if rapid.IntRange(0, 9).Draw(rt, "null") == 0 {
				records[i].Value = nil
			}
		}
		cfg := stream.Async{
			MaxInFlight: rapid.IntRange(1, 5).Draw(rt, "in flight"), MaxWaiting: rapid.IntRange(1, 9).Draw(rt, "waiting"),
			Timeout: time.Second, Attempts: 1,
		}
		ofRecord := rapid.Bool().Draw(rt, "call with the record") // or with the value alone, which does not tell its key
		delays := rapid.SliceOfN(rapid.IntRange(0, 20), 1, 20).Draw(rt, "delays")
		cuts := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 20).Draw(rt, "cuts")
		restarts := rapid.SliceOfN(rapid.IntRange(0, 6), 1, 20).Draw(rt, "restarts")
		want := run(rt, inPlace, records, func(int) int { return len(records) }, func() bool { return false })

		var got, wrong []string
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			calls := 0
			type incarnation struct {
				running int
				busy    map[string]int // by key
			}
			now := &incarnation{busy: make(map[string]int)}
			call := func(ctx context.Context, r stream.Record[string, string]) (string, error) {
				key := r.Key
				mu.Lock()
				own := now
				own.running, own.busy[key], calls = own.running+1, own.busy[key]+1, calls+1
				if key != "" && own.busy[key] > 1 {
					wrong = append(wrong, fmt.Sprintf("%d calls of key %s at a time", own.busy[key], key))
				}
				if own.running > cfg.MaxInFlight {
					wrong = append(wrong, fmt.Sprintf("%d calls at a time", own.running))
				}
				delay := time.Duration(delays[calls%len(delays)]) * time.Millisecond
				mu.Unlock()
				defer func() {
					mu.Lock()
					own.running, own.busy[key] = own.running-1, own.busy[key]-1
					mu.Unlock()
				}()
				select {
				case <-time.After(delay):
				case <-ctx.Done():
					return "", ctx.Err()
				}
				return reply(r.Value)
			}
			topology := define(func(s stream.Stream[string, string]) stream.Stream[string, string] {
				if ofRecord {
					return s.AsyncMapRecord("lines-map-2", call, cfg)
				}
				return s.AsyncMap("lines-map-2", func(ctx context.Context, v string) (string, error) {
					return call(ctx, stream.Record[string, string]{Value: v})
				}, cfg)
			})
			n, m := 0, 0
			got = runLogs(t, topology, map[string][]client.Record{"lines": records},
				func(limit int) int { n++; return min(limit, cuts[n%len(cuts)]) },
				func() bool {
					m++
					if m > 30 || restarts[m%len(restarts)] != 0 {
						return false
					}
					time.Sleep(5 * time.Millisecond) // some calls are over, some under way
					synctest.Wait()
					mu.Lock()
					now = &incarnation{busy: make(map[string]int)}
					mu.Unlock()
					return true
				})
			time.Sleep(time.Minute)
			synctest.Wait()
		})
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("outputs (-in place +asynchronous):\n%s", diff)
		}
		if len(wrong) > 0 {
			rt.Fatalf("%v", wrong)
		}
	})
}
