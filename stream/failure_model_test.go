package stream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
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

// The model of handlers: of what does not decode or encode the handler of its topic decides, else that of the topology for the
// stage, else it is a dead letter. What is neither passes.
func TestHandlersModel(t *testing.T) {
	t.Parallel()
	picky := serde.String
	picky.Name = "picky"
	picky.Own = nil
	picky.Decode = func(b []byte) (string, error) {
		if strings.Contains(string(b), "unread") {
			return "", errBad
		}
		return serde.String.Decode(b)
	}
	picky.Encode = func(dst []byte, v string) ([]byte, error) {
		if strings.Contains(v, "unwritten") {
			return dst, errBad
		}
		return serde.String.Encode(dst, v)
	}
	const none = "no handler"
	rapid.Check(t, func(rt *rapid.T) {
		// draw returns a handler, and what it does with a value.
		draw := func(name string) (stream.React, string) {
			switch rapid.SampledFrom([]string{none, "dead", "skipped"}).Draw(rt, name) {
			case "dead":
				return stream.Always(stream.DeadLetter), "dead"
			case "skipped":
				return stream.Always(stream.Skip), "skipped"
			}
			return nil, none
		}
		from, to := stream.NewTopic("in", serde.String, picky), stream.NewTopic("out", serde.String, picky)
		ofIn, in := draw("handler of the input")
		ofOut, out := draw("handler of the output")
		decoding, onDecoding := draw("decoding")
		producing, onProducing := draw("producing")
		if ofIn != nil {
			from = from.OnError(ofIn)
		}
		if ofOut != nil {
			to = to.OnError(ofOut)
		}
		d := streamtest.New(rt, build(t, func(b *stream.Builder) {
			b.OnError(stream.Errors{Decoding: decoding, Producing: producing})
			b.From(from).To(to)
		}))
		first := func(handlers ...string) string {
			for _, h := range handlers {
				if h != none {
					return h
				}
			}
			return "dead"
		}
		for _, v := range rapid.SliceOfN(rapid.SampledFrom([]string{"unread", "unwritten", "unread, unwritten", "fine"}), 1, 10).Draw(rt, "values") {
			want := v + " passed"
			switch {
			case strings.Contains(v, "unread"):
				want = v + " " + first(in, onDecoding)
			case strings.Contains(v, "unwritten"):
				want = v + " " + first(out, onProducing)
			}
			d.PipeBytes("in", []byte("k"), []byte(v), noon)
			var got []string
			for _, v := range d.Values(to) {
				got = append(got, v+" passed")
			}
			for _, l := range d.Skipped() {
				got = append(got, string(l.Value)+" skipped")
			}
			for _, l := range d.DeadLetters() {
				got = append(got, string(l.Value)+" dead")
			}
			if diff := cmp.Diff([]string{want}, got); diff != "" {
				rt.Fatalf("in: %s, out: %s, decoding: %s, producing: %s (-want +got):\n%s", in, out, onDecoding, onProducing, diff)
			}
		}
	})
}
