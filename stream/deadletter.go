package stream

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
	"github.com/riffle-stream/riffle/stream/internal/worker"
)

// Headers of a dead letter, in the topic NAME-dead-letters. Key, value, time and the other headers of the record
// are as they were.
//
// What failed between records is a dead letter too: of a timer with its key and time and a null value, of a
// punctuation with its time alone. It was read nowhere, so it has HeaderTimers in place of topic and offset.
const (
	HeaderCause     = "riffle.cause"     // why it could not be processed, as text
	HeaderNode      = "riffle.node"      // the step of the topology
	HeaderStage     = "riffle.stage"     // decoding, processing, producing or waiting
	HeaderVersion   = "riffle.version"   // Config.Version, if it is set
	HeaderTopic     = "riffle.topic"     // where the record was read
	HeaderPartition = "riffle.partition" // decimal
	HeaderOffset    = "riffle.offset"    // decimal
	HeaderParked    = "riffle.parked"    // the place among the letters of its key, if keys are parked; decimal
	HeaderTimers    = "riffle.timers"    // the store of a timer that failed; empty for a punctuation
)

// HeaderReplayed is given to a dead letter of a parked key when it is put back: its HeaderParked, after "discard:" if the
// application is to forget it. The application takes it off again.
const HeaderReplayed = task.HeaderReplayed

// maxCauseBytes bounds the cause in the header: the record itself must still fit.
const maxCauseBytes = 4 << 10

// output sends what a task produces to its sink.
type output struct {
	sink    *worker.Sink
	dead    *deadLetters
	headers []client.Header // reused
}

// Emit implements task.Output.
func (o *output) Emit(r task.OutRecord) error {
	return o.sink.Emit(client.Output{
		Topic: r.Topic, Partition: r.Partition,
		Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp,
	})
}

// DeadLetter implements task.Output.
func (o *output) DeadLetter(d task.DeadLetter) error {
	if err := o.dead.refused(o.dead.topic); err != nil {
		return fmt.Errorf("%w: %w", task.ErrHold, err)
	}
	o.dead.log(d, "could not be processed and went to the dead-letter topic")
	o.headers = o.headers[:0]
	for _, h := range d.Record.Headers {
		// A record that comes back from a dead-letter topic keeps no trace of its first failure: where it was
		// read this time is what a replay needs.
		if !IsDeadLetterHeader(h.Key) {
			o.headers = append(o.headers, h)
		}
	}
	cause := d.Cause.Error()
	o.headers = append(o.headers,
		client.Header{Key: HeaderCause, Value: []byte(cause[:min(len(cause), maxCauseBytes)])},
		client.Header{Key: HeaderNode, Value: []byte(d.Node)},
		client.Header{Key: HeaderStage, Value: []byte(d.Stage.String())},
		client.Header{Key: HeaderPartition, Value: strconv.AppendInt(nil, int64(d.Partition), 10)},
	)
	if d.Parked {
		o.headers = append(o.headers, client.Header{Key: HeaderParked, Value: strconv.AppendInt(nil, d.Number, 10)})
	}
	if o.dead.version != "" {
		o.headers = append(o.headers, client.Header{Key: HeaderVersion, Value: []byte(o.dead.version)})
	}
	if d.Topic == "" {
		o.headers = append(o.headers, client.Header{Key: HeaderTimers, Value: []byte(d.Timers)})
	} else {
		o.headers = append(o.headers,
			client.Header{Key: HeaderTopic, Value: []byte(d.Topic)},
			client.Header{Key: HeaderOffset, Value: strconv.AppendInt(nil, d.Record.Offset, 10)})
	}
	letter := client.Output{
		Topic: o.dead.topic,
		Key:   d.Record.Key, Value: d.Record.Value, Headers: o.headers, Timestamp: d.Record.Timestamp,
	}
	err := o.sink.DeadLetter(letter)
	if errors.Is(err, client.ErrRecordTooLarge) { // as if the cluster had said so: the topic may take more by now
		return &client.RecordError{Topic: letter.Topic, Key: letter.Key, Bytes: client.Size(letter.Key, letter.Value, letter.Headers), Err: err}
	}
	return err
}

// Skip implements task.Output.
func (o *output) Skip(d task.DeadLetter) {
	o.dead.log(d, "could not be processed and was left out")
	o.sink.Skip(d.Stage == task.Decoding)
}

// IsDeadLetterHeader reports whether a header of that key was added when a record became a dead letter. Without such
// headers the record is again what it was.
func IsDeadLetterHeader(key string) bool {
	switch key {
	case HeaderCause, HeaderNode, HeaderStage, HeaderVersion, HeaderTopic, HeaderPartition, HeaderOffset, HeaderTimers, HeaderParked, HeaderReplayed:
		return true
	}
	return false
}

// deadLetters is what the tasks of an application share about their dead letters.
type deadLetters struct {
	topic   string
	version string // of the application
	logger  *slog.Logger
	refused func(topic string) error

	mu struct {
		sync.Mutex
		told map[string]int64 // dead letters by node
	}
}

func newDeadLetters(app string, cfg *Config, refused func(topic string) error) *deadLetters {
	d := &deadLetters{topic: graph.DeadLetterTopic(app), version: cfg.Version, logger: cfg.Logger, refused: refused}
	d.mu.told = make(map[string]int64)
	return d
}

// log tells of a failure: of the 1st, 10th, 100th … of each node, so that a bad input does not flood the log.
func (d *deadLetters) log(l task.DeadLetter, became string) {
	d.mu.Lock()
	d.mu.told[l.Node]++
	n := d.mu.told[l.Node]
	d.mu.Unlock()
	if !powerOfTen(n) {
		return
	}
	args := []any{"node", l.Node, "cause", l.Cause, "stage", l.Stage.String(), "partition", l.Partition, "count", n, "to", d.topic}
	what := "a record"
	if l.Topic == "" {
		what = "a timer or punctuation"
		args = append(args, "timers", l.Timers)
	} else {
		args = append(args, "topic", l.Topic, "offset", l.Record.Offset)
	}
	var p *task.PanicError
	if errors.As(l.Cause, &p) && p.First {
		args = append(args, "stack", string(p.Stack))
	}
	d.logger.Warn(what+" "+became, args...)
}

func powerOfTen(n int64) bool {
	for n%10 == 0 && n > 0 {
		n /= 10
	}
	return n == 1
}
