package processors_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// deviations carries the numbers of a deviation in its text: JSON has no infinity.
var deviations = stream.NewTopic("deviations", serde.String, serde.String)

func number(v string) float64 {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil {
		panic(err)
	}
	return f
}

func newDeviation(t streamtest.TB, cfg processors.DeviationConfig, text func(processors.Deviation[string]) string) *streamtest.Driver {
	t.Helper()
	store := processors.NewDeviationStore("history", serde.String, cfg)
	b := stream.NewBuilder("app")
	b.From(in).Process("deviate", processors.Deviate(number, store), store).Map(text).To(deviations)
	topology, err := b.Build()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return streamtest.New(t, topology)
}

// Arguments: halflife=DURATION [forget=DURATION]
func TestDeviationScripts(t *testing.T) {
	runScripts(t, "deviation", func(t *testing.T, td *datadriven.TestData) *streamtest.Driver {
		var halfLife, forget string
		td.ScanArgs(t, "halflife", &halfLife)
		td.MaybeScanArgs(t, "forget", &forget)
		cfg := processors.DeviationConfig{HalfLife: duration(t, halfLife), Forget: duration(t, forget)}
		return newDeviation(t, cfg, func(d processors.Deviation[string]) string {
			return fmt.Sprintf("%s: mean %.4f, standard deviation %.4f of %.4f records, score %.4f", d.Value, d.Mean, d.StdDev, d.Weight, d.Score)
		})
	}, deviations, func(s string) string { return s })
}

// TestDeviationModel computes each deviation from a list of all amounts, by the formulas of the documentation.
func TestDeviationModel(t *testing.T) {
	t.Parallel()
	type amount struct {
		at int64
		x  float64
	}
	rapid.Check(t, func(t *rapid.T) {
		halfLife, forget := rapid.Int64Range(1, 20).Draw(t, "half-life"), rapid.Int64Range(5, 50).Draw(t, "forget")
		cfg := processors.DeviationConfig{HalfLife: time.Duration(halfLife) * time.Second, Forget: time.Duration(forget) * time.Second}
		d := newDeviation(t, cfg, func(d processors.Deviation[string]) string {
			return fmt.Sprint(d.Mean, d.StdDev, d.Weight, d.Score)
		})
		histories, lasts := make(map[string][]amount), make(map[string]int64)
		streamTime := int64(0)
		for i := range rapid.IntRange(1, 60).Draw(t, "records") {
			now := rapid.Int64Range(max(0, streamTime-10), streamTime+6).Draw(t, "time")
			x := float64(rapid.IntRange(-20, 1000).Draw(t, "amount"))
			key := rapid.SampledFrom([]string{"", "k"}).Draw(t, "key")
			history, last := histories[key], lasts[key]
			if streamTime = max(streamTime, now); streamTime >= last+forget {
				history = nil
			}
			youngest := now
			for _, h := range history {
				youngest = max(youngest, h.at)
			}
			var weight, sum, square float64
			for _, h := range history {
				w := math.Exp2(-float64(youngest-h.at) / float64(halfLife))
				weight += w
				sum += w * h.x
			}
			mean, deviation, score := 0.0, 0.0, 0.0
			if len(history) > 0 {
				mean = sum / weight
				for _, h := range history {
					w := math.Exp2(-float64(youngest-h.at) / float64(halfLife))
					square += w * (h.x - mean) * (h.x - mean)
				}
				deviation = math.Sqrt(square / weight)
				if math.Abs(x-mean) > 1e-6 {
					score = (x - mean) / deviation
				}
			}
			histories[key], lasts[key] = append(history, amount{now, x}), now
			if streamTime >= now+forget {
				histories[key] = nil
			}

			d.Pipe(in, key, fmt.Sprint(x), second(now))
			var got [4]float64
			text := d.Values(deviations)[0]
			if _, err := fmt.Sscan(text, &got[0], &got[1], &got[2], &got[3]); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-6*(1+math.Abs(b)) }
			// A deviation that is 0 but for rounding says nothing about the score.
			if !near(got[0], mean) || !near(got[1], deviation) || !near(got[2], weight) || deviation > 1e-3 && !near(got[3], score) {
				t.Fatalf("record %d, amount %v at second %d of stream time %d: mean, deviation, weight, score %v, want %v %v %v %v",
					i, x, now, streamTime, got, mean, deviation, weight, score)
			}
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

func TestDeviationMistakes(t *testing.T) {
	t.Parallel()
	out := stream.NewTopic("out", serde.String, serde.JSON[processors.Deviation[string]]())
	store := processors.NewDeviationStore("history", serde.String, processors.DeviationConfig{})
	wantMistakes(t, processors.Deviate(number, store), store, out, `"history"`, "half-life 0s")
}
