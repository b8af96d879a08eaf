package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// processorModel does what a processor with timers and punctuations does: it searches all timers for the next one.
type processorModel struct {
	every, wallEvery int64
	ticksFirst       bool // at one time
	timers           map[string]int64
	now, ticked      int64 // stream time, and up to where it was punctuated
	wall, wallNext   int64
	sent             []string
}

func (m *processorModel) send(what string, at int64) {
	m.sent = append(m.sent, fmt.Sprintf("%s@%d of %d", what, at, m.now))
}

func (m *processorModel) record(key, value string, at, after int64) {
	m.between(at)
	if m.now == 0 {
		m.ticked = at // nothing was passed
	}
	m.now = max(m.now, at)
	switch value {
	case "set":
		m.timers[key] = max(at+after, 0)
	case "cancel":
		delete(m.timers, key)
	}
	if value != "fail" {
		m.send(value, at)
	}
	m.between(m.now)
}

// between does what is due until a time, one thing after the other.
func (m *processorModel) between(until int64) {
	for {
		first, at := "", int64(-1)
		for key, t := range m.timers {
			if t <= until && (at < 0 || t < at || t == at && key < first) {
				first, at = key, t
			}
		}
		tick := until / m.every * m.every // the last multiple, unless a timer has stopped at one before
		if m.now%m.every == 0 && m.now > m.ticked {
			tick = m.now
		}
		switch due := m.now > 0 && tick > m.ticked; {
		case due && (at < 0 || tick < at || tick == at && m.ticksFirst):
			m.now, m.ticked = max(m.now, tick), tick
			m.send("tick", tick)
		case at >= 0:
			delete(m.timers, first)
			m.now = max(m.now, at)
			if first == "b" && at%3 == 0 {
				m.timers[first] = at + 4
			}
			m.send("timer "+first, at)
		default:
			return
		}
	}
}

func (m *processorModel) wallClock(by int64) {
	m.wall += by
	if m.wallNext > m.wall {
		return
	}
	for m.wallNext <= m.wall {
		m.wallNext += m.wallEvery
	}
	m.send(fmt.Sprint("wall ", m.wall), m.now)
}

// TestProcessorModel compares what a processor does with records and between them, and in which order, with a model that
// searches a list. Records come late and at equal times, and fail; timers are set, for the past too, by records and by timers.
func TestProcessorModel(t *testing.T) {
	t.Parallel()
	timers := state.NewTimers("due", serde.String)
	millis := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	type context = stream.Context[string, string]
	send := func(c *context, what string) error {
		return c.Forward("k", fmt.Sprintf("%s@%d of %d", what, c.RecordTime().UnixMilli(), c.StreamTime().UnixMilli()))
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := &processorModel{
			every: rapid.Int64Range(1, 10).Draw(rt, "every"), wallEvery: rapid.Int64Range(1, 10).Draw(rt, "every of the wall clock"),
			ticksFirst: rapid.Bool().Draw(rt, "punctuations first"), timers: make(map[string]int64),
		}
		m.wallNext = m.wallEvery
		after := int64(0)
		p := stream.OnRecord(func(c *context, r stream.Record[string, string]) error {
			err := send(c, r.Value)
			switch r.Value {
			case "set":
				err = timers.In(c).Set(r.Key, time.UnixMilli(max(r.Time.UnixMilli()+after, 0)))
			case "cancel":
				err = timers.In(c).Cancel(r.Key)
			case "fail":
				_ = timers.In(c).Set(r.Key, r.Time) // it does not stay
				return errBad
			}
			return err
		})
		onTimer := func(c *context, timer state.Timer[string]) error {
			if at := timer.Time.UnixMilli(); timer.Key == "b" && at%3 == 0 {
				if err := timers.In(c).Set("b", time.UnixMilli(at+4)); err != nil {
					return err
				}
			}
			return send(c, "timer "+timer.Key)
		}
		tick := func(c *context, at time.Time) error {
			if !at.Equal(c.RecordTime()) {
				return fmt.Errorf("punctuated with %v at %v", at, c.RecordTime())
			}
			return send(c, "tick")
		}
		if m.ticksFirst {
			p = p.Punctuate(millis(m.every), tick).OnTimer(timers, onTimer)
		} else {
			p = p.OnTimer(timers, onTimer).Punctuate(millis(m.every), tick)
		}
		p = p.PunctuateWallClock(millis(m.wallEvery), func(c *context, at time.Time) error { return send(c, fmt.Sprint("wall ", at.UnixMilli())) })
		d := streamtest.New(rt, build(t, func(b *stream.Builder) { b.From(lines).ProcessWith("step", p, timers).To(words) }))

		for i := range rapid.IntRange(1, 40).Draw(rt, "records") {
			key := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(rt, "key")
			value := rapid.SampledFrom([]string{"set", "set", "set", "cancel", "fail", "nothing"}).Draw(rt, "value")
			at := rapid.Int64Range(max(m.now-15, 1), m.now+15).Draw(rt, "time")
			after = rapid.Int64Range(-10, 30).Draw(rt, "after")
			by := rapid.Int64Range(0, 5).Draw(rt, "wall clock")
			m.sent = nil
			m.record(key, value, at, after)
			m.wallClock(by)

			d.Pipe(lines, key, value, time.UnixMilli(at))
			if dead := len(d.DeadLetters()); dead != map[bool]int{true: 1}[value == "fail"] {
				rt.Fatalf("record %d, %s: %d dead letters", i, value, dead)
			}
			d.AdvanceWallClock(millis(by))
			if diff := cmp.Diff(m.sent, d.Values(words)); diff != "" {
				rt.Fatalf("record %d, %s of %q at %d (-want +got):\n%s", i, value, key, at, diff)
			}
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				d.Restart()
				m.wallNext = m.wall + m.wallEvery // counted from when the task is opened
			}
		}
	})
}
