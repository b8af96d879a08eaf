package processors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/internal/varint"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Limited is a value and whether it keeps its key's rate.
type Limited[V any] struct {
	Value   V
	Allowed bool
}

// Within reports whether the value keeps the rate. It is a function for Filter and Branch.
func (l Limited[V]) Within() bool { return l.Allowed }

// RateLimitConfig says how many records of a key are allowed: a token bucket that Burst records empty at once, and that
// gets Records tokens, evenly, every Per.
type RateLimitConfig struct {
	Records int           // 1 to 1,000,000
	Per     time.Duration // up to 1,000 days
	Burst   int           // 1 to 1,000,000; the default is Records
}

// RateLimitStore remembers each key's bucket, in some 20 bytes, for twice the time in which it fills.
type RateLimitStore[K any] struct {
	store state.KeyValueStore[K, bucket]
	cfg   RateLimitConfig
	err   error
}

// NewRateLimitStore declares a store for [RateLimit].
func NewRateLimitStore[K any](name string, key serde.Serde[K], cfg RateLimitConfig) RateLimitStore[K] {
	cfg.Burst = cmp.Or(cfg.Burst, cfg.Records)
	const most = 1_000_000
	s := RateLimitStore[K]{store: state.NewKeyValueStore(name, key, bucketSerde), cfg: cfg, err: joinMistakes(name, nil,
		mistake(cfg.Records < 1 || cfg.Records > most, "%d records: want 1 to %d", cfg.Records, most),
		mistake(cfg.Burst < 1 || cfg.Burst > most, "a burst of %d: want 1 to %d", cfg.Burst, most),
		mistake(cfg.Per < time.Millisecond || cfg.Per > 1000*24*time.Hour, "per %v: want 1ms to 1000 days", cfg.Per))}
	if s.err == nil {
		fill := cfg.fillMillis()
		s.err = joinMistakes(name, nil, mistake(fill > maxFillMillis, "a bucket takes %d days to fill: want up to 10000", fill/dayMillis))
		// Twice, for a record that comes late puts the bucket with its own time.
		s.store = s.store.TTL(2 * time.Duration(min(fill, maxFillMillis)) * time.Millisecond)
	}
	return s
}

const (
	dayMillis     = 24 * 60 * 60 * 1000
	maxFillMillis = 10_000 * dayMillis
)

// fillMillis is how long an empty bucket takes to be full, rounded up.
func (c RateLimitConfig) fillMillis() int64 {
	return (c.Per.Milliseconds()*int64(c.Burst) + int64(c.Records) - 1) / int64(c.Records)
}

// Spec implements [state.Definition].
func (s RateLimitStore[K]) Spec() state.Spec {
	spec := s.store.Spec()
	spec.Err = errors.Join(spec.Err, s.err)
	return spec
}

// RateLimit returns a processor that passes every record on with the answer to whether its key keeps its rate. It goes by
// event time, so a replay allows the same records. A record that is not allowed takes no token.
//
// A record that comes out of order is judged as if it came with the key's youngest one: nothing is refilled for it. One that
// lies further back than the time in which a bucket fills is allowed and takes no token. When stream time has passed the last
// record that took a token by twice that time, the bucket is full for every record.
//
// Name buckets as a store of the same Process.
func RateLimit[K, V any](buckets RateLimitStore[K]) func(*stream.Context[K, Limited[V]], stream.Record[K, V]) error {
	return func(c *stream.Context[K, Limited[V]], r stream.Record[K, V]) error {
		store := buckets.store.In(c)
		b, _, err := store.Get(r.Key)
		if err != nil {
			return err
		}
		now := r.Time.UnixMilli()
		allowed := true
		if now > b.at-buckets.cfg.fillMillis() {
			if allowed = b.take(now, buckets.cfg); allowed {
				if err := store.Put(r.Key, b); err != nil {
					return err
				}
			}
		}
		return c.Forward(r.Key, Limited[V]{r.Value, allowed})
	}
}

// bucket is a token bucket in the form of the generic cell rate algorithm (ITU-T I.371): integers only.
type bucket struct {
	at int64 // milliseconds, of the youngest record that was allowed
	// full is when the bucket will be full, in milliseconds times Records.
	full int64
}

// take takes a token, if there is one.
func (b *bucket) take(millis int64, cfg RateLimitConfig) bool {
	at := max(b.at, millis)
	now := at * int64(cfg.Records)
	token := cfg.Per.Milliseconds()
	full := max(b.full, now) + token
	if full-now > int64(cfg.Burst)*token {
		return false
	}
	b.at, b.full = at, full
	return true
}

const bucketVersion = 1

// bucketSerde writes a version and two varints.
var bucketSerde = serde.Serde[bucket]{
	Name: "bucket",
	Encode: func(dst []byte, b bucket) ([]byte, error) {
		return binary.AppendVarint(binary.AppendVarint(append(dst, bucketVersion), b.at), b.full), nil
	},
	Decode: func(b []byte) (v bucket, err error) {
		if len(b) == 0 || b[0] != bucketVersion {
			return v, fmt.Errorf("processors: a bucket that begins with % x, not with version %d", b[:min(len(b), 1)], bucketVersion)
		}
		d := varint.NewReader(b[1:])
		v.at, v.full = d.Int(), d.Int()
		return v, parsed(&d, "buckets")
	},
}
