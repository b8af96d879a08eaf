package processors

import (
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Seen is a value and when its item was seen before.
type Seen[V any] struct {
	Value V
	// New says that the key has not had the item, or not within the store's TTL.
	New bool
	// Last is the youngest record of the key that had the item, unless New.
	Last Origin
}

// FirstSeen reports whether the item is new to the key. It is a function for Filter and Branch.
func (s Seen[V]) FirstSeen() bool { return s.New }

// SeenStore remembers which items each key has had.
type SeenStore[K any] struct {
	store state.KeyValueStore[pair[K, string], Origin]
}

// NewSeenStore declares a store for [FirstSeen]. It holds the key, the item and some 30 bytes for each item of a key.
func NewSeenStore[K any](name string, key serde.Serde[K]) SeenStore[K] {
	return SeenStore[K]{state.NewKeyValueStore(name, pairSerde(key, serde.String), originSerde)}
}

// TTL returns the declaration with a time to live of items: one that a key has not had for so long is new again. Zero, the
// default, is never.
func (s SeenStore[K]) TTL(d time.Duration) SeenStore[K] { return SeenStore[K]{s.store.TTL(d)} }

// Spec implements [state.Definition].
func (s SeenStore[K]) Spec() state.Spec { return s.store.Spec() }

// FirstSeen returns a processor that passes every record on with the answer to whether its item, such as a country or a
// device, is new to its key. Unlike a duplicate's, an item's time to live begins anew with each record that has it. A record with
// an empty item is dropped. One that comes the TTL or more behind the stream time of its task is not remembered.
//
// Name seen as a store of the same Process.
func FirstSeen[K, V any](item func(V) string, seen SeenStore[K]) func(*stream.Context[K, Seen[V]], stream.Record[K, V]) error {
	return func(c *stream.Context[K, Seen[V]], r stream.Record[K, V]) error {
		key := pair[K, string]{r.Key, item(r.Value)}
		if key.part == "" {
			return nil
		}
		store := seen.store.In(c)
		last, found, err := store.Get(key)
		if err != nil {
			return err
		}
		if !found || !r.Time.Before(last.Time) {
			if err := store.Put(key, Origin{r.Topic, r.Partition, r.Offset, r.Time}); err != nil {
				return err
			}
		}
		return c.Forward(r.Key, Seen[V]{Value: r.Value, New: !found, Last: last})
	}
}
