package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream/window"
)

// A window store holds two kinds of keys, a session store likewise:
//
//	0x00 start key                       nothing, or a note: the index by time
//	0x01 length of key, key, start       value
//
//	0x00 end start key                   nothing, or a note: the index by time
//	0x01 length of key, key, end start   value
//
// Times are 8 bytes, big-endian, with the sign bit flipped; the length is a uvarint. So the windows of a key lie side
// by side in the order of time, and those of all keys are found by time: for what has to be removed, or sent because it
// is closed. The index is written when a window is new, not when it changes.
//
//	0x02                                 an index key: windows up to it were sent because they are closed

const prefixClosed = 0x02

// DefaultRetention is how long window and session stores keep what is in them, unless they are declared otherwise: as
// long as Kafka Streams does.
const DefaultRetention = 24 * time.Hour

// Forever as a retention keeps windows for ever.
const Forever time.Duration = 0

// WindowStore declares a typed store of windows: of each key, a value for each start. Its zero value is not usable.
type WindowStore[K, V any] struct{ def *spanDef[K, V] }

// spanDef is the definition of a window or session store.
type spanDef[K, V any] struct {
	spec  Spec
	key   serde.Serde[K]
	value serde.Serde[V]
}

func newSpanDef[K, V any](kind Kind, name string, key serde.Serde[K], value serde.Serde[V]) *spanDef[K, V] {
	return &spanDef[K, V]{Spec{
		Name: name, Kind: kind, TTL: DefaultRetention,
		Err: errors.Join(validName(name), key.Valid(), value.Valid()),
	}, key, value}
}

func (d *spanDef[K, V]) retention(keep time.Duration) *spanDef[K, V] {
	def := *d
	def.spec.TTL = keep
	if keep != Forever && keep < time.Millisecond {
		def.spec.Err = errors.Join(def.spec.Err, fmt.Errorf("state: store %q: retention %v: want at least 1ms, or Forever", def.spec.Name, keep))
	}
	return &def
}

// NewWindowStore declares a store. For the name see [NewKeyValueStore].
func NewWindowStore[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) WindowStore[K, V] {
	return WindowStore[K, V]{newSpanDef(KindWindow, name, key, value)}
}

// Retention returns the declaration with another retention than [DefaultRetention]: a window can be read and written
// while stream time < its start + d. It is removed some time later, in bounded steps, as stream time advances; removals
// reach the changelog.
func (s WindowStore[K, V]) Retention(d time.Duration) WindowStore[K, V] {
	return WindowStore[K, V]{s.def.retention(d)}
}

// Spec implements [Definition].
func (s WindowStore[K, V]) Spec() Spec {
	if s.def == nil {
		return Spec{Err: errors.New("state: a store was not declared with NewWindowStore")}
	}
	return s.def.spec
}

// Keys joins the store's keys with windows, for results of windowed steps.
func (s WindowStore[K, V]) Keys() window.Keys[K, window.Key[K]] {
	if s.def == nil {
		return window.Keys[K, window.Key[K]]{}
	}
	return window.KeysOf(s.def.key)
}

// KeySerde returns the serde of the store's keys.
func (s WindowStore[K, V]) KeySerde() serde.Serde[K] {
	if s.def == nil {
		return serde.Serde[K]{Err: s.Spec().Err}
	}
	return s.def.key
}

// In opens the store for the record that c processes. It is cheap: call it for each record. If the node did not name
// the store, every call on the result returns an [UnknownStoreError].
func (s WindowStore[K, V]) In(c Context) Windows[K, V] {
	if s.def == nil {
		return Windows[K, V]{}
	}
	return Windows[K, V]{span[K, V]{def: s.def, ctx: c, store: c.Store(s.def.spec.Name)}}
}

// Decode decodes a window of the store, for the runtime: the rest of an index key behind the time, and a value.
func (s WindowStore[K, V]) Decode(key, value []byte) (k K, v V, err error) {
	return s.def.decode(key, value)
}

func (d *spanDef[K, V]) decode(key, value []byte) (k K, v V, err error) {
	if k, err = d.key.Decode(key); err == nil {
		v, err = d.value.Decode(value)
	}
	if err != nil {
		err = &StoreError{Store: d.spec.Name, Op: "window", Err: undecoded(err)}
	}
	return k, v, err
}

// Windows is a window store opened for one record. It must not be kept.
type Windows[K, V any] struct{ span[K, V] }

// WindowEntry is a window of a key.
type WindowEntry[K, V any] struct {
	Key   K
	Start time.Time
	Value V
}

// Get returns the value of the window of k that begins at start; false if there is none.
func (s Windows[K, V]) Get(k K, start time.Time) (v V, found bool, err error) {
	at := start.UnixMilli()
	_, key, err := s.begin(k, at, at)
	if err != nil || s.expired(at) {
		return v, false, err
	}
	return s.get(key)
}

// Put sets the value of the window of k that begins at start. The retention over, it does nothing.
func (s Windows[K, V]) Put(k K, start time.Time, v V) error {
	_, err := s.Update(k, start, func(V, bool) (V, error) { return v, nil })
	return err
}

// Update sets the value of the window of k that begins at start to what f makes of the present one, and returns it. It
// is a Get and a Put for the price of one. The retention over, it does nothing.
func (s Windows[K, V]) Update(k K, start time.Time, f func(v V, found bool) (V, error)) (V, error) {
	at := start.UnixMilli()
	return s.update(k, at, at, f)
}

// Delete removes the window of k that begins at start; a missing one is no error.
func (s Windows[K, V]) Delete(k K, start time.Time) error {
	at := start.UnixMilli()
	return s.delete(k, at, at)
}

// PutNote sets the note beside the window of k that begins at start, for the runtime. The window has to be there; the note
// goes with it.
func (s Windows[K, V]) PutNote(k K, start time.Time, note []byte) error {
	at := start.UnixMilli()
	return s.putNote(k, at, at, note)
}

// Fetch yields the windows of k whose starts lie in [from, to), in the order of time. The loop may put and delete, as
// for [KeyValue.Range].
func (s Windows[K, V]) Fetch(k K, from, to time.Time) iter.Seq2[WindowEntry[K, V], error] {
	return func(yield func(WindowEntry[K, V], error) bool) {
		for e, err := range s.fetch(k, from.UnixMilli(), to.UnixMilli()) {
			if !yield(WindowEntry[K, V]{k, time.UnixMilli(e.at).UTC(), e.value}, err) {
				return
			}
		}
	}
}

// AppendFetched appends what Fetch yields. It allocates nothing but what dst and the values need.
func (s Windows[K, V]) AppendFetched(dst []WindowEntry[K, V], k K, from, to time.Time) ([]WindowEntry[K, V], error) {
	c, err := s.cursor(k, from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return dst, err
	}
	defer c.it.Close()
	for {
		e, ok, err := s.next(&c)
		if err != nil || !ok {
			return dst, err
		}
		dst = append(dst, WindowEntry[K, V]{k, time.UnixMilli(e.at).UTC(), e.value})
	}
}

// All yields the windows of all keys whose starts lie in [from, to), in the order of time, those of one time in the
// order of their encoded keys. The loop may put and delete, as for [KeyValue.Range].
func (s Windows[K, V]) All(from, to time.Time) iter.Seq2[WindowEntry[K, V], error] {
	return func(yield func(WindowEntry[K, V], error) bool) {
		for e, err := range s.all(from.UnixMilli(), to.UnixMilli()) {
			if !yield(WindowEntry[K, V]{e.key, time.UnixMilli(e.at).UTC(), e.value}, err) {
				return
			}
		}
	}
}

// WindowIndex returns the range of the index of a window or session store, for the runtime.
func WindowIndex() (from, to []byte) { return TimerIndex() }

// WindowsClosed returns the key of a window or session store under which the runtime notes how far closed windows were
// sent: the last index key.
func WindowsClosed() []byte { return []byte{prefixClosed} }

// AppendWindowEntry appends the key of the entry that an index key stands for, for the runtime.
func (s Spec) AppendWindowEntry(dst, indexKey []byte) []byte {
	at, key, _ := ParseTimer(indexKey)
	if s.Kind == KindSession {
		start, key := sessionStart(key)
		return appendSpanKey(dst, key, at, start, true)
	}
	return appendSpanKey(dst, key, at, at, false)
}

// sessionStart takes the start of a session from an index key without its time.
func sessionStart(b []byte) (start int64, key []byte) {
	if len(b) < 8 {
		return 0, b
	}
	return parseTime(b), b[8:]
}

func appendTime(dst []byte, at int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(at)^1<<63)
}

func parseTime(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ 1<<63) }

// appendSpanKey appends the key of an entry: at is the start of a window or the end of a session.
func appendSpanKey(dst, key []byte, at, start int64, session bool) []byte {
	dst = append(dst, prefixEntry)
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	dst = appendTime(dst, at)
	if session {
		dst = appendTime(dst, start)
	}
	return dst
}
