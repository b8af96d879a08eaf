package broker_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
)

// A request that names the same thing many times gets one answer for it: otherwise a few
// bytes would make the broker answer with megabytes.
func TestAskedAgainAnsweredOnce(t *testing.T) {
	t.Parallel()
	r := dial(t, brokertest.Start(t), "memory")
	r.create("orders", 1)
	const times = 1000

	groups := at(5, kmsg.NewPtrDescribeGroupsRequest())
	groups.Groups = slices.Repeat([]string{"a", "b"}, times)
	if n := len(do[*kmsg.DescribeGroupsResponse](r, groups).Groups); n != 2 {
		t.Errorf("DescribeGroups: %d answers, want 2", n)
	}
	consumers := at(0, kmsg.NewPtrConsumerGroupDescribeRequest())
	consumers.Groups = slices.Repeat([]string{"a", "b"}, times)
	if n := len(do[*kmsg.ConsumerGroupDescribeResponse](r, consumers).Groups); n != 2 {
		t.Errorf("ConsumerGroupDescribe: %d answers, want 2", n)
	}
	configs := at(4, kmsg.NewPtrDescribeConfigsRequest())
	topic, broker := kmsg.NewDescribeConfigsRequestResource(), kmsg.NewDescribeConfigsRequestResource()
	topic.ResourceType, topic.ResourceName = kmsg.ConfigResourceTypeTopic, "orders"
	broker.ResourceType = kmsg.ConfigResourceTypeBroker
	configs.Resources = slices.Repeat([]kmsg.DescribeConfigsRequestResource{topic, broker}, times)
	if n := len(do[*kmsg.DescribeConfigsResponse](r, configs).Resources); n != 2 {
		t.Errorf("DescribeConfigs: %d answers, want 2", n)
	}
	offsets := at(8, kmsg.NewPtrOffsetFetchRequest())
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = "a"
	offsets.Groups = slices.Repeat([]kmsg.OffsetFetchRequestGroup{group}, times)
	if n := len(do[*kmsg.OffsetFetchResponse](r, offsets).Groups); n != 1 {
		t.Errorf("OffsetFetch: %d answers, want 1", n)
	}
	producers := kmsg.NewPtrDescribeProducersRequest()
	rt := kmsg.NewDescribeProducersRequestTopic()
	rt.Topic, rt.Partitions = "orders", slices.Repeat([]int32{0}, times)
	producers.Topics = []kmsg.DescribeProducersRequestTopic{rt, rt}
	if resp := do[*kmsg.DescribeProducersResponse](r, producers); len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Errorf("DescribeProducers: %+v, want one topic with one partition", resp.Topics)
	}
	metadata := at(9, kmsg.NewPtrMetadataRequest())
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &rt.Topic
	metadata.Topics = slices.Repeat([]kmsg.MetadataRequestTopic{mt}, times)
	if n := len(do[*kmsg.MetadataResponse](r, metadata).Topics); n != 1 {
		t.Errorf("Metadata: %d answers, want 1", n)
	}
}
