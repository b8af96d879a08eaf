package broker

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// exporterCollector serves the metrics of kafka_exporter
// (https://github.com/danielqsj/kafka_exporter) under its names, so that the
// dashboards and alerts that exist for Kafka work unchanged.
//
// A scrape costs at most Config.MaxExporterSeries series: topics, then groups, then
// partitions. How many do not fit is a metric, too.
type exporterCollector struct {
	b     *Broker
	descs exporterDescs
}

type exporterDescs struct {
	brokers, brokerInfo                                              *prometheus.Desc
	partitions                                                       *prometheus.Desc
	newest, oldest, leader, replicas, inSync, preferred, underCopied *prometheus.Desc
	groupOffset, groupOffsetSum, groupLag, groupLagSum, members      *prometheus.Desc
	leftOut                                                          *prometheus.Desc
}

func newExporterCollector(b *Broker) exporterCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return exporterCollector{b, exporterDescs{
		brokers:        desc("kafka_brokers", "Number of Brokers in the Kafka Cluster."),
		brokerInfo:     desc("kafka_broker_info", "Information about the Kafka Broker.", "id", "address"),
		partitions:     desc("kafka_topic_partitions", "Number of partitions for this Topic", "topic"),
		newest:         desc("kafka_topic_partition_current_offset", "Current Offset of a Broker at Topic/Partition", "topic", "partition"),
		oldest:         desc("kafka_topic_partition_oldest_offset", "Oldest Offset of a Broker at Topic/Partition", "topic", "partition"),
		leader:         desc("kafka_topic_partition_leader", "Leader Broker ID of this Topic/Partition", "topic", "partition"),
		replicas:       desc("kafka_topic_partition_replicas", "Number of Replicas for this Topic/Partition", "topic", "partition"),
		inSync:         desc("kafka_topic_partition_in_sync_replica", "Number of In-Sync Replicas for this Topic/Partition", "topic", "partition"),
		preferred:      desc("kafka_topic_partition_leader_is_preferred", "1 if Topic/Partition is using the Preferred Broker", "topic", "partition"),
		underCopied:    desc("kafka_topic_partition_under_replicated_partition", "1 if Topic/Partition is under Replicated", "topic", "partition"),
		groupOffset:    desc("kafka_consumergroup_current_offset", "Current Offset of a ConsumerGroup at Topic/Partition", "consumergroup", "topic", "partition"),
		groupOffsetSum: desc("kafka_consumergroup_current_offset_sum", "Current Offset of a ConsumerGroup at Topic for all partitions", "consumergroup", "topic"),
		groupLag:       desc("kafka_consumergroup_lag", "Current Approximate Lag of a ConsumerGroup at Topic/Partition", "consumergroup", "topic", "partition"),
		groupLagSum:    desc("kafka_consumergroup_lag_sum", "Current Approximate Lag of a ConsumerGroup at Topic for all partitions", "consumergroup", "topic"),
		members:        desc("kafka_consumergroup_members", "Amount of members in a consumer group", "consumergroup"),
		leftOut:        desc("broker_exporter_series_left_out", "Series of kafka_* that are above the limit and not served."),
	}}
}

// Describe sends the descriptions; without them a registry could not let go of the
// collector again.
func (ec exporterCollector) Describe(ch chan<- *prometheus.Desc) {
	d := ec.descs
	for _, desc := range []*prometheus.Desc{
		d.brokers, d.brokerInfo, d.partitions, d.newest, d.oldest, d.leader, d.replicas, d.inSync, d.preferred, d.underCopied,
		d.groupOffset, d.groupOffsetSum, d.groupLag, d.groupLagSum, d.members, d.leftOut,
	} {
		ch <- desc
	}
}

// Collect sends what there is; nothing about groups while they are loaded.
func (ec exporterCollector) Collect(ch chan<- prometheus.Metric) {
	e := &exporterScrape{b: ec.b, descs: ec.descs, ch: ch, left: ec.b.cfg.MaxExporterSeries}
	e.send(e.descs.brokers, 1)
	e.send(e.descs.brokerInfo, 1, strconv.Itoa(int(e.b.cfg.NodeID)), e.address())
	topics := e.b.topics.all()
	for _, t := range topics {
		e.send(e.descs.partitions, float64(len(t.partitions)), t.Name)
	}
	e.groups()
	for _, t := range topics {
		for _, p := range t.partitions {
			e.partition(p, t.Name)
		}
	}
	ch <- prometheus.MustNewConstMetric(e.descs.leftOut, prometheus.GaugeValue, float64(e.leftOut))
}

// exporterScrape is one scrape under way.
type exporterScrape struct {
	b             *Broker
	descs         exporterDescs
	ch            chan<- prometheus.Metric
	left, leftOut int
}

func (e *exporterScrape) send(desc *prometheus.Desc, value float64, labels ...string) {
	if e.left == 0 {
		e.leftOut++
		return
	}
	e.left--
	e.ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

// address is where the broker listens; a broker that is only reached in memory has
// no address.
func (e *exporterScrape) address() string {
	switch advertise := e.b.cfg.Advertise; {
	case len(advertise) > 0 && advertise[0] != "":
		return advertise[0]
	case len(e.b.listeners) > 0:
		return e.b.listeners[0].name
	}
	return net.JoinHostPort("memory", "0")
}

func (e *exporterScrape) partition(p *partition, topic string) {
	index := strconv.Itoa(int(p.index))
	e.send(e.descs.newest, float64(p.highWatermark()), topic, index)
	e.send(e.descs.oldest, float64(p.startOffset()), topic, index)
	e.send(e.descs.leader, float64(e.b.cfg.NodeID), topic, index)
	e.send(e.descs.replicas, 1, topic, index)
	e.send(e.descs.inSync, 1, topic, index)
	e.send(e.descs.preferred, 1, topic, index)
	e.send(e.descs.underCopied, 0, topic, index)
}

// groupOffset is what a group has committed for one partition.
type groupOffset struct {
	partition int32
	offset    int64
}

// groups sends the offsets of all groups and how far they are behind. A group is
// locked only while its offsets are copied.
func (e *exporterScrape) groups() {
	type groupOffsets struct {
		id      string
		members int
		topics  map[string][]groupOffset
	}
	var (
		all  []groupOffsets
		room = e.left / 2 // offsets, with two series each
	)
	err := e.b.groups.forEach(func(g *coordinated) {
		gs := groupOffsets{id: g.mu.ID(), members: g.members(), topics: map[string][]groupOffset{}}
		for _, topic := range g.mu.Topics() {
			for index, c := range g.mu.Partitions(topic) {
				if room--; room < 0 {
					e.leftOut += 2
					continue
				}
				gs.topics[topic] = append(gs.topics[topic], groupOffset{index, c.Offset})
			}
		}
		all = append(all, gs)
	})
	if err != nil {
		return
	}
	slices.SortFunc(all, func(a, b groupOffsets) int { return cmp.Compare(a.id, b.id) })
	for _, gs := range all {
		e.send(e.descs.members, float64(gs.members), gs.id)
		for _, topic := range slices.Sorted(maps.Keys(gs.topics)) {
			e.groupTopic(gs.id, topic, gs.topics[topic])
		}
	}
}

func (e *exporterScrape) groupTopic(group, topic string, offsets []groupOffset) {
	t, ok := e.b.topics.lookup(topic)
	if !ok {
		return
	}
	var offsetSum, lagSum float64
	slices.SortFunc(offsets, func(a, b groupOffset) int { return int(a.partition) - int(b.partition) })
	for _, o := range offsets {
		p, err := t.partition(o.partition)
		if err != nil {
			continue
		}
		lag := max(p.highWatermark()-o.offset, 0)
		index := strconv.Itoa(int(o.partition))
		e.send(e.descs.groupOffset, float64(o.offset), group, topic, index)
		e.send(e.descs.groupLag, float64(lag), group, topic, index)
		offsetSum += float64(o.offset)
		lagSum += float64(lag)
	}
	e.send(e.descs.groupOffsetSum, offsetSum, group, topic)
	e.send(e.descs.groupLagSum, lagSum, group, topic)
}
