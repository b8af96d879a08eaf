package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ConfigType is the type of a config, with the numbers of DescribeConfigs.
type ConfigType int8

// The types that configs have.
const (
	Boolean ConfigType = 1
	String  ConfigType = 2
	Int     ConfigType = 3
	Long    ConfigType = 5
	Double  ConfigType = 6
	List    ConfigType = 7
	Secret  ConfigType = 9 // PASSWORD: it is shown to nobody
)

// ConfigSource says where a value comes from, with the numbers of
// DescribeConfigs.
type ConfigSource int8

const (
	// SourceTopic is a value that was set for the topic.
	SourceTopic ConfigSource = 1
	// SourceDefault is the default of Spec.
	SourceDefault ConfigSource = 5
	// SourceGroup is a value that was set for the group.
	SourceGroup ConfigSource = 8
)

// Spec describes one config.
type Spec struct {
	Name    string
	Type    ConfigType
	Default string
	// Doc is the documentation that DescribeConfigs serves: what it is, and what
	// Riffle makes of it where that is not what Kafka does.
	Doc string

	check check
}

// Value is a config as DescribeConfigs serves it.
type Value struct {
	Spec
	Value  string
	Source ConfigSource
}

// ConfigError says what is wrong with one config. It matches ErrInvalidConfig.
type ConfigError struct {
	Name   string
	Value  string
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("%v: %s=%q: %s", ErrInvalidConfig, e.Name, e.Value, e.Reason)
}

func (e *ConfigError) Unwrap() error { return ErrInvalidConfig }

// Table is the configs that one kind of resource has.
type Table struct {
	kind  string // of resource
	specs []Spec // ascending by name
}

// The tables there are.
var (
	// TopicTable is the configs of topics.
	TopicTable = Table{"topic", topicSpecs}
	// GroupTable is the configs of groups. Their defaults are what the broker is
	// configured with; those here are Kafka's.
	GroupTable = Table{"group", groupSpecs}
)

// Specs returns all configs, sorted by name.
func (t Table) Specs() []Spec { return slices.Clone(t.specs) }

// Lookup returns the config of that name.
func (t Table) Lookup(name string) (s Spec, known bool) {
	i, known := slices.BinarySearchFunc(t.specs, name, func(s Spec, name string) int { return cmp.Compare(s.Name, name) })
	if known {
		s = t.specs[i]
	}
	return s, known
}

// Describe returns all configs of the topic with their values, sorted by name.
func (t Topic) Describe() []Value {
	values := make([]Value, len(topicSpecs))
	for i, s := range topicSpecs {
		values[i] = Value{Spec: s, Value: s.Default, Source: SourceDefault}
		if v, ok := t.Configs[s.Name]; ok {
			values[i].Value, values[i].Source = v, SourceTopic
		}
	}
	return values
}

// Validate checks names and values. It returns a *ConfigError for each wrong one,
// joined and sorted by name.
func (t Table) Validate(configs map[string]string) error {
	_, err := t.normalize(configs)
	return err
}

// normalize validates configs and returns them as they are kept: without blanks
// around the values, nil if there are none.
func (t Table) normalize(configs map[string]string) (map[string]string, error) {
	if len(configs) == 0 {
		return nil, nil
	}
	var errs []error
	normal := make(map[string]string, len(configs))
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		value := strings.TrimSpace(configs[name])
		spec, ok := t.Lookup(name)
		if !ok {
			errs = append(errs, &ConfigError{Name: name, Value: value, Reason: "there is no such " + t.kind + " config" + t.suggest(name)})
			continue
		}
		if err := spec.check(value); err != nil {
			errs = append(errs, &ConfigError{Name: name, Value: value, Reason: err.Error()})
			continue
		}
		normal[name] = value
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return normal, nil
}

// suggest names the configs that begin like name, up to the first dot.
func (t Table) suggest(name string) string {
	head, _, _ := strings.Cut(name, ".")
	var similar []string
	for _, s := range t.specs {
		if h, _, _ := strings.Cut(s.Name, "."); h == head {
			similar = append(similar, s.Name)
		}
	}
	if len(similar) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(similar, ", ") + "?"
}

// check returns what is wrong with a value: what was wanted instead.
type check func(value string) error

func integers(bits int, least, most int64) check {
	return func(value string) error {
		n, err := strconv.ParseInt(value, 10, bits)
		if err != nil || n < least || n > most {
			return fmt.Errorf("want an integer from %d to %d", least, most)
		}
		return nil
	}
}

func ratios(value string) error {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return errors.New("want a number from 0 to 1")
	}
	return nil
}

// oneOf accepts the words as Kafka does, in their own case.
func oneOf(words ...string) check {
	return func(value string) error {
		if !slices.Contains(words, value) {
			return fmt.Errorf("want one of %s", strings.Join(words, ", "))
		}
		return nil
	}
}

func booleans(value string) error {
	if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
		return errors.New("want true or false")
	}
	return nil
}

// only accepts one value, for a feature that Riffle does not have.
func only(word, why string) check {
	return func(value string) error {
		if !strings.EqualFold(value, word) {
			return fmt.Errorf("want %s: %s", word, why)
		}
		return nil
	}
}

// listOf accepts words separated by commas, one at least, none twice.
func listOf(words ...string) check {
	return func(value string) error {
		var seen []string
		for word := range strings.SplitSeq(value, ",") {
			word = strings.TrimSpace(word)
			if !slices.Contains(words, word) || slices.Contains(seen, word) {
				return fmt.Errorf("want a list of %s", strings.Join(words, ", "))
			}
			seen = append(seen, word)
		}
		return nil
	}
}
