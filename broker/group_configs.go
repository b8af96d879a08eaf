package broker

import (
	"strconv"
	"time"

	"github.com/riffle-stream/riffle/broker/catalog"
)

// groupConfig is what a group of consumers is configured with.
type groupConfig struct {
	sessionTimeout    time.Duration
	heartbeatInterval time.Duration
}

// groupConfig is the broker's configuration with what was set for the group.
func (b *Broker) groupConfig(set map[string]string) groupConfig {
	millis := func(name string, otherwise time.Duration) time.Duration {
		value, own := set[name]
		if !own {
			return otherwise
		}
		n, _ := strconv.Atoi(value) // validated before it was stored
		return time.Duration(n) * time.Millisecond
	}
	return groupConfig{
		sessionTimeout:    millis("consumer.session.timeout.ms", b.cfg.Group.ConsumerSessionTimeout),
		heartbeatInterval: millis("consumer.heartbeat.interval.ms", b.cfg.Group.ConsumerHeartbeatInterval),
	}
}

// values are the configs by Kafka's names.
func (gc groupConfig) values() map[string]string {
	millis := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	return map[string]string{
		"consumer.session.timeout.ms":    millis(gc.sessionTimeout),
		"consumer.heartbeat.interval.ms": millis(gc.heartbeatInterval),
	}
}

// describeGroup returns all configs of a group, whether or not there is one.
func (b *Broker) describeGroup(name string) []catalog.Value {
	set := b.catalog.GroupConfigs(name)
	defaults, now := b.groupConfig(nil).values(), b.groupConfig(set).values()
	var values []catalog.Value
	for _, spec := range catalog.GroupTable.Specs() {
		spec.Default = defaults[spec.Name]
		v := catalog.Value{Spec: spec, Value: now[spec.Name], Source: catalog.SourceDefault}
		if _, own := set[spec.Name]; own {
			v.Source = catalog.SourceGroup
		}
		values = append(values, v)
	}
	return values
}

// alterGroup replaces the configs of a group by what change makes of them. Members hear
// of a new interval with their next heartbeat; a new session timeout counts from there.
func (b *Broker) alterGroup(name string, validateOnly bool, change func(map[string]string) (map[string]string, error)) error {
	b.groups.configuring.Lock()
	defer b.groups.configuring.Unlock()
	before := b.catalog.GroupConfigs(name)
	configs, err := change(before)
	if err == nil {
		err = catalog.GroupTable.Validate(configs)
	}
	if err != nil {
		return err
	}
	gc, limits := b.groupConfig(configs), b.cfg.Group
	switch _, own := configs["consumer.session.timeout.ms"]; {
	case own && (gc.sessionTimeout < limits.MinSessionTimeout || gc.sessionTimeout > limits.MaxSessionTimeout):
		return &catalog.ConfigError{
			Name: "consumer.session.timeout.ms", Value: gc.values()["consumer.session.timeout.ms"],
			Reason: "want " + strconv.FormatInt(limits.MinSessionTimeout.Milliseconds(), 10) + " to " + strconv.FormatInt(limits.MaxSessionTimeout.Milliseconds(), 10),
		}
	case gc.heartbeatInterval >= gc.sessionTimeout:
		return &catalog.ConfigError{
			Name: "consumer.heartbeat.interval.ms", Value: gc.values()["consumer.heartbeat.interval.ms"],
			Reason: "want less than the session timeout of " + gc.values()["consumer.session.timeout.ms"],
		}
	case validateOnly:
		return nil
	}
	if err := b.catalog.SetGroupConfigs(name, configs); err != nil {
		return err
	}
	b.cfg.Logger.Info("broker: group configs altered", "group", name, "before", before, "now", configs)
	return nil
}
