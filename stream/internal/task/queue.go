package task

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/state"
)

// timersAtATime is how many timers a queue reads at a time. It holds twice as many at most.
const timersAtATime = 256

// timerQueue has the first timers of a store in memory: exactly those whose index keys lie below a bound. So a record
// that sets no timer costs one comparison, and the store is read once for many timers.
//
// The windows of a store that have to be sent when they close are the same: index keys in the order of time. But they
// stay in the store; a note there says up to where they were sent.
type timerQueue struct {
	store   *store
	limit   int         // timersAtATime
	windows *state.Spec // nil for timers
	after   int64       // how long after the time in the index key it is due
	// keepEntry says that the entry of a timer that fires is left to what is called.
	keepEntry bool
	lost      func(key []byte) // called before the entry of a timer that failed is removed
	// keys are index keys, the first one last. They have buffers of their own, which go back to free.
	keys [][]byte
	free [][]byte
	// bound is where the keys in the store begin that are not here; all says that there are none.
	bound  []byte
	all    bool
	closed []byte // windows up to this index key were sent

	index, entry, key, value, note []byte // of the timer that fires
}

func newTimerQueue(s *store) *timerQueue {
	from, _ := state.TimerIndex()
	return &timerQueue{store: s, limit: timersAtATime, bound: from}
}

// needsFill reports whether a timer due at or before limit may be in the store and not here.
func (q *timerQueue) needsFill(limit int64) bool {
	if q.all || len(q.keys) > 0 {
		return false
	}
	at, _, ok := state.ParseTimer(q.bound)
	return !ok || at+q.after <= limit // at the very beginning the bound has no time
}

// fill reads the next timers from the store. No writes are held back.
func (q *timerQueue) fill() error {
	if err := q.begin(); err != nil {
		return err
	}
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

// begin finds out which windows were sent before the task was opened.
func (q *timerQueue) begin() error {
	if q.windows == nil || q.closed != nil {
		return nil
	}
	closed, found, err := q.store.inner.Get(state.WindowsClosed())
	if err != nil {
		return err
	}
	q.closed = append([]byte{}, closed...)
	if found {
		q.bound = append(append(q.bound[:0], closed...), 0) // the key after it
	}
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

// first returns when the first timer is due.
func (q *timerQueue) first() (at int64, ok bool) {
	if len(q.keys) == 0 {
		return 0, false
	}
	at, _, ok = state.ParseTimer(q.keys[len(q.keys)-1])
	return at + q.after, ok
}

// take has the removal of the first timer held back with what it will do, and returns its key; of a window also its
// value, and the note beside it.
func (q *timerQueue) take() (key, value, note []byte) {
	q.index = append(q.index[:0], q.keys[len(q.keys)-1]...)
	_, key, _ = state.ParseTimer(q.index)
	q.key = append(q.key[:0], key...)
	if q.windows == nil {
		q.entry = state.AppendTimerEntry(q.entry[:0], key)
	} else {
		q.entry = q.windows.AppendWindowEntry(q.entry[:0], q.index)
		value, _, _ = q.store.Get(q.entry) // an error has stopped the task
		q.value = append(q.value[:0], value...)
		note, _, _ = q.store.Get(q.index)
		q.note = append(q.note[:0], note...)
	}
	if q.keepEntry {
		q.store.frame.writes.add(q.store, q.index, nil, true)
	} else {
		q.remove()
	}
	return q.key, q.value, q.note
}

// remove has the removal of the timer that was taken last held back; of a window, the note that it was sent.
func (q *timerQueue) remove() {
	w := &q.store.frame.writes
	if q.windows != nil {
		w.add(q.store, state.WindowsClosed(), q.index, false)
		return
	}
	w.add(q.store, q.index, nil, true)
	w.add(q.store, q.entry, nil, true)
}

// endless returns an error if the present call set a timer that is not after the one that fires.
func (q *timerQueue) endless(at int64) error {
	if q.windows != nil {
		return nil
	}
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
func (q *timerQueue) written(key, value []byte, deleted bool) {
	if _, _, ok := state.ParseTimer(key); !ok {
		if q.windows != nil && bytes.Equal(key, state.WindowsClosed()) {
			q.closed = append(q.closed[:0], value...)
			q.follow(value, true)
		}
		return // an entry
	}
	if q.windows != nil && bytes.Compare(key, q.closed) <= 0 {
		return // a window that is sent no more
	}
	q.follow(key, deleted)
}

// follow has the queue follow an index key that was written or deleted.
func (q *timerQueue) follow(key []byte, deleted bool) {
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
