package broker_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

// slowDisk runs a test in a bubble, on a broker whose disk takes a time for each
// operation of a kind on the logs of topics and their journal.
func slowDisk(t *testing.T, kind faultfs.Kind, takes time.Duration, test func(t *testing.T, r *raw, slow func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(vfs.NewMem())
		b := brokertest.Start(t, brokertest.FS(disk), brokertest.With(func(c *broker.Config) {
			c.Quota.Window = time.Second
			c.Group.InitialRebalanceDelay = 3 * time.Second
		}))
		r := dial(t, b, "memory")
		_ = r.nc.SetDeadline(time.Time{})
		defer disk.Hook(nil)
		test(t, r, func() {
			disk.Hook(func(op faultfs.Op) error {
				if op.Kind == kind && (strings.HasSuffix(op.Name, ".log") || strings.HasPrefix(op.Name, "journal")) {
					time.Sleep(takes)
				}
				return nil
			})
		})
	})
}

// The time that the broker works on requests is a client's by its request_percentage, and
// what is above has to be paused for; whatever the request is.
func TestRequestQuotaThrottles(t *testing.T) {
	t.Parallel()
	slowDisk(t, faultfs.Write, 100*time.Millisecond, func(t *testing.T, r *raw, slow func()) {
		r.create("orders", 1, "riffle.flush", "os")
		r.setQuota("request_percentage", 5, quotaClient("raw"))
		r.setQuota("producer_byte_rate", 1<<30, quotaClient("raw"))
		slow() // a tenth of a second is 10 percent of one, half of it was saved up
		produced := do[*kmsg.ProduceResponse](r, produceRequest("orders", -1, batch(1, "a")))
		if got := produced.ThrottleMillis; produced.Topics[0].Partitions[0].ErrorCode != 0 || got < 990 || got > 1000 {
			t.Errorf("produce: %+v, throttled %d ms, want a second", produced.Topics, got)
		}
		began := time.Now()
		metadata := do[*kmsg.MetadataResponse](r, at(9, kmsg.NewPtrMetadataRequest()))
		if took := time.Since(began); took < 990*time.Millisecond || metadata.ThrottleMillis > 0 {
			t.Errorf("the next request: answered after %v, throttled %d ms", took, metadata.ThrottleMillis)
		}
		r.setQuota("request_percentage", 0, quotaClient("raw"))
		if produced := do[*kmsg.ProduceResponse](r, produceRequest("orders", -1, batch(1, "a"))); produced.ThrottleMillis > 0 {
			t.Errorf("without a quota: throttled %d ms", produced.ThrottleMillis)
		}
	})
}

// A request that waits, for records, for other members, or for the disk, does not work
// meanwhile.
func TestWaitingIsNotWork(t *testing.T) {
	t.Parallel()
	slowDisk(t, faultfs.Sync, time.Second, func(t *testing.T, r *raw, slow func()) {
		id := r.create("orders", 1)
		simple := &groupClient{raw: r, group: "g", generation: -1}
		joining := &groupClient{raw: r, group: "joined", version: 5, instance: kmsg.StringPtr("one")}
		wantCode(t, "commit", simple.commit(8, "orders", id, 1, ""), nil) // makes the topic of offsets
		r.setQuota("request_percentage", 1, quotaClient("raw"))
		slow()
		took := func(what string, least time.Duration, throttled func() int32) {
			t.Helper()
			began := time.Now()
			if got := throttled(); got > 0 {
				t.Errorf("%s: throttled %d ms", what, got)
			}
			if took := time.Since(began); took < least {
				t.Errorf("%s took %v, want it to wait for %v", what, took, least)
			}
		}
		took("produce", time.Second, func() int32 {
			return do[*kmsg.ProduceResponse](r, produceRequest("orders", -1, batch(1, "a"))).ThrottleMillis
		})
		took("fetch", 5*time.Second, func() int32 {
			req := fetchRequest("orders", 1)
			req.MaxWaitMillis, req.MinBytes = 5000, 1
			return do[*kmsg.FetchResponse](r, req).ThrottleMillis
		})
		took("commit", time.Second, func() int32 {
			req := simple.commitRequest(8, "orders", id, 2, "")
			return do[*kmsg.OffsetCommitResponse](r, req).ThrottleMillis
		})
		took("join", 3*time.Second, func() int32 {
			return do[*kmsg.JoinGroupResponse](r, joining.joinRequest()).ThrottleMillis
		})
		took("begin a transaction", time.Second, func() int32 {
			req := at(4, kmsg.NewPtrInitProducerIDRequest())
			req.TransactionalID, req.TransactionTimeoutMillis = kmsg.StringPtr("x"), 10_000
			req.ProducerID, req.ProducerEpoch = -1, -1
			return do[*kmsg.InitProducerIDResponse](r, req).ThrottleMillis
		})
	})
}
