package stream

import (
	"fmt"
	"reflect"
	"time"

	"github.com/riffle-stream/riffle/serde"
)

// Topic is a topic and the types in it. Declare it once, at package level, and use it everywhere.
//
// Null: a record without a key has the zero key, and stays without one as long as the key is not touched. A null
// value is nil if V is a pointer, a slice, a map or an interface, and nil is written as null: so a tombstone can be
// read and written. Other types have no room for null: such a record is a dead letter.
type Topic[K, V any] struct {
	Name  string
	Key   serde.Serde[K]
	Value serde.Serde[V]

	eventTime func(V) time.Time
	onError   React
}

// NewTopic returns the topic of that name. Its event time is the record's timestamp.
func NewTopic[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) Topic[K, V] {
	return Topic[K, V]{Name: name, Key: key, Value: value}
}

// EventTime returns the topic with an event time that is part of the value. A record whose time lies before 1970 is
// a dead letter; the time of a null value is the record's timestamp.
func (t Topic[K, V]) EventTime(f func(V) time.Time) Topic[K, V] {
	t.eventTime = f
	return t
}

// serdes describes the types of a topic, to tell two definitions of one name apart.
func (t Topic[K, V]) serdes() string {
	return fmt.Sprintf("%s %s, %s %s", reflect.TypeFor[K](), t.Key.Name, reflect.TypeFor[V](), t.Value.Name)
}

// valid returns what is wrong with the topic's serdes, or nil.
func (t Topic[K, V]) valid() error {
	if err := t.Key.Valid(); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if err := t.Value.Valid(); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	return nil
}

// isNil returns a function that reports whether a value of T is nil, or nil if no value of T is.
func isNil[T any]() func(*T) bool {
	switch reflect.TypeFor[T]().Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
	default:
		return nil
	}
	if _, ok := any((*T)(nil)).(*[]byte); ok {
		return func(v *T) bool { return *any(v).(*[]byte) == nil }
	}
	return func(v *T) bool { return reflect.ValueOf(v).Elem().IsNil() }
}
