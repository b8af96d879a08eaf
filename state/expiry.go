package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// A store with a time to live holds two kinds of keys:
//
//	0x01 key             put time, look time, value
//	0x00 look time key   nothing: the expiry index
//
// The put time is the event time of the record that put the value; it alone
// decides whether the entry can be read. The look time is where the entry stands
// in the index, and at most what it was when the entry was first put: writing a hot
// key again does not move it in the index. When stream time has passed look time +
// TTL, the sweep looks: an entry that has been put again since gets a new place,
// another one is removed. So each key is in the index once, and a hot one is moved
// once per TTL.
//
// Sweeping happens in Put, in steps of sweepStep entries, at most once in sweepStep/2
// puts, and at most every TTL/64 of stream time unless there is a backlog. When it happens is not visible: reads
// decide by the put time. Index entries are ordinary entries; they reach the
// changelog and come back from it.
const (
	prefixIndex = 0x00
	prefixEntry = 0x01

	// sweepStep bounds the work of one Put. A Put adds at most one index entry and a
	// step removes more, so a backlog always shrinks.
	sweepStep = 64
	// sweepsPerTTL bounds how often a sweep looks when little expires: looking
	// costs an iterator over all layers.
	sweepsPerTTL = 64
)

// sweepState is what a store remembers between sweeps. It is only a hint: the zero
// state makes the next Put look.
type sweepState struct {
	known   bool
	lowest  int64  // no index entry has a look time below it
	next    []byte // no index key of that time lies below it; empty if nothing is known of that
	swept   int64  // stream time of the last sweep
	backlog bool
	puts    int // since the last sweep
}

// expiring is a stored value in its parts.
type expiring struct {
	put, look int64 // milliseconds
	value     []byte
}

func appendExpiring(dst []byte, put, look int64) []byte {
	dst = binary.AppendVarint(dst, put)
	return binary.AppendVarint(dst, put-look)
}

func parseExpiring(b []byte) (expiring, error) {
	put, n := binary.Varint(b)
	if n <= 0 {
		return expiring{}, fmt.Errorf("%w: value without a put time", ErrCorrupt)
	}
	age, m := binary.Varint(b[n:])
	if m <= 0 {
		return expiring{}, fmt.Errorf("%w: value without a look time", ErrCorrupt)
	}
	return expiring{put: put, look: put - age, value: b[n+m:]}, nil
}

// appendIndexKey appends the index key of an entry. Times sort as bytes: the sign
// bit is flipped.
func appendIndexKey(dst []byte, look int64, key []byte) []byte {
	dst = append(dst, prefixIndex)
	dst = binary.BigEndian.AppendUint64(dst, uint64(look)^1<<63)
	return append(dst, key...)
}

func parseIndexKey(b []byte) (look int64, key []byte, err error) {
	if len(b) < 9 || b[0] != prefixIndex {
		return 0, nil, fmt.Errorf("%w: expiry index key of %d bytes", ErrCorrupt, len(b))
	}
	return int64(binary.BigEndian.Uint64(b[1:]) ^ 1<<63), b[9:], nil
}

func (s KeyValue[K, V]) keyPrefix(dst []byte) []byte {
	if s.def.spec.TTL > 0 {
		dst = append(dst, prefixEntry)
	}
	return dst
}

func (s KeyValue[K, V]) ttlMillis() int64    { return s.def.spec.TTL.Milliseconds() }
func (s KeyValue[K, V]) streamMillis() int64 { return s.ctx.StreamTime().UnixMilli() }

// expired reports whether an entry put at the time given can no longer be read.
func (s KeyValue[K, V]) expired(put int64) bool { return put+s.ttlMillis() <= s.streamMillis() }

func (s KeyValue[K, V]) putExpiring(sc *Scratch, key []byte, v V) error {
	put := s.ctx.RecordTime().UnixMilli()
	if s.expired(put) {
		// The record is so late that its entry could not be read; it still replaces
		// what was there.
		return s.wrap("put", s.deleteExpiring(sc, key))
	}
	look := put
	b, found, err := s.store.Get(key)
	if err != nil {
		return s.wrap("put", err)
	}
	if found {
		old, err := parseExpiring(b)
		if err != nil {
			return s.wrap("put", err)
		}
		look = old.look
	}
	sc.value, err = s.def.value.Encode(appendExpiring(sc.value[:0], put, look), v)
	if err != nil {
		return s.wrap("encode value", err)
	}
	if err := s.store.Put(key, sc.value); err != nil {
		return s.wrap("put", err)
	}
	if !found {
		if err := s.putIndex(sc, look, key[1:]); err != nil {
			return s.wrap("put", err)
		}
	}
	return s.wrap("expire", s.sweep(sc))
}

func (s KeyValue[K, V]) putIndex(sc *Scratch, look int64, key []byte) error {
	sc.other = appendIndexKey(sc.other[:0], look, key)
	sc.sweep.added(look)
	return s.store.Put(sc.other, nil)
}

func (s KeyValue[K, V]) deleteExpiring(sc *Scratch, key []byte) error {
	b, found, err := s.store.Get(key)
	if err != nil || !found {
		return err
	}
	old, err := parseExpiring(b)
	if err != nil {
		return err
	}
	sc.other = appendIndexKey(sc.other[:0], old.look, key[1:])
	if err := s.store.Delete(sc.other); err != nil {
		return err
	}
	return s.store.Delete(key)
}

// sweep looks at up to sweepStep index entries that are due. The store's scratch is
// free: the put that called it is done.
func (s KeyValue[K, V]) sweep(sc *Scratch) error {
	now := s.streamMillis()
	due, ok := sc.sweep.begin(now, s.ttlMillis())
	if !ok {
		return nil
	}
	looked, err := s.lookUpTo(sc, due)
	if err == nil {
		sc.sweep.end(now, due, looked)
	}
	return err
}

// begin counts a put, and reports whether it is time to look at the index entries whose times lie below due.
func (sw *sweepState) begin(now, ttl int64) (due int64, ok bool) {
	due = now - ttl
	if sw.puts++; sw.known && sw.puts < sweepStep/2 {
		return due, false
	}
	if sw.known && (due <= sw.lowest || !sw.backlog && now-sw.swept < ttl/sweepsPerTTL) {
		return due, false
	}
	if !sw.known {
		sw.startFrom(math.MinInt64)
	}
	return due, true
}

// first is the index key to go on from. What was removed leaves tombstones behind, and an iterator passes every one of them: a
// sweep begins behind those of the sweeps before it, also where very many entries have the same time, as windows do.
func (sw *sweepState) first() []byte {
	if len(sw.next) > 0 {
		return bytes.Clone(sw.next)
	}
	return appendIndexKey(nil, sw.lowest, nil)
}

func (sw *sweepState) startFrom(lowest int64) { sw.lowest, sw.next = lowest, sw.next[:0] }

// left notes that indexKey is the first that a sweep has left.
func (sw *sweepState) left(indexKey []byte) (err error) {
	sw.lowest, _, err = parseIndexKey(indexKey)
	sw.next = append(sw.next[:0], indexKey...)
	return err
}

// end notes that looked entries below due were looked at, and the first one that was left if there are more
// than sweepStep.
func (sw *sweepState) end(now, due int64, looked int) {
	sw.puts = 0
	sw.known, sw.swept, sw.backlog = true, now, looked > sweepStep
	if !sw.backlog {
		sw.startFrom(due)
	}
}

// added notes a new index entry.
func (sw *sweepState) added(at int64) {
	if sw.known && at <= sw.lowest {
		sw.startFrom(at)
	}
}

// lookUpTo looks at the first index entries below due, and returns how many: more
// than sweepStep if some are left. It is a function of its own because the loop makes
// the handle escape.
func (s KeyValue[K, V]) lookUpTo(sc *Scratch, due int64) (looked int, err error) {
	for kv, err := range s.store.Range(sc.sweep.first(), appendIndexKey(nil, due, nil)) {
		if err != nil {
			return looked, err
		}
		if looked++; looked > sweepStep {
			return looked, sc.sweep.left(kv.Key)
		}
		if err := s.look(sc, kv.Key, due); err != nil {
			return looked, err
		}
	}
	return looked, nil
}

// look removes an index entry that is due, and its entry with it unless that has
// been put again since: then it gets a new place.
func (s KeyValue[K, V]) look(sc *Scratch, indexKey []byte, due int64) error {
	sc.other = append(sc.other[:0], indexKey...)
	look, key, err := parseIndexKey(sc.other)
	if err != nil {
		return err
	}
	sc.key = append(append(sc.key[:0], prefixEntry), key...)
	if err := s.store.Delete(sc.other); err != nil {
		return err
	}
	b, found, err := s.store.Get(sc.key)
	if err != nil || !found {
		return err
	}
	e, err := parseExpiring(b)
	switch {
	case err != nil:
		return err
	case e.look != look:
		return nil // another index entry stands for it
	case e.put < due:
		return s.store.Delete(sc.key)
	}
	sc.value = append(appendExpiring(sc.value[:0], e.put, e.put), e.value...)
	if err := s.store.Put(sc.key, sc.value); err != nil {
		return err
	}
	return s.putIndex(sc, e.put, sc.key[1:])
}
