package worker

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/state"
)

// failureMetrics are about records that fail, beside dead letters.
type failureMetrics struct {
	skips  *prometheus.CounterVec
	paused prometheus.Gauge

	skipped, held atomic.Int64
}

func newFailureMetrics(name func(n, help string) prometheus.Opts) *failureMetrics {
	return &failureMetrics{
		skips: prometheus.NewCounterVec(prometheus.CounterOpts(name("skipped_records_total",
			"Input records that could not be processed and were left out, as a handler decided.")), []string{"subtopology"}),
		paused: prometheus.NewGauge(prometheus.GaugeOpts(name("paused_tasks",
			"Tasks that do not go on because a dead letter cannot be written."))),
	}
}

func (m *failureMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.skips, m.paused}
}

// skip tells of records that a task left out because they failed, undecoded of them because they did not decode.
func (m *Metrics) skip(id state.TaskID, n, undecoded int64) {
	if n > 0 {
		m.skipped.Add(n)
		m.skips.WithLabelValues(strconv.Itoa(id.SubTopology)).Add(float64(n))
		m.drop(id, "deserialization", undecoded)
		m.drop(id, "skipped", n-undecoded)
	}
}

func (m *failureMetrics) hold(tasks int) {
	m.held.Store(int64(tasks))
	m.paused.Set(float64(tasks))
}
