package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
)

func TestDescribeTopicPartitions(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		ids := map[string][16]byte{"a": r.create("a", 3), "b": r.create("b", 1), "c": r.create("c", 2)}
		// describe returns "topic:partitions" and the cursor.
		describe := func(limit int32, cursor string, topics ...string) string {
			t.Helper()
			req := at(0, kmsg.NewPtrDescribeTopicPartitionsRequest())
			req.ResponsePartitionLimit = limit
			for _, name := range topics {
				rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
				rt.Topic = name
				req.Topics = append(req.Topics, rt)
			}
			if topic, partition, ok := strings.Cut(cursor, "/"); ok {
				c := kmsg.NewDescribeTopicPartitionsRequestCursor()
				c.Topic = topic
				fmt.Sscan(partition, &c.Partition)
				req.Cursor = &c
			}
			resp := do[*kmsg.DescribeTopicPartitionsResponse](r, req)
			var out []string
			for _, st := range resp.Topics {
				var partitions []string
				for _, sp := range st.Partitions {
					partitions = append(partitions, fmt.Sprint(sp.Partition))
					if one := []int32{1}; sp.LeaderID != 1 || sp.ErrorCode != 0 || !cmp.Equal(one, sp.Replicas) || !cmp.Equal(one, sp.ISR) {
						t.Errorf("partition %+v, want it on node 1", sp)
					}
				}
				if st.ErrorCode != 0 {
					partitions = append(partitions, fmt.Sprintf("error %d", st.ErrorCode))
				} else if id, made := ids[*st.Topic]; made && st.TopicID != id || st.IsInternal == made {
					t.Errorf("topic %s: id %x, internal %v, want id %x", *st.Topic, st.TopicID, st.IsInternal, id)
				}
				out = append(out, *st.Topic+":"+strings.Join(partitions, ","))
			}
			if c := resp.NextCursor; c != nil {
				out = append(out, fmt.Sprintf("next %s/%d", c.Topic, c.Partition))
			}
			return strings.Join(out, " ")
		}
		for _, tc := range []struct {
			limit  int32
			cursor string
			topics string
			want   string
		}{
			{2000, "", "", "__consumer_offsets:0 a:0,1,2 b:0 c:0,1"},
			{0, "", "", "__consumer_offsets:0 a:0,1,2 b:0 c:0,1"},
			{3, "", "", "__consumer_offsets:0 a:0,1 next a/2"},
			{3, "a/2", "", "a:2 b:0 c:0 next c/1"},
			{3, "c/1", "", "c:1"},
			{3, "c/9", "", "c:"},
			{1, "b/0", "", "b:0 next c/0"},
			{9, "bb/3", "", "c:0,1"},
			{9, "a/-1", "", "a:0,1,2 b:0 c:0,1"},
			{2000, "", "c a c", "a:0,1,2 c:0,1"},
			{4, "b/0", "c a", "c:0,1"},
			{2000, "", "x a", fmt.Sprintf("a:0,1,2 x:error %d", kerr.UnknownTopicOrPartition.Code)},
			{2000, "", "a/b", fmt.Sprintf("a/b:error %d", kerr.InvalidTopicException.Code)},
		} {
			if got := describe(tc.limit, tc.cursor, strings.Fields(tc.topics)...); got != tc.want {
				t.Errorf("limit %d, cursor %q, topics %q:\n got %s\nwant %s", tc.limit, tc.cursor, tc.topics, got, tc.want)
			}
		}
	})
}

func TestListConfigResources(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("a", 1)
		for _, tc := range []struct {
			version int16
			types   []int8
			code    int16
			want    []string
		}{
			{0, nil, 0, nil},
			{1, nil, 0, []string{"2 __consumer_offsets", "2 a", "4 1"}},
			{1, []int8{2}, 0, []string{"2 __consumer_offsets", "2 a"}},
			{1, []int8{4, 16}, 0, []string{"4 1"}},
			{1, []int8{16}, 0, nil},
			{1, []int8{2, 3}, kerr.UnsupportedVersion.Code, nil},
		} {
			req := at(tc.version, kmsg.NewPtrListConfigResourcesRequest())
			req.ResourceTypes = tc.types
			resp := do[*kmsg.ListConfigResourcesResponse](r, req)
			var got []string
			for _, cr := range resp.ConfigResources {
				got = append(got, fmt.Sprint(cr.Type, " ", cr.Name))
			}
			if resp.ErrorCode != tc.code || !cmp.Equal(tc.want, got) {
				t.Errorf("v%d, types %v: error %d, %q, want %d, %q", tc.version, tc.types, resp.ErrorCode, got, tc.code, tc.want)
			}
		}
	})
}
