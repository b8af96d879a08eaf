package state

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/riffle-stream/riffle/serde"
)

// KeyValueStore declares a typed store. Its zero value is not usable.
type KeyValueStore[K, V any] struct {
	def *keyValueDef[K, V]
}

type keyValueDef[K, V any] struct {
	spec  Spec
	key   serde.Serde[K]
	value serde.Serde[V]
}

// Entry is a key with its value.
type Entry[K, V any] struct {
	Key   K
	Value V
}

// NewKeyValueStore declares a store. The name is unique within the application
// and consists of letters, digits, '.', '_' and '-': it becomes part of a topic's
// name. Entries are ordered by the bytes of their encoded keys.
func NewKeyValueStore[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) KeyValueStore[K, V] {
	spec := Spec{Name: name, Err: errors.Join(validName(name), key.Valid(), value.Valid())}
	return KeyValueStore[K, V]{&keyValueDef[K, V]{spec, key, value}}
}

// TTL returns the declaration with a time to live: an entry put while a record of
// event time t is processed can be read while stream time < t+d. It is removed
// some time later, in bounded steps, as stream time advances; removals reach the
// changelog. The resolution is a millisecond; zero keeps entries for ever.
func (s KeyValueStore[K, V]) TTL(d time.Duration) KeyValueStore[K, V] {
	def := *s.def
	def.spec.TTL = d
	if d != 0 && d < time.Millisecond {
		def.spec.Err = errors.Join(def.spec.Err, fmt.Errorf("state: store %q: ttl %v: want at least 1ms, or 0 for ever", def.spec.Name, d))
	}
	return KeyValueStore[K, V]{&def}
}

// Spec describes the store to the topology and the backend.
func (s KeyValueStore[K, V]) Spec() Spec {
	if s.def == nil {
		return Spec{Err: errors.New("state: a store was not declared with NewKeyValueStore")}
	}
	return s.def.spec
}

// In opens the store for the record that c processes. It is cheap: call it for
// each record. If the node did not name the store, every call on the result
// returns an [UnknownStoreError].
func (s KeyValueStore[K, V]) In(c Context) KeyValue[K, V] {
	if s.def == nil {
		return KeyValue[K, V]{}
	}
	return KeyValue[K, V]{def: s.def, ctx: c, store: c.Store(s.def.spec.Name)}
}

// KeyValue is a store opened for one record. It must not be kept.
type KeyValue[K, V any] struct {
	def   *keyValueDef[K, V]
	ctx   Context
	store Store
}

// Get returns the value of k; false if there is none. Each call decodes the bytes
// anew: what it returns is the caller's, and changing it changes nothing here.
func (s KeyValue[K, V]) Get(k K) (v V, found bool, err error) {
	_, key, err := s.begin(k)
	if err != nil {
		return v, false, err
	}
	b, found, err := s.store.Get(key)
	if err != nil || !found {
		return v, false, s.wrap("get", err)
	}
	if s.def.spec.TTL > 0 {
		e, err := parseExpiring(b)
		if err != nil {
			return v, false, s.wrap("get", err)
		}
		if s.expired(e.put) {
			return v, false, nil
		}
		b = e.value
	}
	v, err = s.def.value.Decode(b)
	if err != nil {
		return v, false, s.wrap("get", undecoded(err))
	}
	return v, true, nil
}

// Put sets the value of k.
func (s KeyValue[K, V]) Put(k K, v V) error {
	sc, key, err := s.begin(k)
	if err != nil {
		return err
	}
	if s.def.spec.TTL > 0 {
		return s.putExpiring(sc, key, v)
	}
	sc.value, err = s.def.value.Encode(sc.value[:0], v)
	if err != nil {
		return s.wrap("encode value", err)
	}
	return s.wrap("put", s.store.Put(key, sc.value))
}

// Delete removes k; a missing key is no error.
func (s KeyValue[K, V]) Delete(k K) error {
	_, key, err := s.begin(k)
	if err != nil {
		return err
	}
	return s.wrap("delete", s.store.Delete(key)) // the sweep removes its place in the index
}

// Range yields the entries whose encoded keys are in [from, to), in the order of
// their bytes. The loop may put and delete: it yields the keys that existed when it
// began and still exist, with their present values.
func (s KeyValue[K, V]) Range(from, to K) iter.Seq2[Entry[K, V], error] {
	return func(yield func(Entry[K, V], error) bool) {
		if err := s.usable(); err != nil {
			yield(Entry[K, V]{}, err)
			return
		}
		first, err1 := s.def.key.Encode(s.keyPrefix(nil), from)
		last, err2 := s.def.key.Encode(s.keyPrefix(nil), to)
		if err := errors.Join(err1, err2); err != nil {
			yield(Entry[K, V]{}, s.wrap("encode key", err))
			return
		}
		s.scan(notNil(first), notNil(last), yield)
	}
}

// All yields all entries, in the order of their key bytes. As for Range, the loop
// may put and delete.
func (s KeyValue[K, V]) All() iter.Seq2[Entry[K, V], error] {
	return func(yield func(Entry[K, V], error) bool) {
		if err := s.usable(); err != nil {
			yield(Entry[K, V]{}, err)
			return
		}
		s.scan(s.keyPrefix(nil), nil, yield)
	}
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (s KeyValue[K, V]) scan(from, to []byte, yield func(Entry[K, V], error) bool) {
	for kv, err := range s.store.Range(from, to) {
		var e Entry[K, V]
		live := true
		if err == nil {
			e, live, err = s.decode(kv)
		}
		if err != nil {
			yield(Entry[K, V]{}, s.wrap("range", err))
			return
		}
		if live && !yield(e, nil) {
			return
		}
	}
}

// decode turns stored bytes into an entry; live is false if it has expired.
func (s KeyValue[K, V]) decode(kv KV) (e Entry[K, V], live bool, err error) {
	if s.def.spec.TTL > 0 {
		x, err := parseExpiring(kv.Value)
		if err != nil || s.expired(x.put) {
			return e, false, err
		}
		kv = KV{kv.Key[1:], x.value}
	}
	if e.Key, err = s.def.key.Decode(kv.Key); err != nil {
		return e, false, undecoded(err)
	}
	if e.Value, err = s.def.value.Decode(kv.Value); err != nil {
		return e, false, undecoded(err)
	}
	return e, true, nil
}

func undecoded(err error) error { return fmt.Errorf("%w: %w", ErrDecode, err) }

// begin returns the store's scratch space and the key's bytes in it.
func (s KeyValue[K, V]) begin(k K) (*Scratch, []byte, error) {
	if err := s.usable(); err != nil {
		return nil, nil, err
	}
	sc := scratchOf(s.store)
	key, err := s.def.key.Encode(s.keyPrefix(sc.key[:0]), k)
	if err != nil {
		return nil, nil, s.wrap("encode key", err)
	}
	sc.key = key
	return sc, key, nil
}

func (s KeyValue[K, V]) usable() error {
	switch {
	case s.def == nil:
		return KeyValueStore[K, V]{}.Spec().Err
	case s.def.spec.Err != nil:
		return s.def.spec.Err
	case s.store == nil:
		return &UnknownStoreError{Store: s.def.spec.Name}
	}
	return nil
}

func (s KeyValue[K, V]) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &StoreError{Store: s.def.spec.Name, Op: op, Err: err}
}

func validName(name string) error {
	if name == "" || len(name) > 150 {
		return fmt.Errorf("state: store name %q: want 1 to 150 letters, digits, '.', '_' or '-'", name)
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return fmt.Errorf("state: store name %q: want 1 to 150 letters, digits, '.', '_' or '-'", name)
		}
	}
	return nil
}
