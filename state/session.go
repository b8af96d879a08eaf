package state

import (
	"errors"
	"iter"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream/window"
)

// SessionStore declares a typed store of sessions: of each key, windows that do not overlap, with a value each. Its
// zero value is not usable.
type SessionStore[K, V any] struct{ def *spanDef[K, V] }

// NewSessionStore declares a store. For the name see [NewKeyValueStore].
func NewSessionStore[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) SessionStore[K, V] {
	return SessionStore[K, V]{newSpanDef(KindSession, name, key, value)}
}

// Retention returns the declaration with another retention than [DefaultRetention]: a session can be read and written
// while stream time < its end + d. For the rest see [WindowStore.Retention].
func (s SessionStore[K, V]) Retention(d time.Duration) SessionStore[K, V] {
	return SessionStore[K, V]{s.def.retention(d)}
}

// Spec implements [Definition].
func (s SessionStore[K, V]) Spec() Spec {
	if s.def == nil {
		return Spec{Err: errors.New("state: a store was not declared with NewSessionStore")}
	}
	return s.def.spec
}

// Keys joins the store's keys with windows, for results of windowed steps.
func (s SessionStore[K, V]) Keys() window.Keys[K, window.Key[K]] {
	if s.def == nil {
		return window.Keys[K, window.Key[K]]{}
	}
	return window.KeysOf(s.def.key)
}

// KeySerde returns the serde of the store's keys.
func (s SessionStore[K, V]) KeySerde() serde.Serde[K] {
	if s.def == nil {
		return serde.Serde[K]{Err: s.Spec().Err}
	}
	return s.def.key
}

// In opens the store for the record that c processes. It is cheap: call it for each record. If the node did not name
// the store, every call on the result returns an [UnknownStoreError].
func (s SessionStore[K, V]) In(c Context) Sessions[K, V] {
	if s.def == nil {
		return Sessions[K, V]{}
	}
	return Sessions[K, V]{span[K, V]{def: s.def, ctx: c, store: c.Store(s.def.spec.Name)}}
}

// Decode decodes a session of the store, for the runtime: the rest of an index key behind the time, and a value. start is
// in milliseconds.
func (s SessionStore[K, V]) Decode(key, value []byte) (k K, start int64, v V, err error) {
	start, key = sessionStart(key)
	k, v, err = s.def.decode(key, value)
	return k, start, v, err
}

// Sessions is a session store opened for one record. It must not be kept.
type Sessions[K, V any] struct{ span[K, V] }

// SessionEntry is a session of a key.
type SessionEntry[K, V any] struct {
	Key    K
	Window window.Window
	Value  V
}

// Get returns the value of a session of k; false if there is none.
func (s Sessions[K, V]) Get(k K, w window.Window) (v V, found bool, err error) {
	start, end := w.Start.UnixMilli(), w.End.UnixMilli()
	_, key, err := s.begin(k, end, start)
	if err != nil || s.expired(end) {
		return v, false, err
	}
	return s.get(key)
}

// Put sets the value of a session of k, which must not overlap another one. The retention over, it does nothing.
func (s Sessions[K, V]) Put(k K, w window.Window, v V) error {
	_, err := s.update(k, w.End.UnixMilli(), w.Start.UnixMilli(), func(V, bool) (V, error) { return v, nil })
	return err
}

// Delete removes a session of k; a missing one is no error.
func (s Sessions[K, V]) Delete(k K, w window.Window) error {
	return s.delete(k, w.End.UnixMilli(), w.Start.UnixMilli())
}

// PutNote sets the note beside a session of k, which has to be there, for the runtime; the note goes with the session. Note
// returns it: a view, empty if there is none.
func (s Sessions[K, V]) PutNote(k K, w window.Window, note []byte) error {
	return s.putNote(k, w.End.UnixMilli(), w.Start.UnixMilli(), note)
}

// Note returns what PutNote has set.
func (s Sessions[K, V]) Note(k K, w window.Window) ([]byte, error) {
	return s.note(k, w.End.UnixMilli(), w.Start.UnixMilli())
}

// Find yields the sessions of k that hold any time of [from, to], in the order of time. The loop may put and delete, as
// for [KeyValue.Range].
func (s Sessions[K, V]) Find(k K, from, to time.Time) iter.Seq2[SessionEntry[K, V], error] {
	return func(yield func(SessionEntry[K, V], error) bool) {
		for e, err := range s.fetch(k, from.UnixMilli()+1, maxTime) {
			if err == nil && e.start > to.UnixMilli() {
				return // they do not overlap, so those that follow begin later still
			}
			if !yield(SessionEntry[K, V]{k, window.Millis(e.start, e.at), e.value}, err) {
				return
			}
		}
	}
}

// AppendFound appends what Find yields. It allocates nothing but what dst and the values need.
func (s Sessions[K, V]) AppendFound(dst []SessionEntry[K, V], k K, from, to time.Time) ([]SessionEntry[K, V], error) {
	c, err := s.cursor(k, from.UnixMilli()+1, maxTime)
	if err != nil {
		return dst, err
	}
	defer c.it.Close()
	for {
		e, ok, err := s.next(&c)
		if err != nil || !ok || e.start > to.UnixMilli() {
			return dst, err
		}
		dst = append(dst, SessionEntry[K, V]{k, window.Millis(e.start, e.at), e.value})
	}
}

// All yields the sessions of all keys whose ends lie in [from, to), in the order of their ends, those of one end in the
// order of their starts, then of their encoded keys. The loop may put and delete, as for [KeyValue.Range].
func (s Sessions[K, V]) All(from, to time.Time) iter.Seq2[SessionEntry[K, V], error] {
	return func(yield func(SessionEntry[K, V], error) bool) {
		for e, err := range s.all(from.UnixMilli(), to.UnixMilli()) {
			if !yield(SessionEntry[K, V]{e.key, window.Millis(e.start, e.at), e.value}, err) {
				return
			}
		}
	}
}
