package broker_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
)

// The one node is leader and voter of the quorum, where the client came to.
func TestDescribeQuorum(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		var before int64
		broker := do[*kmsg.MetadataResponse](r, at(1, kmsg.NewPtrMetadataRequest())).Brokers[0]
		for v := int16(0); v <= 2; v++ {
			req := at(v, kmsg.NewPtrDescribeQuorumRequest())
			for _, topic := range []string{"__cluster_metadata", "orders"} {
				rt := kmsg.NewDescribeQuorumRequestTopic()
				rt.Topic = topic
				rt.Partitions = append(rt.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
				req.Topics = append(req.Topics, rt)
			}
			resp := do[*kmsg.DescribeQuorumResponse](r, req)
			p := resp.Topics[0].Partitions[0]
			if resp.ErrorCode != 0 || p.ErrorCode != 0 || p.LeaderID != 1 || p.LeaderEpoch != 1 || p.HighWatermark <= before || p.CurrentVoters[0].LogEndOffset != p.HighWatermark ||
				len(p.CurrentVoters) != 1 || p.CurrentVoters[0].ReplicaID != 1 || len(p.Observers) != 0 {
				t.Errorf("v%d: %+v", v, resp)
			}
			before = p.HighWatermark
			r.create(fmt.Sprintf("another-%d", v), 1) // moves the log of metadata on
			if v >= 1 && p.CurrentVoters[0].LastCaughtUpTimestamp <= 0 {
				t.Errorf("v%d: the voter has never caught up", v)
			}
			if v >= 2 && (len(resp.Nodes) != 1 || resp.Nodes[0].Listeners[0].Host != broker.Host || int32(resp.Nodes[0].Listeners[0].Port) != broker.Port) {
				t.Errorf("v%d: nodes %+v, want %s:%d", v, resp.Nodes, broker.Host, broker.Port)
			}
			if code := resp.Topics[1].Partitions[0].ErrorCode; code != kerr.UnknownTopicOrPartition.Code {
				t.Errorf("v%d: another topic: error %d", v, code)
			}
		}
	})
}

// Features stay at the level of the release, and each way to change one says why not.
func TestUpdateFeatures(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		bad, failed := kerr.InvalidUpdateVersion.Code, kerr.FeatureUpdateFailed.Code
		for _, tc := range []struct {
			feature string
			level   int16
			lower   bool
			want    int16
		}{
			{"transaction.version", 2, false, 0},
			{"group.version", 1, true, 0},
			{"transaction.version", 3, false, bad},
			{"transaction.version", -1, false, bad},
			{"transaction.version", 1, false, bad},
			{"transaction.version", 1, true, failed},
			{"transaction.version", 0, true, failed},
			{"metadata.version", 33, false, bad},
		} {
			for v := int16(0); v <= 2; v++ {
				req := at(v, kmsg.NewPtrUpdateFeaturesRequest())
				u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
				u.Feature, u.MaxVersionLevel, u.AllowDowngrade, u.UpgradeType = tc.feature, tc.level, tc.lower, 1
				if tc.lower {
					u.UpgradeType = 2
				}
				req.FeatureUpdates = append(req.FeatureUpdates, u)
				resp := do[*kmsg.UpdateFeaturesResponse](r, req)
				code, message := resp.ErrorCode, resp.ErrorMessage
				if v < 2 && code == 0 {
					code, message = resp.Results[0].ErrorCode, resp.Results[0].ErrorMessage
				}
				if code != tc.want || (message == nil) != (code == 0) {
					t.Errorf("v%d, %+v: error %d, %s", v, tc, code, text(message))
				}
			}
		}
		req := at(1, kmsg.NewPtrUpdateFeaturesRequest())
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType = "group.version", 1, 1
		req.FeatureUpdates = append(req.FeatureUpdates, u, u)
		var got []int16
		for _, res := range do[*kmsg.UpdateFeaturesResponse](r, req).Results {
			got = append(got, res.ErrorCode)
		}
		if diff := cmp.Diff([]int16{0, kerr.InvalidRequest.Code}, got); diff != "" {
			t.Errorf("twice the same (-want +got):\n%s", diff)
		}
	})
}
