package broker_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
)

// The names, labels and meanings are those of kafka_exporter: dashboards rely on
// them.
func TestExporterMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	b := brokertest.Start(t, brokertest.With(func(c *broker.Config) { c.Registerer, c.NodeID = registry, 7 }))
	r := dial(t, b, "memory")
	r.create("orders", 2)
	r.produce("orders", batch(1, "a", "b", "c"))
	do[*kmsg.ProduceResponse](r, produceRequest("orders", -1, batch(1, "d"), batch(1, "e", "f")))
	simple := &groupClient{raw: r, group: "billing", generation: -1}
	if code := simple.commit(9, "orders", [16]byte{}, 1, ""); code != 0 {
		t.Fatalf("commit: error %d", code)
	}
	member := &groupClient{raw: r, group: "shipping", version: 9}
	member.join()
	want := `
# HELP kafka_brokers Number of Brokers in the Kafka Cluster.
# TYPE kafka_brokers gauge
kafka_brokers 1
# HELP kafka_broker_info Information about the Kafka Broker.
# TYPE kafka_broker_info gauge
kafka_broker_info{address="memory:0",id="7"} 1
# HELP kafka_topic_partitions Number of partitions for this Topic
# TYPE kafka_topic_partitions gauge
kafka_topic_partitions{topic="__consumer_offsets"} 1
kafka_topic_partitions{topic="orders"} 2
# HELP kafka_topic_partition_current_offset Current Offset of a Broker at Topic/Partition
# TYPE kafka_topic_partition_current_offset gauge
kafka_topic_partition_current_offset{partition="0",topic="__consumer_offsets"} 1
kafka_topic_partition_current_offset{partition="0",topic="orders"} 4
kafka_topic_partition_current_offset{partition="1",topic="orders"} 2
# HELP kafka_topic_partition_in_sync_replica Number of In-Sync Replicas for this Topic/Partition
# TYPE kafka_topic_partition_in_sync_replica gauge
kafka_topic_partition_in_sync_replica{partition="0",topic="__consumer_offsets"} 1
kafka_topic_partition_in_sync_replica{partition="0",topic="orders"} 1
kafka_topic_partition_in_sync_replica{partition="1",topic="orders"} 1
# HELP kafka_topic_partition_leader Leader Broker ID of this Topic/Partition
# TYPE kafka_topic_partition_leader gauge
kafka_topic_partition_leader{partition="0",topic="__consumer_offsets"} 7
kafka_topic_partition_leader{partition="0",topic="orders"} 7
kafka_topic_partition_leader{partition="1",topic="orders"} 7
# HELP kafka_topic_partition_under_replicated_partition 1 if Topic/Partition is under Replicated
# TYPE kafka_topic_partition_under_replicated_partition gauge
kafka_topic_partition_under_replicated_partition{partition="0",topic="__consumer_offsets"} 0
kafka_topic_partition_under_replicated_partition{partition="0",topic="orders"} 0
kafka_topic_partition_under_replicated_partition{partition="1",topic="orders"} 0
# HELP kafka_consumergroup_current_offset Current Offset of a ConsumerGroup at Topic/Partition
# TYPE kafka_consumergroup_current_offset gauge
kafka_consumergroup_current_offset{consumergroup="billing",partition="0",topic="orders"} 1
# HELP kafka_consumergroup_lag Current Approximate Lag of a ConsumerGroup at Topic/Partition
# TYPE kafka_consumergroup_lag gauge
kafka_consumergroup_lag{consumergroup="billing",partition="0",topic="orders"} 3
# HELP kafka_consumergroup_lag_sum Current Approximate Lag of a ConsumerGroup at Topic for all partitions
# TYPE kafka_consumergroup_lag_sum gauge
kafka_consumergroup_lag_sum{consumergroup="billing",topic="orders"} 3
# HELP kafka_consumergroup_members Amount of members in a consumer group
# TYPE kafka_consumergroup_members gauge
kafka_consumergroup_members{consumergroup="billing"} 0
kafka_consumergroup_members{consumergroup="shipping"} 1
# HELP broker_exporter_series_left_out Series of kafka_* that are above the limit and not served.
# TYPE broker_exporter_series_left_out gauge
broker_exporter_series_left_out 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"kafka_brokers", "kafka_broker_info", "kafka_topic_partitions", "kafka_topic_partition_current_offset",
		"kafka_topic_partition_in_sync_replica", "kafka_topic_partition_leader", "kafka_topic_partition_under_replicated_partition",
		"kafka_consumergroup_current_offset", "kafka_consumergroup_lag", "kafka_consumergroup_lag_sum", "kafka_consumergroup_members",
		"broker_exporter_series_left_out"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry, "kafka_topic_partition_oldest_offset"); err != nil || len(problems) > 0 {
		t.Errorf("oldest offset: %v, %v", problems, err)
	}
}

// However many partitions there are, a scrape stays small, and says so.
func TestExporterMetricsAreBounded(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	b := brokertest.Start(t, brokertest.With(func(c *broker.Config) { c.Registerer, c.MaxExporterSeries = registry, 30 }))
	r := dial(t, b, "memory")
	r.create("orders", 100)
	simple := &groupClient{raw: r, group: "billing", generation: -1}
	if code := simple.commit(9, "orders", [16]byte{}, 0, ""); code != 0 {
		t.Fatalf("commit: error %d", code)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	served, leftOut := 0, 0.0
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "kafka_") {
			served += len(f.GetMetric())
		}
		if f.GetName() == "broker_exporter_series_left_out" {
			leftOut = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	all := 2 + 2 + 1 + 4 + 101*7 // broker, topics, members, the group's offset, partitions
	if served != 30 || leftOut != float64(all-30) {
		t.Errorf("%d series served and %v left out, want 30 of %d", served, leftOut, all)
	}
}
