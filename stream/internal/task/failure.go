package task

import (
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// Stage is where a record failed.
type Stage int

const (
	Decoding   Stage = iota + 1 // the record does not decode, or has no event time
	Processing                  // a user function failed, or a timer or punctuation
	Producing                   // an output does not encode, is too large, or was refused by the cluster
	Waiting                     // it did not fail, but an earlier record of its key did, which is parked
)

func (s Stage) String() string {
	switch s {
	case Decoding:
		return "decoding"
	case Processing:
		return "processing"
	case Producing:
		return "producing"
	case Waiting:
		return "waiting"
	}
	return fmt.Sprintf("stage(%d)", int(s))
}

// Reaction is what becomes of a record that failed.
type Reaction int

const (
	ToDeadLetters Reaction = iota
	Skip                   // leave it out
	Stop                   // stop the task
)

// Policy says what becomes of what fails. The zero value makes dead letters at once.
type Policy struct {
	// React is asked about each failure, once its attempts are used up. Nil makes dead letters.
	React func(DeadLetter) Reaction
	// Attempts is how often a record is processed, or a timer or punctuation called, until it does not fail, the first time
	// included. Zero is once.
	Attempts int
	// Backoff is the pause after the first failure. It doubles with each further one, up to MaxBackoff.
	Backoff, MaxBackoff time.Duration
	// Permanent reports whether an error will not go away by another attempt. Nil is never.
	Permanent func(error) bool
}

// ErrHold is what Output.DeadLetter returns where a dead letter cannot be written now: the task does not go on, and comes back to
// the record after a pause.
var ErrHold = errors.New("task: dead letters cannot be written now")

// holdPause is how long a task waits before it tries again what it could make no dead letter of.
const holdPause = time.Second

// FailOutput is Fail for an output that cannot be made or written.
func (f *Frame) FailOutput(topic string, err error) error {
	if f.failed == nil && err != nil {
		f.output = topic
	}
	return f.Fail(err)
}

// reject decides on the first record of in, which failed: it is tried again later, or dropped with what it did, and mostly
// becomes a dead letter. It reports whether the record is done with. before is the stream time before it.
func (t *Task) reject(in *input, before int64) (done bool, err error) {
	f := &t.frame
	if f.spoiled() {
		return false, t.stop(in, f.failed)
	}
	f.fail()
	in.attempts++
	letter := DeadLetter{
		Topic: in.topic, Partition: t.cfg.ID.Partition, Record: in.first(), Stage: t.stage(in), Output: f.output,
		Node: t.cfg.Program.Graph.Node(f.at).Name, Cause: f.failed, Attempts: in.attempts,
	}
	if t.cfg.Program.Policy.again(letter) {
		t.postpone(in, before, t.cfg.Program.Policy.pause(in.attempts))
		return false, nil
	}
	if letter.Parked = t.parks(in); letter.Parked {
		letter.Number = max(in.place.number, 0) // of a key that is not parked yet it is the first
	}
	reaction, err := t.dispose(letter)
	switch {
	case errors.Is(err, ErrHold):
		in.attempts = 0
		t.held = true
		t.postpone(in, before, holdPause)
		return false, nil
	case err != nil:
		return false, t.stop(in, err)
	case reaction == ToDeadLetters && letter.Parked:
		t.parking.add(in, in.place)
	case in.place.isFirst():
		t.parking.pass(in, in.place)
	}
	if err := f.takeEffect(t.cfg.Output); err != nil {
		return false, t.stop(in, err)
	}
	in.advance()
	return true, nil
}

// stage is where the first record of in failed.
func (t *Task) stage(in *input) Stage {
	switch {
	case !in.decoded:
		return Decoding
	case t.frame.output != "":
		return Producing
	}
	return Processing
}

// dispose makes a dead letter, or does what else is to be done with what failed.
func (t *Task) dispose(letter DeadLetter) (r Reaction, err error) {
	switch r = t.react(letter); r {
	case Skip:
		t.cfg.Output.Skip(letter)
	case Stop:
		err = letter.Cause
	default:
		if err = t.cfg.Output.DeadLetter(letter); err != nil {
			err = fmt.Errorf("dead letter: %w", err)
		}
	}
	return r, err
}

// react asks the policy. A function that panics has no say.
func (t *Task) react(letter DeadLetter) (r Reaction) {
	if t.cfg.Program.Policy.React == nil {
		return ToDeadLetters
	}
	defer func() {
		if recover() != nil {
			r = ToDeadLetters
		}
	}()
	return t.cfg.Program.Policy.React(letter)
}

// postpone comes back to a record, or with nil to what is due between records, after a pause. It is then as if it had not been
// tried.
func (t *Task) postpone(in *input, streamTime int64, pause time.Duration) {
	t.frame.drop()
	t.frame.streamTime = streamTime
	t.until = t.now.Add(pause)
	if in != nil {
		in.decoded = false // a function may have spoiled what was decoded
	}
}

// waits reports whether the task pauses before it tries something again.
func (t *Task) waits() bool { return t.now.Before(t.until) }

// Resume ends a pause, and reports whether there was one.
func (t *Task) Resume() bool {
	waited := t.waits()
	t.until = time.Time{}
	return waited
}

// Held reports whether the task does not go on because a dead letter cannot be written.
func (t *Task) Held() bool { return t.held }

// again reports whether what failed is to be tried once more.
func (p *Policy) again(l DeadLetter) bool {
	return l.Stage == Processing && l.Attempts < p.Attempts && (p.Permanent == nil || !p.Permanent(l.Cause))
}

// pause is what follows the n-th attempt.
func (p *Policy) pause(n int) time.Duration {
	pause := p.Backoff
	for ; n > 1 && pause < p.MaxBackoff; n-- {
		pause *= 2
	}
	return min(pause, p.MaxBackoff)
}

// rejectDue decides on what was due at a time, and failed. It reports false if that is to be tried again.
func (t *Task) rejectDue(s *schedule, at int64, key []byte, before int64) (done bool, err error) {
	f := &t.frame
	f.fail()
	s.attempts++
	letter := DeadLetter{
		Partition: t.cfg.ID.Partition, Record: &client.Record{Timestamp: at, Offset: -1}, Output: f.output, Stage: Processing,
		Node: t.cfg.Program.Graph.Node(f.at).Name, Cause: f.failed, Attempts: s.attempts,
	}
	if f.output != "" {
		letter.Stage = Producing
	}
	if t.cfg.Program.Policy.again(letter) {
		t.postpone(nil, before, t.cfg.Program.Policy.pause(s.attempts))
		return false, nil
	}
	s.attempts = 0
	if s.timers != nil {
		if s.timers.lost != nil {
			s.timers.lost(key)
		}
		if f.fatal != nil {
			return false, f.fatal
		}
		s.timers.remove()
		letter.Record.Key, letter.Timers = notNull(key), s.timers.store.name
	}
	_, err = t.dispose(letter)
	if errors.Is(err, ErrHold) {
		t.held = true
		t.postpone(nil, before, holdPause)
		return false, nil
	}
	return err == nil, err
}
