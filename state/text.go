package state

import (
	"encoding/json/v2"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/riffle-stream/riffle/serde"
)

// Readable is a store that can be read by those who do not know its types: keys come as text, and what is found can be
// written as JSON. A text is the key itself for strings and bytes, and JSON for every other type.
type Readable interface {
	Definition
	// ParseKey returns the bytes of the key that a text stands for.
	ParseKey(text string) ([]byte, error)
	// Find yields what there is of a key, or of all keys if it is nil. Of window and session stores that is what overlaps
	// [from, to).
	Find(c Context, key []byte, from, to time.Time) iter.Seq2[Found, error]
}

// Found is an entry of a store.
type Found struct {
	Key   any `json:"key"`
	Value any `json:"value"`
	// Start is that of a window or a session, Time the time of a table's row. Both may be missing.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`
	Time  time.Time `json:"time,omitzero"`
}

// stamped is a value that tells its time.
type stamped interface {
	stamp() (value any, at time.Time)
}

func (v Timed[V]) stamp() (any, time.Time) { return v.Value, v.Time }

// KeySerde returns the serde of the store's keys.
func (s KeyValueStore[K, V]) KeySerde() serde.Serde[K] {
	key, _ := s.Serdes()
	return key
}

// ParseKey implements [Readable].
func (s KeyValueStore[K, V]) ParseKey(text string) ([]byte, error) {
	return parseKey(s.KeySerde(), text)
}

// ParseKey implements [Readable].
func (s WindowStore[K, V]) ParseKey(text string) ([]byte, error) { return parseKey(s.KeySerde(), text) }

// ParseKey implements [Readable].
func (s SessionStore[K, V]) ParseKey(text string) ([]byte, error) {
	return parseKey(s.KeySerde(), text)
}

func parseKey[K any](key serde.Serde[K], text string) ([]byte, error) {
	var k K
	switch p := any(&k).(type) {
	case *string:
		*p = text
	case *[]byte:
		*p = []byte(text)
	default:
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			return nil, fmt.Errorf("state: the key %q is not a %T: %w", text, k, err)
		}
	}
	return key.Encode([]byte{}, k)
}

// Find implements [Readable]. The times are ignored.
func (s KeyValueStore[K, V]) Find(c Context, key []byte, _, _ time.Time) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		in := s.In(c)
		if key != nil {
			k, err := s.def.key.Decode(key)
			if err != nil {
				yield(Found{}, err)
				return
			}
			if v, found, err := in.Get(k); found || err != nil {
				yield(foundOf(k, v), err)
			}
			return
		}
		for e, err := range in.All() {
			if !yield(foundOf(e.Key, e.Value), err) {
				return
			}
		}
	}
}

func foundOf[K, V any](k K, v V) Found {
	if t, ok := any(v).(stamped); ok {
		value, at := t.stamp()
		return Found{Key: k, Value: value, Time: at}
	}
	return Found{Key: k, Value: v}
}

// Find implements [Readable]: windows are found by their starts.
func (s WindowStore[K, V]) Find(c Context, key []byte, from, to time.Time) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		entries := s.In(c).All(from, to)
		if key != nil {
			k, err := s.def.key.Decode(key)
			if err != nil {
				yield(Found{}, err)
				return
			}
			entries = s.In(c).Fetch(k, from, to)
		}
		for e, err := range entries {
			f := foundOf(e.Key, e.Value)
			f.Start = e.Start
			if !yield(f, err) {
				return
			}
		}
	}
}

// Find implements [Readable].
func (s SessionStore[K, V]) Find(c Context, key []byte, from, to time.Time) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		entries := s.In(c).All(from, to)
		if key != nil {
			k, err := s.def.key.Decode(key)
			if err != nil {
				yield(Found{}, err)
				return
			}
			entries = s.In(c).Find(k, from, to)
		}
		for e, err := range entries {
			f := foundOf(e.Key, e.Value)
			f.Start, f.End = e.Window.Start, e.Window.End
			if !yield(f, err) {
				return
			}
		}
	}
}

// AllTime are the bounds of every window that begins after 1970.
func AllTime() (from, to time.Time) { return time.UnixMilli(0), time.UnixMilli(math.MaxInt64 - 1) }
