package worker

import (
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
	tasks    prometheus.Gauge
	balances prometheus.Counter
	left     prometheus.Gauge
	replayed prometheus.Counter
	wipes    prometheus.Counter
	rewinds  prometheus.Counter
	lates    *prometheus.CounterVec

	counts struct {
		processed, dead, late, commits, restored, wipes, rewinds atomic.Int64
	}
	mu struct {
		sync.Mutex
		lag       map[partition]int64
		tasks     []state.TaskID
		restoring int64
	}
}

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
		tasks:    prometheus.NewGauge(prometheus.GaugeOpts(name("tasks", "Tasks that this instance runs."))),
		balances: prometheus.NewCounter(prometheus.CounterOpts(name("rebalances_total", "Times the group has dealt out partitions to this instance."))),
		left:     prometheus.NewGauge(prometheus.GaugeOpts(name("restore_remaining_records", "Changelog records still to read before the tasks start."))),
		replayed: prometheus.NewCounter(prometheus.CounterOpts(name("restore_records_total", "Changelog records read to restore state."))),
		wipes:    prometheus.NewCounter(prometheus.CounterOpts(name("state_wipes_total", "Tasks whose local state did not fit its changelog and was restored from the beginning."))),
		rewinds:  prometheus.NewCounter(prometheus.CounterOpts(name("rewinds_total", "Times that this instance went back to its last commit because the next one did not come about."))),
		lates: prometheus.NewCounterVec(prometheus.CounterOpts(name("late_records_total",
			"Records that came too late for a window, once for each step that had to leave them out.")), []string{"subtopology"}),
	}
	m.mu.lag = make(map[partition]int64)
	return m
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.records, m.dead, m.commits, m.lags, m.tasks, m.balances, m.left, m.replayed, m.wipes, m.rewinds, m.lates}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

// Stats is what a worker did since its start, and where it stands.
type Stats struct {
	Processed, DeadLetters, Commits int64
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
	Tasks   []state.TaskID
}

// Stats returns the counts of this moment.
func (m *Metrics) Stats() Stats {
	s := Stats{
		Processed: m.counts.processed.Load(), DeadLetters: m.counts.dead.Load(), Commits: m.counts.commits.Load(),
		Restored: m.counts.restored.Load(), Wiped: m.counts.wipes.Load(), Rewinds: m.counts.rewinds.Load(), Late: m.counts.late.Load(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, lag := range m.mu.lag {
		s.Lag += lag
	}
	s.Restoring = m.mu.restoring
	s.Tasks = append(s.Tasks, m.mu.tasks...)
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
	m.mu.tasks = m.mu.tasks[:0]
	for _, r := range tasks {
		m.mu.tasks = append(m.mu.tasks, r.id)
	}
	clear(m.mu.lag)
	m.mu.Unlock()
	m.lags.Reset()
	m.tasks.Set(float64(len(tasks)))
}

func (m *Metrics) rebalanced() { m.balances.Inc() }

func (m *Metrics) restoring(left int64) {
	m.mu.Lock()
	m.mu.restoring = left
	m.mu.Unlock()
	m.left.Set(float64(left))
}

func (m *Metrics) restored(n int, left int64) {
	m.counts.restored.Add(int64(n))
	m.replayed.Add(float64(n))
	m.restoring(left)
}

func (m *Metrics) wiped() {
	m.counts.wipes.Add(1)
	m.wipes.Inc()
}

func (m *Metrics) rewound() {
	m.counts.rewinds.Add(1)
	m.rewinds.Inc()
}
