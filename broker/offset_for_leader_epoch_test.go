package broker_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
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
				got := r.epochEnd(version, tt.topic, tt.current, tt.asked)
				if got.ErrorCode != tt.code || got.LeaderEpoch != tt.epoch || got.EndOffset != tt.end {
					t.Errorf("%s, v%d: error %d, epoch %d, end %d, want %d, %d, %d",
						tt.name, version, got.ErrorCode, got.LeaderEpoch, got.EndOffset, tt.code, tt.epoch, tt.end)
				}
			}
		}
	})
}

func (r *raw) epochEnd(version int16, topic string, current, asked int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	r.t.Helper()
	req := at(version, kmsg.NewPtrOffsetForLeaderEpochRequest())
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.CurrentLeaderEpoch, rp.LeaderEpoch = current, asked
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return do[*kmsg.OffsetForLeaderEpochResponse](r, req).Topics[0].Partitions[0]
}

// A client that has read records which a crash took back, as riffle.flush=os lets it,
// is told where its epoch ended, however it asks.
func TestTruncationIsTold(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		const seed = 5
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys))
		r.create("orders", 1, "riffle.flush", "os")
		for range 3 {
			r.mustProduce("orders", batch(1, "a", "b"))
		}
		if p := r.fetch("orders", 0); p.HighWatermark != 6 {
			t.Fatalf("high watermark %d, want 6: consumers see what is not on disk", p.HighWatermark)
		}
		r = start(brokertest.FS(fsys.CrashClone(0, rand.New(rand.NewPCG(seed, seed)))))
		end := r.fetch("orders", 0).HighWatermark
		if end >= 6 {
			t.Fatalf("the crash took nothing: %d records are there", end)
		}
		r.mustProduce("orders", batch(1, "x", "y", "z"))
		for range 3 {
			r.mustProduce("orders", batch(1, "others", "now"))
		}
		st := do[*kmsg.MetadataResponse](r, func() *kmsg.MetadataRequest {
			req := at(12, kmsg.NewPtrMetadataRequest())
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic = kmsg.StringPtr("orders")
			req.Topics = append(req.Topics, rt)
			return req
		}()).Topics[0]
		if got := st.Partitions[0].LeaderEpoch; got != 1 {
			t.Errorf("Metadata names epoch %d, want 1", got)
		}
		for _, version := range []int16{2, 4} {
			if got := r.epochEnd(version, "orders", 1, 0); got.ErrorCode != 0 || got.LeaderEpoch != 0 || got.EndOffset != end {
				t.Errorf("v%d: epoch 0 ends at %d (epoch %d, error %d), want %d", version, got.EndOffset, got.LeaderEpoch, got.ErrorCode, end)
			}
			if got := r.epochEnd(version, "orders", 0, 0); got.ErrorCode != kerr.FencedLeaderEpoch.Code {
				t.Errorf("v%d, by a client of epoch 0: error %d, want 74", version, got.ErrorCode)
			}
		}
		for _, tc := range []struct {
			name           string
			version        int16
			current, last  int32
			offset         int64
			code           int16
			epoch          int32
			end            int64
			returnsRecords bool
		}{
			{"a client of the old epoch", 12, 0, 0, 6, 74, -1, -1, false},
			{"a client of an epoch to come", 12, 2, 0, 6, 75, -1, -1, false},
			{"one that has read what is gone", 12, 1, 0, 6, 0, 0, end, false},
			{"the same, waiting", 16, 1, 0, 6, 0, 0, end, false},
			{"one that has not", 12, 1, 0, end, 0, -1, -1, true},
			{"one that has read the new ones", 12, 1, 1, end + 3, 0, -1, -1, true},
			{"one that does not say", 12, 1, -1, 6, 0, -1, -1, true},
			{"one that cannot say", 11, 1, 0, 6, 0, -1, -1, true},
		} {
			req := at(tc.version, fetchRequest("orders", tc.offset))
			req.Topics[0].TopicID = st.TopicID
			req.MaxWaitMillis, req.MinBytes = 15_000, 1
			rp := &req.Topics[0].Partitions[0]
			rp.CurrentLeaderEpoch, rp.LastFetchedEpoch = tc.current, tc.last
			p := do[*kmsg.FetchResponse](r, req).Topics[0].Partitions[0]
			if p.ErrorCode != tc.code || p.DivergingEpoch.Epoch != tc.epoch || p.DivergingEpoch.EndOffset != tc.end || (len(p.RecordBatches) > 0) != tc.returnsRecords {
				t.Errorf("%s: error %d, diverging at %+v, %d bytes, want %d, epoch %d at %d", tc.name, p.ErrorCode, p.DivergingEpoch, len(p.RecordBatches), tc.code, tc.epoch, tc.end)
			}
		}
		req := listOffsetsRequest(4, -1)
		if p := do[*kmsg.ListOffsetsResponse](r, req).Topics[0].Partitions[0]; p.LeaderEpoch != 1 {
			t.Errorf("ListOffsets names epoch %d, want 1", p.LeaderEpoch)
		}
	})
}

// A franz-go consumer that has read further than the log goes after a crash says that
// records were lost, and goes on where they are others now.
func TestClientNoticesTruncation(t *testing.T) {
	t.Parallel()
	const seed = 6
	fsys := vfs.NewMem()
	first := brokertest.Start(t, brokertest.FS(fsys))
	r := dial(t, first, "memory")
	r.create("orders", 1, "riffle.flush", "os")
	r.mustProduce("orders", batch(1, "a", "b", "c", "d"))

	var now atomic.Pointer[broker.Broker]
	now.Store(first)
	cl, err := kgo.NewClient(
		kgo.SeedBrokers("memory.riffle.invalid:9092"), kgo.AlwaysRetryEOF(), kgo.ConsumeTopics("orders"),
		kgo.Dialer(func(ctx context.Context, _, _ string) (net.Conn, error) { return now.Load().Dial(ctx) }),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(50*time.Millisecond),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for n := 0; n < 4; {
		n += cl.PollFetches(ctx).NumRecords()
		if ctx.Err() != nil {
			t.Fatal("the records did not come")
		}
	}
	second := brokertest.Start(t, brokertest.FS(fsys.CrashClone(0, rand.New(rand.NewPCG(seed, seed)))))
	r = dial(t, second, "memory")
	r.mustProduce("orders", batch(1, "others", "are", "here", "now", "and", "more"))
	now.Store(second)
	brokertest.Stop(t, first)

	var lost *kgo.ErrDataLoss
	var got []string
	for len(got) < 6 && ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		fetches.EachError(func(_ string, _ int32, err error) { errors.As(err, &lost) })
		fetches.EachRecord(func(rec *kgo.Record) { got = append(got, string(rec.Value)) })
	}
	if lost == nil || len(got) != 6 || got[0] != "others" {
		t.Errorf("the client read %v and heard %v, want all six records and of the loss", got, lost)
	}
}
