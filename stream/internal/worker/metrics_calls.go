package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// callMetrics are about the calls of asynchronous steps.
type callMetrics struct {
	inFlight *prometheus.GaugeVec
	took     *prometheus.HistogramVec
	failures *prometheus.CounterVec
}

func newCallMetrics(name func(n, help string) prometheus.Opts) callMetrics {
	step := []string{"step"}
	return callMetrics{
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts(name("async_calls_in_flight",
			"Calls of asynchronous steps that are under way.")), step),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "riffle", Subsystem: "stream", Name: "async_call_duration_seconds",
			Help:                        "Time that calls of asynchronous steps took, with all their attempts and the pauses between them.",
			Buckets:                     prometheus.ExponentialBuckets(0.0005, 2, 18),
			NativeHistogramBucketFactor: 1.1,
		}, step),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts(name("async_call_failures_total",
			"Attempts of calls of asynchronous steps that failed.")), step),
	}
}

func (m callMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.inFlight, m.took, m.failures}
}

// CallBegan implements task.CallObserver.
func (m callMetrics) CallBegan(step string) { m.inFlight.WithLabelValues(step).Inc() }

// CallEnded implements task.CallObserver.
func (m callMetrics) CallEnded(step string, took time.Duration, failures int) {
	m.inFlight.WithLabelValues(step).Dec()
	m.took.WithLabelValues(step).Observe(took.Seconds())
	m.failures.WithLabelValues(step).Add(float64(failures))
}
