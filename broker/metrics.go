package broker

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/commitlog"
)

// metrics are the broker's. They are counted whether or not a registry takes them.
type metrics struct {
	requests    *prometheus.HistogramVec // api
	errors      *prometheus.CounterVec   // api, error
	received    prometheus.Counter
	sent        prometheus.Counter
	connections *prometheus.GaugeVec   // listener
	refused     *prometheus.CounterVec // limit
	logins      *prometheus.CounterVec // outcome
	throttled   *prometheus.CounterVec // quota
	panics      prometheus.Counter
	fsync       prometheus.Histogram
	fsyncErrors prometheus.Counter
	cutBytes    prometheus.Counter
	corrupt     prometheus.Counter
	rebuilt     prometheus.Counter
	retained    prometheus.Counter

	byAPI map[int16]prometheus.Observer // of requests, looked up once
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "broker_request_duration_seconds",
			Help:    "Time from the start of a request's handling to its answer, waiting included.",
			Buckets: []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10}, NativeHistogramBucketFactor: 1.1,
		}, []string{"api"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "broker_request_errors_total", Help: "Errors that requests were answered with.",
		}, []string{"api", "error"}),
		received: counter("broker_received_bytes_total", "Bytes of requests."),
		sent:     counter("broker_sent_bytes_total", "Bytes of responses."),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "broker_connections", Help: "Connections that are open.",
		}, []string{"listener"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "broker_connections_refused_total", Help: "Connections that were over a limit.",
		}, []string{"limit"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "broker_logins_total", Help: "Logins of clients, those of a connection that renews its own included.",
		}, []string{"outcome"}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "broker_throttled_seconds_total", Help: "Pauses that quotas imposed on clients.",
		}, []string{"quota"}),
		panics: counter("broker_panics_total", "Handlers that panicked. Each is a bug and closed one connection."),
		fsync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "broker_fsync_duration_seconds", Help: "Time of one group commit.",
			Buckets: []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3}, NativeHistogramBucketFactor: 1.1,
		}),
		fsyncErrors: counter("broker_fsync_errors_total", "Flushes that failed. Each fenced a partition."),
		cutBytes:    counter("broker_log_cut_bytes_total", "Bytes of torn tails that recovery cut."),
		corrupt:     counter("broker_log_corruptions_total", "Damaged places that recovery found below what was fsynced."),
		rebuilt:     counter("broker_log_index_rebuilds_total", "Segments whose indexes recovery made anew."),
		retained:    counter("broker_log_segments_deleted_total", "Segments that retention deleted."),
		byAPI:       map[int16]prometheus.Observer{},
	}
	for _, a := range apis() {
		m.byAPI[a.key] = m.requests.WithLabelValues(apiName(a.key))
	}
	return m
}

// collectors are what a registry takes.
func (m *metrics) collectors(b *Broker) []prometheus.Collector {
	return append(append(b.groups.collectors(), b.cleaner.metrics.collectors()...), []prometheus.Collector{
		m.requests, m.errors, m.received, m.sent, m.connections, m.refused, m.logins, m.throttled, m.panics,
		m.fsync, m.fsyncErrors, m.cutBytes, m.corrupt, m.rebuilt, m.retained,
		partitionCollector{b, newPartitionDescs()},
		newExporterCollector(b),
	}...)
}

func (m *metrics) request(key int16, took time.Duration) {
	if o, ok := m.byAPI[key]; ok {
		o.Observe(took.Seconds())
	}
}

// failed counts an error that goes to a client and returns its code.
func (m *metrics) failed(key int16, err error) int16 {
	code := errorCode(err)
	if code != 0 {
		name := "UNKNOWN_SERVER_ERROR"
		if e := kerr.TypedErrorForCode(code); e != nil {
			name = e.Message
		}
		m.errors.WithLabelValues(apiName(key), name).Inc()
	}
	return code
}

// flushed is what the flusher reports to.
func (m *metrics) flushed(took time.Duration, _ int, err error) {
	m.fsync.Observe(took.Seconds())
	if err != nil {
		m.fsyncErrors.Inc()
	}
}

func (m *metrics) recovered(r commitlog.Recovery) {
	m.cutBytes.Add(float64(r.CutBytes))
	m.corrupt.Add(float64(len(r.Corrupt)))
	m.rebuilt.Add(float64(r.RebuiltIndexes))
}

// partitionCollector reads sizes and offsets when it is asked for them.
type partitionCollector struct {
	b     *Broker
	descs partitionDescs
}

// partitionDescs are the descriptions of what partitionCollector sends.
type partitionDescs struct{ count, size, segments, start, end *prometheus.Desc }

func newPartitionDescs() partitionDescs {
	of := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"topic", "partition"}, nil)
	}
	return partitionDescs{
		count:    prometheus.NewDesc("broker_partitions", "Partitions of all topics.", nil, nil),
		size:     of("broker_partition_log_size_bytes", "Size of the log."),
		segments: of("broker_partition_log_segments", "Segments of the log."),
		start:    of("broker_partition_log_start_offset", "First offset that is kept."),
		end:      of("broker_partition_high_watermark", "Offset before which consumers may read."),
	}
}

// Describe sends the descriptions; without them a registry could not let go of the
// collector again.
func (pc partitionCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- pc.descs.count
	ch <- pc.descs.size
	ch <- pc.descs.segments
	ch <- pc.descs.start
	ch <- pc.descs.end
}

// Collect sends the state of each partition.
func (pc partitionCollector) Collect(ch chan<- prometheus.Metric) {
	n := 0
	for _, t := range pc.b.topics.all() {
		for _, p := range t.partitions {
			n++
			gauge := func(d *prometheus.Desc, v int64) {
				ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), t.Name, strconv.Itoa(int(p.index)))
			}
			gauge(pc.descs.size, p.log.Size())
			gauge(pc.descs.segments, int64(p.log.Segments()))
			gauge(pc.descs.start, p.startOffset())
			gauge(pc.descs.end, p.highWatermark())
		}
	}
	ch <- prometheus.MustNewConstMetric(pc.descs.count, prometheus.GaugeValue, float64(n))
}
