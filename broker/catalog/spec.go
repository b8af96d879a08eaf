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

// The types that topic configs have.
const (
	Boolean ConfigType = 1
	String  ConfigType = 2
	Int     ConfigType = 3
	Long    ConfigType = 5
	Double  ConfigType = 6
	List    ConfigType = 7
)

// ConfigSource says where a value comes from, with the numbers of
// DescribeConfigs.
type ConfigSource int8

const (
	// SourceTopic is a value that was set for the topic.
	SourceTopic ConfigSource = 1
	// SourceDefault is the default of Spec.
	SourceDefault ConfigSource = 5
)

// Spec describes one topic config.
type Spec struct {
	Name    string
	Type    ConfigType
	Default string
	// Doc is the documentation that DescribeConfigs serves: what it is, and what
	// Riffle makes of it where that is not what Kafka does.
	Doc string

	check check
}

// Value is a config of a topic as DescribeConfigs serves it.
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

// Specs returns all topic configs, sorted by name.
func Specs() []Spec { return slices.Clone(specs) }

// LookupSpec returns the topic config of that name.
func LookupSpec(name string) (s Spec, known bool) {
	i, known := find(name)
	if known {
		s = specs[i]
	}
	return s, known
}

// Describe returns all configs of the topic with their values, sorted by name.
func (t Topic) Describe() []Value {
	values := make([]Value, len(specs))
	for i, s := range specs {
		values[i] = Value{Spec: s, Value: s.Default, Source: SourceDefault}
		if v, ok := t.Configs[s.Name]; ok {
			values[i].Value, values[i].Source = v, SourceTopic
		}
	}
	return values
}

// ValidateConfigs checks the names and values of topic configs. It returns a
// *ConfigError for each wrong one, joined and sorted by name.
func ValidateConfigs(configs map[string]string) error {
	_, err := normalize(configs)
	return err
}

// normalize validates configs and returns them as they are kept: without blanks
// around the values, nil if there are none.
func normalize(configs map[string]string) (map[string]string, error) {
	if len(configs) == 0 {
		return nil, nil
	}
	var errs []error
	normal := make(map[string]string, len(configs))
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		value := strings.TrimSpace(configs[name])
		i, ok := find(name)
		if !ok {
			errs = append(errs, &ConfigError{Name: name, Value: value, Reason: "there is no such topic config" + suggest(name)})
			continue
		}
		if err := specs[i].validate(value); err != nil {
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

func (s Spec) validate(value string) error { return s.check(value) }

func find(name string) (int, bool) {
	return slices.BinarySearchFunc(specs, name, func(s Spec, name string) int { return cmp.Compare(s.Name, name) })
}

// spec returns the spec of a config that exists.
func spec(name string) Spec {
	i, _ := find(name)
	return specs[i]
}

// suggest names the configs that begin like name, up to the first dot.
func suggest(name string) string {
	head, _, _ := strings.Cut(name, ".")
	var similar []string
	for _, s := range specs {
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
