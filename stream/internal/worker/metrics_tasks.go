package worker

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/state"
)

// Counts are what a task has counted since it began.
type Counts struct {
	// Late, NullKeys and NullValues are records that steps left out.
	Late, NullKeys, NullValues int64
	Punctuations, Panics       int64
	// Lateness is how far a record lay behind stream time at most, in milliseconds, since the last look.
	Lateness int64
}

// taskMetrics are looked at once in a round or a commit, so that a record costs nothing.
type taskMetrics struct {
	process      *prometheus.HistogramVec
	latency      *prometheus.HistogramVec
	lateness     *prometheus.HistogramVec
	dropped      *prometheus.CounterVec
	committedAll prometheus.Counter
	lagSeconds   *prometheus.GaugeVec
	streamTime   *prometheus.GaugeVec
	behind       *prometheus.GaugeVec
	punctuations *prometheus.CounterVec
	panics       *prometheus.CounterVec
	replays      prometheus.Counter
	progress     prometheus.Gauge
}

func newTaskMetrics(name func(n, help string) prometheus.Opts) taskMetrics {
	histogram := func(n, help string, first float64, count int, labels ...string) *prometheus.HistogramVec {
		o := name(n, help)
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: o.Namespace, Subsystem: o.Subsystem, Name: o.Name, Help: o.Help,
			Buckets: prometheus.ExponentialBuckets(first, 2, count), NativeHistogramBucketFactor: 1.1,
		}, labels)
	}
	counter := func(n, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(name(n, help)), labels)
	}
	gauge := func(n, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts(name(n, help)), labels)
	}
	return taskMetrics{
		process:  histogram("process_duration_seconds", "Mean time of a record in its sub-topology, once for each round of a task.", 1e-7, 26, "subtopology"),
		latency:  histogram("record_e2e_latency_seconds", "Time from the event time of an output to the end of its commit, of the oldest output of each task and commit.", 0.001, 22, "subtopology"),
		lateness: histogram("record_lateness_seconds", "How far the latest record of each round of a task lay behind its stream time.", 0.001, 27, "subtopology"),
		dropped: counter("records_dropped_total", "Records that were left out without a dead letter, once for each step that did: late (also in the late stream of the step), "+
			"null_key and null_value; and those that failed and were skipped, as a handler decided: deserialization if they did not decode, skipped otherwise.",
			"subtopology", "reason"),
		committedAll: prometheus.NewCounter(prometheus.CounterOpts(name("commits_total", "Commits that came about."))),
		lagSeconds:   gauge("consumer_lag_seconds", "How old the last record is that was read of an input partition, by its event time, while there is more to read; 0 at its end.", "topic", "partition"),
		streamTime:   gauge("stream_time_seconds", "Stream time of a task, in seconds since 1970.", "task"),
		behind:       gauge("watermark_lag_seconds", "How far the stream time of a task lies behind the wall clock.", "task"),
		punctuations: counter("punctuations_total", "Punctuations, of stream time and of the wall clock.", "subtopology"),
		panics:       counter("panics_total", "Panics of user functions, which became dead letters.", "subtopology"),
		replays:      prometheus.NewCounter(prometheus.CounterOpts(name("replay_records_total", "Input records processed by a run that ends with its inputs."))),
		progress:     prometheus.NewGauge(prometheus.GaugeOpts(name("replay_progress_ratio", "Share of its partitions that a run that ends with its inputs has read, by offset."))),
	}
}

func (m *taskMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.process, m.latency, m.lateness, m.dropped, m.committedAll, m.lagSeconds, m.streamTime, m.behind, m.punctuations, m.panics,
		m.replays, m.progress,
	}
}

// ran tells of a round of a task: n records in that time.
func (m *Metrics) ran(r *running, n int, took time.Duration) {
	sub := strconv.Itoa(r.id.SubTopology)
	now := r.task.Counts()
	was := r.counts
	r.counts = now
	m.processed(r.id, n)
	m.late(r.id, now.Late-was.Late)
	if n > 0 {
		m.process.WithLabelValues(sub).Observe(took.Seconds() / float64(n))
		m.lateness.WithLabelValues(sub).Observe((time.Duration(now.Lateness) * time.Millisecond).Seconds())
	}
	m.drop(r.id, "late", now.Late-was.Late)
	m.drop(r.id, "null_key", now.NullKeys-was.NullKeys)
	m.drop(r.id, "null_value", now.NullValues-was.NullValues)
	m.punctuations.WithLabelValues(sub).Add(float64(now.Punctuations - was.Punctuations))
	m.panics.WithLabelValues(sub).Add(float64(now.Panics - was.Panics))
}

// drop counts records that a task left out.
func (m *taskMetrics) drop(id state.TaskID, reason string, n int64) {
	if n > 0 {
		m.dropped.WithLabelValues(strconv.Itoa(id.SubTopology), reason).Add(float64(n))
	}
}

// outputs tells of a commit of a task, whose oldest output has that time in milliseconds.
func (m *Metrics) outputs(r *running, oldest int64) {
	m.latency.WithLabelValues(strconv.Itoa(r.id.SubTopology)).Observe(max(time.Since(time.UnixMilli(oldest)).Seconds(), 0))
}

// stands tells where a task stands after a commit.
func (m *Metrics) stands(r *running) {
	if at := r.task.StreamTime(); at > 0 {
		m.streamTime.WithLabelValues(r.id.String()).Set(float64(at) / 1000)
		m.behind.WithLabelValues(r.id.String()).Set(time.Since(time.UnixMilli(at)).Seconds())
	}
}

// inputAge tells how old the last record is that was read of an input; 0 at its end.
func (m *Metrics) inputAge(topic string, p int32, age time.Duration) {
	m.lagSeconds.WithLabelValues(topic, strconv.Itoa(int(p))).Set(max(age.Seconds(), 0))
}

// forgetTasks drops what is said of tasks and partitions that may have moved.
func (m *taskMetrics) forgetTasks() {
	m.lagSeconds.Reset()
	m.streamTime.Reset()
	m.behind.Reset()
}
