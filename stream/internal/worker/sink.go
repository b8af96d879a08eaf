package worker

import (
	"context"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// Sink takes the outputs of one task.
type Sink struct {
	to      *client.Sink
	ctx     context.Context // of the worker: ends when the worker gives up
	bytes   int64           // of outputs since the last commit
	dead    int64           // dead letters since the last commit
	skipped int64           // records that were left out since
	// undecoded are those of them that did not decode.
	undecoded int64
	// oldest is the lowest event time of the outputs since the last commit, in milliseconds; 0 if there is none.
	oldest int64

	loopback *loopback
	keys     client.KeyPartitioner
	topic    string     // of the last record
	loop     *loopTopic // that it is
}

// Emit sends a record by its key. The bytes need to stay valid only during the call. It blocks while the
// producer's buffers are full. An error that wraps client.ErrRecordTooLarge is this record's alone.
func (s *Sink) Emit(o client.Output) error {
	if s.oldest == 0 || o.Timestamp < s.oldest {
		s.oldest = o.Timestamp
	}
	s.bytes += int64(len(o.Key) + len(o.Value))
	if s.topic != o.Topic {
		s.topic, s.loop = o.Topic, s.loopback.topics[o.Topic]
	}
	if a := s.loop.lane(&s.keys, o.Key); a != nil {
		return a.send(s.ctx, s.to, o)
	}
	_, err := s.to.Send(s.ctx, o)
	return err
}

// DeadLetter sends a record that could not be processed. It differs from Emit in being counted.
func (s *Sink) DeadLetter(o client.Output) error {
	s.dead++
	return s.Emit(o)
}

// Skip counts a record that failed and is left out, undecoded if it did not decode.
func (s *Sink) Skip(undecoded bool) {
	s.skipped++
	if undecoded {
		s.undecoded++
	}
}

// reset begins a new commit. The client was flushed and the sink has not failed.
func (s *Sink) reset() {
	s.to.Reset()
	s.bytes, s.dead, s.skipped, s.undecoded, s.oldest = 0, 0, 0, 0, 0
}
