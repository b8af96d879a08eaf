package processors

import (
	"errors"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// DelayStore holds the records that [Delay] has not passed on yet.
type DelayStore[K, V any] struct {
	records state.KeyValueStore[pair[K, int64], []held[V]] // by the time until which they are held
	timers  state.Timers[pair[K, int64]]
}

// NewDelayStore declares a store for [Delay], and timers called NAME-timers. It holds each record with its value and its headers until its
// time.
func NewDelayStore[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) DelayStore[K, V] {
	times := pairSerde(key, serde.Int64)
	return DelayStore[K, V]{
		records: state.NewKeyValueStore(name, times, heldSerde(value)),
		timers:  state.NewTimers(name+"-timers", times),
	}
}

// Spec implements [state.Definition].
func (s DelayStore[K, V]) Spec() state.Spec { return s.records.Spec() }

// Delay returns a processor that holds each record until stream time reaches the time that until returns for it, and
// then passes it on as it came, with its own time. A record whose time has come is passed on at once.
//
// Records leave in the order of these times; those of one time by the bytes of their keys, and those of one key as they came. So a
// delay by a constant puts records that are up to that much out of order in the order of their times:
//
//	processors.Delay(func(r stream.Record[string, Payment]) time.Time { return r.Time.Add(time.Minute) }, held)
//
// Stream time stands still without records: the last ones wait for the next record of their partition.
//
// Use it with ProcessWith, and name records as a store of it.
func Delay[K, V any](until func(stream.Record[K, V]) time.Time, records DelayStore[K, V]) stream.Processor[K, V, K, V] {
	onRecord := func(c *stream.Context[K, V], r stream.Record[K, V]) error {
		due := until(r)
		if !due.After(c.StreamTime()) {
			return c.Forward(r.Key, r.Value)
		}
		// A timer has milliseconds: rounding up keeps it from firing early.
		due = due.Add(time.Millisecond - 1).Truncate(time.Millisecond)
		key := pair[K, int64]{r.Key, due.UnixMilli()}
		store := records.records.In(c)
		waiting, _, err := store.Get(key)
		if err != nil {
			return err
		}
		return errors.Join(store.Put(key, append(waiting, hold(r))), records.timers.In(c).Set(key, due))
	}
	onTimer := func(c *stream.Context[K, V], timer state.Timer[pair[K, int64]]) error {
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
