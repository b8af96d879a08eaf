package stream

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// A record that waits to be joined lies in the store under its id:
//
//	0x01 side length of key, key, time, offset, number    flags, headers, value
//	0x00 due time, id without 0x01                        nothing: the index by time
//
// Times and offsets are 8 bytes, big-endian, times with the sign bit flipped, so the records of a key lie in the order
// of their times; lengths and the number are uvarints. The number is 0, unless one input record became several.
//
// What is due is, for a side whose records may stay alone, the end of the record's window: then it is sent alone, unless
// it was joined. Otherwise, and after that, it is the end of the time in which it can be joined: then it is removed.

const joinedFlag = 1 // of an entry: the record was joined, so it is not sent alone

// joinBuffer is the store of a join in one task.
type joinBuffer[K any] struct {
	frame *task.Frame
	store state.Store
	key   serde.Serde[K]

	id, from, to, index, entry []byte // reused
}

func newJoinBuffer[K any](f *task.Frame, name string, key serde.Serde[K]) *joinBuffer[K] {
	return &joinBuffer[K]{frame: f, store: f.Store(name), key: key}
}

// joinSide is one side of a join in one task: how its records are joined with those of the other.
type joinSide[K, A, B, V any] struct {
	node        int
	buffer      *joinBuffer[K]
	side, other byte
	null        nulls[K, A]
	own         serde.Serde[A]
	its         serde.Serde[B]
	// A record of time t joins those of the other side in [t-before, t+after]. It is late, or alone, once stream time
	// has passed t+closes, and gone once it has passed t+keep. All in milliseconds.
	before, after, closes, keep int64
	alone, othersAlone          bool // records that are not joined are sent
	join                        func(Optional[A], Optional[B]) V
	next                        handler[K, V]
	late                        handler[K, A]
	out                         rec[K, V]
}

// process joins a record with what waits on the other side, and keeps it for what comes.
func (s *joinSide[K, A, B, V]) process(r *rec[K, A]) error {
	b := s.buffer
	f, t := b.frame, r.Time.UnixMilli()
	f.Enter(s.node)
	switch {
	case s.null.noValue(r):
		f.Drop(task.DroppedNullValue)
		return nil
	case s.null.noKey(r) && !s.alone:
		f.Drop(task.DroppedNullKey)
		return nil
	case s.null.noKey(r):
		relay(&s.out, r)
		s.out.Value = s.join(some(r.Value), Optional[B]{})
		return s.next(&s.out)
	case t+s.closes < f.StreamTime():
		f.Late()
		return s.late(r)
	}
	joined, err := s.joinAll(r, t)
	if err != nil {
		return err
	}
	f.Enter(s.node)
	return f.Fail(s.wait(r, t, joined))
}

// joinAll sends r joined with each record of the other side that is near enough, in the order of their times.
func (s *joinSide[K, A, B, V]) joinAll(r *rec[K, A], t int64) (joined bool, err error) {
	b := s.buffer
	if b.id, err = b.prefix(b.id[:0], s.other, r.Key); err != nil {
		return false, b.frame.Fail(err)
	}
	b.from = appendJoinTime(append(b.from[:0], b.id...), t-s.before)
	b.to = appendJoinTime(append(b.to[:0], b.id...), t+s.after+1)
	it := state.Scan(b.store, b.from, b.to)
	defer it.Close()
	for {
		kv, ok, err := it.Next()
		if err != nil || !ok {
			return joined, b.frame.Fail(err)
		}
		at, err := joinTime(kv.Key, len(b.id))
		if err != nil {
			return joined, b.frame.Fail(err)
		}
		value, err := s.partner(kv)
		if err != nil {
			return joined, b.frame.Fail(err)
		}
		joined = true
		relay(&s.out, r)
		s.out.Time = time.UnixMilli(max(t, at)).UTC()
		s.out.Value = s.join(some(r.Value), some(value))
		if err := s.next(&s.out); err != nil {
			return joined, err
		}
		b.frame.Enter(s.node)
	}
}

// partner decodes a record of the other side, and notes that it was joined if that matters.
func (s *joinSide[K, A, B, V]) partner(kv state.KV) (value B, err error) {
	b := s.buffer
	flags, _, rest, err := parseJoinEntry(kv.Value, nil)
	if err != nil {
		return value, err
	}
	if value, err = s.its.Decode(rest); err != nil {
		return value, fmt.Errorf("%w: %w", state.ErrDecode, err)
	}
	if s.othersAlone && flags&joinedFlag == 0 {
		b.entry = append(b.entry[:0], kv.Value...)
		b.entry[0] |= joinedFlag
		b.index = append(b.index[:0], kv.Key...)
		err = b.store.Put(b.index, b.entry)
	}
	return value, err
}

// wait keeps a record for those that come.
func (s *joinSide[K, A, B, V]) wait(r *rec[K, A], t int64, joined bool) (err error) {
	b := s.buffer
	if b.id, err = b.prefix(b.id[:0], s.side, r.Key); err != nil {
		return err
	}
	b.id = appendJoinTime(b.id, t)
	b.id = binary.BigEndian.AppendUint64(b.id, uint64(r.Offset))
	stem := len(b.id)
	for n := uint64(0); ; n++ {
		b.id = binary.AppendUvarint(b.id[:stem], n)
		_, taken, err := b.store.Get(b.id)
		if err != nil {
			return err
		}
		if !taken {
			break
		}
	}
	flags := byte(0)
	if joined {
		flags = joinedFlag
	}
	headers := r.Headers
	due := t + s.keep
	if s.alone {
		due = t + s.closes
	} else {
		headers = nil // only a record that is sent alone needs them
	}
	b.entry = appendHeaders(append(b.entry[:0], flags), headers)
	if b.entry, err = s.own.Encode(b.entry, r.Value); err != nil {
		return err
	}
	if err := b.store.Put(b.id, b.entry); err != nil {
		return err
	}
	return b.schedule(due, b.id[1:])
}

// due is called when something has to be done about a record: it is sent alone, or gone.
func (s *joinSide[K, A, B, V]) due(at int64, id []byte) {
	b := s.buffer
	b.frame.Enter(s.node)
	b.id = state.AppendTimerEntry(b.id[:0], id)
	entry, found, err := b.store.Get(b.id)
	if err != nil || !found {
		b.frame.Fail(err)
		return
	}
	key, t, err := b.parse(b.id)
	if err != nil {
		b.frame.Fail(err)
		return
	}
	flags, headers, rest, err := parseJoinEntry(entry, []Header{})
	if err != nil {
		b.frame.Fail(err)
		return
	}
	gone := t + s.keep + 1
	if s.alone && flags&joinedFlag != 0 && at < gone {
		b.frame.Fail(b.schedule(gone-1, id))
		return
	}
	if !s.alone || flags&joinedFlag != 0 {
		b.frame.Fail(b.store.Delete(b.id))
		return
	}
	value, err := s.own.Decode(rest)
	if err == nil {
		err = b.store.Delete(b.id)
	} else {
		err = fmt.Errorf("%w: %w", state.ErrDecode, err)
	}
	if err != nil {
		b.frame.Fail(err)
		return
	}
	s.out = rec[K, V]{Record: Record[K, V]{
		Key: key, Value: s.join(some(value), Optional[B]{}), Time: time.UnixMilli(t).UTC(), Headers: headers, Offset: -1,
	}}
	_ = s.next(&s.out) // the frame has the error
}

// schedule has due called for a record once stream time has passed a time.
func (b *joinBuffer[K]) schedule(millis int64, id []byte) error {
	b.index = state.AppendTimerIndex(b.index[:0], millis+1, id)
	return b.store.Put(b.index, nil)
}

// prefix appends what the ids of the records of a key have in common.
func (b *joinBuffer[K]) prefix(dst []byte, side byte, key K) ([]byte, error) {
	dst = append(state.AppendTimerEntry(dst, nil), side)
	start := len(dst)
	dst, err := b.key.Encode(dst, key)
	if err != nil {
		return dst, err
	}
	return prefixLength(dst, start), nil
}

// parse takes an id apart.
func (b *joinBuffer[K]) parse(id []byte) (key K, millis int64, err error) {
	const fixed = 2 // the prefix of an entry, and the side
	size, n := binary.Uvarint(id[min(fixed, len(id)):])
	if n <= 0 || size > uint64(len(id)-fixed-n) {
		return key, 0, fmt.Errorf("%w: a join's record with an id of %d bytes", state.ErrCorrupt, len(id))
	}
	end := fixed + n + int(size)
	if key, err = b.key.Decode(id[fixed+n : end]); err != nil {
		return key, 0, fmt.Errorf("%w: %w", state.ErrDecode, err)
	}
	millis, err = joinTime(id, end)
	return key, millis, err
}

func appendJoinTime(dst []byte, millis int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(millis)^1<<63)
}

// joinTime reads the time at a position of an id.
func joinTime(id []byte, at int) (millis int64, err error) {
	if len(id) < at+8 {
		return 0, fmt.Errorf("%w: a join's record with an id of %d bytes", state.ErrCorrupt, len(id))
	}
	return int64(binary.BigEndian.Uint64(id[at:]) ^ 1<<63), nil
}

var errJoinEntry = fmt.Errorf("%w: a join's record does not parse", state.ErrCorrupt)

// parseJoinEntry takes an entry apart. For the headers see parseHeaders.
func parseJoinEntry(b []byte, to []Header) (flags byte, headers []Header, value []byte, err error) {
	if len(b) == 0 {
		return 0, nil, nil, errJoinEntry
	}
	headers, value, ok := parseHeaders(b[1:], to)
	if !ok {
		return 0, nil, nil, errJoinEntry
	}
	return b[0], headers, value, nil
}
