package broker_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// quotaEntity is one part of an entity in a request.
type quotaEntity = kmsg.AlterClientQuotasRequestEntryEntity

func quotaUser(name string) quotaEntity { return quotaEntity{Type: "user", Name: &name} }

func quotaClient(name string) quotaEntity { return quotaEntity{Type: "client-id", Name: &name} }

// alterQuota sets a limit of one entity; 0 removes it.
func alterQuota(key string, rate float64, entity ...quotaEntity) *kmsg.AlterClientQuotasRequest {
	req := at(1, kmsg.NewPtrAlterClientQuotasRequest())
	re := kmsg.NewAlterClientQuotasRequestEntry()
	re.Entity = entity
	op := kmsg.NewAlterClientQuotasRequestEntryOp()
	op.Key, op.Value, op.Remove = key, rate, rate == 0
	re.Ops = append(re.Ops, op)
	req.Entries = append(req.Entries, re)
	return req
}

func (r *raw) setQuota(key string, rate float64, entity ...quotaEntity) {
	r.t.Helper()
	if res := do[*kmsg.AlterClientQuotasResponse](r, alterQuota(key, rate, entity...)).Entries[0]; res.ErrorCode != 0 {
		r.t.Fatalf("set %s: error %d, %s", key, res.ErrorCode, text(res.ErrorMessage))
	}
}

// Who produces or fetches too fast is told to pause, and not served until it has, on
// any of its connections; others are.
func TestQuotasThrottle(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *broker.Config) { c.Quota.Window = time.Second }, func(t *testing.T, r *raw) {
		r.create("orders", 1)
		r.setQuota("producer_byte_rate", 100<<10, quotaClient("raw"))
		r.setQuota("consumer_byte_rate", 50<<10, quotaEntity{Type: "client-id"})
		big := batch(1, strings.Repeat("x", 150<<10))
		send := func(r *raw) (throttle, took time.Duration) {
			began := time.Now()
			resp := do[*kmsg.ProduceResponse](r, produceRequest("orders", -1, big))
			if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
				t.Fatalf("produce: error %d", code)
			}
			return time.Duration(resp.ThrottleMillis) * time.Millisecond, time.Since(began)
		}
		throttle, took := send(r) // half a second more than was saved
		if throttle < 500*time.Millisecond || throttle > 510*time.Millisecond || took != 0 {
			t.Errorf("the first: throttled %v after %v, want about 0.5s at once", throttle, took)
		}
		again, took := send(r)
		if took < throttle-2*time.Millisecond || took > throttle || again < 1490*time.Millisecond || again > 1520*time.Millisecond {
			t.Errorf("the second: throttled %v after %v, want 1.5s after %v", again, took, throttle)
		}
		time.Sleep(again)
		began := time.Now()
		r.served("after the pause")
		if got := time.Since(began); got > time.Millisecond {
			t.Errorf("after the pause it took %v", got)
		}
		// Another connection of the same client has the same debt.
		other := r.again()
		_ = other.nc.SetDeadline(time.Time{})
		send(other)
		if throttle, _ := send(r); throttle < 1400*time.Millisecond {
			t.Errorf("on another connection: throttled %v", throttle)
		}
		r.setQuota("producer_byte_rate", 0, quotaClient("raw"))
		time.Sleep(time.Minute)
		if throttle, _ := send(r); throttle != 0 {
			t.Errorf("without a quota: throttled %v", throttle)
		}
		// Fetching has a quota of its own.
		first := fetchRequest("orders", 0)
		first.Topics[0].Partitions[0].PartitionMaxBytes = 1
		resp := do[*kmsg.FetchResponse](r, first)
		if got := resp.ThrottleMillis; got < 1990 || got > 2020 || len(resp.Topics[0].Partitions[0].RecordBatches) != len(big) {
			t.Errorf("fetch of %d bytes: throttled %d ms, want about two seconds for 150 KiB", len(resp.Topics[0].Partitions[0].RecordBatches), got)
		}
		began = time.Now()
		r.served("muted")
		if got := time.Since(began); got < 1990*time.Millisecond || got > 2020*time.Millisecond {
			t.Errorf("served after %v, want two seconds", got)
		}
	})
}

// The end of the broker does not wait for a client's pause, and a pause is not silence.
func TestThrottledConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := brokertest.Start(t, brokertest.With(func(c *broker.Config) {
			c.Quota.Window, c.Quota.MaxPause, c.IdleTimeout = time.Second, time.Hour, time.Minute
		}))
		r := dial(t, b, "memory")
		_ = r.nc.SetDeadline(time.Time{})
		r.create("orders", 1)
		r.setQuota("producer_byte_rate", 1000, quotaUser("ANONYMOUS"))
		r.send(produceRequest("orders", -1, batch(1, strings.Repeat("x", 200_000))), at(1, kmsg.NewPtrMetadataRequest()))
		produced := recv[*kmsg.ProduceResponse](r, produceRequest("orders", -1))
		if produced.ThrottleMillis < 199_000 {
			t.Errorf("throttled %d ms, want 199 seconds", produced.ThrottleMillis)
		}
		began := time.Now()
		recv[*kmsg.MetadataResponse](r, at(1, kmsg.NewPtrMetadataRequest()))
		if got := time.Since(began); got < 199*time.Second {
			t.Errorf("the next request was answered after %v", got)
		}
		r.produce("orders", batch(1, strings.Repeat("x", 200_000)))
		r.send(at(1, kmsg.NewPtrMetadataRequest()))
		synctest.Wait()
		began = time.Now()
		brokertest.Stop(t, b)
		if got := time.Since(began); got > time.Second {
			t.Errorf("the broker stopped after %v", got)
		}
	})
}

// A foreign administrator sees what was set, also after a restart; what is not
// enforced is refused.
func TestClientQuotas(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	b := brokertest.Start(t, brokertest.FS(fsys))
	admin := kadm.NewClient(brokertest.Client(t, b))
	name := func(s string) *string { return &s }
	entity := func(parts ...kadm.ClientQuotaEntityComponent) kadm.ClientQuotaEntity { return parts }
	user := func(s *string) kadm.ClientQuotaEntityComponent {
		return kadm.ClientQuotaEntityComponent{Type: "user", Name: s}
	}
	client := func(s *string) kadm.ClientQuotaEntityComponent {
		return kadm.ClientQuotaEntityComponent{Type: "client-id", Name: s}
	}
	set := func(e kadm.ClientQuotaEntity, ops ...kadm.AlterClientQuotaOp) error {
		altered, err := admin.AlterClientQuotas(t.Context(), []kadm.AlterClientQuotaEntry{{Entity: e, Ops: ops}})
		if err != nil {
			t.Fatal(err)
		}
		return altered[0].Err
	}
	produce := kadm.AlterClientQuotaOp{Key: "producer_byte_rate", Value: 1 << 20}
	for _, e := range []kadm.ClientQuotaEntity{entity(user(nil)), entity(user(name("alice"))), entity(user(name("alice")), client(name("app"))), entity(client(nil))} {
		if err := set(e, produce, kadm.AlterClientQuotaOp{Key: "consumer_byte_rate", Value: 2.5}); err != nil {
			t.Errorf("%v: %v", e, err)
		}
	}
	for _, tc := range []struct {
		entity kadm.ClientQuotaEntity
		op     kadm.AlterClientQuotaOp
	}{
		{entity(user(name("bob"))), kadm.AlterClientQuotaOp{Key: "request_percentage", Value: -1}},
		{entity(user(name("bob"))), kadm.AlterClientQuotaOp{Key: "controller_mutation_rate", Value: 10}},
		{entity(user(name("bob"))), kadm.AlterClientQuotaOp{Key: "producer_byte_rate", Value: -1}},
		{entity(user(name(""))), produce},
		{entity(user(name("bob")), user(name("carol"))), produce},
		{entity(kadm.ClientQuotaEntityComponent{Type: "ip", Name: name("10.0.0.1")}), kadm.AlterClientQuotaOp{Key: "connection_creation_rate", Value: 1}},
		{entity(), produce},
	} {
		if err := set(tc.entity, tc.op); err == nil || !strings.Contains(err.Error(), kerr.InvalidRequest.Message) {
			t.Errorf("%v %+v: %v, want it refused", tc.entity, tc.op, err)
		}
	}
	admin.Close()
	brokertest.Stop(t, b)
	admin = kadm.NewClient(brokertest.Client(t, brokertest.Start(t, brokertest.FS(fsys))))
	describe := func(strict bool, components ...kadm.DescribeClientQuotaComponent) []string {
		t.Helper()
		described, err := admin.DescribeClientQuotas(t.Context(), strict, components)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range described {
			parts := map[string]string{}
			for _, e := range d.Entity {
				if parts[e.Type] = "<default>"; e.Name != nil {
					parts[e.Type] = *e.Name
				}
			}
			if len(d.Values) != 2 || d.Values[0].Value != 1<<20 || d.Values[1].Value != 2.5 {
				t.Errorf("%v: %v", parts, d.Values)
			}
			got = append(got, parts["user"]+"/"+parts["client-id"])
		}
		return got
	}
	exact := kadm.DescribeClientQuotaComponent{Type: "user", MatchName: name("alice"), MatchType: kmsg.QuotasMatchTypeExact}
	byDefault := kadm.DescribeClientQuotaComponent{Type: "client-id", MatchType: kmsg.QuotasMatchTypeDefault}
	any := kadm.DescribeClientQuotaComponent{Type: "user", MatchType: kmsg.QuotasMatchTypeAny}
	for _, tc := range []struct{ got, want []string }{
		{describe(false), []string{"/<default>", "<default>/", "alice/", "alice/app"}},
		{describe(false, exact), []string{"alice/", "alice/app"}},
		{describe(true, exact), []string{"alice/"}},
		{describe(false, byDefault), []string{"/<default>"}},
		{describe(true, any), []string{"<default>/", "alice/"}},
		{describe(true), nil},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("described (-want +got):\n%s", diff)
		}
	}
	bad := kadm.DescribeClientQuotaComponent{Type: "ip", MatchType: kmsg.QuotasMatchTypeAny}
	if _, err := admin.DescribeClientQuotas(t.Context(), false, []kadm.DescribeClientQuotaComponent{bad}); err == nil {
		t.Error("quotas of addresses were described")
	}
}
