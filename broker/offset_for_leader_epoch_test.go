package broker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
)

func TestOffsetForLeaderEpoch(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		r.mustProduce("orders", keyedBatch("a", "1", "b", "2"))
		for _, tt := range []struct {
			name           string
			topic          string
			current, asked int32
			code           int16
			epoch          int32
			end            int64
		}{
			{"the epoch there is", "orders", 0, 0, 0, 0, 2},
			{"without a current epoch", "orders", -1, 0, 0, 0, 2},
			{"a later one", "orders", 0, 1, 0, -1, -1},
			{"none", "orders", 0, -1, 0, -1, -1},
			{"a client ahead of the leader", "orders", 1, 0, 75, -1, -1},
			{"no such topic", "nothing", 0, 0, 3, -1, -1},
		} {
			for version := int16(2); version <= 4; version++ {
				req := at(version, kmsg.NewPtrOffsetForLeaderEpochRequest())
				rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
				rt.Topic = tt.topic
				rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				rp.CurrentLeaderEpoch, rp.LeaderEpoch = tt.current, tt.asked
				rt.Partitions = append(rt.Partitions, rp)
				req.Topics = append(req.Topics, rt)
				got := do[*kmsg.OffsetForLeaderEpochResponse](r, req).Topics[0].Partitions[0]
				if got.ErrorCode != tt.code || got.LeaderEpoch != tt.epoch || got.EndOffset != tt.end {
					t.Errorf("%s, v%d: error %d, epoch %d, end %d, want %d, %d, %d",
						tt.name, version, got.ErrorCode, got.LeaderEpoch, got.EndOffset, tt.code, tt.epoch, tt.end)
				}
			}
		}
	})
}
