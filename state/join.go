package state

import (
	"errors"

	"github.com/riffle-stream/riffle/serde"
)

// JoinStore declares where a join of two streams keeps the records of either side, until nothing can join them any
// more. How long that is, the join's window says. The zero value is not usable.
type JoinStore[K, L, R any] struct{ def *joinDef[K, L, R] }

type joinDef[K, L, R any] struct {
	spec  Spec
	key   serde.Serde[K]
	left  serde.Serde[L]
	right serde.Serde[R]
}

// NewJoinStore declares a store for records with keys of one type and values of two. For the name see
// [NewKeyValueStore].
func NewJoinStore[K, L, R any](name string, key serde.Serde[K], left serde.Serde[L], right serde.Serde[R]) JoinStore[K, L, R] {
	spec := Spec{Name: name, Kind: KindJoin, Err: errors.Join(validName(name), key.Valid(), left.Valid(), right.Valid())}
	return JoinStore[K, L, R]{&joinDef[K, L, R]{spec, key, left, right}}
}

// Spec implements [Definition].
func (s JoinStore[K, L, R]) Spec() Spec {
	if s.def == nil {
		return Spec{Err: errors.New("state: a store was not declared with NewJoinStore")}
	}
	return s.def.spec
}

// Serdes returns the serdes of the keys and of either side's values.
func (s JoinStore[K, L, R]) Serdes() (key serde.Serde[K], left serde.Serde[L], right serde.Serde[R]) {
	if s.def == nil {
		return key, left, right
	}
	return s.def.key, s.def.left, s.def.right
}

// AppendTimerIndex appends the key of the index entry of a timer, for the runtime.
func AppendTimerIndex(dst []byte, millis int64, key []byte) []byte {
	return appendIndexKey(dst, millis, key)
}
