package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/riffle-stream/riffle/serde"
)

// Timers declares a store of timers: a key has one timer or none. A step of the topology that names the store sets
// and cancels them; the step that gave its OnTimer to the store is called when stream time reaches them. Timers are
// state like any other: what sets or cancels one takes effect with the rest of its record, and they survive a
// restart. The zero value is not usable.
//
// A timer is two entries, laid out as in a store with a time to live:
//
//	0x01 key        time
//	0x00 time key   nothing: the index by time
type Timers[K any] struct{ def *timersDef[K] }

type timersDef[K any] struct {
	spec Spec
	key  serde.Serde[K]
}

// Timer is a timer of a key.
type Timer[K any] struct {
	Key  K
	Time time.Time // event time, in UTC, with the resolution of a millisecond
}

// NewTimers declares timers. For the name see [NewKeyValueStore].
func NewTimers[K any](name string, key serde.Serde[K]) Timers[K] {
	spec := Spec{Name: name, Kind: KindTimers, Err: errors.Join(validName(name), key.Valid())}
	return Timers[K]{&timersDef[K]{spec, key}}
}

// Spec implements [Definition].
func (t Timers[K]) Spec() Spec {
	if t.def == nil {
		return Spec{Err: errors.New("state: timers were not declared with NewTimers")}
	}
	return t.def.spec
}

// In opens the timers for the record, or the timer, that c processes. It is cheap: call it for each record. If the
// node did not name the store, every call on the result returns an [UnknownStoreError].
func (t Timers[K]) In(c Context) KeyTimers[K] {
	if t.def == nil {
		return KeyTimers[K]{}
	}
	return KeyTimers[K]{def: t.def, store: c.Store(t.def.spec.Name)}
}

// Decode decodes a timer of the store, for the runtime.
func (t Timers[K]) Decode(at int64, key []byte) (Timer[K], error) {
	k, err := t.def.key.Decode(key)
	if err != nil {
		return Timer[K]{}, &StoreError{Store: t.def.spec.Name, Op: "timer", Err: undecoded(err)}
	}
	return Timer[K]{k, time.UnixMilli(at).UTC()}, nil
}

// KeyTimers are the timers of a task, opened for one record. They must not be kept.
type KeyTimers[K any] struct {
	def   *timersDef[K]
	store Store
}

// Set sets the timer of k, in place of the one it may have. A time that stream time has reached already is as good
// as any other: the timer fires right after the present record. But what a timer's own call sets must lie after that
// timer, or it would never end.
func (t KeyTimers[K]) Set(k K, at time.Time) error {
	sc, key, err := t.begin(k)
	if err != nil {
		return err
	}
	millis := at.UnixMilli()
	if millis < 0 {
		return t.wrap("set", fmt.Errorf("the time %v lies before 1970", at))
	}
	old, found, err := t.get(key)
	switch {
	case err != nil:
		return t.wrap("set", err)
	case found && old == millis:
		return nil
	case found:
		if err := t.deleteIndex(sc, old, key); err != nil {
			return t.wrap("set", err)
		}
	}
	sc.other = appendIndexKey(sc.other[:0], millis, key[1:])
	if err := t.store.Put(sc.other, nil); err != nil {
		return t.wrap("set", err)
	}
	sc.value = binary.AppendVarint(sc.value[:0], millis)
	return t.wrap("set", t.store.Put(key, sc.value))
}

// Cancel removes the timer of k; without one it does nothing.
func (t KeyTimers[K]) Cancel(k K) error {
	sc, key, err := t.begin(k)
	if err != nil {
		return err
	}
	at, found, err := t.get(key)
	if err != nil || !found {
		return t.wrap("cancel", err)
	}
	if err := t.deleteIndex(sc, at, key); err != nil {
		return t.wrap("cancel", err)
	}
	return t.wrap("cancel", t.store.Delete(key))
}

// Get returns when the timer of k is due; false if it has none.
func (t KeyTimers[K]) Get(k K) (at time.Time, found bool, err error) {
	_, key, err := t.begin(k)
	if err != nil {
		return time.Time{}, false, err
	}
	millis, found, err := t.get(key)
	if err != nil || !found {
		return time.Time{}, false, t.wrap("get", err)
	}
	return time.UnixMilli(millis).UTC(), true, nil
}

// All yields the timers in the order in which they are due, and those of one time in the order of their encoded
// keys. The loop may set and cancel: it yields the timers that were set when it began and still are.
func (t KeyTimers[K]) All() iter.Seq2[Timer[K], error] {
	return func(yield func(Timer[K], error) bool) {
		if err := t.usable(); err != nil {
			yield(Timer[K]{}, err)
			return
		}
		for kv, err := range t.store.Range([]byte{prefixIndex}, []byte{prefixEntry}) {
			var timer Timer[K]
			if err == nil {
				timer, err = t.decode(kv.Key)
			}
			if err != nil {
				yield(Timer[K]{}, t.wrap("range", err))
				return
			}
			if !yield(timer, nil) {
				return
			}
		}
	}
}

func (t KeyTimers[K]) decode(indexKey []byte) (Timer[K], error) {
	at, key, err := parseIndexKey(indexKey)
	if err != nil {
		return Timer[K]{}, err
	}
	k, err := t.def.key.Decode(key)
	if err != nil {
		return Timer[K]{}, undecoded(err)
	}
	return Timer[K]{k, time.UnixMilli(at).UTC()}, nil
}

// begin returns the store's scratch space and the key of k's entry in it.
func (t KeyTimers[K]) begin(k K) (*Scratch, []byte, error) {
	if err := t.usable(); err != nil {
		return nil, nil, err
	}
	sc := scratchOf(t.store)
	key, err := t.def.key.Encode(append(sc.key[:0], prefixEntry), k)
	if err != nil {
		return nil, nil, t.wrap("encode key", err)
	}
	sc.key = key
	return sc, key, nil
}

func (t KeyTimers[K]) get(key []byte) (at int64, found bool, err error) {
	b, found, err := t.store.Get(key)
	if err != nil || !found {
		return 0, false, err
	}
	at, n := binary.Varint(b)
	if n != len(b) {
		return 0, false, corruptf("a timer of %d bytes", len(b))
	}
	return at, true, nil
}

func (t KeyTimers[K]) deleteIndex(sc *Scratch, at int64, key []byte) error {
	sc.other = appendIndexKey(sc.other[:0], at, key[1:])
	return t.store.Delete(sc.other)
}

func (t KeyTimers[K]) usable() error {
	switch {
	case t.def == nil:
		return Timers[K]{}.Spec().Err
	case t.def.spec.Err != nil:
		return t.def.spec.Err
	case t.store == nil:
		return &UnknownStoreError{Store: t.def.spec.Name}
	}
	return nil
}

func (t KeyTimers[K]) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &StoreError{Store: t.def.spec.Name, Op: op, Err: err}
}

// TimerIndex returns the range of the index of timers in their store, for the runtime: the index sorts by time, then by
// key.
func TimerIndex() (from, to []byte) { return []byte{prefixIndex}, []byte{prefixEntry} }

// ParseTimer takes a key of the index of timers apart, for the runtime. It is false for any other key of the store. The
// key is a view.
func ParseTimer(indexKey []byte) (at int64, key []byte, ok bool) {
	if len(indexKey) < 9 || indexKey[0] != prefixIndex {
		return 0, nil, false
	}
	at, key, _ = parseIndexKey(indexKey)
	return at, key, true
}

// AppendTimerEntry appends the key of the entry that stands for a timer, for the runtime.
func AppendTimerEntry(dst, key []byte) []byte { return append(append(dst, prefixEntry), key...) }
