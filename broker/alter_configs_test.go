package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// incremental is one change of each config of a topic: "name=value" sets,
// "name+=word" appends, "name-=word" subtracts, "name" deletes.
func incremental(topic string, changes ...string) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	for _, change := range changes {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		name, value, set := strings.Cut(change, "=")
		c.Name, c.Op = name, kmsg.IncrementalAlterConfigOpDelete
		if set {
			c.Value, c.Op = &value, kmsg.IncrementalAlterConfigOpSet
		}
		if n, ok := strings.CutSuffix(name, "+"); ok {
			c.Name, c.Op = n, kmsg.IncrementalAlterConfigOpAppend
		} else if n, ok := strings.CutSuffix(name, "-"); ok {
			c.Name, c.Op = n, kmsg.IncrementalAlterConfigOpSubtract
		}
		rr.Configs = append(rr.Configs, c)
	}
	req.Resources = append(req.Resources, rr)
	return req
}

// topicConfigs are the configs that are set for a topic, and all.
func (r *raw) topicConfigs(topic string) (set, all map[string]string) {
	r.t.Helper()
	req := at(4, kmsg.NewPtrDescribeConfigsRequest())
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	req.Resources = append(req.Resources, rr)
	set, all = map[string]string{}, map[string]string{}
	for _, c := range do[*kmsg.DescribeConfigsResponse](r, req).Resources[0].Configs {
		all[c.Name] = text(c.Value)
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
			set[c.Name] = text(c.Value)
		}
	}
	return set, all
}

func TestIncrementalAlterConfigs(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys))
		r.create("orders", 1, "retention.ms", "1000")
		for _, step := range []struct {
			changes []string
			code    int16
			want    map[string]string
		}{
			{[]string{"segment.ms= 60000 "}, 0, map[string]string{"retention.ms": "1000", "segment.ms": "60000"}},
			{[]string{"retention.ms", "segment.ms"}, 0, map[string]string{}},
			{[]string{"retention.ms"}, 0, map[string]string{}},
			{[]string{"cleanup.policy+=compact"}, 0, map[string]string{"cleanup.policy": "delete,compact"}},
			{[]string{"cleanup.policy+=compact"}, 0, map[string]string{"cleanup.policy": "delete,compact"}},
			{[]string{"cleanup.policy-=delete"}, 0, map[string]string{"cleanup.policy": "compact"}},
			{[]string{"cleanup.policy-=delete"}, 0, map[string]string{"cleanup.policy": "compact"}},
			{[]string{"cleanup.policy-=compact"}, 40, map[string]string{"cleanup.policy": "compact"}},
			{[]string{"cleanup.policy+=nonsense"}, 40, map[string]string{"cleanup.policy": "compact"}},
			{[]string{"retention.ms+=1"}, 40, map[string]string{"cleanup.policy": "compact"}},
			{[]string{"nonsense+=1"}, 40, map[string]string{"cleanup.policy": "compact"}},
			{[]string{"nonsense"}, 40, map[string]string{"cleanup.policy": "compact"}},
			{[]string{"nonsense=1"}, 40, map[string]string{"cleanup.policy": "compact"}},
			{[]string{"retention.ms=5", "segment.ms=soon"}, 40, map[string]string{"cleanup.policy": "compact"}},
			{[]string{"retention.ms=5", "retention.ms=6"}, 42, map[string]string{"cleanup.policy": "compact"}},
		} {
			for v := int16(0); v <= 1; v++ {
				sr := do[*kmsg.IncrementalAlterConfigsResponse](r, at(v, incremental("orders", step.changes...))).Resources[0]
				if sr.ErrorCode != step.code || sr.ResourceName != "orders" || (step.code == 0) != (sr.ErrorMessage == nil) {
					t.Errorf("v%d: %v: %+v (%s), want error %d", v, step.changes, sr, text(sr.ErrorMessage), step.code)
				}
				if set, _ := r.topicConfigs("orders"); !cmp.Equal(step.want, set) {
					t.Errorf("v%d: %v: configs %v, want %v", v, step.changes, set, step.want)
				}
			}
		}
		null := at(1, incremental("orders", "retention.ms=1"))
		null.Resources[0].Configs[0].Value = nil
		dry := at(1, incremental("orders", "retention.ms=1"))
		dry.ValidateOnly = true
		ofBroker := at(1, incremental("1", "num.partitions=1"))
		ofBroker.Resources[0].ResourceType = kmsg.ConfigResourceTypeBroker
		twice := at(1, incremental("orders", "retention.ms=1"))
		twice.Resources = append(twice.Resources, twice.Resources[0])
		for _, tc := range []struct {
			name string
			req  *kmsg.IncrementalAlterConfigsRequest
			code int16
		}{
			{"null", null, kerr.InvalidRequest.Code},
			{"dry", dry, 0},
			{"broker", ofBroker, kerr.InvalidRequest.Code},
			{"resource twice", twice, kerr.InvalidRequest.Code},
			{"unknown", at(1, incremental("missing", "retention.ms=1")), kerr.UnknownTopicOrPartition.Code},
			{"bad name", at(1, incremental("a/b", "retention.ms=1")), kerr.InvalidTopicException.Code},
			{"the memory of groups", at(1, incremental("__consumer_offsets", "cleanup.policy=delete")), kerr.InvalidConfig.Code},
		} {
			resp := do[*kmsg.IncrementalAlterConfigsResponse](r, tc.req)
			if len(resp.Resources) != len(tc.req.Resources) || resp.Resources[0].ErrorCode != tc.code {
				t.Errorf("%s: %+v, want error %d", tc.name, resp.Resources, tc.code)
			}
		}
		crashed := dial(t, brokertest.Start(t, brokertest.FS(fsys.CrashClone(0, nil))), "memory")
		if set, _ := crashed.topicConfigs("orders"); !cmp.Equal(map[string]string{"cleanup.policy": "compact"}, set) {
			t.Errorf("configs after a crash: %v", set)
		}
	})
}

// Tools read all configs, change one, and write all back.
func TestAlterConfigs(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1, "segment.ms", "60000")
		alter := func(v int16, topic string, configs map[string]string) kmsg.AlterConfigsResponseResource {
			req := at(v, kmsg.NewPtrAlterConfigsRequest())
			rr := kmsg.NewAlterConfigsRequestResource()
			rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, topic
			for name, value := range configs {
				c := kmsg.NewAlterConfigsRequestResourceConfig()
				c.Name, c.Value = name, &value
				rr.Configs = append(rr.Configs, c)
			}
			req.Resources = append(req.Resources, rr)
			return do[*kmsg.AlterConfigsResponse](r, req).Resources[0]
		}
		for v := int16(0); v <= 2; v++ {
			_, all := r.topicConfigs("orders")
			all["retention.ms"] = "12345"
			if sr := alter(v, "orders", all); sr.ErrorCode != 0 {
				t.Fatalf("v%d: write back what was read: error %d (%s)", v, sr.ErrorCode, text(sr.ErrorMessage))
			}
			if _, got := r.topicConfigs("orders"); !cmp.Equal(all, got) {
				t.Errorf("v%d: configs (-want +got):\n%s", v, cmp.Diff(all, got))
			}
			if sr := alter(v, "orders", map[string]string{"retention.ms": "soon"}); sr.ErrorCode != kerr.InvalidConfig.Code {
				t.Errorf("v%d: bad value: error %d", v, sr.ErrorCode)
			}
			if sr := alter(v, "missing", nil); sr.ErrorCode != kerr.UnknownTopicOrPartition.Code {
				t.Errorf("v%d: unknown topic: error %d", v, sr.ErrorCode)
			}
			if sr := alter(v, "orders", map[string]string{"retention.ms": "7"}); sr.ErrorCode != 0 {
				t.Errorf("v%d: error %d", v, sr.ErrorCode)
			}
			if set, _ := r.topicConfigs("orders"); !cmp.Equal(map[string]string{"retention.ms": "7"}, set) {
				t.Errorf("v%d: configs %v, want retention.ms alone", v, set)
			}
		}
	})
}

// What is altered holds for the next request, without a restart.
func TestAlteredConfigsHoldAtOnce(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start(brokertest.With(func(c *broker.Config) { c.RetentionInterval = 10 * time.Millisecond }))
		r.create("orders", 1)
		alter := func(changes ...string) {
			t.Helper()
			if sr := do[*kmsg.IncrementalAlterConfigsResponse](r, at(1, incremental("orders", changes...))).Resources[0]; sr.ErrorCode != 0 {
				t.Fatalf("%v: error %d (%s)", changes, sr.ErrorCode, text(sr.ErrorMessage))
			}
		}
		alter("max.message.bytes=100")
		if code := r.produce("orders", batch(1, strings.Repeat("a", 200))).ErrorCode; code != kerr.MessageTooLarge.Code {
			t.Errorf("above max.message.bytes: error %d", code)
		}
		alter("max.message.bytes")
		if code := r.produce("orders", batch(1, strings.Repeat("a", 200))).ErrorCode; code != 0 {
			t.Errorf("with the default: error %d", code)
		}

		alter("message.timestamp.type=LogAppendTime")
		if got := r.produce("orders", batch(1, "b")); got.LogAppendTime < time.Now().Add(-time.Hour).UnixMilli() {
			t.Errorf("LogAppendTime: %+v", got)
		}

		// The log takes them, too: each batch gets a segment of its own, and one stays.
		alter("segment.bytes=1024", "retention.bytes=1", "message.timestamp.type")
		for range 4 {
			r.produce("orders", batch(time.Now().UnixMilli(), strings.Repeat("a", 1000)))
		}
		for r.listOffset("orders", -2) != 5 { // or the connection's deadline passes
		}

		// Nobody sees records go when they are to be durable from now on.
		alter("riffle.flush=os")
		r.produce("orders", batch(1, "c"))
		if hw := r.fetch("orders", 6).HighWatermark; hw != 7 {
			t.Errorf("high watermark %d, want 7", hw)
		}
		alter("riffle.flush=each")
		if p := r.fetch("orders", 7); p.ErrorCode != 0 || p.HighWatermark != 7 {
			t.Errorf("at the high watermark: error %d, high watermark %d, want 0 and 7", p.ErrorCode, p.HighWatermark)
		}

		alter("min.insync.replicas=2")
		for _, acks := range []int16{-1, 1} {
			want := map[int16]int16{-1: kerr.NotEnoughReplicas.Code}[acks]
			got := do[*kmsg.ProduceResponse](r, produceRequest("orders", acks, batch(1, "d"))).Topics[0].Partitions[0]
			if got.ErrorCode != want {
				t.Errorf("acks=%d with min.insync.replicas=2: error %d, want %d", acks, got.ErrorCode, want)
			}
		}
	})
}

// listOffset asks for an offset of partition 0 by time, or by a special time.
func (r *raw) listOffset(topic string, when int64) int64 {
	r.t.Helper()
	req := at(4, kmsg.NewPtrListOffsetsRequest())
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp = when
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return do[*kmsg.ListOffsetsResponse](r, req).Topics[0].Partitions[0].Offset
}
