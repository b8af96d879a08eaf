package worker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/state"
)

// storeMetrics are about stores, as the steps of a topology use them.
type storeMetrics struct {
	ops    *prometheus.HistogramVec
	ranges *prometheus.GaugeVec
	bytes  prometheus.Gauge

	mu struct {
		sync.Mutex
		observers map[taskStore]*StoreObserver
	}
}

// taskStore names a store of a task.
type taskStore struct {
	task  state.TaskID
	store string
}

func newStoreMetrics(name func(n, help string) prometheus.Opts) *storeMetrics {
	m := &storeMetrics{
		ops: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "riffle", Subsystem: "stream", Name: "store_op_duration_seconds",
			Help: "Time that operations of stores took: get, put, delete, range. One in 64 of each, of each task, is timed. " +
				"A range takes until its end, with what the step does with the entries; what a step puts and deletes reaches the store once the record has passed.",
			Buckets:                     prometheus.ExponentialBuckets(1e-7, 2, 26),
			NativeHistogramBucketFactor: 1.1,
		}, []string{"store", "op"}),
		ranges: prometheus.NewGaugeVec(prometheus.GaugeOpts(name("store_open_iterators", "Ranges of stores that steps have begun and not ended.")), []string{"store"}),
		bytes:  prometheus.NewGauge(prometheus.GaugeOpts(name("store_size_bytes", "What the stores of this instance take on disk, all together: they lie in one database."))),
	}
	m.mu.observers = make(map[taskStore]*StoreObserver)
	return m
}

func (m *storeMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.ops, m.ranges, m.bytes}
}

// StoreObserver is told of what a task does with a store. It implements task.StoreObserver.
type StoreObserver struct {
	took map[string]prometheus.Observer // by operation
	open atomic.Int64
}

// Store returns the observer of a store of a task.
func (m *storeMetrics) Store(id state.TaskID, store string) *StoreObserver {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.mu.observers[taskStore{id, store}]
	if o == nil {
		o = &StoreObserver{took: make(map[string]prometheus.Observer)}
		for _, op := range []string{"get", "put", "delete", "range"} {
			o.took[op] = m.ops.WithLabelValues(store, op)
		}
		m.mu.observers[taskStore{id, store}] = o
	}
	o.open.Store(0) // a task that was dropped may have left some
	return o
}

// Now implements task.StoreObserver.
func (*StoreObserver) Now() time.Time { return time.Now() }

// Took implements task.StoreObserver.
func (o *StoreObserver) Took(op string, took time.Duration) { o.took[op].Observe(took.Seconds()) }

// Ranges implements task.StoreObserver.
func (o *StoreObserver) Ranges(open int) { o.open.Store(int64(open)) }

// sumRanges brings the number of open ranges up to date.
func (m *storeMetrics) sumRanges() {
	m.mu.Lock()
	defer m.mu.Unlock()
	open := make(map[string]int64)
	for at, o := range m.mu.observers {
		open[at.store] += o.open.Load()
	}
	for store, n := range open {
		m.ranges.WithLabelValues(store).Set(float64(n))
	}
}
