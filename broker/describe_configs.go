package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/catalog"
	"github.com/riffle-stream/riffle/broker/group/consumer"
)

// DescribeConfigs: v1-4
//
//   - v3: types and documentation
//   - v4: flexible
//
// Topics have all of Kafka's configs that Riffle knows, and riffle.flush; the
// broker those that exist here, read-only, its passwords and keys without their values; groups those of the consumer protocol,
// also a group that is not there. Loggers and client metrics have none.
func handleDescribeConfigs(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.DescribeConfigsRequest)
	resp := r.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for _, rr := range distinct(r.Resources, describedResource) {
		sr := kmsg.NewDescribeConfigsResponseResource()
		sr.ResourceType, sr.ResourceName = rr.ResourceType, rr.ResourceName
		values, err := c.describe(&rr)
		if err != nil {
			sr.ErrorCode = b.metrics.failed(r.Key(), err)
			sr.ErrorMessage = errorMessage(err)
		}
		for _, v := range values {
			if rr.ConfigNames == nil || slices.Contains(rr.ConfigNames, v.Name) {
				sr.Configs = append(sr.Configs, describedConfig(r, rr.ResourceType, v))
			}
		}
		resp.Resources = append(resp.Resources, sr)
	}
	return resp, nil
}

func describedResource(rr kmsg.DescribeConfigsRequestResource) configResource {
	return configResource{rr.ResourceType, rr.ResourceName}
}

func (c *conn) describe(rr *kmsg.DescribeConfigsRequestResource) ([]catalog.Value, error) {
	b := c.b
	if err := c.authorizeConfigs(acl.DescribeConfigs, configResource{rr.ResourceType, rr.ResourceName}); err != nil {
		return nil, err
	}
	switch rr.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if err := catalog.ValidateName(rr.ResourceName); err != nil {
			return nil, err
		}
		t, err := b.find(false, [16]byte{}, rr.ResourceName)
		if err != nil {
			return nil, err
		}
		return t.Describe(), nil
	case kmsg.ConfigResourceTypeBroker:
		if rr.ResourceName != "" && rr.ResourceName != strconv.Itoa(int(b.cfg.NodeID)) {
			return nil, fmt.Errorf("%w: this is node %d, not %s", kerr.InvalidRequest, b.cfg.NodeID, rr.ResourceName)
		}
		return b.configs(), nil
	case kmsg.ConfigResourceTypeGroupConfig:
		if rr.ResourceName == "" {
			return nil, fmt.Errorf("%w: a group has a name", kerr.InvalidRequest)
		}
		return b.describeGroup(rr.ResourceName), nil
	case kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeClientMetrics:
		return nil, nil
	default:
		return nil, fmt.Errorf("%w: resource type %d", kerr.InvalidRequest, rr.ResourceType)
	}
}

// staticBroker is the source of a value that the broker was started with.
const staticBroker = catalog.ConfigSource(kmsg.ConfigSourceStaticBrokerConfig)

// configs are the broker's own, by Kafka's names.
func (b *Broker) configs() []catalog.Value {
	cfg := b.cfg
	values := []catalog.Value{
		staticText("auto.create.topics.enable", catalog.Boolean, strconv.FormatBool(cfg.AutoCreateTopics)),
		staticText("listeners", catalog.List, strings.Join(cfg.Listen, ",")),
		staticText("log.dirs", catalog.List, cfg.Dir),
		staticNumber("broker.id", catalog.Int, int64(cfg.NodeID)),
		staticNumber("node.id", catalog.Int, int64(cfg.NodeID)),
		staticNumber("connections.max.idle.ms", catalog.Long, cfg.IdleTimeout.Milliseconds()),
		staticNumber("default.replication.factor", catalog.Int, 1),
		staticNumber("fetch.max.bytes", catalog.Int, int64(cfg.MaxFetchBytes)),
		staticText("group.consumer.assignors", catalog.List, consumer.Uniform+","+consumer.Range),
		staticNumber("group.consumer.heartbeat.interval.ms", catalog.Int, cfg.Group.ConsumerHeartbeatInterval.Milliseconds()),
		staticNumber("group.consumer.max.size", catalog.Int, int64(cfg.Group.MaxMembers)),
		staticNumber("group.consumer.session.timeout.ms", catalog.Int, cfg.Group.ConsumerSessionTimeout.Milliseconds()),
		staticText("group.coordinator.rebalance.protocols", catalog.List, "classic,consumer"),
		staticNumber("group.initial.rebalance.delay.ms", catalog.Int, cfg.Group.InitialRebalanceDelay.Milliseconds()),
		staticNumber("group.max.session.timeout.ms", catalog.Int, cfg.Group.MaxSessionTimeout.Milliseconds()),
		staticNumber("group.min.session.timeout.ms", catalog.Int, cfg.Group.MinSessionTimeout.Milliseconds()),
		staticNumber("log.retention.check.interval.ms", catalog.Long, cfg.RetentionInterval.Milliseconds()),
		staticNumber("max.connections", catalog.Int, int64(cfg.MaxConnections)),
		staticNumber("max.connections.per.ip", catalog.Int, int64(cfg.MaxConnectionsPerIP)),
		staticNumber("max.incremental.fetch.session.cache.slots", catalog.Int, int64(cfg.MaxFetchSessions)),
		staticNumber("num.partitions", catalog.Int, int64(cfg.DefaultPartitions)),
		staticNumber("offset.metadata.max.bytes", catalog.Int, int64(cfg.Group.MaxMetadataBytes)),
		staticNumber("offsets.retention.check.interval.ms", catalog.Long, cfg.Group.OffsetsCheckInterval.Milliseconds()),
		staticNumber("offsets.retention.minutes", catalog.Int, int64(cfg.Group.OffsetsRetention.Minutes())),
		staticNumber("offsets.topic.num.partitions", catalog.Int, int64(cfg.Group.OffsetsPartitions)),
		staticNumber("socket.request.max.bytes", catalog.Int, int64(cfg.MaxFrameBytes)),
	}
	values = append(values, b.securityConfigs()...)
	slices.SortFunc(values, func(a, b catalog.Value) int { return strings.Compare(a.Name, b.Name) })
	return values
}

func staticNumber(name string, typ catalog.ConfigType, v int64) catalog.Value {
	return staticText(name, typ, strconv.FormatInt(v, 10))
}

func staticText(name string, typ catalog.ConfigType, v string) catalog.Value {
	return catalog.Value{Spec: catalog.Spec{Name: name, Type: typ}, Value: v, Source: staticBroker}
}

// describedConfig is one config as the version of the request shows it.
func describedConfig(r *kmsg.DescribeConfigsRequest, resource kmsg.ConfigResourceType, v catalog.Value) kmsg.DescribeConfigsResponseResourceConfig {
	sc := kmsg.NewDescribeConfigsResponseResourceConfig()
	sc.Name, sc.Value = v.Name, &v.Value
	if sc.IsSensitive = v.Type == catalog.Secret; sc.IsSensitive {
		sc.Value = nil
	}
	sc.Source = kmsg.ConfigSource(v.Source)
	sc.ReadOnly = resource == kmsg.ConfigResourceTypeBroker
	sc.ConfigType = kmsg.ConfigType(v.Type)
	if r.IncludeDocumentation && v.Doc != "" {
		sc.Documentation = &v.Doc
	}
	if !r.IncludeSynonyms {
		return sc
	}
	synonym := func(value string, source kmsg.ConfigSource) {
		s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		if s.Name, s.Source = v.Name, source; !sc.IsSensitive {
			s.Value = &value
		}
		sc.ConfigSynonyms = append(sc.ConfigSynonyms, s)
	}
	if v.Source != catalog.SourceDefault {
		synonym(v.Value, sc.Source)
	}
	if v.Default != "" || v.Source == catalog.SourceDefault {
		synonym(v.Default, kmsg.ConfigSourceDefaultConfig)
	}
	return sc
}
