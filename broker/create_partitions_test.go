package broker_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// growRequest asks for partitions of one topic, with one assignment for each list
// of nodes.
func growRequest(topic string, count int32, assignment ...[]int32) *kmsg.CreatePartitionsRequest {
	req := kmsg.NewPtrCreatePartitionsRequest()
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, count
	for _, nodes := range assignment {
		a := kmsg.NewCreatePartitionsRequestTopicAssignment()
		a.Replicas = nodes
		rt.Assignment = append(rt.Assignment, a)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

// partitions is how many partitions metadata shows.
func (r *raw) partitions(topic string) int {
	r.t.Helper()
	req := at(4, kmsg.NewPtrMetadataRequest())
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	return len(do[*kmsg.MetadataResponse](r, req).Topics[0].Partitions)
}

func TestCreatePartitions(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys), brokertest.With(func(c *broker.Config) { c.MaxPartitionsPerTopic = 20 }))
		id := r.create("orders", 1, "retention.ms", "-1")
		r.produce("orders", batch(1, "a"))
		count := int32(1)
		for v := int16(0); v <= 3; v++ {
			count += 2
			st := do[*kmsg.CreatePartitionsResponse](r, at(v, growRequest("orders", count, []int32{1}, []int32{1}))).Topics
			if len(st) != 1 || st[0].ErrorCode != 0 || r.partitions("orders") != int(count) {
				t.Fatalf("v%d: %+v, %d partitions, want %d", v, st, r.partitions("orders"), count)
			}
			all := produceRequest("orders", -1)
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Partition, rp.Records = count-1, batch(1, "b")
			all.Topics[0].Partitions = append(all.Topics[0].Partitions, rp)
			if got := do[*kmsg.ProduceResponse](r, all).Topics[0].Partitions[0]; got.ErrorCode != 0 {
				t.Errorf("v%d: produce to the last partition: error %d", v, got.ErrorCode)
			}
		}
		for _, tc := range []struct {
			name string
			req  *kmsg.CreatePartitionsRequest
			code int16
		}{
			{"as many", growRequest("orders", count), kerr.InvalidPartitions.Code},
			{"fewer", growRequest("orders", 1), kerr.InvalidPartitions.Code},
			{"negative", growRequest("orders", -1), kerr.InvalidPartitions.Code},
			{"above the limit", growRequest("orders", 21), kerr.InvalidPartitions.Code},
			{"unknown", growRequest("missing", 3), kerr.UnknownTopicOrPartition.Code},
			{"internal", growRequest("__consumer_offsets", 3), kerr.InvalidTopicException.Code},
			{"too few assigned", growRequest("orders", count+2, []int32{1}), kerr.InvalidReplicaAssignment.Code},
			{"elsewhere", growRequest("orders", count+1, []int32{2}), kerr.InvalidReplicaAssignment.Code},
			{"two replicas", growRequest("orders", count+1, []int32{1, 2}), kerr.InvalidReplicaAssignment.Code},
		} {
			st := do[*kmsg.CreatePartitionsResponse](r, at(3, tc.req)).Topics[0]
			if st.ErrorCode != tc.code || st.ErrorMessage == nil {
				t.Errorf("%s: error %d (%s), want %d with a message", tc.name, st.ErrorCode, text(st.ErrorMessage), tc.code)
			}
		}
		twice := at(2, growRequest("orders", count+1))
		twice.Topics = append(twice.Topics, twice.Topics[0])
		if st := do[*kmsg.CreatePartitionsResponse](r, twice).Topics; len(st) != 1 || st[0].ErrorCode != kerr.InvalidRequest.Code {
			t.Errorf("named twice: %+v, want one answer with error %d", st, kerr.InvalidRequest.Code)
		}
		dry := at(1, growRequest("orders", count+1))
		dry.ValidateOnly = true
		if st := do[*kmsg.CreatePartitionsResponse](r, dry).Topics[0]; st.ErrorCode != 0 {
			t.Errorf("validate only: error %d", st.ErrorCode)
		}
		if got := r.partitions("orders"); got != int(count) {
			t.Errorf("%d partitions after all that, want %d", got, count)
		}

		// The new partitions are there after a restart, and so is what was before.
		brokertest.Stop(t, r.b)
		b := brokertest.Start(t, brokertest.FS(fsys.CrashClone(0, nil)))
		again := dial(t, b, "memory")
		if got := again.partitions("orders"); got != int(count) {
			t.Errorf("%d partitions after a restart, want %d", got, count)
		}
		req := at(13, fetchRequest("orders", 0))
		req.Topics[0].TopicID = id
		for _, p := range []int32{2, 8} {
			rp := req.Topics[0].Partitions[0]
			rp.Partition = p
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, rp)
		}
		var ends []int64
		for _, p := range do[*kmsg.FetchResponse](again, req).Topics[0].Partitions {
			ends = append(ends, p.HighWatermark)
		}
		if want := []int64{1, 1, 1}; !cmp.Equal(want, ends) {
			t.Errorf("records of partitions 0, 2 and 8: %v, want %v", ends, want)
		}
	})
}
