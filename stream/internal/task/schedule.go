package task

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/state"
)

// schedule is something that a node does between records, when stream time reaches it: a store of timers, the windows of
// a store that close, or a punctuation. A punctuation may follow the wall clock instead.
type schedule struct {
	node   int
	fire   func(at int64, key, value, note []byte)
	timers *timerQueue // nil for a punctuation
	every  int64       // of a punctuation, in milliseconds
	passed int64       // of a punctuation: it was called for the multiples up to this stream time; 0 before the first record
	wall   bool        // of the wall clock
	next   time.Time   // of the wall clock
	// attempts is how often what is due failed so far.
	attempts int
}

// OnTimers has fire called for each timer of a store that is due. The key is the encoded one, valid during the call.
// Failures are noted in the Frame, as those of a record are. Call it while the program opens.
func (f *Frame) OnTimers(node int, store string, fire func(at int64, key []byte)) {
	f.schedule(node, store, nil, 0, func(at int64, key, _, _ []byte) { fire(at, key) })
}

// OnClosed has fire called for each window of a store once it is closed: when stream time reaches the time of its index
// key plus after, in milliseconds. fire is given the rest of the index key, the value, and the note beside the window, all
// valid during the call. How far it has come is kept in the store. Otherwise it is as OnTimers.
func (f *Frame) OnClosed(node int, spec state.Spec, after int64, fire func(at int64, key, value, note []byte)) {
	f.schedule(node, spec.Name, &spec, after, func(at int64, key, value, note []byte) { fire(at-after, key, value, note) })
}

func (f *Frame) schedule(node int, store string, windows *state.Spec, after int64, fire func(at int64, key, value, note []byte)) {
	s := &schedule{node: node, fire: fire}
	if on := f.stores[store]; on != nil {
		on.timers = newTimerQueue(on)
		on.timers.windows, on.timers.after = windows, after
		s.timers = on.timers
	}
	f.due = append(f.due, s)
}

// OnIndex is OnTimers for a store of a node of its own, whose entries are more than timers: what is due leaves the index
// only. Its entry, under the key with the prefix of entries, is left to fire, and removed if that fails; lost, if it is not
// nil, is called before.
func (f *Frame) OnIndex(node int, store string, fire func(at int64, key []byte), lost func(key []byte)) {
	f.OnTimers(node, store, fire)
	if on := f.stores[store]; on != nil {
		on.timers.keepEntry, on.timers.lost = true, lost
	}
}

// OnPunctuation has fire called when stream time has passed a multiple of every milliseconds since 1970: once, with the
// last multiple, if it has passed several at a time. Call it while the program opens.
func (f *Frame) OnPunctuation(node int, every int64, fire func(at int64)) {
	f.due = append(f.due, &schedule{node: node, every: every, fire: func(at int64, _, _, _ []byte) { fire(at) }})
}

// openSchedules takes over what the nodes asked for.
func (t *Task) openSchedules() error {
	slices.SortStableFunc(t.frame.due, func(a, b *schedule) int { return cmp.Compare(a.node, b.node) })
	for _, s := range t.frame.due {
		switch {
		case s.timers == nil && s.every <= 0:
			return fmt.Errorf("node %q: nothing says when it is due", t.cfg.Program.Graph.Node(s.node).Name)
		case s.wall:
			t.clock.wall = append(t.clock.wall, s)
		default:
			t.due = append(t.due, s)
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
	return t.do(first, at)
}

// next returns when s is due, if that is at or before limit.
func (t *Task) next(s *schedule, limit int64) (at int64, due bool, err error) {
	if s.timers == nil {
		now := t.frame.streamTime
		if s.passed == 0 {
			s.passed = now // where nothing was seen yet, nothing was passed
		}
		// Something else that was due at the same time may have brought stream time there.
		at = limit - limit%s.every
		return at, s.passed > 0 && at > s.passed && at >= now, nil
	}
	if s.timers.needsFill(limit) {
		if err := t.fill(s); err != nil {
			return 0, false, err
		}
	}
	at, ok := s.timers.first()
	return at, ok && at <= limit, nil
}

// finishTime does the punctuations that are due at the present stream time, which a restart would take for done.
func (t *Task) finishTime() (n int, err error) {
	for _, s := range t.due {
		if s.timers != nil {
			continue
		}
		at, due, err := t.next(s, t.frame.streamTime)
		if err == nil && due {
			due, err = t.do(s, at)
		}
		if err != nil {
			return n, err
		}
		if due {
			n++
		}
	}
	return n, nil
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
		f.Stop(fmt.Errorf("store %q: %w", s.timers.store.name, err))
	}
	if f.fatal != nil {
		return t.stop(nil, f.fatal)
	}
	return nil
}

// do fires s. Like a record it takes effect as a whole, or not at all; a timer is gone in any case.
func (t *Task) do(s *schedule, at int64) (did bool, err error) {
	f := &t.frame
	before := f.streamTime
	if s.wall {
		f.begin(f.streamTime)
	} else {
		f.begin(at)
	}
	f.Enter(s.node)
	var key, value, note []byte
	if s.timers != nil {
		key, value, note = t.take(s.timers)
	}
	if f.fatal == nil && f.failed == nil {
		t.callFire(s, at, key, value, note)
	}
	if f.failed == nil && s.timers != nil {
		f.Enter(s.node)
		f.Fail(s.timers.endless(at))
	}
	switch {
	case f.fatal != nil:
		return false, t.stop(nil, f.fatal)
	case f.failed == nil:
	case f.spoiled():
		return false, t.stop(nil, f.failed)
	default:
		done, err := t.rejectDue(s, at, key, before)
		switch {
		case err != nil:
			return false, t.stop(nil, err)
		case !done:
			return false, nil
		}
	}
	if err := f.takeEffect(t.cfg.Output); err != nil {
		return false, t.stop(nil, err)
	}
	s.attempts = 0
	if s.timers == nil {
		t.counts.Punctuations++
		s.passed = max(s.passed, at)
	}
	return true, nil
}

func (t *Task) callFire(s *schedule, at int64, key, value, note []byte) {
	defer t.recovered()
	s.fire(at, key, value, note)
}

// take takes the first timer, or window, of a queue.
func (t *Task) take(q *timerQueue) (key, value, note []byte) {
	defer t.recovered()
	return q.take()
}
