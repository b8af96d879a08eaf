package state

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
)

// Timed is a value with the event time that it stands for, in UTC, with the
// resolution of a millisecond.
type Timed[V any] struct {
	Value V
	Time  time.Time
}

// TableStore declares the store of a table: of each key the present value, and the
// event time of the record that made it. It is a key-value store, so everything that
// takes one takes it.
type TableStore[K, V any] = KeyValueStore[K, Timed[V]]

// NewTableStore declares the store of a table. See [NewKeyValueStore] for the name
// and the order of the entries.
func NewTableStore[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) TableStore[K, V] {
	return NewKeyValueStore(name, key, timed(value))
}

// timed puts eight bytes of milliseconds, big-endian, in front of the value's own.
func timed[V any](value serde.Serde[V]) serde.Serde[Timed[V]] {
	if err := value.Valid(); err != nil {
		return serde.Serde[Timed[V]]{Name: value.Name, Err: err}
	}
	name := "timed(" + value.Name + ")"
	return serde.Serde[Timed[V]]{
		Name: name,
		Encode: func(dst []byte, v Timed[V]) ([]byte, error) {
			b, err := value.Encode(binary.BigEndian.AppendUint64(dst, uint64(v.Time.UnixMilli())), v.Value)
			if err != nil {
				return dst, err
			}
			return b, nil
		},
		Decode: func(b []byte) (v Timed[V], err error) {
			if len(b) < 8 {
				return v, &serde.Error{Serde: name, Op: "decode", Err: fmt.Errorf("%d bytes, want a time of 8 and a value", len(b))}
			}
			v.Time = time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC()
			v.Value, err = value.Decode(b[8:])
			return v, err
		},
	}
}

// Serdes returns the serdes of keys and values.
func (s KeyValueStore[K, V]) Serdes() (serde.Serde[K], serde.Serde[V]) {
	if s.def == nil {
		return serde.Serde[K]{}, serde.Serde[V]{}
	}
	return s.def.key, s.def.value
}
