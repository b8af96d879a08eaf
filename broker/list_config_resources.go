package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// ListConfigResources: v0-1
//
//   - v0: client metrics only (KIP-714), of which there are none
//   - v1: the types that are asked for, or all
//
// Topics and the broker have configs, and those groups for which some were set.
func handleListConfigResources(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.ListConfigResourcesRequest)
	resp := r.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	resp.ConfigResources = []kmsg.ListConfigResourcesResponseConfigResource{}
	if err := c.authorizeCluster(acl.DescribeConfigs); err != nil {
		resp.ErrorCode = b.metrics.failed(r.Key(), err)
		return resp, nil
	}
	if r.Version == 0 {
		return resp, nil
	}
	known := []int8{
		int8(kmsg.ConfigResourceTypeTopic), int8(kmsg.ConfigResourceTypeBroker), int8(kmsg.ConfigResourceTypeBrokerLogger),
		int8(kmsg.ConfigResourceTypeClientMetrics), int8(kmsg.ConfigResourceTypeGroupConfig),
	}
	asked := r.ResourceTypes
	if len(asked) == 0 {
		asked = known
	}
	for _, kind := range asked {
		if !slices.Contains(known, kind) {
			resp.ErrorCode = b.metrics.failed(r.Key(), fmt.Errorf("%w: resource type %d", kerr.UnsupportedVersion, kind))
			return resp, nil
		}
	}
	add := func(kind kmsg.ConfigResourceType, name string) {
		if !slices.Contains(asked, int8(kind)) {
			return
		}
		cr := kmsg.NewListConfigResourcesResponseConfigResource()
		cr.Type, cr.Name = int8(kind), name
		resp.ConfigResources = append(resp.ConfigResources, cr)
	}
	for _, t := range b.topics.all() {
		add(kmsg.ConfigResourceTypeTopic, t.Name)
	}
	for _, name := range b.catalog.ConfiguredGroups() {
		add(kmsg.ConfigResourceTypeGroupConfig, name)
	}
	add(kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(b.cfg.NodeID)))
	return resp, nil
}
