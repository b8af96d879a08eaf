package stream

import (
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/task"
)

// Stage is where a record failed.
type Stage = task.Stage

const (
	// Decoding: key or value does not decode, is null where the type has no room for that, or the record has no event time.
	Decoding = task.Decoding
	// Processing: a function failed or panicked, of a step, a timer or a punctuation.
	Processing = task.Processing
	// Producing: an output does not encode, is too large, has no key where its topic is compacted, has a time
	// further in the future than its topic takes (message.timestamp.after.max.ms), or the cluster refuses it: the
	// topic is gone, or this application may not write it.
	Producing = task.Producing
	// Waiting: it did not fail, but an earlier record of its key did, and keys are parked. Such a record is a dead letter, without
	// a handler being asked.
	Waiting = task.Waiting
)

// Reaction is what becomes of a record that failed. In each case it has no effect of its own: what it did is dropped.
type Reaction int

const (
	// DeadLetter writes it to the dead-letter topic, as it came. That is the default.
	DeadLetter Reaction = iota
	// Skip leaves it out. It is logged and counted (riffle_stream_skipped_records_total), and lost.
	Skip
	// Stop ends [App.Run] with the cause. The next run begins with the same record.
	Stop
)

// Failure is a record that failed, or a timer or punctuation: that has no topic and the offset -1, and of a timer the key.
type Failure struct {
	Stage  Stage
	Node   string // the step
	Topic  string // where the record was read
	Output string // the topic of the output, at the stage Producing

	Partition  int32
	Offset     int64
	Key, Value []byte // as read; valid during the call
	Time       time.Time
	Attempts   int // how often it was tried

	Err error
}

// React is a handler of failures: it decides what becomes of one. It should depend on the failure alone, so that a replay
// decides alike. It is called by many tasks at once. One that panics makes a dead letter.
type React func(Failure) Reaction

// Always is the handler that decides the same each time.
func Always(r Reaction) React { return func(Failure) Reaction { return r } }

// Errors says what becomes of records that fail. The zero value makes dead letters of all of them, at once.
type Errors struct {
	// Decoding, Processing and Producing decide by stage. Those of a topic ([Topic.OnError]) go first. The default is
	// Always(DeadLetter).
	Decoding, Processing, Producing React

	// Attempts is how often a record is processed, or the function of a timer, a punctuation or a closed window called, until it
	// does not fail, the first time included. The default is 1. What cannot be decoded or produced, and errors that are
	// [Permanent], are not tried again. Between two attempts the partition waits, other tasks go on.
	Attempts int
	// Backoff is the pause after the first failure. It doubles with each further one, up to MaxBackoff. The defaults are
	// 100 ms and 10 s.
	Backoff, MaxBackoff time.Duration

	// ParkKeys keeps the records of a key in order when one of them becomes a dead letter: the later ones of that key from the
	// same topic become dead letters too, unseen, until all were put back by riffle dlq replay and have passed. Parked keys are
	// state, in the store parked-NAME after the first input of each sub-topology: they survive restarts. Each record with a key
	// costs a look there. The default is to go on with the next record of the key.
	ParkKeys bool
}

func (e Errors) withDefaults() Errors {
	if e.MaxBackoff == 0 {
		e.MaxBackoff = max(10*time.Second, e.Backoff)
	}
	if e.Backoff == 0 {
		e.Backoff = min(100*time.Millisecond, e.MaxBackoff)
	}
	return e
}

func (e Errors) validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Attempts", int64(e.Attempts)}, {"Backoff", int64(e.Backoff)}, {"MaxBackoff", int64(e.MaxBackoff)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("stream.Errors has %s %d: want more than 0, or 0 for the default", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

// OnError says what becomes of records that fail, for the whole topology. It can be called once.
func (b *Builder) OnError(e Errors) {
	if b.onError {
		b.mistake("OnError was called before: what becomes of failures is said once")
	}
	b.onError = true
	if err := e.validate(); err != nil {
		b.mistake("onerror: %w", err)
	}
	if e.ParkKeys {
		b.graph.ParkKeys()
	}
	b.errors = e
}

// OnError returns the topic with a handler of its own: of records that are read from it and do not decode, and of outputs that
// cannot be written to it. If a topology uses several definitions of a topic, one of them has the handler.
func (t Topic[K, V]) OnError(react React) Topic[K, V] {
	t.onError = react
	return t
}

// handles notes the handler of a topic that is read or written.
func (b *Builder) handles(topic string, react React) {
	switch {
	case react == nil:
	case b.reacts[topic] != nil:
		b.mistake("topic %q has two handlers of errors: use one definition that has it", topic)
	default:
		b.reacts[topic] = react
	}
}

// policy is what the runtime knows of the handlers.
func (b *Builder) policy() task.Policy {
	e := b.errors.withDefaults()
	p := task.Policy{Attempts: e.Attempts, Backoff: e.Backoff, MaxBackoff: e.MaxBackoff, Permanent: isPermanent}
	if e.Decoding == nil && e.Processing == nil && e.Producing == nil && len(b.reacts) == 0 {
		return p
	}
	topics := b.reacts
	p.React = func(l task.DeadLetter) task.Reaction {
		var react React
		switch l.Stage {
		case Decoding:
			react = orElse(topics[l.Topic], e.Decoding)
		case Producing:
			react = orElse(topics[l.Output], e.Producing)
		default:
			react = e.Processing
		}
		if react == nil {
			return task.ToDeadLetters
		}
		return reaction(react(failure(l)))
	}
	return p
}

func orElse(a, b React) React {
	if a != nil {
		return a
	}
	return b
}

func failure(l task.DeadLetter) Failure {
	return Failure{
		Stage: l.Stage, Node: l.Node, Topic: l.Topic, Output: l.Output,
		Partition: l.Partition, Offset: l.Record.Offset, Key: l.Record.Key, Value: l.Record.Value,
		Time: time.UnixMilli(l.Record.Timestamp).UTC(), Attempts: l.Attempts, Err: l.Cause,
	}
}

func reaction(r Reaction) task.Reaction {
	switch r {
	case Skip:
		return task.Skip
	case Stop:
		return task.Stop
	}
	return task.ToDeadLetters
}
