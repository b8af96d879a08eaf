package task

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// schedule is something that a node does between records, when stream time reaches it: a store of timers, or a
// punctuation.
type schedule struct {
	node   int
	fire   func(at int64, key []byte)
	timers *timerQueue // nil for a punctuation
	every  int64       // of a punctuation, in milliseconds
}

// OnTimers has fire called for each timer of a store that is due. The key is the encoded one, valid during the call.
// Failures are noted in the Frame, as those of a record are. Call it while the program opens.
func (f *Frame) OnTimers(node int, store string, fire func(at int64, key []byte)) {
	s := &schedule{node: node, fire: fire}
	if on := f.stores[store]; on != nil {
		on.timers = newTimerQueue(on)
		s.timers = on.timers
	}
	f.due = append(f.due, s)
}

// OnIndex is OnTimers for a store of a node of its own, whose entries are more than timers: what is due leaves the index
// only. Its entry, under the key with the prefix of entries, is left to fire, and removed if that fails.
func (f *Frame) OnIndex(node int, store string, fire func(at int64, key []byte)) {
	f.OnTimers(node, store, fire)
	if on := f.stores[store]; on != nil {
		on.timers.keepEntry = true
	}
}

// OnPunctuation has fire called when stream time has passed a multiple of every milliseconds since 1970: once, with the
// last multiple, if it has passed several at a time. Call it while the program opens.
func (f *Frame) OnPunctuation(node int, every int64, fire func(at int64)) {
	f.due = append(f.due, &schedule{node: node, every: every, fire: func(at int64, _ []byte) { fire(at) }})
}

// openSchedules takes over what the nodes asked for.
func (t *Task) openSchedules() error {
	t.due = t.frame.due
	slices.SortStableFunc(t.due, func(a, b *schedule) int { return cmp.Compare(a.node, b.node) })
	for _, s := range t.due {
		if s.timers == nil && s.every <= 0 {
			return fmt.Errorf("node %q: nothing says when it is due", t.cfg.Program.Graph.Node(s.node).Name)
		}
	}
	return nil
}

// doDue does the first thing that is due at or before limit, if there is any: the one with the lowest time, then that
// of the first node. Stream time reaches the time of what is done, if it has not passed it. So limit is where stream
// time is about to go.
func (t *Task) doDue(limit int64) (did bool, err error) {
	var first *schedule
	at := limit
	for _, s := range t.due {
		next, due, err := t.next(s, limit)
		if err != nil {
			return false, err
		}
		if due && (first == nil || next < at) {
			first, at = s, next
		}
	}
	if first == nil {
		return false, nil
	}
	return true, t.do(first, at)
}

// next returns when s is due, if that is at or before limit.
func (t *Task) next(s *schedule, limit int64) (at int64, due bool, err error) {
	if s.timers == nil {
		now := t.frame.streamTime
		at = limit - limit%s.every
		return at, now > 0 && at > now, nil // where nothing was seen yet, nothing was passed
	}
	if s.timers.needsFill(limit) {
		if err := t.fill(s); err != nil {
			return 0, false, err
		}
	}
	at, ok := s.timers.first()
	return at, ok && at <= limit, nil
}

// fill reads timers from their store.
func (t *Task) fill(s *schedule) error {
	f := &t.frame
	f.Enter(s.node)
	f.inStore = true
	err := func() (err error) {
		defer t.recovered()
		return s.timers.fill()
	}()
	f.inStore = false
	if err != nil {
		f.stop(fmt.Errorf("store %q: %w", s.timers.store.name, err))
	}
	if f.fatal != nil {
		return t.stop(nil, f.fatal)
	}
	return nil
}

// do fires s. Like a record it takes effect as a whole, or not at all; a timer is gone in any case.
func (t *Task) do(s *schedule, at int64) error {
	f := &t.frame
	f.begin(at)
	f.Enter(s.node)
	var key []byte
	if s.timers != nil {
		key = s.timers.take()
	}
	t.callFire(s, at, key)
	if f.failed == nil && s.timers != nil {
		f.Enter(s.node)
		f.Fail(s.timers.endless(at))
	}
	switch {
	case f.fatal != nil:
		return t.stop(nil, f.fatal)
	case f.failed == nil:
	case f.spoiled():
		return t.stop(nil, f.failed)
	default:
		if err := t.rejectDue(s, at, key); err != nil {
			return t.stop(nil, err)
		}
	}
	if err := f.takeEffect(t.cfg.Output); err != nil {
		return t.stop(nil, err)
	}
	return nil
}

func (t *Task) callFire(s *schedule, at int64, key []byte) {
	defer t.recovered()
	s.fire(at, key)
}

// rejectDue makes what was due at a time a dead letter, and drops what it did.
func (t *Task) rejectDue(s *schedule, at int64, key []byte) error {
	f := &t.frame
	f.fail()
	letter := DeadLetter{
		Partition: t.cfg.ID.Partition, Record: &client.Record{Timestamp: at, Offset: -1},
		Node: t.cfg.Program.Graph.Node(f.at).Name, Cause: f.failed,
	}
	if s.timers != nil {
		s.timers.remove()
		letter.Record.Key, letter.Timers = notNull(key), s.timers.store.name
	}
	if err := t.cfg.Output.DeadLetter(letter); err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	return nil
}

// timersAtATime is how many timers a queue reads at a time. It holds twice as many at most.
const timersAtATime = 256

// timerQueue has the first timers of a store in memory: exactly those whose index keys lie below a bound. So a record
// that sets no timer costs one comparison, and the store is read once for many timers.
type timerQueue struct {
	store *store
	limit int // timersAtATime
	// keys are index keys, the first one last. They have buffers of their own, which go back to free.
	keys [][]byte
	free [][]byte
	// bound is where the keys in the store begin that are not here; all says that there are none.
	bound []byte
	all   bool

	keepEntry bool // the entry of a timer that fires is left to what is called

	index, entry, key []byte // of the timer that fires
}

func newTimerQueue(s *store) *timerQueue {
	from, _ := state.TimerIndex()
	return &timerQueue{store: s, limit: timersAtATime, bound: from}
}

// needsFill reports whether a timer at or before limit may be in the store and not here.
func (q *timerQueue) needsFill(limit int64) bool {
	if q.all || len(q.keys) > 0 {
		return false
	}
	at, _, ok := state.ParseTimer(q.bound)
	return !ok || at <= limit // at the very beginning the bound has no time
}

// fill reads the next timers from the store. No writes are held back.
func (q *timerQueue) fill() error {
	_, to := state.TimerIndex()
	n := 0
	for kv, err := range q.store.inner.Range(q.bound, to) {
		if err != nil {
			return err
		}
		if n == q.limit {
			q.bound = append(q.bound[:0], kv.Key...)
			slices.Reverse(q.keys)
			return nil
		}
		if _, _, ok := state.ParseTimer(kv.Key); !ok {
			return fmt.Errorf("%w: a timer with a key of %d bytes", state.ErrCorrupt, len(kv.Key))
		}
		q.keys = append(q.keys, append(q.buffer(), kv.Key...))
		n++
	}
	q.all = true
	slices.Reverse(q.keys)
	return nil
}

func (q *timerQueue) buffer() []byte {
	if n := len(q.free); n > 0 {
		b := q.free[n-1]
		q.free = q.free[:n-1]
		return b[:0]
	}
	return nil
}

// first returns the time of the first timer.
func (q *timerQueue) first() (at int64, ok bool) {
	if len(q.keys) == 0 {
		return 0, false
	}
	at, _, ok = state.ParseTimer(q.keys[len(q.keys)-1])
	return at, ok
}

// take has the removal of the first timer held back with what it will do, and returns its key.
func (q *timerQueue) take() (key []byte) {
	q.index = append(q.index[:0], q.keys[len(q.keys)-1]...)
	_, key, _ = state.ParseTimer(q.index)
	q.key = append(q.key[:0], key...)
	q.entry = state.AppendTimerEntry(q.entry[:0], key)
	if q.keepEntry {
		q.store.frame.writes.add(q.store, q.index, nil, true)
	} else {
		q.remove()
	}
	return q.key
}

// remove has the removal of the timer that was taken last held back.
func (q *timerQueue) remove() {
	w := &q.store.frame.writes
	w.add(q.store, q.index, nil, true)
	w.add(q.store, q.entry, nil, true)
}

// endless returns an error if the present call set a timer that is not after the one that fires.
func (q *timerQueue) endless(at int64) error {
	w := &q.store.frame.writes
	for _, x := range w.list {
		if x.store != q.store || x.deleted {
			continue
		}
		set, _, ok := state.ParseTimer(w.key(x))
		if last, _ := w.find(q.store, w.key(x)); ok && last == x && set <= at {
			return fmt.Errorf("a timer of %q at %v set one at %v: it must lie after itself, or it would never end",
				q.store.name, time.UnixMilli(at).UTC(), time.UnixMilli(set).UTC())
		}
	}
	return nil
}

// written follows a write to the store.
func (q *timerQueue) written(key []byte, deleted bool) {
	if _, _, ok := state.ParseTimer(key); !ok {
		return // an entry
	}
	if !q.all && bytes.Compare(key, q.bound) >= 0 {
		return
	}
	i, found := slices.BinarySearchFunc(q.keys, key, func(have, key []byte) int { return bytes.Compare(key, have) })
	switch {
	case found && deleted:
		q.free = append(q.free, q.keys[i])
		q.keys = slices.Delete(q.keys, i, i+1)
	case !found && !deleted:
		q.keys = slices.Insert(q.keys, i, append(q.buffer(), key...))
		q.shrink()
	}
}

// shrink forgets the later half of too many timers.
func (q *timerQueue) shrink() {
	drop := len(q.keys) - q.limit
	if drop < q.limit {
		return
	}
	q.bound, q.all = append(q.bound[:0], q.keys[drop-1]...), false
	q.free = append(q.free, q.keys[:drop]...)
	q.keys = slices.Delete(q.keys, 0, drop)
}
