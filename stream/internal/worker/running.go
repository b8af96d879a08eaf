package worker

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// running is a task that this instance owns.
type running struct {
	id     state.TaskID
	sub    *Sub
	task   Task
	sink   *Sink
	inputs []*input // in the order of the sub-topology
	logger *slog.Logger

	merges    bool          // it reads several topics that this instance writes
	ready     bool          // it is to run
	busy      bool          // it runs
	full      bool          // it has done what it may in this round, and could go on
	left      int           // steps that it may take in this round
	leftTime  time.Duration // that it may take for them
	dirty     bool          // there is something to commit
	counts    Counts        // as the metrics know them
	processed int           // steps of the task since the last commit

	state   state.Task // nil without stores
	stores  []*changelogStore
	replays []*replay // while the stores are being restored or followed
	// Sequences of the last complete commit and of the next one: between them lie those of crashed incarnations.
	complete, commit int64
	streamTime       int64 // of the last commit, in milliseconds
}

// changelogStore is a store of a task with what its next marker must say.
type changelogStore struct {
	spec    state.Spec
	topic   string
	topicID [16]byte
}

// input is one input partition of a task.
type input struct {
	topic string
	// start is where the task resumes, -1 while that is unknown.
	start int64
	// last is the offset after the last record that was added; next the offset after the last one that was
	// polled or handed over, where the end of a transaction counts too; fetched the offset after the last record of
	// the log that was polled. -1 before the first.
	last, next, fetched int64
	end                 int64 // where it ended at the last poll
	lastTime            int64 // of the last record that was added, in milliseconds
	paused              bool  // the task holds too much of it
	ended               bool  // it has come to the end of a run that ends by itself
}

func newInputs(topics []string) []*input {
	inputs := make([]*input, len(topics))
	for i, topic := range topics {
		inputs[i] = &input{topic: topic, start: -1, last: -1, next: -1, fetched: -1}
	}
	return inputs
}

func (r *running) input(topic string) *input {
	for _, in := range r.inputs {
		if in.topic == topic {
			return in
		}
	}
	return nil
}

// add queues a batch. The task itself leaves out the records that its state has seen.
func (r *running) add(b client.Batch) error {
	in := r.input(b.Topic)
	if in == nil {
		return nil
	}
	in.end = b.End
	if b.Next > in.next {
		in.next = b.Next
		r.dirty = true
	}
	if n := len(b.Records); n > 0 {
		if err := r.checkPosition(in, &b); err != nil {
			return err
		}
		in.fetched = b.Records[n-1].Offset + 1
		in.added(b.Records[n-1])
	}
	return r.task.Add(b)
}

// take queues a batch that tasks of this instance have just written.
func (r *running) take(b client.Batch) error {
	in := r.input(b.Topic)
	in.next = max(in.next, b.Next)
	in.added(b.Records[len(b.Records)-1])
	return r.task.Add(b)
}

// added follows the last record of a batch.
func (in *input) added(r client.Record) {
	if r.Offset >= in.last {
		in.last, in.lastTime = r.Offset+1, r.Timestamp
	}
}

// checkPosition compares where a batch begins with what the input expects. Behind it are records that the
// topic no longer has. Before it is a log that is not the one that was read before.
func (r *running) checkPosition(in *input, b *client.Batch) error {
	first := b.First
	switch {
	case in.fetched >= 0 && first < in.fetched:
		return fmt.Errorf("worker: topic %s partition %d goes back from offset %d to %d: its end was lost, or it was deleted and made again; start the application again",
			b.Topic, b.Partition, in.fetched, first)
	case in.fetched >= 0 || in.start < 0:
	case first < in.start && r.state != nil:
		return fmt.Errorf("worker: task %s goes on at offset %d of topic %s partition %d, which begins anew at %d: the topic was deleted and made again; its state stands for the old records: rename the application, or its stores",
			r.id, in.start, b.Topic, b.Partition, first)
	case first < in.start:
		r.logger.Warn("the position of the application lies beyond the end of the topic, which was deleted and made again, or lost its end: reading it from the beginning",
			"task", r.id.String(), "topic", b.Topic, "partition", b.Partition, "position", in.start, "first", first)
		in.start = first
	case first > in.start && in.start > 0:
		r.logger.Warn("records are missing between the position of the application and the first that the topic still has: retention or compaction removed them",
			"task", r.id.String(), "topic", b.Topic, "partition", b.Partition, "position", in.start, "first", first)
	}
	return nil
}

const (
	// maxRun is how long a task may hold up a round. Slow functions must not keep the instance from committing,
	// from following its group, or from stopping.
	maxRun = time.Second
	// maxTurn is how many steps a task takes at a time. What it hands over waits for no more than that.
	maxTurn = 512
	// runStep is how many records a task processes between two looks at the clock.
	runStep = 32
)

// begin lets the task take up to limit steps, for about maxRun at most, in a round.
func (r *running) begin(limit int) { r.left, r.leftTime, r.full = limit, maxRun, false }

// run takes steps of the task: a turn's, or what is left to it in this round. It returns how many records it processed, and
// whether it would take another turn.
func (r *running) run(now time.Time) (n int, again bool, err error) {
	before := r.task.Queued()
	limit, done, took := min(maxTurn, r.left), 0, time.Duration(0) // records, and what was due between them
	again = true
	for start := time.Now(); again && err == nil && done < limit && took < r.leftTime; took = time.Since(start) {
		step := min(runStep, limit-done)
		n, err = r.task.Run(step, now)
		done += n
		again = n >= step
	}
	r.left, r.leftTime = r.left-done, r.leftTime-took
	r.full = again && (r.left <= 0 || r.leftTime <= 0)
	r.processed += done
	if done > 0 {
		r.dirty = true
	}
	return before - r.task.Queued(), again && err == nil, err
}

// uncommittedBytes is about what a commit would write.
func (r *running) uncommittedBytes() int64 {
	n := r.sink.bytes
	if r.state != nil {
		n += r.state.OpenBytes()
	}
	return n
}

// caughtUp reports whether everything that the inputs held, as of their last fetches, was polled.
func (r *running) caughtUp() bool {
	return !slices.ContainsFunc(r.inputs, func(in *input) bool { return in.next >= 0 && in.next < in.end })
}

// positions calls f with the next offset to read of each input whose position is known.
func (r *running) positions(f func(in *input, at int64)) {
	done := r.task.Offsets()
	for _, in := range r.inputs {
		at, ok := done[in.topic]
		switch {
		case ok && at < in.last: // records of this input wait
			f(in, at)
		case !ok && in.last >= 0: // records wait and none was processed
			if in.start >= 0 {
				f(in, in.start)
			}
		case max(at, in.next, in.start) > 0 || in.start == 0:
			f(in, max(at, in.next, in.start))
		}
	}
}

// inputOffsets is the position as a changelog marker carries it.
func (r *running) inputOffsets() []state.InputOffset {
	offsets := make([]state.InputOffset, 0, len(r.inputs))
	r.positions(func(in *input, at int64) {
		offsets = append(offsets, state.InputOffset{Topic: in.topic, Partition: r.id.Partition, Offset: at})
	})
	return offsets
}

// close drops what is not committed.
func (r *running) close() error {
	if r.task != nil {
		r.task.Close()
	}
	if r.state == nil {
		return nil
	}
	r.state.Abort()
	return r.state.Close()
}
