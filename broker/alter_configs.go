package broker

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/catalog"
)

// AlterConfigs: v0-2
//
//   - v2: flexible
//
// Replaces all configs of a topic or a group: those that are not named fall back to their
// defaults. Clients read all with DescribeConfigs, change one and write all back,
// so whatever DescribeConfigs says of a topic is accepted here. Topics and groups only,
// as in IncrementalAlterConfigs.
func handleAlterConfigs(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.AlterConfigsRequest)
	resp := r.ResponseKind().(*kmsg.AlterConfigsResponse)
	named := map[configResource]int{}
	for i := range r.Resources {
		named[configResource{r.Resources[i].ResourceType, r.Resources[i].ResourceName}]++
	}
	for i := range r.Resources {
		rr := &r.Resources[i]
		res := configResource{rr.ResourceType, rr.ResourceName}
		err := res.check(c, named[res])
		if err == nil {
			err = b.alter(res, r.ValidateOnly, func(map[string]string) (map[string]string, error) { return allConfigs(rr) })
		}
		sr := kmsg.NewAlterConfigsResponseResource()
		sr.ResourceType, sr.ResourceName = rr.ResourceType, rr.ResourceName
		sr.ErrorCode, sr.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		resp.Resources = append(resp.Resources, sr)
	}
	return resp, nil
}

func allConfigs(rr *kmsg.AlterConfigsRequestResource) (map[string]string, error) {
	configs := map[string]string{}
	for _, c := range rr.Configs {
		if _, twice := configs[c.Name]; twice || c.Value == nil {
			return nil, fmt.Errorf("%w: config %q has no value, or two", kerr.InvalidRequest, c.Name)
		}
		configs[c.Name] = *c.Value
	}
	return configs, nil
}

// configResource is what configs belong to.
type configResource struct {
	kind kmsg.ConfigResourceType
	name string
}

// check says why the configs of a resource cannot be altered. times is how often the
// request names it.
func (res configResource) check(c *conn, times int) error {
	b := c.b
	if err := c.authorizeConfigs(acl.AlterConfigs, res); err != nil {
		return err
	}
	switch {
	case times > 1:
		return fmt.Errorf("%w: resource %q is named more than once", kerr.InvalidRequest, res.name)
	case res.kind == kmsg.ConfigResourceTypeTopic:
		return catalog.ValidateName(res.name)
	case res.kind == kmsg.ConfigResourceTypeGroupConfig && res.name == "":
		return fmt.Errorf("%w: a group has a name; the defaults of groups are set when the broker is started", kerr.InvalidRequest)
	case res.kind == kmsg.ConfigResourceTypeGroupConfig:
		return nil
	case res.kind == kmsg.ConfigResourceTypeBroker && res.name != "" && res.name != strconv.Itoa(int(b.cfg.NodeID)):
		return fmt.Errorf("%w: this is node %d, not %s", kerr.InvalidRequest, b.cfg.NodeID, res.name)
	case res.kind == kmsg.ConfigResourceTypeBroker:
		return fmt.Errorf("%w: the configs of the broker are set when it is started", kerr.InvalidRequest)
	default:
		return fmt.Errorf("%w: resources of type %d have no configs that can be altered", kerr.InvalidRequest, res.kind)
	}
}

// table is the configs that resources of the kind have.
func (res configResource) table() catalog.Table {
	if res.kind == kmsg.ConfigResourceTypeGroupConfig {
		return catalog.GroupTable
	}
	return catalog.TopicTable
}

// alter replaces the configs of a resource, which was checked, by what change makes of
// those that are set.
func (b *Broker) alter(res configResource, validateOnly bool, change func(map[string]string) (map[string]string, error)) error {
	if res.kind == kmsg.ConfigResourceTypeGroupConfig {
		return b.alterGroup(res.name, validateOnly, change)
	}
	return b.alterTopic(res.name, validateOnly, change)
}

// authorizeConfigs says why the client may not do something with the configs of a
// resource. Those of a topic or a group belong to it, all others to the cluster.
func (c *conn) authorizeConfigs(op acl.Operation, res configResource) error {
	switch res.kind {
	case kmsg.ConfigResourceTypeTopic:
		return c.authorize(op, acl.Topic, res.name)
	case kmsg.ConfigResourceTypeGroupConfig:
		return c.authorize(op, acl.Group, res.name)
	}
	return c.authorizeCluster(op)
}

// alterTopic replaces the configs of a topic by what change makes of them.
func (b *Broker) alterTopic(name string, validateOnly bool, change func(map[string]string) (map[string]string, error)) error {
	var before map[string]string
	err := b.topics.alter(name, validateOnly, func(t catalog.Topic) (map[string]string, error) {
		before = t.Configs
		configs, err := change(t.Configs)
		if policy, set := configs["cleanup.policy"]; err == nil && t.Internal && set && policy != "compact" {
			return nil, &catalog.ConfigError{Name: "cleanup.policy", Value: policy, Reason: "the topic is the broker's memory, compact is all that keeps it"}
		}
		if err == nil && t.Internal && configs["cleanup.policy"] == "" {
			configs["cleanup.policy"] = "compact" // the default would delete what is not to be forgotten
		}
		return configs, err
	})
	if err == nil && !validateOnly {
		t, _ := b.topics.lookup(name)
		if t != nil {
			b.cfg.Logger.Info("broker: topic configs altered", "topic", name, "before", before, "now", t.Configs)
		}
	}
	return err
}
