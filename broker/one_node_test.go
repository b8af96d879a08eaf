package broker_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
)

func TestDescribeLogDirs(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		dir := t.TempDir()
		r := start(brokertest.Dir(dir))
		r.create("orders", 3)
		r.create("payments", 1)
		b := batch(1, strings.Repeat("a", 1000))
		for v := int16(1); v <= 5; v++ {
			r.produce("orders", b)
			size := int64(len(b)) * int64(v)
			describe := func(topics []kmsg.DescribeLogDirsRequestTopic) (sizes map[string][]int64, d kmsg.DescribeLogDirsResponseDir) {
				req := at(v, kmsg.NewPtrDescribeLogDirsRequest())
				req.Topics = topics
				resp := do[*kmsg.DescribeLogDirsResponse](r, req)
				if len(resp.Dirs) != 1 || resp.ErrorCode != 0 || resp.Dirs[0].ErrorCode != 0 {
					t.Fatalf("v%d: %+v, want one directory", v, resp)
				}
				sizes = map[string][]int64{}
				for _, st := range resp.Dirs[0].Topics {
					for _, sp := range st.Partitions {
						sizes[st.Topic] = append(sizes[st.Topic], sp.Size)
						if sp.OffsetLag != 0 || sp.IsFuture {
							t.Errorf("v%d: %+v", v, sp)
						}
					}
				}
				return sizes, resp.Dirs[0]
			}
			all, d := describe(nil)
			if want := map[string][]int64{"__consumer_offsets": {0}, "orders": {size, 0, 0}, "payments": {0}}; !cmp.Equal(want, all) {
				t.Errorf("v%d: all sizes %v, want %v", v, all, want)
			}
			if abs, _ := filepath.Abs(dir); d.Dir != abs || v >= 4 && d.UsableBytes <= 0 {
				t.Errorf("v%d: directory %s with %d bytes usable, want %s", v, d.Dir, d.UsableBytes, abs)
			}
			rt := kmsg.NewDescribeLogDirsRequestTopic()
			rt.Topic, rt.Partitions = "orders", []int32{2, 0, 7}
			missing := kmsg.NewDescribeLogDirsRequestTopic()
			missing.Topic, missing.Partitions = "missing", []int32{0}
			some, _ := describe([]kmsg.DescribeLogDirsRequestTopic{rt, missing})
			if want := map[string][]int64{"orders": {0, size}}; !cmp.Equal(want, some) {
				t.Errorf("v%d: sizes of partitions 2, 0 and a missing one %v, want %v", v, some, want)
			}
		}
	})
}

func TestAlterReplicaLogDirs(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		dir := t.TempDir()
		r := start(brokertest.Dir(dir))
		r.create("orders", 1)
		for v := int16(1); v <= 2; v++ {
			for name, want := range map[string][]int16{dir: {0, 3}, "/elsewhere": {kerr.LogDirNotFound.Code, 3}} {
				req := at(v, kmsg.NewPtrAlterReplicaLogDirsRequest())
				rd := kmsg.NewAlterReplicaLogDirsRequestDir()
				rt := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
				rt.Topic, rt.Partitions = "orders", []int32{0, 5}
				rd.Dir, rd.Topics = name, append(rd.Topics, rt)
				req.Dirs = append(req.Dirs, rd)
				var got []int16
				for _, sp := range do[*kmsg.AlterReplicaLogDirsResponse](r, req).Topics[0].Partitions {
					got = append(got, sp.ErrorCode)
				}
				if !cmp.Equal(want, got) {
					t.Errorf("v%d, to %s: errors %v, want %v", v, name, got, want)
				}
			}
		}
	})
}

func TestElectLeaders(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 2)
		for v := int16(0); v <= 2; v++ {
			req := at(v, kmsg.NewPtrElectLeadersRequest())
			rt := kmsg.NewElectLeadersRequestTopic()
			rt.Topic, rt.Partitions = "orders", []int32{0, 1, 2}
			req.Topics = append(req.Topics, rt)
			resp := do[*kmsg.ElectLeadersResponse](r, req)
			var got []int16
			for _, sp := range resp.Topics[0].Partitions {
				got = append(got, sp.ErrorCode)
			}
			if want := []int16{kerr.ElectionNotNeeded.Code, kerr.ElectionNotNeeded.Code, 3}; resp.ErrorCode != 0 || !cmp.Equal(want, got) {
				t.Errorf("v%d: errors %d, %v, want 0, %v", v, resp.ErrorCode, got, want)
			}
			req.Topics = nil
			if resp := do[*kmsg.ElectLeadersResponse](r, req); resp.ErrorCode != 0 || len(resp.Topics) != 0 {
				t.Errorf("v%d, all partitions: %+v, want none", v, resp)
			}
			req.ElectionType = 7
			if code := do[*kmsg.ElectLeadersResponse](r, req).ErrorCode; v >= 1 && code != kerr.InvalidRequest.Code {
				t.Errorf("v%d, unknown type: error %d", v, code)
			}
		}
	})
}

func TestReassignments(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		for _, tc := range []struct {
			version   int16
			partition int32
			nodes     []int32
			fixed     bool // the replication factor may not change
			want      int16
		}{
			{0, 0, []int32{1}, false, 0},
			{1, 0, []int32{1}, true, 0},
			{0, 0, nil, false, kerr.NoReassignmentInProgress.Code},
			{0, 0, []int32{2}, false, kerr.InvalidReplicaAssignment.Code},
			{0, 0, []int32{}, false, kerr.InvalidReplicaAssignment.Code},
			{1, 0, []int32{1, 2}, false, kerr.InvalidReplicaAssignment.Code},
			{1, 0, []int32{1, 2}, true, kerr.InvalidReplicationFactor.Code},
			{0, 1, []int32{1}, false, kerr.UnknownTopicOrPartition.Code},
		} {
			req := at(tc.version, kmsg.NewPtrAlterPartitionAssignmentsRequest())
			req.AllowReplicationFactorChange = !tc.fixed
			rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
			rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
			rp.Partition, rp.Replicas = tc.partition, tc.nodes
			rt.Topic, rt.Partitions = "orders", append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			resp := do[*kmsg.AlterPartitionAssignmentsResponse](r, req)
			if got := resp.Topics[0].Partitions[0]; resp.ErrorCode != 0 || got.ErrorCode != tc.want {
				t.Errorf("%+v: error %d (%s)", tc, got.ErrorCode, text(got.ErrorMessage))
			}
		}
		resp := do[*kmsg.ListPartitionReassignmentsResponse](r, at(0, kmsg.NewPtrListPartitionReassignmentsRequest()))
		if resp.ErrorCode != 0 || len(resp.Topics) != 0 {
			t.Errorf("reassignments under way: %+v, want none", resp)
		}
	})
}
