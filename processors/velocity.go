package processors

import (
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Burst is a value whose key has many records within a window that ends with it.
type Burst[V any] struct {
	Value V
	Count int64 // of the window, Value included
	// Reached says that Count is the threshold: before this record it was not reached. A key that stays at the threshold reaches
	// it again whenever an old record leaves the window before the next one comes.
	Reached bool
}

// VelocityConfig says what is many.
type VelocityConfig struct {
	Count  int           // records that make a burst; at least 2
	Within time.Duration // the window (t-Within, t] that ends with a record
	// Lateness is as in [SlidingConfig].
	Lateness time.Duration
}

// VelocityStore remembers the times of each key's recent records. It is a [SlidingStore] with one window.
type VelocityStore[K any] struct {
	recent SlidingStore[K]
	count  int64
}

// NewVelocityStore declares a store for [Velocity].
func NewVelocityStore[K any](name string, key serde.Serde[K], cfg VelocityConfig) VelocityStore[K] {
	recent := NewSlidingStore(name, key, SlidingConfig{
		Windows: []SlidingWindow{{Width: cfg.Within}}, Lateness: cfg.Lateness, MaxObservations: max(maxObservations, 2*cfg.Count),
	})
	recent.err = joinMistakes(name, recent.err, mistake(cfg.Count < 2, "a burst of %d records: want at least 2", cfg.Count))
	return VelocityStore[K]{recent, int64(cfg.Count)}
}

// Spec implements [state.Definition].
func (s VelocityStore[K]) Spec() state.Spec { return s.recent.Spec() }

// Velocity returns a processor that passes on the records with which a key has at least the store's Count of records
// within its window. Late records are dropped.
//
// Name recent as a store of the same Process.
func Velocity[K, V any](recent VelocityStore[K]) func(*stream.Context[K, Burst[V]], stream.Record[K, V]) error {
	return func(c *stream.Context[K, Burst[V]], r stream.Record[K, V]) error {
		found, err := recent.recent.In(c).Observe(r.Key, Observation{})
		if err != nil || len(found) == 0 || found[0].Count < recent.count {
			return err
		}
		n := found[0].Count
		return c.Forward(r.Key, Burst[V]{Value: r.Value, Count: n, Reached: n == recent.count})
	}
}
