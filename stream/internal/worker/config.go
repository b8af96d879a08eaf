package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// Task is one sub-topology on one partition, as the worker drives it. Only one goroutine uses it at a time.
type Task interface {
	// Add queues a batch of one of the task's input partitions. The task keeps the records until they are
	// processed.
	Add(client.Batch) error
	// Ended says that nothing more of an input will be added.
	Ended(topic string)
	// Run takes up to limit steps: it processes queued records, and does what is due between them. It takes less
	// than limit if there is nothing more to do. An error is not the fault of a record: the output cannot be
	// written, or a store fails.
	Run(limit int, now time.Time) (steps int, err error)
	// Queued is the number of records that wait, dead letters to be included.
	Queued() int
	// Offsets has, for each input topic whose position the task knows, the offset of the record to process
	// next.
	Offsets() map[string]int64
	// StreamTime is the largest event time seen, in milliseconds.
	StreamTime() int64
	// Counts is what the task has counted. Its Lateness begins anew with each call.
	Counts() Counts
	// Close ends what the task has under way: calls.
	Close()
	// Wake is when Run would go on although nothing was added; false if there is no such time.
	Wake() (time.Time, bool)
	// Held reports whether the task does not go on because a dead letter cannot be written.
	Held() bool
}

// Setup is what a task is made of.
type Setup struct {
	ID state.TaskID
	// State has the restored stores. It is nil for a task without any.
	State state.Task
	// Sink takes the task's outputs.
	Sink *Sink
	// Offsets and StreamTime (in milliseconds) are those of the commit that the state stands for: records
	// below are in the state. Both are zero if there was none.
	Offsets    map[string]int64
	StreamTime int64
	// IdleCloses are those that the log has of places at or behind Offsets. NoteIdle puts another one into the log, unless
	// there is more to read.
	IdleCloses []IdleClose
	NoteIdle   func(IdleClose) (bool, error)
	// Background is where the task has functions called that may take long. Wake lets the worker go on with the task.
	Background Background
}

// Background is where slow functions are called.
type Background struct {
	Context context.Context // ends with the worker
	Go      func(f func())
	Wake    func()
}

// Sub is a sub-topology as the worker sees it.
type Sub struct {
	ID     int
	Inputs []string // topics, in the order in which the topology names them
	Stores []state.Spec
}

// Config describes a worker. App, Subs, Client, Backend and NewTask must be set.
type Config struct {
	App string
	// Subs are the sub-topologies; OwnInputs those of their inputs that the application itself writes.
	Subs      []Sub
	OwnInputs []string
	// Client is completed by the worker: the group, its topics and the callbacks.
	Client client.Config
	// Backend keeps the stores. The worker does not close it.
	Backend state.Backend
	// Notes are stored in the group beside the offsets of a topic's partitions, in one line each.
	Notes map[string]string
	// NewTask makes a task. Its outputs must go to Setup.Sink.
	NewTask func(Setup) (Task, error)

	// Refused is told that the cluster takes no records for a topic, and reports whether the tasks can do without: they are
	// taken back to the last commit then. Otherwise the run fails.
	Refused func(*client.RefusedError) bool
	// AtLeastOnce commits in steps, without transactions. The default is one transaction for outputs, state and positions.
	AtLeastOnce bool
	// Workers is how many tasks run in parallel. The default is the number of usable CPUs.
	Workers int
	// CommitInterval is the longest time that processed records stay uncommitted while records arrive. The
	// default is 100 ms. With transactions a commit comes earlier, as soon as everything that was fetched is processed.
	CommitInterval time.Duration
	// MaxPollRecords bounds what is done of the inputs in a round, what tasks hand over to a partition of others in it, and what each
	// of those does of that. Above it the inputs of a task that has more than it could do are paused. The default is 10,000.
	MaxPollRecords int
	// MaxQueuedRecords bounds, by input partition, what a task may have waiting for its other inputs. The
	// partition is paused above it. The default is 50,000.
	MaxQueuedRecords int
	// MaxUncommittedRecords and MaxUncommittedBytes (of outputs) bring a commit forward. The defaults are
	// 200,000 and 64 MiB.
	MaxUncommittedRecords, MaxUncommittedBytes int
	// ShutdownTimeout bounds the last commit after the context has ended. The default is 30 s.
	ShutdownTimeout time.Duration

	// IdleCloseTopic is where idle closes are noted. It needs a partition for each task. RepeatIdleCloses is the topic from
	// which they are read and done again; empty is none.
	IdleCloseTopic, RepeatIdleCloses string

	// Standbys is how many other instances keep a copy of each task's state. The default is 0.
	Standbys int
	// AcceptableLag is how many changelog records an instance may lack to be given a task that another one has the state of.
	// The default is 10,000. Above it a copy is warmed up first, MaxWarmups at a time in the whole group (default 2), and
	// the instance asks for the task as soon as it has caught up, and then every ProbeInterval (default 1 min).
	AcceptableLag int64
	MaxWarmups    int
	ProbeInterval time.Duration

	// StopAtEnd ends the run when everything that the source topics hold is processed, and what came of it in
	// its own inputs too. What they hold is looked up at the start, or when InputsDone is closed if it
	// is not nil.
	StopAtEnd  bool
	InputsDone <-chan struct{}

	Logger  *slog.Logger
	Metrics *Metrics
}

func (c Config) withDefaults() Config {
	orInt := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	orInt(&c.Workers, runtime.GOMAXPROCS(0))
	orInt(&c.MaxPollRecords, 10_000)
	orInt(&c.MaxQueuedRecords, 50_000)
	orInt(&c.MaxUncommittedRecords, 200_000)
	orInt(&c.MaxUncommittedBytes, 64<<20)
	orInt(&c.MaxWarmups, 2)
	if c.AcceptableLag == 0 {
		c.AcceptableLag = 10_000
	}
	if c.ProbeInterval == 0 {
		c.ProbeInterval = time.Minute
	}
	if c.CommitInterval == 0 {
		c.CommitInterval = 100 * time.Millisecond
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics()
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int
	}{
		{"Workers", c.Workers},
		{"MaxPollRecords", c.MaxPollRecords},
		{"MaxQueuedRecords", c.MaxQueuedRecords},
		{"MaxUncommittedRecords", c.MaxUncommittedRecords},
		{"MaxUncommittedBytes", c.MaxUncommittedBytes},
		{"AcceptableLag", int(c.AcceptableLag)},
		{"MaxWarmups", c.MaxWarmups},
		{"ProbeInterval", int(c.ProbeInterval)},
		{"CommitInterval", int(c.CommitInterval)},
		{"ShutdownTimeout", int(c.ShutdownTimeout)},
	} {
		if f.value <= 0 {
			errs = append(errs, fmt.Errorf("worker: %s is %d: want more than 0, or 0 for the default", f.name, f.value))
		}
	}
	if c.Standbys < 0 {
		errs = append(errs, fmt.Errorf("worker: Standbys is %d: want 0 or more", c.Standbys))
	}
	if c.App == "" || len(c.Subs) == 0 || c.Backend == nil || c.NewTask == nil {
		errs = append(errs, errors.New("worker: App, Subs, Backend and NewTask must be set"))
	}
	return errors.Join(errs...)
}
