package task

import (
	"fmt"
	"time"
)

// clock is what a task does by the wall clock, which it is told. What it decides is not in its inputs.
type clock struct {
	wall []*schedule // punctuations

	idle     time.Duration // Config.IdleClose
	recorded []IdleClose   // of the log, whose places are not reached
	since    time.Time     // when the task fell idle
	base     int64         // stream time then
	look     time.Time     // when to look at it next
}

// IdleClose is that stream time went on although no record came.
type IdleClose struct {
	// Offsets are the next offsets of the task's inputs, by topic: it happened before the records there.
	Offsets map[string]int64 `json:"offsets"`
	// StreamTime is what stream time went to, in milliseconds.
	StreamTime int64 `json:"stream_time"`
}

// OnWallClock has fire called every so many milliseconds of the wall clock, with the time in milliseconds; once, if
// several were missed. Stream time stays where it is. Call it while the program opens.
func (f *Frame) OnWallClock(node int, every int64, fire func(at int64)) {
	f.due = append(f.due, &schedule{node: node, wall: true, every: every, fire: func(at int64, _, _, _ []byte) { fire(at) }})
}

func (t *Task) openClock() {
	c := &t.clock
	c.idle, c.recorded = t.cfg.IdleClose, t.cfg.IdleCloses
	for _, s := range c.wall {
		s.next = t.cfg.Now.Add(time.Duration(s.every) * time.Millisecond)
	}
	t.busy(t.cfg.Now)
}

// busy notes that a record was taken.
func (t *Task) busy(now time.Time) {
	c := &t.clock
	if c.idle > 0 {
		c.since, c.base, c.look = now, t.frame.streamTime, now.Add(c.idle)
	}
}

// doWall does the first punctuation that the wall clock has reached.
func (t *Task) doWall(now time.Time) (did bool, err error) {
	for _, s := range t.clock.wall {
		if s.next.After(now) {
			continue
		}
		every := time.Duration(s.every) * time.Millisecond
		due := s.next
		s.next = s.next.Add((now.Sub(s.next)/every + 1) * every)
		if did, err = t.do(s, now.UnixMilli()); !did {
			s.next = due // it is tried again
		}
		return did, err
	}
	return false, nil
}

// repeatIdle repeats what is recorded of the place in front of first, or where the task stands if nothing is held.
func (t *Task) repeatIdle(first *input) bool {
	c := &t.clock
	if len(c.recorded) == 0 || !t.reached(c.recorded[0].Offsets, first) {
		return false
	}
	t.Advance(c.recorded[0].StreamTime)
	c.recorded = c.recorded[1:]
	return true
}

func (t *Task) reached(offsets map[string]int64, first *input) bool {
	for _, in := range t.inputs {
		at := in.next
		if in == first {
			at = in.first().Offset
		}
		if at < offsets[in.topic] {
			return false
		}
	}
	return true
}

// closeIdle has stream time go on to the end of the first period without a record in which something is due. What the log
// says of this place and later ones comes first.
func (t *Task) closeIdle(now time.Time) (did bool, err error) {
	c := &t.clock
	if c.idle == 0 || len(c.recorded) > 0 || now.Before(c.look) {
		return false, nil
	}
	if to, due, err := t.idleUntil(now); due || err != nil {
		ok := err == nil
		if ok {
			ok, err = t.cfg.IdleCloseFunc(IdleClose{Offsets: t.Offsets(), StreamTime: to})
		}
		if err != nil {
			return false, t.stop(nil, fmt.Errorf("close idle windows: %w", err))
		}
		if ok {
			t.Advance(to)
			return true, nil
		}
	}
	c.look = c.since.Add((now.Sub(c.since)/c.idle + 1) * c.idle)
	return false, nil
}

// idleUntil returns where stream time goes to, if the inputs are idle and something is due.
func (t *Task) idleUntil(now time.Time) (to int64, due bool, err error) {
	for _, in := range t.inputs {
		if in.queued > 0 || in.heard && in.lags() {
			return 0, false, nil
		}
	}
	c, period := &t.clock, t.clock.idle.Milliseconds()
	limit := c.base + int64(now.Sub(c.since)/c.idle)*period
	if c.base == 0 || limit <= t.frame.streamTime {
		return 0, false, nil
	}
	first := limit
	for _, s := range t.due {
		at, isDue, err := t.next(s, limit)
		if err != nil {
			return 0, false, err
		}
		if isDue {
			first, due = min(first, at), true
		}
	}
	return c.base + (first-c.base+period-1)/period*period, due, nil
}

// Wake returns when Run would go on although nothing was added: when the wait for a lagging input ends, or a pause, or the wall clock
// has something for the task to do. It is false if there is no such time.
func (t *Task) Wake() (wake time.Time, ok bool) {
	if t.waits() {
		return t.until, true
	}
	earlier := func(at time.Time) {
		if !ok || at.Before(wake) {
			wake, ok = at, true
		}
	}
	if at, waits := t.waitEnds(); waits {
		earlier(at)
	}
	c := &t.clock
	for _, s := range c.wall {
		earlier(s.next)
	}
	switch {
	case len(c.recorded) > 0:
		if t.Queued() == 0 && t.reached(c.recorded[0].Offsets, nil) {
			earlier(time.Time{})
		}
	case c.idle > 0 && t.Queued() == 0:
		earlier(c.look)
	}
	return wake, ok
}
