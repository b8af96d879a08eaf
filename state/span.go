package state

import (
	"encoding/binary"
	"iter"
	"math"
)

// span is what window and session stores have in common, opened for one record: values under a key and a time, which is
// the start of a window or the end of a session. Times are milliseconds.
type span[K, V any] struct {
	def   *spanDef[K, V]
	ctx   Context
	store Store
}

// maxTime is behind all times.
const maxTime = math.MaxInt64

// spanEntry is an entry with its times.
type spanEntry[K, V any] struct {
	key       K // of all, not of fetch
	at, start int64
	value     V
}

func (s span[K, V]) session() bool { return s.def.spec.Kind == KindSession }

// expired reports whether what has that time can no longer be read or written.
func (s span[K, V]) expired(at int64) bool {
	ttl := s.def.spec.TTL.Milliseconds()
	return ttl > 0 && at <= s.ctx.StreamTime().UnixMilli()-ttl
}

// begin returns the store's scratch space and an entry's key in it.
func (s span[K, V]) begin(k K, at, start int64) (*Scratch, []byte, error) {
	if err := s.usable(); err != nil {
		return nil, nil, err
	}
	sc := scratchOf(s.store)
	key, err := s.def.key.Encode(sc.other[:0], k)
	if err != nil {
		return nil, nil, s.wrap("encode key", err)
	}
	sc.other = key
	sc.key = appendSpanKey(sc.key[:0], key, at, start, s.session())
	return sc, sc.key, nil
}

func (s span[K, V]) get(key []byte) (v V, found bool, err error) {
	b, found, err := s.store.Get(key)
	if err != nil || !found {
		return v, false, s.wrap("get", err)
	}
	if v, err = s.def.value.Decode(b); err != nil {
		return v, false, s.wrap("get", undecoded(err))
	}
	return v, true, nil
}

func (s span[K, V]) update(k K, at, start int64, f func(v V, found bool) (V, error)) (v V, err error) {
	sc, key, err := s.begin(k, at, start)
	if err != nil || s.expired(at) {
		return v, err
	}
	v, found, err := s.get(key)
	if err != nil {
		return v, err
	}
	if v, err = f(v, found); err != nil {
		return v, err
	}
	if sc.value, err = s.def.value.Encode(sc.value[:0], v); err != nil {
		return v, s.wrap("encode value", err)
	}
	if err := s.store.Put(key, sc.value); err != nil {
		return v, s.wrap("put", err)
	}
	if found {
		return v, nil
	}
	if err := s.store.Put(s.indexKey(sc, at, start), nil); err != nil {
		return v, s.wrap("put", err)
	}
	sc.sweep.added(at)
	return v, s.wrap("expire", s.sweep(sc))
}

// indexKey is the index key of the entry whose key was made last.
func (s span[K, V]) indexKey(sc *Scratch, at, start int64) []byte {
	n := len(sc.other)
	sc.other = appendIndexKey(sc.other, at, nil)
	if s.session() {
		sc.other = appendTime(sc.other, start)
	}
	sc.other = append(sc.other, sc.other[:n]...)
	return sc.other[n:]
}

// putNote sets the note beside an entry that is there.
func (s span[K, V]) putNote(k K, at, start int64, note []byte) error {
	sc, _, err := s.begin(k, at, start)
	if err != nil || s.expired(at) {
		return err
	}
	return s.wrap("note", s.store.Put(s.indexKey(sc, at, start), note))
}

// note returns the note beside an entry, a view.
func (s span[K, V]) note(k K, at, start int64) ([]byte, error) {
	sc, _, err := s.begin(k, at, start)
	if err != nil {
		return nil, err
	}
	note, _, err := s.store.Get(s.indexKey(sc, at, start))
	return note, s.wrap("note", err)
}

func (s span[K, V]) delete(k K, at, start int64) error {
	sc, key, err := s.begin(k, at, start)
	if err != nil {
		return err
	}
	if err := s.store.Delete(key); err != nil {
		return s.wrap("delete", err)
	}
	return s.wrap("delete", s.store.Delete(s.indexKey(sc, at, start)))
}

// spanCursor goes over entries of a key.
type spanCursor struct {
	it     Iterator
	prefix int // bytes of an entry's key before the times
}

// cursor goes over the entries of k whose times lie in [from, to). It has to be closed.
func (s span[K, V]) cursor(k K, from, to int64) (c spanCursor, err error) {
	if err := s.usable(); err != nil {
		return c, err
	}
	if ttl := s.def.spec.TTL.Milliseconds(); ttl > 0 {
		from = max(from, s.ctx.StreamTime().UnixMilli()-ttl+1)
	}
	sc, first, err := s.begin(k, from, 0)
	if err != nil {
		return c, err
	}
	c.prefix = len(first) - 8
	if s.session() {
		c.prefix -= 8
	}
	first = first[:c.prefix+8]
	sc.value = appendTime(append(sc.value[:0], first[:c.prefix]...), to)
	c.it = Scan(s.store, first, sc.value)
	return c, nil
}

// next returns the next entry, without its key.
func (s span[K, V]) next(c *spanCursor) (e spanEntry[K, V], ok bool, err error) {
	kv, ok, err := c.it.Next()
	if err != nil || !ok {
		return e, false, s.wrap("fetch", err)
	}
	e, err = s.parse(kv, c.prefix)
	return e, err == nil, s.wrap("fetch", err)
}

// fetch yields the entries of k whose times lie in [from, to), without their key.
func (s span[K, V]) fetch(k K, from, to int64) iter.Seq2[spanEntry[K, V], error] {
	return func(yield func(spanEntry[K, V], error) bool) {
		c, err := s.cursor(k, from, to)
		if err != nil {
			yield(spanEntry[K, V]{}, err)
			return
		}
		defer c.it.Close()
		for {
			e, ok, err := s.next(&c)
			if err != nil {
				yield(spanEntry[K, V]{}, err)
				return
			}
			if !ok || !yield(e, nil) {
				return
			}
		}
	}
}

// parse takes an entry apart whose key has n bytes before the times.
func (s span[K, V]) parse(kv KV, n int) (e spanEntry[K, V], err error) {
	times := kv.Key[n:]
	switch {
	case len(times) == 16 && s.session():
		e.start = parseTime(times[8:])
		e.at = parseTime(times)
	case len(times) == 8 && !s.session():
		e.at = parseTime(times)
		e.start = e.at
	default:
		return e, corruptf("a window key with %d bytes of times", len(times))
	}
	if e.value, err = s.def.value.Decode(kv.Value); err != nil {
		return e, undecoded(err)
	}
	return e, nil
}

// all yields the entries whose times lie in [from, to), in the order of time.
func (s span[K, V]) all(from, to int64) iter.Seq2[spanEntry[K, V], error] {
	return func(yield func(spanEntry[K, V], error) bool) {
		if err := s.usable(); err != nil {
			yield(spanEntry[K, V]{}, err)
			return
		}
		if ttl := s.def.spec.TTL.Milliseconds(); ttl > 0 {
			from = max(from, s.ctx.StreamTime().UnixMilli()-ttl+1)
		}
		for kv, err := range s.store.Range(appendIndexKey(nil, from, nil), appendIndexKey(nil, to, nil)) {
			var e spanEntry[K, V]
			found := false
			if err == nil {
				e, found, err = s.lookUp(kv.Key)
			}
			if err != nil {
				yield(spanEntry[K, V]{}, s.wrap("range", err))
				return
			}
			if found && !yield(e, nil) {
				return
			}
		}
	}
}

// lookUp returns the entry that an index key stands for.
func (s span[K, V]) lookUp(indexKey []byte) (e spanEntry[K, V], found bool, err error) {
	key := s.def.spec.AppendWindowEntry(nil, indexKey)
	size, n := binary.Uvarint(key[1:])
	if n <= 0 || uint64(len(key)-1-n) < size {
		return e, false, corruptf("a window index key of %d bytes", len(indexKey))
	}
	k := key[1+n : 1+n+int(size)]
	if e.key, err = s.def.key.Decode(k); err != nil {
		return e, false, undecoded(err)
	}
	value, found, err := s.store.Get(key)
	if err != nil || !found {
		return e, false, err
	}
	decoded := e.key
	e, err = s.parse(KV{key, value}, 1+n+int(size))
	e.key = decoded
	return e, true, err
}

// sweep removes up to sweepStep entries whose retention is over.
func (s span[K, V]) sweep(sc *Scratch) error {
	ttl := s.def.spec.TTL.Milliseconds()
	if ttl == 0 {
		return nil
	}
	now := s.ctx.StreamTime().UnixMilli()
	due, ok := sc.sweep.begin(now, ttl)
	if !ok {
		return nil
	}
	looked, err := s.remove(sc, due)
	if err == nil {
		sc.sweep.end(now, due, looked)
	}
	return err
}

// remove removes entries whose times lie below due, and returns how many it saw: more than sweepStep if some are left.
func (s span[K, V]) remove(sc *Scratch, due int64) (looked int, err error) {
	for kv, err := range s.store.Range(sc.sweep.first(), appendIndexKey(nil, due, nil)) {
		if err != nil {
			return looked, err
		}
		if looked++; looked > sweepStep {
			return looked, sc.sweep.left(kv.Key)
		}
		sc.other = append(sc.other[:0], kv.Key...)
		sc.key = s.def.spec.AppendWindowEntry(sc.key[:0], sc.other)
		if err := s.store.Delete(sc.key); err != nil {
			return looked, err
		}
		if err := s.store.Delete(sc.other); err != nil {
			return looked, err
		}
	}
	return looked, nil
}

func (s span[K, V]) usable() error {
	switch {
	case s.def == nil:
		return WindowStore[K, V]{}.Spec().Err
	case s.def.spec.Err != nil:
		return s.def.spec.Err
	case s.store == nil:
		return &UnknownStoreError{Store: s.def.spec.Name}
	}
	return nil
}

func (s span[K, V]) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &StoreError{Store: s.def.spec.Name, Op: op, Err: err}
}
