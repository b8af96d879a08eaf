package state

import (
	"errors"

	"github.com/riffle-stream/riffle/serde"
)

// SuppressStore declares where the suppression of a table holds back changes. The zero value is not usable.
type SuppressStore[K, V any] struct{ def *suppressDef[K, V] }

type suppressDef[K, V any] struct {
	spec  Spec
	key   serde.Serde[K]
	value serde.Serde[V]
}

// NewSuppressStore declares a store for the changes of a table whose rows have that key and value. For the name see
// [NewKeyValueStore].
func NewSuppressStore[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) SuppressStore[K, V] {
	spec := Spec{Name: name, Kind: KindSuppress, Err: errors.Join(validName(name), key.Valid(), value.Valid())}
	return SuppressStore[K, V]{&suppressDef[K, V]{spec, key, value}}
}

// Spec implements [Definition].
func (s SuppressStore[K, V]) Spec() Spec {
	if s.def == nil {
		return Spec{Err: errors.New("state: a store was not declared with NewSuppressStore")}
	}
	return s.def.spec
}

// Serdes returns the serdes of keys and values.
func (s SuppressStore[K, V]) Serdes() (serde.Serde[K], serde.Serde[V]) {
	if s.def == nil {
		return serde.Serde[K]{}, serde.Serde[V]{}
	}
	return s.def.key, s.def.value
}
