package processors_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

var bursts = stream.NewTopic("bursts", serde.String, serde.JSON[processors.Burst[string]]())

func newVelocity(t streamtest.TB, cfg processors.VelocityConfig) *streamtest.Driver {
	t.Helper()
	store := processors.NewVelocityStore("recent", serde.String, cfg)
	return drive(t, processors.Velocity[string, string](store), store, bursts)
}

// Arguments: count=N within=DURATION [lateness=DURATION]
func TestVelocityScripts(t *testing.T) {
	runScripts(t, "velocity", func(t *testing.T, td *datadriven.TestData) *streamtest.Driver {
		var cfg processors.VelocityConfig
		var within, lateness string
		td.ScanArgs(t, "count", &cfg.Count)
		td.ScanArgs(t, "within", &within)
		td.MaybeScanArgs(t, "lateness", &lateness)
		cfg.Within, cfg.Lateness = duration(t, within), duration(t, lateness)
		return newVelocity(t, cfg)
	}, bursts, func(b processors.Burst[string]) string {
		if b.Reached {
			return fmt.Sprintf("%s: %d records, reached", b.Value, b.Count)
		}
		return fmt.Sprintf("%s: %d records", b.Value, b.Count)
	})
}

// TestVelocityModel compares with a list of all times.
func TestVelocityModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		count, within := rapid.IntRange(2, 4).Draw(t, "count"), rapid.Int64Range(1, 10).Draw(t, "within")
		lateness := rapid.Int64Range(0, 5).Draw(t, "lateness")
		d := newVelocity(t, processors.VelocityConfig{
			Count: count, Within: time.Duration(within) * time.Second, Lateness: time.Duration(lateness) * time.Second,
		})
		times := make(map[string][]int64)
		streamTime := int64(0)
		for i := range rapid.IntRange(1, 60).Draw(t, "records") {
			now := rapid.Int64Range(max(0, streamTime-6), streamTime+4).Draw(t, "time")
			streamTime = max(streamTime, now)
			key := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
			var want []processors.Burst[string]
			if now >= streamTime-lateness {
				times[key] = append(times[key], now)
				n := int64(0)
				for _, at := range times[key] {
					if now-within < at && at <= now {
						n++
					}
				}
				if n >= int64(count) {
					want = append(want, processors.Burst[string]{Value: "v", Count: n, Reached: n == int64(count)})
				}
			}
			d.Pipe(in, key, "v", second(now))
			if diff := cmp.Diff(want, d.Values(bursts)); diff != "" {
				t.Fatalf("record %d, key %q, second %d of stream time %d (-want +got):\n%s", i, key, now, streamTime, diff)
			}
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

func TestVelocityMistakes(t *testing.T) {
	t.Parallel()
	store := processors.NewVelocityStore("recent", serde.String, processors.VelocityConfig{Count: 1})
	wantMistakes(t, processors.Velocity[string, string](store), store, bursts, `"recent"`, "burst of 1", "width 0s")
}
