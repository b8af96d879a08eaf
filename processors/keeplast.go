package processors

import (
	"errors"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// LastStore holds the youngest record of each id until [DedupLast] passes it on.
type LastStore[K, V any] struct {
	records state.KeyValueStore[pair[K, string], []held[V]]
	timers  state.Timers[pair[K, string]]
	within  time.Duration
	err     error
}

// NewLastStore declares a store for [DedupLast], and timers called NAME-timers. within is how long after the first record of an id its
// last one is waited for.
func NewLastStore[K, V any](name string, key serde.Serde[K], value serde.Serde[V], within time.Duration) LastStore[K, V] {
	ids := pairSerde(key, serde.String)
	return LastStore[K, V]{
		records: state.NewKeyValueStore(name, ids, heldSerde(value)),
		timers:  state.NewTimers(name+"-timers", ids),
		within:  within,
		err:     joinMistakes(name, nil, mistake(within < time.Millisecond, "within %v: want at least 1ms", within)),
	}
}

// Spec implements [state.Definition].
func (s LastStore[K, V]) Spec() state.Spec {
	spec := s.records.Spec()
	spec.Err = errors.Join(spec.Err, s.err)
	return spec
}

// DedupLast returns a processor that passes the last record of each id on, where [Dedup] passes the first: of the records of a key with
// the same id that come until stream time has reached the time of the one that came first plus the store's Within, the youngest; of
// equal times the one that came last. It is passed on then, with its own time. What comes after that begins anew.
//
// A record with an empty id is passed on at once. Stream time stands still without records: the last ones wait for the next
// record of their partition.
//
// Use it with ProcessWith, and name records as a store of it.
func DedupLast[K, V any](id func(V) string, records LastStore[K, V]) stream.Processor[K, V, K, V] {
	onRecord := func(c *stream.Context[K, V], r stream.Record[K, V]) error {
		key := pair[K, string]{r.Key, id(r.Value)}
		if key.part == "" {
			return c.Forward(r.Key, r.Value)
		}
		store := records.records.In(c)
		waiting, found, err := store.Get(key)
		switch {
		case err != nil:
			return err
		case !found:
			err = records.timers.In(c).Set(key, r.Time.Add(records.within))
		case waiting[0].at > r.Time.UnixMilli():
			return nil
		}
		return errors.Join(err, store.Put(key, []held[V]{hold(r)}))
	}
	onTimer := func(c *stream.Context[K, V], timer state.Timer[pair[K, string]]) error {
		store := records.records.In(c)
		waiting, _, err := store.Get(timer.Key)
		if err != nil {
			return err
		}
		for _, h := range waiting {
			if err := c.ForwardRecord(h.record(timer.Key.key)); err != nil {
				return err
			}
		}
		return store.Delete(timer.Key)
	}
	return stream.OnRecord(onRecord).OnTimer(records.timers, onTimer)
}
