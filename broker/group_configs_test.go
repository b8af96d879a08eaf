package broker_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// groupConfigs are the configs that are set for a group, and all.
func (r *raw) groupConfigs(group string) (set, all map[string]string) {
	r.t.Helper()
	req := at(4, kmsg.NewPtrDescribeConfigsRequest())
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	req.Resources = append(req.Resources, rr)
	set, all = map[string]string{}, map[string]string{}
	for _, c := range do[*kmsg.DescribeConfigsResponse](r, req).Resources[0].Configs {
		if all[c.Name] = text(c.Value); c.Source == kmsg.ConfigSourceGroupConfig {
			set[c.Name] = text(c.Value)
		}
		if c.ReadOnly {
			r.t.Errorf("%s is read-only", c.Name)
		}
	}
	return set, all
}

// alterGroup sets one config of a group; an empty value deletes it.
func (r *raw) alterGroup(version int16, group, name, value string) int16 {
	r.t.Helper()
	req := at(version, kmsg.NewPtrIncrementalAlterConfigsRequest())
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	if c.Name, c.Value = name, &value; value == "" {
		c.Op, c.Value = kmsg.IncrementalAlterConfigOpDelete, nil
	}
	rr.Configs = append(rr.Configs, c)
	req.Resources = append(req.Resources, rr)
	return do[*kmsg.IncrementalAlterConfigsResponse](r, req).Resources[0].ErrorCode
}

// The configs of a group change how often its members heartbeat and how long they may
// be silent, whether or not there is a group yet, and survive a restart.
func TestGroupConfigs(t *testing.T) {
	t.Parallel()
	const session, interval = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys))
		r.create("orders", 1)
		want := map[string]string{session: "45000", interval: "5000"}
		if set, all := r.groupConfigs("g"); len(set) > 0 || !cmp.Equal(want, all) {
			t.Errorf("before: %v are set, all are %v, want %v", set, all, want)
		}
		for version := int16(0); version <= 1; version++ {
			wantCode(t, "set the interval", r.alterGroup(version, "g", interval, "1000"), nil)
		}
		wantCode(t, "set the session timeout", r.alterGroup(1, "g", session, "60000"), nil)
		wantCode(t, "a session that is too short", r.alterGroup(1, "g", session, "5999"), kerr.InvalidConfig)
		wantCode(t, "an interval as long as the session", r.alterGroup(1, "g", interval, "60000"), kerr.InvalidConfig)
		wantCode(t, "not a number", r.alterGroup(1, "g", interval, "often"), kerr.InvalidConfig)
		wantCode(t, "a config of topics", r.alterGroup(1, "g", "retention.ms", "1"), kerr.InvalidConfig)
		wantCode(t, "no name", r.alterGroup(1, "", interval, "1000"), kerr.InvalidRequest)
		want = map[string]string{session: "60000", interval: "1000"}

		check := func(r *raw) {
			t.Helper()
			if set, all := r.groupConfigs("g"); !cmp.Equal(want, set) || !cmp.Equal(want, all) {
				t.Errorf("%v are set, all are %v, want %v", set, all, want)
			}
			c := r.consumer("g", "m1")
			if resp := c.heartbeat(c.joinRequest("orders")); resp.HeartbeatIntervalMillis != 1000 {
				t.Errorf("the heartbeat interval is %d ms, want 1000", resp.HeartbeatIntervalMillis)
			}
			list := at(1, kmsg.NewPtrListConfigResourcesRequest())
			list.ResourceTypes = []int8{int8(kmsg.ConfigResourceTypeGroupConfig)}
			if got := do[*kmsg.ListConfigResourcesResponse](r, list).ConfigResources; len(got) != 1 || got[0].Name != "g" {
				t.Errorf("ListConfigResources = %+v, want g", got)
			}
		}
		check(r)
		brokertest.Stop(t, r.b)
		r = start(brokertest.FS(fsys))
		check(r)

		// AlterConfigs takes back what DescribeConfigs says, and drops what is not named.
		for version := int16(0); version <= 2; version++ {
			req := at(version, kmsg.NewPtrAlterConfigsRequest())
			rr := kmsg.NewAlterConfigsRequestResource()
			rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeGroupConfig, "g"
			c := kmsg.NewAlterConfigsRequestResourceConfig()
			c.Name, c.Value = session, kmsg.StringPtr("50000")
			rr.Configs = append(rr.Configs, c)
			req.Resources = append(req.Resources, rr)
			wantCode(t, "AlterConfigs", do[*kmsg.AlterConfigsResponse](r, req).Resources[0].ErrorCode, nil)
			if set, _ := r.groupConfigs("g"); !cmp.Equal(map[string]string{session: "50000"}, set) {
				t.Errorf("%v are set after AlterConfigs", set)
			}
		}
		wantCode(t, "delete", r.alterGroup(1, "g", session, ""), nil)
		if set, _ := r.groupConfigs("g"); len(set) > 0 {
			t.Errorf("%v are set after all was deleted", set)
		}
	})
}
