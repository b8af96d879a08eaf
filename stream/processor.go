package stream

import (
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/state"
)

// Processor is what a step made by [Stream.ProcessWith] does: with each record, and between records as stream time
// passes. Begin with [OnRecord] and add what else it does:
//
//	stream.OnRecord(remember).OnTimer(reminders, remind).Punctuate(time.Hour, report)
//
// All of these follow stream time; [Processor.PunctuateWallClock] follows the wall clock.
//
// It is immutable; the methods return another one.
//
// Between records. Before a record is processed, everything that is due at or before its event time happens, one thing
// after the other: in the order of time, at one time in the order in which the topology names the steps, in one step
// in the order in which its processor names them, and timers of one store in the order of their encoded keys. Stream time moves
// with them: while something that is due at t happens, stream time is t, or later if t had passed when it was set. So
// the record that brings stream time to t finds done what was due at t. What was set for a time that had passed happens
// right after the present record. The same log therefore gives the same calls at the same places, whatever the
// batches and restarts.
//
// Stream time is the task's: it moves with the records of all keys of its partition, and stands still without any.
//
// What happens between records takes effect as a whole or not at all, as a record does. If it fails, a dead letter
// says so, and it does not happen again. Its Context has the time it was due as RecordTime, which Forward sends along,
// no headers, and no topic.
type Processor[K, V, K2, V2 any] struct {
	onRecord func(*Context[K2, V2], Record[K, V]) error
	due      []due[K2, V2]
}

// due is something that a processor does between records.
type due[K, V any] struct {
	timers   state.Definition // nil for a punctuation
	schedule func(*Context[K, V])
	mistake  error
}

// OnRecord returns the processor that calls f for each record, as [Stream.Process] does.
func OnRecord[K, V, K2, V2 any](f func(*Context[K2, V2], Record[K, V]) error) Processor[K, V, K2, V2] {
	return Processor[K, V, K2, V2]{onRecord: f}
}

// OnTimer has f called for each timer of the store that is due. The timer is gone then; f may set it anew, for a later
// time. Any step that names the store sets and cancels its timers; one step has its OnTimer.
func (p Processor[K, V, K2, V2]) OnTimer[T any](timers state.Timers[T], f func(*Context[K2, V2], state.Timer[T]) error) Processor[K, V, K2, V2] {
	name := timers.Spec().Name
	d := due[K2, V2]{timers: timers, schedule: func(c *Context[K2, V2]) {
		c.frame.OnTimers(c.node, name, func(at int64, key []byte) {
			timer, err := timers.Decode(at, key)
			if err != nil {
				c.frame.Fail(err)
				return
			}
			c.between(timer.Time)
			c.frame.Fail(f(c, timer))
		})
	}}
	if f == nil {
		d.mistake = fmt.Errorf("the function for the timers %q is nil", name)
	}
	return p.with(d)
}

// Punctuate has f called whenever stream time passes a multiple of every since 1970, in each task: each full minute
// for time.Minute. If it passes several at a time, f is called once, with the last of them. every is at least a
// millisecond.
func (p Processor[K, V, K2, V2]) Punctuate(every time.Duration, f func(c *Context[K2, V2], at time.Time) error) Processor[K, V, K2, V2] {
	return p.punctuate(every, f, func(c *Context[K2, V2]) {
		c.frame.OnPunctuation(c.node, every.Milliseconds(), func(at int64) {
			t := time.UnixMilli(at).UTC()
			c.between(t)
			c.frame.Fail(f(c, t))
		})
	})
}

// PunctuateWallClock has f called every so often by the wall clock, in each task, with the time; once, if several times
// were missed. It counts from when the task was opened, and every is at least a millisecond.
//
// What f does is not in the input: a replay calls it at other places, so its results differ. Use it for what concerns the
// outside, such as refreshing a list, and [Processor.Punctuate] for results. Stream time does not move, and it is what f's
// Context has as RecordTime and what Forward sends along; 1970 if no record was seen.
func (p Processor[K, V, K2, V2]) PunctuateWallClock(every time.Duration, f func(c *Context[K2, V2], at time.Time) error) Processor[K, V, K2, V2] {
	return p.punctuate(every, f, func(c *Context[K2, V2]) {
		c.frame.OnWallClock(c.node, every.Milliseconds(), func(at int64) {
			c.between(c.StreamTime())
			c.frame.Fail(f(c, time.UnixMilli(at).UTC()))
		})
	})
}

func (p Processor[K, V, K2, V2]) punctuate(every time.Duration, f func(*Context[K2, V2], time.Time) error, schedule func(*Context[K2, V2])) Processor[K, V, K2, V2] {
	d := due[K2, V2]{schedule: schedule}
	switch {
	case f == nil:
		d.mistake = errors.New("the function for the punctuation is nil")
	case every < time.Millisecond || every%time.Millisecond != 0:
		d.mistake = fmt.Errorf("a punctuation every %v: want a multiple of 1ms", every)
	}
	return p.with(d)
}

func (p Processor[K, V, K2, V2]) with(d due[K2, V2]) Processor[K, V, K2, V2] {
	p.due = append(p.due[:len(p.due):len(p.due)], d)
	return p
}
