package processors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/riffle-stream/riffle/internal/varint"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Session holds the records of a key that follow each other without a gap.
type Session[V any] struct {
	Start, End time.Time // of its first and its last record
	Values     []V       // in order of their times, those of one time as they came
	// Cut says that the session was passed on before its end, because the key had too many records.
	Cut bool
}

// SessionConfig says when a session ends.
type SessionConfig struct {
	// Gap ends a session: a record that lies so much after the one before it begins another one.
	Gap time.Duration
	// Lateness is how much longer a session waits for records that come out of order. The default is none.
	Lateness time.Duration
	// MaxRecords bounds what is held of one key. When it is reached, the key's sessions are passed on as they are. The
	// default is 10,000.
	MaxRecords int
}

// SessionStore holds the records of the sessions that have not ended.
type SessionStore[K, V any] struct {
	entries state.KeyValueStore[pair[K, int64], sessionEntry[V]] // by time, and one for the key
	timers  state.Timers[K]
	cfg     SessionConfig
	err     error
}

// sessionEntry is what a SessionStore holds for a time: its records. For the key itself, under countPart, it is their number.
type sessionEntry[V any] struct {
	count   int64
	records []held[V]
}

// countPart is no time: there are none before 1970.
const countPart = -1

// NewSessionStore declares a store for [Sessionize], and timers called NAME-timers.
func NewSessionStore[K, V any](name string, key serde.Serde[K], value serde.Serde[V], cfg SessionConfig) SessionStore[K, V] {
	cfg.MaxRecords = cmp.Or(cfg.MaxRecords, 10_000)
	return SessionStore[K, V]{
		entries: state.NewKeyValueStore(name, pairSerde(key, serde.Int64), sessionSerde(heldSerde(value))),
		timers:  state.NewTimers(name+"-timers", key),
		cfg:     cfg,
		err: joinMistakes(name, nil,
			mistake(cfg.Gap < time.Millisecond, "gap %v: want at least 1ms", cfg.Gap),
			mistake(cfg.Lateness < 0, "lateness %v: want 0 or more", cfg.Lateness),
			mistake(cfg.MaxRecords < 1, "at most %d records: want 1 or more", cfg.MaxRecords)),
	}
}

// Spec implements [state.Definition].
func (s SessionStore[K, V]) Spec() state.Spec {
	spec := s.entries.Spec()
	spec.Err = errors.Join(spec.Err, s.err)
	return spec
}

// Sessionize returns a processor that gathers the records of each key into sessions, and passes a session on when stream time
// has passed its last record by the store's Gap and Lateness. Its time is that of its last record.
//
// A record that comes later than the Lateness joins the sessions that have not ended; if it fits none, it is a session of its own,
// passed on at once. Stream time stands still without records: the last sessions wait for the next record of their partition.
//
// Use it with ProcessWith, and name open as a store of it.
func Sessionize[K, V any](open SessionStore[K, V]) stream.Processor[K, V, K, Session[V]] {
	onRecord := func(c *stream.Context[K, Session[V]], r stream.Record[K, V]) error {
		s := open.in(c, r.Key)
		count, err := s.add(hold(r))
		if err != nil {
			return err
		}
		if count >= int64(open.cfg.MaxRecords) {
			return s.end(math.MaxInt64)
		}
		return s.wake(r.Time.UnixMilli() + s.wait)
	}
	onTimer := func(c *stream.Context[K, Session[V]], timer state.Timer[K]) error {
		s := open.in(c, timer.Key)
		return s.end(timer.Time.UnixMilli())
	}
	return stream.OnRecord(onRecord).OnTimer(open.timers, onTimer)
}

// sessions are the records of one key that have not been passed on.
type sessions[K, V any] struct {
	context *stream.Context[K, Session[V]]
	key     K
	entries state.KeyValue[pair[K, int64], sessionEntry[V]]
	timers  state.KeyTimers[K]
	gap     int64 // milliseconds
	wait    int64 // from the last record to the end
}

func (s SessionStore[K, V]) in(c *stream.Context[K, Session[V]], key K) *sessions[K, V] {
	return &sessions[K, V]{
		context: c, key: key, entries: s.entries.In(c), timers: s.timers.In(c),
		gap: s.cfg.Gap.Milliseconds(), wait: (s.cfg.Gap + s.cfg.Lateness).Milliseconds(),
	}
}

func (s *sessions[K, V]) part(at int64) pair[K, int64] { return pair[K, int64]{s.key, at} }

// add keeps a record, and returns the number of them.
func (s *sessions[K, V]) add(h held[V]) (int64, error) {
	entry, _, err := s.entries.Get(s.part(h.at))
	if err != nil {
		return 0, err
	}
	entry.records = append(entry.records, h)
	total, _, err := s.entries.Get(s.part(countPart))
	if err != nil {
		return 0, err
	}
	total.count++
	return total.count, errors.Join(s.entries.Put(s.part(h.at), entry), s.entries.Put(s.part(countPart), total))
}

// wake sets the timer, unless it is due earlier. It may be too early: end then sets it anew.
func (s *sessions[K, V]) wake(at int64) error {
	due, found, err := s.timers.Get(s.key)
	if err != nil || found && due.UnixMilli() <= at {
		return err
	}
	return s.timers.Set(s.key, time.UnixMilli(at))
}

// end passes on the sessions that have ended at a time; math.MaxInt64 ends all of them.
func (s *sessions[K, V]) end(now int64) error {
	groups, err := s.groups()
	if err != nil {
		return err
	}
	next, left := int64(math.MaxInt64), int64(0)
	for _, group := range groups {
		last := group[len(group)-1].at
		if due := last + s.wait; now != math.MaxInt64 && due > now {
			next, left = min(next, due), left+int64(len(group))
			continue
		}
		if err := s.pass(group, now == math.MaxInt64); err != nil {
			return err
		}
	}
	if left == 0 {
		return errors.Join(s.entries.Delete(s.part(countPart)), s.timers.Cancel(s.key))
	}
	return errors.Join(s.entries.Put(s.part(countPart), sessionEntry[V]{count: left}), s.timers.Set(s.key, time.UnixMilli(next)))
}

// groups returns the records of the key, parted by the gaps between them.
func (s *sessions[K, V]) groups() (groups [][]held[V], err error) {
	for e, err := range s.entries.Range(s.part(0), s.part(math.MaxInt64)) {
		if err != nil {
			return nil, err
		}
		at := e.Key.part
		if n := len(groups); n == 0 || at-groups[n-1][len(groups[n-1])-1].at >= s.gap {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], e.Value.records...)
	}
	return groups, nil
}

// pass passes a session on and forgets it.
func (s *sessions[K, V]) pass(group []held[V], cut bool) error {
	out := Session[V]{
		Start: time.UnixMilli(group[0].at).UTC(), End: time.UnixMilli(group[len(group)-1].at).UTC(),
		Values: make([]V, 0, len(group)), Cut: cut,
	}
	for i, h := range group {
		out.Values = append(out.Values, h.value)
		if i == 0 || group[i-1].at != h.at {
			if err := s.entries.Delete(s.part(h.at)); err != nil {
				return err
			}
		}
	}
	return s.context.ForwardRecord(stream.Record[K, Session[V]]{Key: s.key, Value: out, Time: out.End})
}

// sessionSerde writes the count as a varint, and the records.
func sessionSerde[V any](records serde.Serde[[]held[V]]) serde.Serde[sessionEntry[V]] {
	return serde.Serde[sessionEntry[V]]{
		Name: "session(" + records.Name + ")",
		Err:  records.Valid(),
		Encode: func(dst []byte, e sessionEntry[V]) ([]byte, error) {
			out, err := records.Encode(binary.AppendVarint(dst, e.count), e.records)
			if err != nil {
				return dst, err
			}
			return out, nil
		},
		Decode: func(b []byte) (e sessionEntry[V], err error) {
			d := varint.NewReader(b)
			e.count = d.Int()
			e.records, err = records.Decode(d.Rest())
			return e, err
		},
	}
}
