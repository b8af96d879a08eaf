package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// Suppressed says how long [Table.Suppress] holds changes back, and how many.
type Suppressed struct {
	// TimeLimit is how long a change is held back, in event time: a row whose first change has the time t is sent when
	// stream time has reached t + TimeLimit, as it is then. It may be 0, and has the resolution of a millisecond.
	TimeLimit time.Duration
	// MaxRecords is how many rows are held back at most in each task. 0 leaves the limit to MaxBytes.
	MaxRecords int64
	// MaxBytes is how much their keys, values and headers may take in each task, as bytes in the store. The default is 64 MiB.
	MaxBytes int64
	// ShutDownWhenFull stops the application when a limit is passed, in front of the record that passes it. Otherwise the
	// rows that have been held back longest are sent early.
	ShutDownWhenFull bool
}

func (s Suppressed) withDefaults() Suppressed {
	if s.MaxBytes == 0 {
		s.MaxBytes = 64 << 20
	}
	return s
}

func (s Suppressed) validate() error {
	switch {
	case s.TimeLimit < 0 || s.TimeLimit%time.Millisecond != 0:
		return fmt.Errorf("the time limit is %v: want a multiple of 1ms", s.TimeLimit)
	case s.MaxRecords < 0 || s.MaxBytes < 0:
		return fmt.Errorf("limits of %d records and %d bytes: want 0 or more", s.MaxRecords, s.MaxBytes)
	}
	return nil
}

// Suppress holds the changes of a table back, so that a row that changes often is sent once per time limit: of all
// changes in between the first old value and the last new one, with the time and headers of the last change. A row that
// was inserted and deleted in between is not sent at all.
//
//	spend.Suppress(quiet, stream.Suppressed{TimeLimit: time.Minute, MaxRecords: 10_000}).Stream().To(Totals)
//
// It is Kafka Streams' untilTimeLimit, and follows stream time only: what is due at t is sent before the record that brings
// stream time to t. Rows are sent in the order of their times, those of one time in the order of their encoded keys. A change
// that comes later than the limit is sent right after its record. For the last value of a window there is no need of it:
// [WindowTable.OnClose] sends that, without a buffer.
//
// The store is given by the user, and the step is named after it. What is held back is state like any other: exactly once,
// and still there after a restart. Where another step looks up a row that is held back, it sees what was sent last.
func (t Table[K, V]) Suppress(store state.SuppressStore[K, V], until Suppressed) Table[K, V] {
	b, name := t.b, store.Spec().Name
	if err := until.validate(); err != nil {
		b.mistake("suppress %q: %w", name, err)
	}
	until = until.withDefaults()
	n := b.add(graph.Node{
		Kind: graph.Processor, Op: "suppress", Name: name, Inputs: []graph.Edge{t.port.edge()},
		Stores: b.stores(name, []state.Definition{store}), Fires: []string{name}, Leaf: true,
	})
	out := newPort[K, Change[V]](n, "")
	t.consume(func(in *instance) handler[K, Change[V]] {
		s := &suppressor[K, V]{held: newHeldBack(in.frame, store), node: n.ID, name: name, until: until, next: out.open(in)}
		in.frame.OnIndex(n.ID, name, s.due, s.lost)
		return s.hold
	})
	held := rows[K, V]{stores: union(t.rows.stores, n.Stores), open: func(in *instance) lookup[K, V] {
		look, held := t.rows.open(in), newHeldBack(in.frame, store)
		return func(key K) (row state.Timed[V], found bool, err error) {
			back, _, found, err := held.get(key)
			if err != nil {
				return row, false, in.frame.Fail(err)
			}
			if !found {
				return look(key)
			}
			return state.Timed[V]{Value: back.change.Old.Value}, back.change.Old.Present, nil
		}
	}}
	// The time of a row that was sent is not kept, so rows that depend on it have to be materialized.
	return Table[K, V]{b: b, port: out, rows: held, key: t.key}
}

// The store of a suppression holds:
//
//	0x01 key        headers, due, time, change
//	0x00 due key    nothing: the index by time
//	0x02            how many records are held back, and their bytes
//
// The time is that of the last change; times are 8 bytes of milliseconds, big-endian, in the index with the sign bit flipped.
// For a change see changeSerde. The counts are uvarints.

// heldBack are the changes that a suppression of a task holds back.
type heldBack[K, V any] struct {
	frame  *task.Frame
	store  state.Store
	key    serde.Serde[K]
	change serde.Serde[Change[V]]

	id           []byte // the key of an entry
	index, entry []byte // reused
}

// backlog is how much is held back.
type backlog struct{ records, bytes int64 }

// heldChange is a change that is held back.
type heldChange[V any] struct {
	headers []Header
	due     int64 // as it was scheduled first, in milliseconds
	time    time.Time
	change  Change[V]
}

func newHeldBack[K, V any](f *task.Frame, store state.SuppressStore[K, V]) *heldBack[K, V] {
	key, value := store.Serdes()
	return &heldBack[K, V]{frame: f, store: f.Store(store.Spec().Name), key: key, change: changeSerde(value)}
}

// get returns what is held back of a key, and the bytes that it takes.
func (h *heldBack[K, V]) get(key K) (c heldChange[V], bytes int64, found bool, err error) {
	if h.id, err = h.key.Encode(state.AppendTimerEntry(h.id[:0], nil), key); err != nil {
		return c, 0, false, err
	}
	return h.at()
}

// at returns what is held back under the id.
func (h *heldBack[K, V]) at() (c heldChange[V], bytes int64, found bool, err error) {
	b, found, err := h.store.Get(h.id)
	if err != nil || !found {
		return c, 0, false, err
	}
	c, err = h.parse(b)
	return c, int64(len(h.id) + len(b)), true, err
}

func (h *heldBack[K, V]) parse(b []byte) (c heldChange[V], err error) {
	headers, b, ok := parseHeaders(b, []Header{})
	if !ok || len(b) < 16 {
		return c, fmt.Errorf("%w: a change that is held back does not parse", state.ErrCorrupt)
	}
	c.headers, c.due = headers, int64(binary.BigEndian.Uint64(b))
	c.time = time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:]))).UTC()
	if c.change, err = h.change.Decode(b[16:]); err != nil {
		return c, fmt.Errorf("%w: %w", state.ErrDecode, err)
	}
	return c, nil
}

// put holds a change back under the id, and returns the bytes that it takes.
func (h *heldBack[K, V]) put(c heldChange[V]) (bytes int64, err error) {
	h.entry = appendHeaders(h.entry[:0], c.headers)
	h.entry = binary.BigEndian.AppendUint64(h.entry, uint64(c.due))
	h.entry = binary.BigEndian.AppendUint64(h.entry, uint64(c.time.UnixMilli()))
	if h.entry, err = h.change.Encode(h.entry, c.change); err != nil {
		return 0, err
	}
	return int64(len(h.id) + len(h.entry)), h.store.Put(h.id, h.entry)
}

// schedule has the change of an encoded key sent at a time.
func (h *heldBack[K, V]) schedule(millis int64, key []byte) error {
	h.index = state.AppendTimerIndex(h.index[:0], millis, key)
	return h.store.Put(h.index, nil)
}

// forget removes the change under the id, whose row is what it was before.
func (h *heldBack[K, V]) forget(due int64) error {
	h.index = state.AppendTimerIndex(h.index[:0], due, h.id[1:])
	return errors.Join(h.store.Delete(h.id), h.store.Delete(h.index))
}

// backlogKey is where the backlog lies, behind the index and the entries.
var backlogKey = []byte{0x02}

func (h *heldBack[K, V]) backlog() (l backlog, err error) {
	b, found, err := h.store.Get(backlogKey)
	if err != nil || !found {
		return l, err
	}
	records, n := binary.Uvarint(b)
	bytes, m := binary.Uvarint(b[max(n, 0):])
	if n <= 0 || m <= 0 {
		return l, fmt.Errorf("%w: the backlog of a suppression has %d bytes", state.ErrCorrupt, len(b))
	}
	return backlog{int64(records), int64(bytes)}, nil
}

func (h *heldBack[K, V]) setBacklog(l backlog) error {
	h.entry = binary.AppendUvarint(h.entry[:0], uint64(l.records))
	h.entry = binary.AppendUvarint(h.entry, uint64(l.bytes))
	return h.store.Put(backlogKey, h.entry)
}

// removed takes an entry of that many bytes from the backlog.
func (h *heldBack[K, V]) removed(bytes int64) error {
	l, err := h.backlog()
	if err != nil {
		return err
	}
	return h.setBacklog(backlog{l.records - 1, l.bytes - bytes})
}

// suppressor is a suppression of a task.
type suppressor[K, V any] struct {
	held  *heldBack[K, V]
	node  int
	name  string
	until Suppressed
	next  handler[K, Change[V]]
	own   rec[K, Change[V]]
}

// hold holds a change back.
func (s *suppressor[K, V]) hold(r *rec[K, Change[V]]) error {
	f := s.held.frame
	f.Enter(s.node)
	return f.Fail(s.add(r))
}

func (s *suppressor[K, V]) add(r *rec[K, Change[V]]) error {
	h := s.held
	before, size, found, err := h.get(r.Key)
	if err != nil {
		return err
	}
	l, err := h.backlog()
	if err != nil {
		return err
	}
	c := heldChange[V]{r.Headers, r.Time.UnixMilli() + s.until.TimeLimit.Milliseconds(), r.Time, r.Value}
	if found {
		c.due, c.change.Old = before.due, before.change.Old
		l.records, l.bytes = l.records-1, l.bytes-size
	} else if err := h.schedule(c.due, h.id[1:]); err != nil {
		return err
	}
	if !c.change.Old.Present && !c.change.New.Present {
		return errors.Join(h.forget(c.due), h.setBacklog(l))
	}
	if size, err = h.put(c); err != nil {
		return err
	}
	l.records, l.bytes = l.records+1, l.bytes+size
	if err := h.setBacklog(l); err != nil {
		return err
	}
	return s.makeRoom(l)
}

func (s *suppressor[K, V]) full(l backlog) bool {
	return s.until.MaxRecords > 0 && l.records > s.until.MaxRecords || l.bytes > s.until.MaxBytes
}

// makeRoom has the oldest changes sent right after the present record, as far as there are too many. They are sent one by
// one, like those that are due: one that fails is a dead letter of its own.
func (s *suppressor[K, V]) makeRoom(l backlog) error {
	if !s.full(l) {
		return nil
	}
	h := s.held
	if s.until.ShutDownWhenFull {
		err := fmt.Errorf("suppress %q is full: it holds back %d records of %d bytes, and may hold %d records (0: any number) of %d bytes; raise the limits, or let it send early",
			s.name, l.records, l.bytes, s.until.MaxRecords, s.until.MaxBytes)
		h.frame.Stop(err)
		return err
	}
	now := h.frame.StreamTime()
	for kv, err := range h.store.Range(state.TimerIndex()) {
		if err != nil {
			return err
		}
		h.index = append(h.index[:0], kv.Key...)
		at, key, ok := state.ParseTimer(h.index)
		if !ok {
			return fmt.Errorf("%w: an index key of %d bytes", state.ErrCorrupt, len(kv.Key))
		}
		h.id = state.AppendTimerEntry(h.id[:0], key)
		entry, _, err := h.store.Get(h.id)
		if err != nil {
			return err
		}
		l.records, l.bytes = l.records-1, l.bytes-int64(len(h.id)+len(entry))
		if at > now {
			if err := h.store.Delete(h.index); err != nil {
				return err
			}
			if err := h.schedule(now, h.id[1:]); err != nil {
				return err
			}
		}
		if !s.full(l) {
			return nil
		}
	}
	return nil
}

// due sends the change of an encoded key.
func (s *suppressor[K, V]) due(_ int64, key []byte) {
	f := s.held.frame
	f.Enter(s.node)
	if err := s.take(key); err != nil {
		f.Fail(err)
		return
	}
	_ = s.next(&s.own) // the frame has the error
}

func (s *suppressor[K, V]) take(key []byte) error {
	h := s.held
	k, err := h.key.Decode(key)
	if err != nil {
		return fmt.Errorf("%w: %w", state.ErrDecode, err)
	}
	h.id = state.AppendTimerEntry(h.id[:0], key)
	c, bytes, found, err := h.at()
	if err == nil && !found {
		err = fmt.Errorf("%w: a change that is due is not held back", state.ErrCorrupt)
	}
	if err != nil {
		return err
	}
	s.own = rec[K, Change[V]]{Record: Record[K, Change[V]]{Key: k, Value: c.change, Time: c.time, Headers: c.headers, Offset: -1}}
	if err := h.store.Delete(h.id); err != nil {
		return err
	}
	return h.removed(bytes)
}

// lost takes the change of an encoded key, which could not be sent, from the backlog.
func (s *suppressor[K, V]) lost(key []byte) {
	h := s.held
	h.id = state.AppendTimerEntry(h.id[:0], key)
	entry, found, err := h.store.Get(h.id)
	if found && err == nil {
		err = h.removed(int64(len(h.id) + len(entry)))
	}
	if err != nil {
		h.frame.Stop(err)
	}
}
