package broker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/broker/group"
	"github.com/riffle-stream/riffle/broker/group/consumer"
)

// groupMetrics are the coordinator's. They are counted whether or not a registry
// takes them.
type groupMetrics struct {
	rebalances prometheus.Counter
	removed    prometheus.Counter
	offsets    prometheus.Counter
	expired    prometheus.Counter
	skipped    prometheus.Counter
	damaged    prometheus.Counter
}

func newGroupMetrics() groupMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return groupMetrics{
		rebalances: counter("broker_group_rebalances_total", "Generations whose members got their assignments, and groups of consumers that became stable."),
		removed:    counter("broker_group_members_removed_total", "Members that were removed because a time ran out."),
		offsets:    counter("broker_group_offsets_committed_total", "Offsets that were committed."),
		expired:    counter("broker_group_offsets_expired_total", "Offsets that were forgotten because nobody used them for offsets.retention.minutes."),
		skipped:    counter("broker_group_records_skipped_total", "Records of __consumer_offsets that were not understood when it was loaded."),
		damaged:    counter("broker_group_log_damages_total", "Parts of __consumer_offsets that could not be read when it was loaded."),
	}
}

// collectors are what a registry takes.
func (co *coordinator) collectors() []prometheus.Collector {
	m := co.metrics
	return []prometheus.Collector{
		m.rebalances, m.removed, m.offsets, m.expired, m.skipped, m.damaged,
		groupCollector{co, prometheus.NewDesc("broker_groups", "Groups by state.", []string{"state"}, nil)},
	}
}

// groupStates are the states of both types of groups.
var groupStates = []string{
	group.Empty.String(), group.PreparingRebalance.String(), group.CompletingRebalance.String(), group.Stable.String(),
	consumer.Assigning.String(), consumer.Reconciling.String(),
}

// groupCollector counts groups when it is asked for them.
type groupCollector struct {
	co   *coordinator
	desc *prometheus.Desc
}

// Describe sends the description.
func (gc groupCollector) Describe(ch chan<- *prometheus.Desc) { ch <- gc.desc }

// Collect sends the number of groups in each state; nothing while they are loaded.
func (gc groupCollector) Collect(ch chan<- prometheus.Metric) {
	count := map[string]int{}
	for _, state := range groupStates {
		count[state] = 0
	}
	if err := gc.co.forEach(func(g *coordinated) { count[g.state()]++ }); err != nil {
		return
	}
	for state, n := range count {
		ch <- prometheus.MustNewConstMetric(gc.desc, prometheus.GaugeValue, float64(n), state)
	}
}
