package worker

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/state"
)

// Metrics counts what a worker does. It is a Prometheus collector, and may be read while the worker runs.
type Metrics struct {
	records  *prometheus.CounterVec
	dead     *prometheus.CounterVec
	commits  prometheus.Histogram
	lags     *prometheus.GaugeVec
	tasks    *prometheus.GaugeVec
	states   *prometheus.GaugeVec
	balances prometheus.Counter
	balance  prometheus.Histogram
	left     *prometheus.GaugeVec
	replayed *prometheus.CounterVec
	standbys *prometheus.GaugeVec
	wipes    prometheus.Counter
	rewinds  prometheus.Counter
	lates    *prometheus.CounterVec
	callMetrics
	*failureMetrics
	taskMetrics
	*storeMetrics

	counts struct {
		processed, dead, late, commits, restored, wipes, rewinds, rebalances atomic.Int64
	}
	mu struct {
		sync.Mutex
		lag        map[partition]int64
		tasks      []state.TaskID
		standbys   []state.TaskID
		restoring  map[storePartition]int64
		standbyLag map[storePartition]int64
	}
}

// storePartition names the part of a store that one task has.
type storePartition struct {
	store     string
	partition int32
}

// The states of tasks, as metrics name them.
const (
	stateRunning   = "running"
	stateRestoring = "restoring"
	stateStandby   = "standby"
)

// NewMetrics returns metrics that count from zero.
func NewMetrics() *Metrics {
	name := func(n, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "riffle", Subsystem: "stream", Name: n, Help: help}
	}
	m := &Metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts(name("records_processed_total",
			"Input records processed, dead letters included.")), []string{"subtopology"}),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts(name("dlq_records_total",
			"Input records that could not be processed and went to the dead-letter topic.")), []string{"subtopology"}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "riffle", Subsystem: "stream", Name: "commit_duration_seconds",
			Help:                        "Time from the start of a commit until it is durable.",
			Buckets:                     prometheus.ExponentialBuckets(0.0005, 2, 15),
			NativeHistogramBucketFactor: 1.1,
		}),
		lags: prometheus.NewGaugeVec(prometheus.GaugeOpts(name("consumer_lag_records",
			"Records between the position of the application and the end of an input partition.")), []string{"topic", "partition"}),
		tasks: prometheus.NewGaugeVec(prometheus.GaugeOpts(name("tasks",
			"Tasks of this instance: those that it runs, those whose state it restores to run them, and those of others whose state it keeps a copy of.")), []string{"state"}),
		states: prometheus.NewGaugeVec(prometheus.GaugeOpts(name("task_state",
			"1 for each task of this instance and the state that it is in: running, restoring, or standby for a copy of its state.")), []string{"task", "state"}),
		balances: prometheus.NewCounter(prometheus.CounterOpts(name("rebalances_total", "Times the group has dealt out partitions to this instance."))),
		balance: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "riffle", Subsystem: "stream", Name: "rebalance_duration_seconds",
			Help:                        "Time from joining the group until it has dealt out the partitions. Tasks that stay run meanwhile.",
			Buckets:                     prometheus.ExponentialBuckets(0.001, 2, 16),
			NativeHistogramBucketFactor: 1.1,
		}),
		left: prometheus.NewGaugeVec(prometheus.GaugeOpts(name("restore_remaining_records",
			"Changelog records still to read before the tasks start.")), []string{"store", "partition"}),
		replayed: prometheus.NewCounterVec(prometheus.CounterOpts(name("restore_records_total",
			"Changelog records read to restore state.")), []string{"store", "partition"}),
		standbys: prometheus.NewGaugeVec(prometheus.GaugeOpts(name("standby_lag_records",
			"Changelog records that the copy of another instance's state lacks.")), []string{"store", "partition"}),
		wipes:   prometheus.NewCounter(prometheus.CounterOpts(name("state_wipes_total", "Tasks whose local state did not fit its changelog and was restored from the beginning."))),
		rewinds: prometheus.NewCounter(prometheus.CounterOpts(name("rewinds_total", "Times that this instance went back to its last commit because the next one did not come about."))),
		lates: prometheus.NewCounterVec(prometheus.CounterOpts(name("late_records_total",
			"Records that came too late for a window, once for each step that had to leave them out.")), []string{"subtopology"}),
	}
	m.callMetrics = newCallMetrics(name)
	m.failureMetrics = newFailureMetrics(name)
	m.taskMetrics = newTaskMetrics(name)
	m.storeMetrics = newStoreMetrics(name)
	m.mu.lag = make(map[partition]int64)
	m.mu.restoring = make(map[storePartition]int64)
	m.mu.standbyLag = make(map[storePartition]int64)
	return m
}

func (m *Metrics) all() []prometheus.Collector {
	return append([]prometheus.Collector{m.records, m.dead, m.commits, m.lags, m.tasks, m.states, m.balances, m.balance, m.left, m.replayed, m.standbys, m.wipes, m.rewinds, m.lates}, slices.Concat(m.callMetrics.all(), m.failureMetrics.all(), m.taskMetrics.all(), m.storeMetrics.all())...)
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.sumRanges()
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

// Stats is what a worker did since its start, and where it stands.
type Stats struct {
	Processed, DeadLetters, Commits int64
	// Skipped are records that failed and were left out; Paused the tasks that wait for dead letters to be written.
	Skipped int64
	Paused  int
	// Lag is the number of records between the last commit and the end of the inputs.
	Lag int64
	// Restored are changelog records read; Restoring those still to be read.
	Restored, Restoring int64
	// Wiped are tasks whose local state was thrown away.
	Wiped int64
	// Late are records that came too late for a window, once for each step that had to leave them out.
	Late int64
	// Rewinds counts returns to the last commit.
	Rewinds int64
	// Rebalances counts how often the group has dealt out partitions.
	Rebalances int64
	// Tasks are those that run here, Standbys those whose state is kept for others, which lacks StandbyLag records.
	Tasks, Standbys []state.TaskID
	StandbyLag      int64
}

// Stats returns the counts of this moment.
func (m *Metrics) Stats() Stats {
	s := Stats{
		Skipped: m.skipped.Load(), Paused: int(m.held.Load()),
		Processed: m.counts.processed.Load(), DeadLetters: m.counts.dead.Load(), Commits: m.counts.commits.Load(),
		Restored: m.counts.restored.Load(), Wiped: m.counts.wipes.Load(), Rewinds: m.counts.rewinds.Load(), Late: m.counts.late.Load(), Rebalances: m.counts.rebalances.Load(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, lag := range m.mu.lag {
		s.Lag += lag
	}
	for _, left := range m.mu.restoring {
		s.Restoring += left
	}
	for _, lag := range m.mu.standbyLag {
		s.StandbyLag += lag
	}
	s.Tasks = append(s.Tasks, m.mu.tasks...)
	s.Standbys = append(s.Standbys, m.mu.standbys...)
	return s
}

func (m *Metrics) processed(id state.TaskID, n int) {
	m.counts.processed.Add(int64(n))
	m.records.WithLabelValues(strconv.Itoa(id.SubTopology)).Add(float64(n))
}

func (m *Metrics) late(id state.TaskID, n int64) {
	if n > 0 {
		m.counts.late.Add(n)
		m.lates.WithLabelValues(strconv.Itoa(id.SubTopology)).Add(float64(n))
	}
}

func (m *Metrics) deadLetters(id state.TaskID, n int64) {
	if n > 0 {
		m.counts.dead.Add(n)
		m.dead.WithLabelValues(strconv.Itoa(id.SubTopology)).Add(float64(n))
	}
}

func (m *Metrics) committed(took time.Duration) {
	m.counts.commits.Add(1)
	m.committedAll.Inc()
	m.commits.Observe(took.Seconds())
}

func (m *Metrics) lag(topic string, p int32, records int64) {
	m.mu.Lock()
	m.mu.lag[partition{topic, p}] = records
	m.mu.Unlock()
	m.lags.WithLabelValues(topic, strconv.Itoa(int(p))).Set(float64(records))
}

func (m *Metrics) setTasks(tasks []*running) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.tasks = m.mu.tasks[:0]
	for _, r := range tasks {
		m.mu.tasks = append(m.mu.tasks, r.id)
	}
	clear(m.mu.lag)
	m.lags.Reset()
	m.forgetTasks()
	m.setStates(stateRunning, m.mu.tasks)
}

// setStandbys tells whose state is kept here for others.
func (m *Metrics) setStandbys(tasks map[state.TaskID]*running) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.standbys = slices.SortedFunc(maps.Keys(tasks), compareTasks)
	clear(m.mu.standbyLag)
	m.standbys.Reset()
	m.setStates(stateStandby, m.mu.standbys)
}

func (m *Metrics) setStates(name string, tasks []state.TaskID) {
	m.states.DeletePartialMatch(prometheus.Labels{"state": name})
	for _, id := range tasks {
		m.states.WithLabelValues(id.String(), name).Set(1)
	}
	m.tasks.WithLabelValues(name).Set(float64(len(tasks)))
}

// opening tells which tasks are being opened.
func (m *Metrics) opening(tasks map[state.TaskID]*running) {
	m.setStates(stateRestoring, slices.SortedFunc(maps.Keys(tasks), compareTasks))
}

func (m *Metrics) standbyLag(store string, p int32, records int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.standbyLag[storePartition{store, p}] = records
	m.standbys.WithLabelValues(store, strconv.Itoa(int(p))).Set(float64(records))
}

func (m *Metrics) rebalanced(took time.Duration) {
	m.counts.rebalances.Add(1)
	m.balances.Inc()
	m.balance.Observe(took.Seconds())
}

// restoring tells how many changelog records of a store are still to be read, restored how many of them were.
func (m *Metrics) restoring(store string, p int32, left int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.restoring[storePartition{store, p}] = left
	m.left.WithLabelValues(store, strconv.Itoa(int(p))).Set(float64(left))
}

func (m *Metrics) restored(store string, p int32, n int, left int64) {
	m.counts.restored.Add(int64(n))
	m.replayed.WithLabelValues(store, strconv.Itoa(int(p))).Add(float64(n))
	m.restoring(store, p, left)
}

func (m *Metrics) restoreDone() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.mu.restoring)
	m.left.Reset()
}

func (m *Metrics) wiped() {
	m.counts.wipes.Add(1)
	m.wipes.Inc()
}

func (m *Metrics) rewound() {
	m.counts.rewinds.Add(1)
	m.rewinds.Inc()
}
