package task

import (
	"fmt"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// Output takes what a task produces. An error stops the task.
type Output interface {
	// Emit takes an output record. Its bytes are valid only during the call.
	Emit(OutRecord) error
	// DeadLetter takes a record that could not be processed. ErrHold has the task come back to it later.
	DeadLetter(DeadLetter) error
	// Skip tells of one that is left out.
	Skip(DeadLetter)
}

// OutRecord is a record to be written. A nil Key or Value is Kafka's null.
type OutRecord struct {
	Topic string
	// Partition is where to write it; -1 leaves that to the partitioner, by key.
	Partition  int32
	Key, Value []byte
	Headers    []client.Header
	Timestamp  int64 // milliseconds since the epoch
}

// DeadLetter is an input record that could not be processed, or a timer or punctuation that failed. It had no effect.
type DeadLetter struct {
	Topic     string // empty for a timer or punctuation
	Partition int32
	// Record is as it was read; valid only during the call. Of a timer it is made up: the timer's key and time, a null
	// value and the offset -1. That of a punctuation has no key.
	Record *client.Record
	Timers string // the store of the timer
	Node   string // where it failed
	Cause  error  // a *PanicError if a function panicked
	Stage  Stage
	Output string // the topic of the output that failed it
	// Attempts is how often it was tried.
	Attempts int
	// Parked says that its key is parked. Number is its place among the letters of the key.
	Parked bool
	Number int64
}

// PanicError is a panic of a user function.
type PanicError struct {
	Value any
	Stack []byte // where it happened
	// First marks the first panic of a node in this task: the one whose stack is worth a line in the log.
	First bool
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value of the panic, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Error stops a task: something failed that is not the record's fault. The record named was not processed.
type Error struct {
	Task      state.TaskID
	Node      string // where the record was
	Topic     string // empty if it happened between records, in a timer or punctuation
	Partition int32
	Offset    int64
	Err       error
}

func (e *Error) Error() string {
	if e.Topic == "" {
		return fmt.Sprintf("task %s: between records, node %q: %v", e.Task, e.Node, e.Err)
	}
	return fmt.Sprintf("task %s: %s-%d at offset %d, node %q: %v", e.Task, e.Topic, e.Partition, e.Offset, e.Node, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }
