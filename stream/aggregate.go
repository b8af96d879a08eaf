package stream

import (
	"errors"
	"reflect"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

// errNullInput fails a record that an aggregate cannot take.
var errNullInput = errors.New("the value is null: an aggregate takes values; Filter nulls out before")

// Count counts the records of each key, in a store given by the user; the step is named after the store. A record
// with a null key or value is a dead letter. The event time of a row is the latest of its records.
func (s Stream[K, V]) Count(store state.TableStore[K, int64]) Table[K, int64] {
	return s.aggregate("count", store, false, func(n Optional[int64], _ V) int64 { return n.Value + 1 })
}

// Reduce combines the values of each key: the first one is the row, and f of the row and the next value the next row.
// For the rest see [Stream.Count].
func (s Stream[K, V]) Reduce(store state.TableStore[K, V], f func(row, v V) V) Table[K, V] {
	return s.aggregate("reduce", store, f == nil, func(row Optional[V], v V) V {
		if !row.Present {
			return v
		}
		return f(row.Value, v)
	})
}

// Aggregate keeps of each key what add makes of the row so far, at first the zero A, and the next value:
//
//	b.From(Payments).Aggregate(spend, Spend.Add)
//
// For the rest see [Stream.Count].
func (s Stream[K, V]) Aggregate[A any](store state.TableStore[K, A], add func(A, V) A) Table[K, A] {
	return s.aggregate("aggregate", store, add == nil, func(row Optional[A], v V) A { return add(row.Value, v) })
}

func (s Stream[K, V]) aggregate[A any](op string, store state.TableStore[K, A], missing bool, add func(Optional[A], V) A) Table[K, A] {
	out := s.b.aggregate(op, store, missing, s.port.edge())
	s.consume(func(in *instance) handler[K, V] { return aggregate(in, out, newAggregator(in, out, store), add) })
	return out
}

// aggregate adds a step that aggregates into a store.
func (b *Builder) aggregate[K, A any](op string, store state.TableStore[K, A], missing bool, inputs ...graph.Edge) Table[K, A] {
	name := store.Spec().Name
	if missing {
		b.mistake("%s %q: the function is nil", op, name)
	}
	return b.table(store, graph.Node{Op: op, Name: name, Inputs: inputs})
}

func aggregate[K, V, A any](in *instance, t Table[K, A], rows *aggregator[K, A], add func(Optional[A], V) A) handler[K, V] {
	null := newNulls[K, V]()
	f, id := in.frame, t.port.node.ID
	update := func(row Optional[A], v V) Optional[A] { return some(add(row, v)) }
	return func(r *rec[K, V]) error {
		f.Enter(id)
		if err := null.aggregable(r); err != nil {
			return f.Fail(err)
		}
		return updateRow(rows, r, update)
	}
}

// aggregator is a keeper for functions that make a row of the one before.
type aggregator[K, A any] struct {
	*keeper[K, A]
	again bool // a function can change the old row in place: the change gets one of its own
	none  func(*A) bool
}

func newAggregator[K, A any](in *instance, t Table[K, A], store state.TableStore[K, A]) *aggregator[K, A] {
	return &aggregator[K, A]{newKeeper(in, t, store), mutable(reflect.TypeFor[A]()), isNil[A]()}
}

// updateRow makes the new row of r's key with f, of the old one and of r's value. A nil is no row.
func updateRow[K, A, In any](a *aggregator[K, A], r *rec[K, In], f func(Optional[A], In) Optional[A]) error {
	row, found, err := a.old(r.Key)
	if err != nil {
		return err
	}
	c := Change[A]{Old: Optional[A]{row.Value, found}}
	if found && a.again {
		own, _, err := a.old(r.Key)
		if err != nil {
			return err
		}
		c.Old.Value = own.Value
	}
	c.New = f(Optional[A]{row.Value, found}, r.Value)
	if c.New.Present && a.none != nil {
		if v := c.New.Value; a.none(&v) { // a copy: what it is asked of escapes
			c.New = Optional[A]{}
		}
	}
	if !c.Old.Present && !c.New.Present {
		return nil
	}
	at := r.Time
	if found {
		at = later(at, row.Time)
	}
	return sendChange(a.keeper, r, c, at)
}

// mutable reports whether a function can change what a value of the type holds, in a copy of it.
func mutable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return true
	case reflect.Array:
		return mutable(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return false
		}
		for i := range t.NumField() {
			if mutable(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}
