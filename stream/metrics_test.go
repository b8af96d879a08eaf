package stream

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/window"
)

// streamMetrics are what dashboards and alerts ask for, beside the names of Kafka Streams.
var streamMetrics = []string{
	"riffle_stream_records_processed_total",    // process-total
	"riffle_stream_process_duration_seconds",   // process-latency
	"riffle_stream_record_e2e_latency_seconds", // record-e2e-latency
	"riffle_stream_record_lateness_seconds",    // record-lateness
	"riffle_stream_records_dropped_total",      // dropped-records-total
	"riffle_stream_late_records_total",         // of them those that were late
	"riffle_stream_commits_total",              // commit-total
	"riffle_stream_commit_duration_seconds",    // commit-latency
	"riffle_stream_task_state",                 // state
	"riffle_stream_tasks",                      // task-created-total - task-closed-total
	"riffle_stream_rebalances_total",           // rebalance-total
	"riffle_stream_rebalance_duration_seconds", // rebalance-latency
	"riffle_stream_restore_remaining_records",  // restore-remaining-records-total
	"riffle_stream_restore_records_total",      // restore-total
	"riffle_stream_standby_lag_records",        // update-remaining-records
	"riffle_stream_store_op_duration_seconds",  // get-latency, put-latency, delete-latency, range-latency
	"riffle_stream_store_size_bytes",           // total-sst-files-size
	"riffle_stream_store_open_iterators",       // num-open-iterators
	"riffle_stream_consumer_lag_records",       // records-lag
	"riffle_stream_consumer_lag_seconds",       // of Riffle
	"riffle_stream_stream_time_seconds",        // of Riffle
	"riffle_stream_watermark_lag_seconds",      // of Riffle
	"riffle_stream_replay_progress_ratio",      // of Riffle
	"riffle_stream_replay_records_total",       // of Riffle
	"riffle_stream_punctuations_total",         // punctuate-total
	"riffle_stream_dlq_records_total",          // of Riffle
	"riffle_stream_panics_total",               // of Riffle
	"riffle_stream_state_wipes_total",          // of Riffle
	"riffle_stream_rewinds_total",              // of Riffle
}

var errSkipped = errors.New("skipped")

func TestMetricNames(t *testing.T) {
	t.Parallel()
	app, err := NewApp(shout(t), startFake(t), quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc, 100)
	app.metrics.Describe(descs)
	close(descs)
	quoted := regexp.MustCompile(`fqName: "([^"]+)"`)
	var names []string
	for d := range descs {
		names = append(names, quoted.FindStringSubmatch(d.String())[1])
	}
	for _, want := range streamMetrics {
		if !slices.Contains(names, want) {
			t.Errorf("no metric %s", want)
		}
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "riffle_stream_") {
			t.Errorf("metric %s: want the prefix riffle_stream_", name)
		}
	}
}

// What a run did is in its metrics: counts of records, and gauges and histograms once for a round or a commit.
func TestMetricValues(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines", "numbers")
		b := NewBuilder("measured")
		counted := b.From(lines).Window(window.Tumbling(time.Second).Grace(0)).Count(state.NewWindowStore("windows", serde.String, serde.Int64))
		counted.OnClose().To(NewTopic("closed", window.KeySerde(serde.String), serde.Int64))
		seen := state.NewKeyValueStore("seen", serde.String, serde.String)
		tick := OnRecord(func(c *Context[string, string], r Record[string, string]) error {
			switch r.Value {
			case "panic":
				panic("as asked")
			case "skip":
				return errSkipped
			}
			_, _, err := seen.In(c).Get(r.Key)
			err = errors.Join(err, seen.In(c).Put(r.Key, r.Value))
			state.Scan(c.Store("seen"), nil, nil) // nobody closes it
			return errors.Join(err, seen.In(c).Delete(r.Key))
		}).Punctuate(time.Second, func(*Context[string, string], time.Time) error { return nil })
		b.From(lines).ProcessWith("tick", tick, seen)
		b.From(NewTopic("numbers", serde.String, serde.Int64)).Peek(func(int64) {})
		b.OnError(Errors{Decoding: Always(Skip), Processing: func(f Failure) Reaction {
			if errors.Is(f.Err, errSkipped) {
				return Skip
			}
			return DeadLetter
		}})
		at := func(value string, second int64) Record[string, string] {
			return Record[string, string]{Key: "a", Value: value, Time: time.Unix(second, 0).UTC()}
		}
		write(t, c, lines, at("x", 100), at("x", 101), at("late", 70), at("panic", 102), at("skip", 102), at("x", 103))
		write(t, c, NewTopic("numbers", serde.String, serde.String), at("one", 100))
		app, err := NewApp(build(t, b), c, quiet(Config{StopAtEnd: true}))
		if err != nil {
			t.Fatal(err)
		}
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(app.metrics)
		if err := app.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]float64)
		for _, f := range families {
			for _, m := range f.Metric {
				got[seriesName(f.GetName(), m)] = valueOf(m)
			}
		}
		want := map[string]float64{
			"records_processed_total{subtopology=0}":                      6,
			"replay_records_total":                                        7,
			"replay_progress_ratio":                                       1,
			"records_dropped_total{reason=late,subtopology=0}":            1,
			"records_dropped_total{reason=skipped,subtopology=0}":         1,
			"records_dropped_total{reason=deserialization,subtopology=1}": 1,
			"store_op_duration_seconds{op=get,store=seen}":                1, // the first of each kind is timed
			"store_op_duration_seconds{op=put,store=seen}":                1,
			"store_op_duration_seconds{op=delete,store=seen}":             1,
			"store_op_duration_seconds{op=range,store=windows} > 0":       1,
			"store_open_iterators{store=windows}":                         0,
			"store_open_iterators{store=seen}":                            4, // one for each record but those that fail
			"dlq_records_total{subtopology=0}":                            1,
			"panics_total{subtopology=0}":                                 1,
			"punctuations_total{subtopology=0}":                           3,
			"stream_time_seconds{task=0_0}":                               0, // the task is closed
			"consumer_lag_seconds{partition=0,topic=lines}":               0,
			"record_e2e_latency_seconds{subtopology=0} > 0":               1,
			"record_lateness_seconds{subtopology=0} > 0":                  1,
			"process_duration_seconds{subtopology=0} > 0":                 1,
			"commits_total > 0":                                           1,
		}
		for series, value := range want {
			name, many := strings.CutSuffix(series, " > 0")
			have := got["riffle_stream_"+name]
			if many {
				have = min(have, 1)
			}
			if have != value {
				t.Errorf("%s is %v, want %v", series, got["riffle_stream_"+name], value)
			}
		}
		if t.Failed() {
			t.Log(cmp.Diff(nil, got))
		}
	})
}

// seriesName is the name of a metric with its labels.
func seriesName(name string, m *dto.Metric) string {
	var labels []string
	for _, l := range m.Label {
		labels = append(labels, l.GetName()+"="+l.GetValue())
	}
	if len(labels) == 0 {
		return name
	}
	return name + "{" + strings.Join(labels, ",") + "}"
}

// valueOf is a counter's or gauge's value, and how often a histogram was told one.
func valueOf(m *dto.Metric) float64 {
	if h := m.Histogram; h != nil {
		return float64(h.GetSampleCount())
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}
