package processors_test

import (
	"math/big"
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

var limited = stream.NewTopic("limited", serde.String, serde.JSON[processors.Limited[string]]())

func newRateLimit(t streamtest.TB, cfg processors.RateLimitConfig) *streamtest.Driver {
	t.Helper()
	store := processors.NewRateLimitStore("buckets", serde.String, cfg)
	return drive(t, processors.RateLimit[string, string](store), store, limited)
}

// Arguments: records=N per=DURATION [burst=N]
func TestRateLimitScripts(t *testing.T) {
	runScripts(t, "ratelimit", func(t *testing.T, td *datadriven.TestData) *streamtest.Driver {
		var cfg processors.RateLimitConfig
		var per string
		td.ScanArgs(t, "records", &cfg.Records)
		td.ScanArgs(t, "per", &per)
		td.MaybeScanArgs(t, "burst", &cfg.Burst)
		cfg.Per = duration(t, per)
		return newRateLimit(t, cfg)
	}, limited, func(l processors.Limited[string]) string {
		if l.Within() {
			return l.Value + ": allowed"
		}
		return l.Value + ": over the limit"
	})
}

// modelBucket is a token bucket as the textbooks have it, in fractions.
type modelBucket struct {
	tokens *big.Rat
	last   int64 // time of the youngest record
	put    int64 // time of the record that last took a token
}

// TestRateLimitModel compares with a bucket of fractional tokens.
func TestRateLimitModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		records, per, burst := rapid.Int64Range(1, 5).Draw(t, "records"), rapid.Int64Range(1, 10).Draw(t, "per"), rapid.Int64Range(1, 5).Draw(t, "burst")
		d := newRateLimit(t, processors.RateLimitConfig{Records: int(records), Per: time.Duration(per) * time.Second, Burst: int(burst)})
		fill := (per*1000*burst + records - 1) / records // milliseconds
		buckets := make(map[string]*modelBucket)
		streamTime := int64(0)
		for i := range rapid.IntRange(1, 60).Draw(t, "records") {
			now := rapid.Int64Range(max(0, streamTime-8), streamTime+3).Draw(t, "time")
			streamTime = max(streamTime, now)
			key := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")

			b := buckets[key]
			if b == nil || 1000*streamTime >= 1000*b.put+2*fill {
				b = &modelBucket{tokens: big.NewRat(burst, 1), last: now, put: now}
				delete(buckets, key)
			}
			allowed := true
			if known := buckets[key] != nil; !known || 1000*now > 1000*b.last-fill {
				last := max(b.last, now)
				tokens := new(big.Rat).Add(b.tokens, big.NewRat((last-b.last)*records, per))
				if full := big.NewRat(burst, 1); tokens.Cmp(full) > 0 {
					tokens = full
				}
				if allowed = tokens.Cmp(big.NewRat(1, 1)) >= 0; allowed {
					// A record that is not allowed changes nothing: the time until the next one counts all the same.
					b.tokens, b.last, b.put = tokens.Sub(tokens, big.NewRat(1, 1)), last, now
					buckets[key] = b
				}
			}
			d.Pipe(in, key, "v", second(now))
			if diff := cmp.Diff([]processors.Limited[string]{{Value: "v", Allowed: allowed}}, d.Values(limited)); diff != "" {
				t.Fatalf("record %d, key %q, second %d of stream time %d (-want +got):\n%s", i, key, now, streamTime, diff)
			}
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

func TestRateLimitMistakes(t *testing.T) {
	t.Parallel()
	store := processors.NewRateLimitStore("buckets", serde.String, processors.RateLimitConfig{Burst: -1})
	wantMistakes(t, processors.RateLimit[string, string](store), store, limited, `"buckets"`, "0 records", "burst of -1", "per 0s")
	store = processors.NewRateLimitStore("slow", serde.String, processors.RateLimitConfig{Records: 1, Per: 1000 * 24 * time.Hour, Burst: 1000})
	wantMistakes(t, processors.RateLimit[string, string](store), store, limited, `"slow"`, "1000000 days to fill")
}
