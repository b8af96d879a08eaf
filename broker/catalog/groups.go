package catalog

import (
	"fmt"
	"maps"
	"slices"
)

// MaxConfiguredGroups is how many groups may have configs of their own.
const MaxConfiguredGroups = 10_000

// groupSpecs are the configs of groups, after Kafka's
// https://kafka.apache.org/documentation/#groupconfigs: those of consumers. They ascend
// by name.
var groupSpecs = []Spec{
	{"consumer.heartbeat.interval.ms", Int, "5000", "How often a member of the consumer protocol is to heartbeat.", integer(1)},
	{"consumer.session.timeout.ms", Int, "45000", "How long a member of the consumer protocol may be silent.", integer(1)},
}

// GroupConfigs returns the configs that were set for a group. They are not to be changed.
func (c *Catalog) GroupConfigs(name string) map[string]string { return c.current.Load().groups[name] }

// ConfiguredGroups returns the groups that have configs, sorted.
func (c *Catalog) ConfiguredGroups() []string {
	return slices.Sorted(maps.Keys(c.current.Load().groups))
}

// SetGroupConfigs replaces all configs of a group, whether or not there is one of that
// name; those that are not named fall back to their defaults. The error is that of
// GroupTable.Validate, or ErrInvalidConfig if too many groups have configs.
func (c *Catalog) SetGroupConfigs(name string, configs map[string]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	normal, err := GroupTable.normalize(configs)
	if err != nil {
		return err
	}
	s := c.current.Load().clone()
	s.groups = maps.Clone(s.groups)
	if delete(s.groups, name); len(normal) > 0 {
		s.groups[name] = normal
	}
	if len(s.groups) > MaxConfiguredGroups {
		return fmt.Errorf("%w: group %q: %d groups have configs already", ErrInvalidConfig, name, MaxConfiguredGroups)
	}
	if err := c.commitLocked(s); err != nil {
		return fmt.Errorf("catalog: set the configs of group %q: %w", name, err)
	}
	return nil
}
