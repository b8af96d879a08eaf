package task

import (
	"context"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// Ahead does what can be done for the records of an input before their turn: it begins the calls of asynchronous steps.
// Of the records that it was given, the first is the one that the task processes next.
type Ahead interface {
	// Room reports whether another record may be prepared.
	Room() bool
	// Prepare begins what there is to do for a record, in the order of the input.
	Prepare(r *client.Record, partition int32)
	// Ready reports whether all is done for the first record. If not, Background.Wake is called once it is.
	Ready() bool
	// Drop forgets the first record.
	Drop()
}

// AheadSource is a source whose records can be prepared.
type AheadSource interface {
	Source
	Ahead() Ahead // nil if there is nothing to prepare
}

// Background is where the calls of asynchronous steps run.
type Background struct {
	// Context is that of the calls. They end with the task too.
	Context context.Context
	// Go runs f on a goroutine of its own.
	Go func(f func())
	// Wake is called, from any goroutine, when a task that waited for calls can go on.
	Wake func()
	// Calls is told of calls. It may be nil.
	Calls CallObserver
}

// CallObserver counts the calls of asynchronous steps. It is called concurrently.
type CallObserver interface {
	CallBegan(step string)
	// CallEnded tells how long a call took, with all its attempts, and how many of these failed.
	CallEnded(step string, took time.Duration, failures int)
}

// Background is where calls run: those of the task, or none.
func (f *Frame) Background() Background { return f.background }

// OnClose has stop called when the task is closed. Call it while the program opens.
func (f *Frame) OnClose(stop func()) { f.closers = append(f.closers, stop) }

// Ahead returns a frame for what is done before a record's turn: without stores, and without an effect.
func (f *Frame) Ahead() *Frame {
	return &Frame{partition: f.partition, takes: f.takes, fits: f.fits, globals: f.globals, background: f.background}
}

// Begin prepares a frame made by Ahead for another record.
func (f *Frame) Begin() {
	f.failed = nil
	f.drop()
}

// prepareAhead prepares queued records as far as there is room; the first one in any case.
func (t *Task) prepareAhead() {
	for _, in := range t.aheads {
		for in.prepared == 0 || in.ahead.Room() {
			r := in.unprepared()
			if r == nil {
				break
			}
			t.prepare(in, r)
		}
	}
}

func (t *Task) prepare(in *input, r *client.Record) {
	defer func() { _ = recover() }() // it happens again when the record's turn has come
	in.prepared++
	in.ahead.Prepare(r, t.cfg.ID.Partition)
}

// Calling reports whether the task waits for calls.
func (t *Task) Calling() bool {
	for _, in := range t.aheads {
		if in.queued > 0 && !in.ahead.Ready() {
			return true
		}
	}
	return false
}

// Close ends the calls that are under way. The task is not used any more.
func (t *Task) Close() {
	for _, stop := range t.frame.closers {
		stop()
	}
}
