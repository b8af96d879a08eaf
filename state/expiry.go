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
//	0x00 look time key   other keys of the same look time: the expiry index
//
// The put time is the event time of the record that put the value; it alone
// decides whether the entry can be read. The look time is where the entry stands
// in the index: the put time when the entry was first put, rounded up to a 64th of the TTL. Writing a hot
// key again does not move it in the index. When stream time has passed look time +
// TTL, the sweep looks: an entry that has been put again since gets a new place,
// another one is removed. So a hot key is moved once per TTL.
//
// The index is made of pages: up to pageKeys keys that were put one after the other and have the same look time. A page
// is one write where its keys would be as many as they are, in every layer and in the changelog. A key that is
// deleted stays in its page; the sweep then finds that it has no entry, or one of another look time, and leaves it.
//
// Sweeping happens in Put, in steps of sweepStep entries and the rest of a page, at most once in sweepStep/2
// puts, and at most every TTL/64 of stream time unless there is a backlog. When it happens is not visible: reads
// decide by the put time. Index pages are ordinary entries; they reach the
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

	// pageKeys and pageBytes bound a page of the index. It is copied for each key that is added.
	pageKeys  = 32
	pageBytes = 512
	// openPages is how many pages of a store are added to side by side: records come out of order.
	openPages = 4
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

	pages    [openPages]openPage
	nextPage int // of pages to give way
}

// openPage is a page of the index that keys are added to, if it is still there.
type openPage struct {
	look int64
	key  []byte
	keys int // in the page, or more; 0 for no page
}

// page returns the open page for a look time, nil if there is none.
func (sw *sweepState) page(look int64) *openPage {
	for i := range sw.pages {
		if p := &sw.pages[i]; p.look == look && p.keys > 0 && p.keys < pageKeys {
			return p
		}
	}
	return nil
}

// open remembers a page, in place of one of the same time or the one that was opened first.
func (sw *sweepState) open(look int64, key []byte, keys int) {
	at := sw.nextPage
	for i := range sw.pages {
		if sw.pages[i].look == look {
			at = i
		}
	}
	if at == sw.nextPage {
		sw.nextPage = (sw.nextPage + 1) % openPages
	}
	p := &sw.pages[at]
	p.look, p.key, p.keys = look, append(p.key[:0], key...), keys
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

// appendPageKey appends a key to a page.
func appendPageKey(page, key []byte) []byte {
	page = binary.AppendUvarint(page, uint64(len(key)))
	return append(page, key...)
}

// nextPageKey returns the first key of a page, and the rest of it.
func nextPageKey(page []byte) (key, rest []byte, err error) {
	size, n := binary.Uvarint(page)
	if n <= 0 || size > uint64(len(page)-n) {
		return nil, nil, fmt.Errorf("%w: a page of the expiry index with %d bytes that are no key", ErrCorrupt, len(page))
	}
	end := n + int(size)
	return page[n:end], page[end:], nil
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

// lookTime is the look time of an entry that is put.
func (s KeyValue[K, V]) lookTime(put int64) int64 {
	width := max(s.ttlMillis()/sweepsPerTTL, 1)
	over := (put%width + width) % width
	if over == 0 || put > math.MaxInt64-width {
		return put
	}
	return put + width - over
}

func (s KeyValue[K, V]) putExpiring(sc *Scratch, key []byte, v V) error {
	put := s.ctx.RecordTime().UnixMilli()
	if s.expired(put) {
		// The record is so late that its entry could not be read; it still replaces
		// what was there.
		return s.wrap("put", s.store.Delete(key))
	}
	look := s.lookTime(put)
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

// putIndex gives a key its place in the index: in an open page, or a new one that begins with it. It uses the scratch's other and value.
func (s KeyValue[K, V]) putIndex(sc *Scratch, look int64, key []byte) error {
	sc.sweep.added(look)
	if p := sc.sweep.page(look); p != nil {
		page, found, err := s.store.Get(p.key)
		if err != nil {
			return err
		}
		if found && len(page) < pageBytes {
			p.keys++
			sc.value = appendPageKey(append(sc.value[:0], page...), key)
			return s.store.Put(p.key, sc.value)
		}
	}
	sc.other = appendIndexKey(sc.other[:0], look, key)
	page, _, err := s.store.Get(sc.other) // the key was deleted, and put again: what followed it stays
	if err != nil {
		return err
	}
	sc.value = append(sc.value[:0], page...)
	keys := 1
	for len(page) > 0 {
		if _, page, err = nextPageKey(page); err != nil {
			return err
		}
		keys++
	}
	sc.sweep.open(look, sc.other, keys)
	return s.store.Put(sc.other, sc.value)
}

// sweep looks at up to sweepStep keys of the index that are due, and the rest of a page. The store's scratch is
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

// lookUpTo looks at the first pages below due, and returns at how many keys: more
// than sweepStep if some are left. It is a function of its own because the loop makes
// the handle escape.
func (s KeyValue[K, V]) lookUpTo(sc *Scratch, due int64) (looked int, err error) {
	for kv, err := range s.store.Range(sc.sweep.first(), appendIndexKey(nil, due, nil)) {
		if err != nil {
			return looked, err
		}
		if looked >= sweepStep {
			return sweepStep + 1, sc.sweep.left(kv.Key)
		}
		keys, err := s.lookAtPage(sc, kv, due)
		if err != nil {
			return looked, err
		}
		looked += keys
	}
	return min(looked, sweepStep), nil
}

// lookAtPage removes a page that is due, and returns how many keys it has.
func (s KeyValue[K, V]) lookAtPage(sc *Scratch, page KV, due int64) (keys int, err error) {
	// The page's bytes change with the next write.
	sc.page = append(append(sc.page[:0], page.Key...), page.Value...)
	indexKey, rest := sc.page[:len(page.Key)], sc.page[len(page.Key):]
	look, key, err := parseIndexKey(indexKey)
	if err != nil {
		return 0, err
	}
	if err := s.store.Delete(indexKey); err != nil {
		return 0, err
	}
	for {
		if err := s.look(sc, look, key, due); err != nil {
			return keys, err
		}
		if keys++; len(rest) == 0 {
			return keys, nil
		}
		if key, rest, err = nextPageKey(rest); err != nil {
			return keys, err
		}
	}
}

// look removes an entry that is due, unless it has been put again since: then it gets a new place in the index.
func (s KeyValue[K, V]) look(sc *Scratch, look int64, key []byte, due int64) error {
	sc.key = append(append(sc.key[:0], prefixEntry), key...)
	b, found, err := s.store.Get(sc.key)
	if err != nil || !found {
		return err
	}
	e, err := parseExpiring(b)
	switch {
	case err != nil:
		return err
	case e.look != look:
		return nil // another page has it
	case e.put < due:
		return s.store.Delete(sc.key)
	}
	again := s.lookTime(e.put)
	sc.value = append(appendExpiring(sc.value[:0], e.put, again), e.value...)
	if err := s.store.Put(sc.key, sc.value); err != nil {
		return err
	}
	return s.putIndex(sc, again, sc.key[1:])
}
