package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
	"github.com/riffle-stream/riffle/stream/internal/worker"
)

// Guarantee says what a crash may do to the outputs of an App. State counts every record exactly once in either case.
type Guarantee int

const (
	// ExactlyOnce commits outputs, state, dead letters and the position in the inputs in one transaction. Readers of
	// committed records, as those of this package are, see the output of each record once. Other readers have to ask for
	// committed records (isolation.level=read_committed).
	ExactlyOnce Guarantee = iota
	// AtLeastOnce does without transactions. After a crash some outputs are repeated, in the same order per key.
	// Outputs can be read before they are committed.
	AtLeastOnce
)

// Config tunes an App. The zero value is a working configuration.
type Config struct {
	// Guarantee is ExactlyOnce unless it is set. It may change from one run to the next.
	Guarantee Guarantee
	// Workers is how many tasks run in parallel. The default is the number of usable CPUs. The outputs do not
	// depend on it.
	Workers int
	// CommitInterval is how long processed records may wait for their commit, and so how much is done again after
	// a crash. The default is 100 ms. With ExactlyOnce a commit comes as soon as all records that were fetched are
	// processed: the interval counts only while the App is busy. Where one instance runs the whole topology, what passes
	// several of its parts is committed once.
	CommitInterval time.Duration
	// TransactionTimeout is how long the transaction of an instance that crashed may keep readers of its outputs waiting, and
	// the longest time that one commit may take. A restart of an instance by the same Instance name ends it at once.
	// The default is 10 s.
	TransactionTimeout time.Duration
	// StateDir holds the local copies of the stores. The default is dir/state/NAME for Embedded(dir), and
	// riffle-data/NAME for Kafka. One instance at a time can use it.
	StateDir string
	// CheckpointBytes and CheckpointAge say how much committed state, and for how long, may wait in memory before
	// it goes to StateDir. They bound what a restart after a crash has to read from the changelogs. The defaults
	// are 64 MiB and 10 s.
	CheckpointBytes int64
	CheckpointAge   time.Duration
	// Backend replaces the stores in StateDir, for instance by state.NewMemory. The App does not close it.
	Backend state.Backend
	// Instance makes this App a static member of its group: after a restart within SessionTimeout it takes its
	// old place, and ends the transaction that a crash left open. It must differ between the instances of an application. The default is an ordinary member;
	// with Embedded, static members that are numbered from 0.
	Instance string
	// SessionTimeout is how long the group waits for an instance that fell silent. The default is 30 s.
	SessionTimeout time.Duration
	// ShutdownTimeout bounds the end of Run after its context has ended: half of it is for what was polled, MaxPollRecords of it at
	// most, the rest for the last commit. A function that does not return is waited for. The default is 30 s.
	ShutdownTimeout time.Duration

	// MaxPollRecords bounds what is processed between two looks at the group, and what waits in memory between two parts of
	// the topology. Above it an input partition is not fetched while its task has more than it can do. The default is 10,000 records;
	// slow functions stop earlier, after about a second.
	MaxPollRecords int
	// MaxQueuedRecords bounds what a task holds of one input partition while it waits for another. Above it
	// the partition is not fetched. The default is 50,000 records.
	MaxQueuedRecords int
	// MaxInputWait bounds how long a task holds back what it has read of one input while the cluster is known to have more of
	// another one, which is still to be fetched: only then do their records come in order of time. It looks for the ends when it
	// begins; an input that has caught up is never waited for (in Kafka Streams: max.task.idle.ms is 0). The default is 30 s, which
	// matters only where records that there were cannot be fetched any more, or the cluster does not answer.
	MaxInputWait time.Duration
	// IdleClose lets stream time go on without records: after this time by the wall clock in which a task has read
	// everything and nothing has come, stream time moves on by as much, if something is due then, and again after the next. So windows close,
	// timers fire and stream-time punctuation comes on a partition that has fallen silent. A record whose event time lags
	// behind the wall clock by more than that may find its windows closed. The default is never.
	//
	// What the clock decides is noted in the topic NAME-idle-closes, in the transaction of its results, so that a replay can
	// repeat it: the application itself does, when it reads its inputs again, and another one whose IdleClosesOf names it.
	IdleClose time.Duration
	// IdleClosesOf is the application whose idle closes are repeated, each at the offsets where it happened: for a replay
	// of its inputs by the same topology under another name. The default is the application itself, if it has IdleClose.
	IdleClosesOf string
	// MaxUncommittedRecords and MaxUncommittedBytes (of outputs) bring a commit forward. The defaults are
	// 200,000 and 64 MiB.
	MaxUncommittedRecords, MaxUncommittedBytes int
	// MaxBufferedRecords and MaxBufferedBytes bound the outputs that wait for the cluster. When either is
	// reached, processing waits. The defaults are 100,000 and 64 MiB.
	MaxBufferedRecords, MaxBufferedBytes int

	// MaxGlobalBytes bounds the memory that the global tables take. Run fails above it. The default is 256 MiB.
	MaxGlobalBytes int64

	// AcceptOrphans lets a topology start that leaves behind a store or a repartition topic of the one that ran last: what
	// it holds is used no more. By default Run fails then, and says what it is.
	AcceptOrphans bool

	// Standbys is how many other instances keep a copy of the state of each task, by reading its changelogs, so that one of
	// them goes on at once when the task's own instance is gone. The default is 0. The instances should agree on it.
	Standbys int
	// AcceptableLag is how many changelog records an instance may lack of a task's state to be given the task while another
	// instance has that state. Above it the task stays where it is, and the instance warms up a copy; it is given the task as soon
	// as it has caught up. The default is 10,000 records: less than what the commits of a second write, a copy may never
	// catch up.
	AcceptableLag int64
	// MaxWarmups bounds how many copies warm up at a time, in all instances together. The default is 2.
	MaxWarmups int
	// ProbeInterval is how often an instance asks again for tasks that it has warmed up for, if its first question, which
	// comes at once, was in vain. The default is 1 min.
	ProbeInterval time.Duration

	// Address is where other instances and clients reach the QueryHandler of this one, as "host:port": it is told to those
	// who ask for what another instance holds. The default is none.
	Address string

	// StopAtEnd ends Run when everything that the source topics hold at the start is processed and committed,
	// and what came of it in topics that the topology both writes and reads, such as repartition topics.
	StopAtEnd bool
	// InputsDone does the same, with what the source topics hold when it is closed: for a program that writes
	// its own input.
	InputsDone <-chan struct{}

	// Version names the build of the application: dead letters carry it. The default is none.
	Version string

	// Logger tells what happens. The default is slog.Default.
	Logger *slog.Logger
	// Registerer takes the metrics while Run runs, with the application's name as label "app". The default is
	// none.
	Registerer prometheus.Registerer
}

func (c Config) withDefaults(cluster *Cluster, app string) Config {
	if c.StateDir == "" && c.Backend == nil && cluster.inMemory() {
		c.Backend = state.NewMemory()
	}
	if c.StateDir == "" {
		c.StateDir = cluster.stateDir(app)
	}
	if c.MaxInputWait == 0 {
		c.MaxInputWait = 30 * time.Second
	}
	if c.MaxGlobalBytes == 0 {
		c.MaxGlobalBytes = 256 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Workers", int64(c.Workers)},
		{"CommitInterval", int64(c.CommitInterval)},
		{"TransactionTimeout", int64(c.TransactionTimeout)},
		{"CheckpointBytes", c.CheckpointBytes},
		{"CheckpointAge", int64(c.CheckpointAge)},
		{"SessionTimeout", int64(c.SessionTimeout)},
		{"ShutdownTimeout", int64(c.ShutdownTimeout)},
		{"MaxPollRecords", int64(c.MaxPollRecords)},
		{"MaxQueuedRecords", int64(c.MaxQueuedRecords)},
		{"MaxInputWait", int64(c.MaxInputWait)},
		{"IdleClose", int64(c.IdleClose)},
		{"MaxUncommittedRecords", int64(c.MaxUncommittedRecords)},
		{"MaxUncommittedBytes", int64(c.MaxUncommittedBytes)},
		{"MaxBufferedRecords", int64(c.MaxBufferedRecords)},
		{"MaxBufferedBytes", int64(c.MaxBufferedBytes)},
		{"MaxGlobalBytes", c.MaxGlobalBytes},
		{"Standbys", int64(c.Standbys)},
		{"AcceptableLag", c.AcceptableLag},
		{"MaxWarmups", int64(c.MaxWarmups)},
		{"ProbeInterval", int64(c.ProbeInterval)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("stream: Config.%s is %d: want more than 0, or 0 for the default", f.name, f.value))
		}
	}
	if c.IdleClose%time.Millisecond != 0 {
		errs = append(errs, fmt.Errorf("stream: Config.IdleClose is %v: want a multiple of 1ms", c.IdleClose))
	}
	if c.Guarantee != ExactlyOnce && c.Guarantee != AtLeastOnce {
		errs = append(errs, fmt.Errorf("stream: Config.Guarantee is %d: want ExactlyOnce or AtLeastOnce", c.Guarantee))
	}
	return errors.Join(errs...)
}

// App is one instance of an application: it runs the tasks that its consumer group gives it. Instances of the
// same topology share the work, up to one per partition.
type App struct {
	topology *Topology
	cluster  *Cluster
	cfg      Config
	metrics  *worker.Metrics
	refusals *refusals
	ran      atomic.Bool
	running  atomic.Pointer[served] // while tasks run
}

// NewApp checks the configuration. It does not touch the cluster yet.
func NewApp(topology *Topology, cluster *Cluster, cfg Config) (*App, error) {
	if topology == nil || cluster == nil {
		return nil, errors.New("stream: NewApp needs a topology and a cluster")
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &App{
		topology: topology, cluster: cluster,
		cfg:      cfg.withDefaults(cluster, topology.Name()),
		metrics:  worker.NewMetrics(),
		refusals: newRefusals(topology.program.Graph, cfg.Logger),
	}, nil
}

// Run runs a topology on a cluster with the default configuration. See [App.Run].
func Run(ctx context.Context, topology *Topology, cluster *Cluster) error {
	app, err := NewApp(topology, cluster, Config{})
	if err != nil {
		return err
	}
	return app.Run(ctx)
}

// Run compares the topology with the one that ran last (see Config.AcceptOrphans), makes the internal topics, joins the group, restores the stores and processes until ctx ends, or until the
// inputs are drained if the configuration says so. Then it finishes what it holds, commits, leaves the group and
// returns nil, also if ctx ends while it starts. It can be called once.
//
// Guarantees: every input record is processed, and counts once in stores and committed outputs (see [Guarantee] for less).
// An error means that the cluster or the state failed, not a record:
// records that cannot be processed go to the topic NAME-dead-letters. What was not committed is done again by the
// next Run.
func (a *App) Run(ctx context.Context) (err error) {
	if a.ran.Swap(true) {
		return errors.New("stream: App.Run can be called once; make another App")
	}
	if err := a.cluster.Open(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	defer func() { err = errors.Join(err, a.cluster.Close()) }()

	plan, err := a.prepareTopics(ctx)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	if a.cfg.Registerer != nil {
		reg := prometheus.WrapRegistererWith(prometheus.Labels{"app": a.topology.Name()}, a.cfg.Registerer)
		if err := reg.Register(a.metrics); err != nil {
			return fmt.Errorf("stream: register the metrics of %s: %w: give each instance its own registry", a.topology.Name(), err)
		}
		defer reg.Unregister(a.metrics)
	}
	instance := a.cfg.Instance
	if instance == "" {
		var release func()
		instance, release = a.cluster.instance(a.topology.Name())
		defer release()
	}
	globals, err := a.loadGlobals(ctx)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer globals.close()
	// What follows the global tables ends with the tasks, and the tasks end if it fails.
	running, stop := context.WithCancelCause(ctx)
	var following sync.WaitGroup
	following.Go(func() {
		if err := globals.follow(running); err != nil {
			stop(err)
		}
	})
	err = a.runRebuilding(running, plan, globals, instance)
	stop(nil)
	following.Wait()
	if ctx.Err() == nil && !errors.Is(context.Cause(running), context.Canceled) {
		err = errors.Join(err, context.Cause(running))
	}
	return err
}

// unlessEnded returns the error of a start, or nil if it is that the caller's context has ended.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		return nil
	}
	return err
}

// runRebuilding runs the tasks, again if their local state turns out to be damaged, or if a topic refuses records that fitted when
// they began.
func (a *App) runRebuilding(ctx context.Context, plan *topicPlan, globals *globals, instance string) error {
	for rebuilds := 0; ; {
		err := a.runTasks(ctx, plan, globals, instance)
		var refused *client.RecordError
		switch {
		case ctx.Err() != nil:
			return err
		case errors.As(err, &refused):
			again, lookErr := a.lookAgain(ctx, plan, refused)
			if !again {
				return errors.Join(err, lookErr)
			}
		case errors.Is(err, state.ErrCorrupt) && a.cfg.Backend == nil && rebuilds < maxRebuilds:
			rebuilds++
			a.cfg.Logger.Error("local state is damaged, restoring it from the changelogs", "app", a.topology.Name(), "dir", a.cfg.StateDir, "err", err)
		default:
			return err
		}
	}
}

// maxRebuilds is how often one Run restores damaged state before it takes the disk for broken.
const maxRebuilds = 2

// runTasks joins the group and processes until there is a reason to stop.
func (a *App) runTasks(ctx context.Context, plan *topicPlan, globals *globals, instance string) (err error) {
	backend := a.cfg.Backend
	if backend == nil && stateful(a.topology.program.Graph) {
		if backend, err = openState(a.cfg); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, backend.Close()) }()
	}
	if backend == nil {
		backend = state.NewMemory() // nothing will be put there
	}
	w, err := worker.New(a.workerConfig(plan, globals, backend, instance))
	if err != nil {
		return err
	}
	a.running.Store(&served{worker: w, tasks: plan.tasks})
	defer a.running.Store(nil)
	return w.Run(ctx)
}

func stateful(g *graph.Topology) bool {
	for _, sub := range g.Subs {
		if sub.Stateful() {
			return true
		}
	}
	return false
}

func (a *App) workerConfig(plan *topicPlan, globals *globals, backend state.Backend, instance string) worker.Config {
	cfg := worker.Config{
		App:       a.topology.Name(),
		OwnInputs: a.topology.program.Graph.OwnInputs(),
		Backend:   backend,
		Notes:     storeNotes(a.topology.program.Graph),
		NewTask:   a.newTask(plan, globals),
		Client: client.Config{
			Conn:     a.cluster.conn(),
			Address:  a.cfg.Address,
			Instance: instance, Leave: a.cfg.Instance == "",
			TransactionalID: transactionalID(a.topology.Name(), instance), TransactionTimeout: a.cfg.TransactionTimeout,
			Manual: slices.Concat(plan.changelogs, []string{graph.IdleCloseTopic(a.topology.Name())}), RecordLimits: plan.recordLimits(),
			MaxBufferedRecords: a.cfg.MaxBufferedRecords, MaxBufferedBytes: a.cfg.MaxBufferedBytes,
			SessionTimeout: a.cfg.SessionTimeout,
		},
		AtLeastOnce: a.cfg.Guarantee == AtLeastOnce,
		Workers:     a.cfg.Workers, CommitInterval: a.cfg.CommitInterval,
		MaxPollRecords: a.cfg.MaxPollRecords, MaxQueuedRecords: a.cfg.MaxQueuedRecords,
		MaxUncommittedRecords: a.cfg.MaxUncommittedRecords, MaxUncommittedBytes: a.cfg.MaxUncommittedBytes,
		ShutdownTimeout: a.cfg.ShutdownTimeout,
		Standbys:        a.cfg.Standbys, AcceptableLag: a.cfg.AcceptableLag, MaxWarmups: a.cfg.MaxWarmups, ProbeInterval: a.cfg.ProbeInterval,
		StopAtEnd: a.cfg.StopAtEnd, InputsDone: a.cfg.InputsDone,
		Refused: a.refusals.note,
		Logger:  a.cfg.Logger, Metrics: a.metrics,
	}
	cfg.IdleCloseTopic = graph.IdleCloseTopic(a.topology.Name())
	switch {
	case a.cfg.IdleClosesOf != "":
		cfg.RepeatIdleCloses = graph.IdleCloseTopic(a.cfg.IdleClosesOf)
	case a.cfg.IdleClose > 0:
		cfg.RepeatIdleCloses = cfg.IdleCloseTopic
	}
	for _, sub := range a.topology.program.Graph.Subs {
		cfg.Subs = append(cfg.Subs, worker.Sub{ID: sub.ID, Inputs: sub.Topics(), Stores: sub.Stores})
	}
	return cfg
}

// transactionalID is that of an instance's producer. One that has no name of its own gets one for this run only: what it
// leaves open ends by its timeout.
func transactionalID(app, instance string) string {
	if instance == "" {
		instance = rand.Text()
	}
	return app + "-" + instance
}

func (a *App) newTask(plan *topicPlan, globals *globals) func(worker.Setup) (worker.Task, error) {
	dead := newDeadLetters(a.topology.Name(), &a.cfg, a.refusals.refused)
	return func(s worker.Setup) (worker.Task, error) {
		var closes []task.IdleClose
		for _, c := range s.IdleCloses {
			closes = append(closes, task.IdleClose(c))
		}
		t, err := task.New(task.Config{
			ID: s.ID, Program: a.topology.program, State: s.State,
			Output:  &output{sink: s.Sink, dead: dead},
			Refused: a.refusals.refused,
			Globals: globals.tables,
			Offsets: s.Offsets, StreamTime: s.StreamTime,
			StoreObserver: func(store string) task.StoreObserver { return a.metrics.Store(s.ID, store) },
			Background: task.Background{
				Context: s.Background.Context, Go: s.Background.Go, Wake: s.Background.Wake, Calls: a.metrics,
			},
			MaxWait: a.cfg.MaxInputWait, Takes: func(topic string) client.Takes { return plan.takes[topic] },
			Now: time.Now(), IdleClose: a.cfg.IdleClose, IdleCloses: closes,
			IdleCloseFunc: func(c task.IdleClose) (bool, error) { return s.NoteIdle(worker.IdleClose(c)) },
		})
		return countedTask{t}, err
	}
}

// countedTask is a task as the worker sees it.
type countedTask struct{ *task.Task }

func (t countedTask) Counts() worker.Counts { return worker.Counts(t.Task.Counts()) }

// Stats is what an App did since its start, and where it stands.
type Stats struct {
	// Processed counts input records, dead letters included.
	Processed, DeadLetters, Commits int64
	// Skipped counts records that failed and were left out, as a handler decided.
	Skipped int64
	// Paused is the number of tasks that do not go on because a dead letter cannot be written.
	Paused int
	// Late counts records that came too late for a window, once for each step that had to leave them out.
	Late int64
	// Lag is the number of records between the last commit and the end of the inputs.
	Lag int64
	// Restored counts changelog records read to restore state; Restoring are those still to read.
	Restored, Restoring int64
	// StateWipes counts tasks whose local state did not fit its changelog and was restored from the beginning.
	StateWipes int64
	// Rewinds counts commits that did not come about: the App went back to the last one and did their work again.
	Rewinds int64
	// Rebalances counts how often the group has dealt out the tasks since this instance joined it.
	Rebalances int64
	// Tasks names the tasks that this instance runs, as SUBTOPOLOGY_PARTITION; Standbys those of other instances of whose state
	// it keeps a copy. Together the copies lack StandbyLag changelog records, as of their last look.
	Tasks, Standbys []string
	StandbyLag      int64
}

// Stats returns the counts of this moment. It may be called at any time.
func (a *App) Stats() Stats {
	s := a.metrics.Stats()
	stats := Stats{
		Processed: s.Processed, DeadLetters: s.DeadLetters, Commits: s.Commits, Late: s.Late,
		Skipped: s.Skipped, Paused: s.Paused,
		Lag: s.Lag, Restored: s.Restored, Restoring: s.Restoring, StateWipes: s.Wiped, Rewinds: s.Rewinds, Rebalances: s.Rebalances,
	}
	for _, id := range s.Tasks {
		stats.Tasks = append(stats.Tasks, id.String())
	}
	for _, id := range s.Standbys {
		stats.Standbys = append(stats.Standbys, id.String())
	}
	stats.StandbyLag = s.StandbyLag
	return stats
}
