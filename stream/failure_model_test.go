package stream_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// The model of attempts and handlers: a record that fails less often than it is tried passes, and what follows comes behind
// it; another is left out or a dead letter. Only what passes is counted.
func TestAttemptsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		attempts := rapid.IntRange(1, 4).Draw(rt, "attempts")
		failures := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 20).Draw(rt, "failures")
		skip := rapid.IntRange(0, 2).Draw(rt, "skip")
		tried := make(map[string]int)
		topology := build(t, func(b *stream.Builder) {
			b.OnError(stream.Errors{Attempts: attempts, Backoff: time.Hour, Processing: func(f stream.Failure) stream.Reaction {
				if f.Attempts != attempts {
					return stream.Stop
				}
				if len(f.Value)%3 == skip {
					return stream.Skip
				}
				return stream.DeadLetter
			}})
			b.From(lines).Process("recently", recently, recent).To(counts)
			b.From(lines).TryMap(func(v string) (string, error) {
				var n, fails int
				if _, err := fmt.Sscanf(v, "%d %d", &n, &fails); err != nil {
					return "", err
				}
				if tried[v]++; tried[v] <= fails {
					return "", errors.New("not yet")
				}
				return v, nil
			}).To(words)
		})
		d := streamtest.New(rt, topology)
		var want, got []string
		passed := int64(0)
		for i, fails := range failures {
			v := fmt.Sprintf("%d %d", i, fails)
			switch {
			case fails < attempts:
				passed++
				want = append(want, fmt.Sprint(v, " passed as ", passed))
			case len(v)%3 == skip:
				want = append(want, v+" skipped")
			default:
				want = append(want, v+" dead")
			}
			d.Pipe(lines, "k", v, noon)
			outs, numbers := d.Values(words), d.Values(counts)
			for j := range min(len(outs), len(numbers)) {
				got = append(got, fmt.Sprint(outs[j], " passed as ", numbers[j]))
			}
			for _, l := range d.Skipped() {
				got = append(got, string(l.Value)+" skipped")
			}
			for _, l := range d.DeadLetters() {
				got = append(got, string(l.Value)+" dead")
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("records (-model +driver):\n%s", diff)
		}
	})
}
