package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/catalog"
)

// IncrementalAlterConfigs: v0-1
//
//   - v1: flexible
//
// Topics and groups only: what the broker was started with stays until it is started
// again.
// The configs of one resource change together or not at all. APPEND and SUBTRACT
// are for lists; they start from the default where nothing is set, append nothing
// twice, and subtract what is not there without an error.
func handleIncrementalAlterConfigs(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.IncrementalAlterConfigsRequest)
	resp := r.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	named := map[configResource]int{}
	for i := range r.Resources {
		named[configResource{r.Resources[i].ResourceType, r.Resources[i].ResourceName}]++
	}
	for i := range r.Resources {
		rr := &r.Resources[i]
		res := configResource{rr.ResourceType, rr.ResourceName}
		err := res.check(c, named[res])
		if err == nil {
			err = b.alter(res, r.ValidateOnly, func(configs map[string]string) (map[string]string, error) {
				return changedConfigs(res.table(), configs, rr)
			})
		}
		sr := kmsg.NewIncrementalAlterConfigsResponseResource()
		sr.ResourceType, sr.ResourceName = rr.ResourceType, rr.ResourceName
		sr.ErrorCode, sr.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		resp.Resources = append(resp.Resources, sr)
	}
	return resp, nil
}

// changedConfigs applies the changes of a request to the configs that are set.
func changedConfigs(table catalog.Table, set map[string]string, rr *kmsg.IncrementalAlterConfigsRequestResource) (map[string]string, error) {
	configs := maps.Clone(set)
	if configs == nil {
		configs = map[string]string{}
	}
	seen := map[string]bool{}
	for _, c := range rr.Configs {
		if seen[c.Name] {
			return nil, fmt.Errorf("%w: config %q is named more than once", kerr.InvalidRequest, c.Name)
		}
		seen[c.Name] = true
		if c.Value == nil && c.Op != kmsg.IncrementalAlterConfigOpDelete {
			return nil, fmt.Errorf("%w: config %q has no value; to fall back to the default, delete it", kerr.InvalidRequest, c.Name)
		}
		switch c.Op {
		case kmsg.IncrementalAlterConfigOpSet:
			configs[c.Name] = *c.Value
		case kmsg.IncrementalAlterConfigOpDelete:
			if _, known := table.Lookup(c.Name); !known {
				return nil, table.Validate(map[string]string{c.Name: ""})
			}
			delete(configs, c.Name)
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			value, err := changedList(table, configs, c.Name, *c.Value, c.Op == kmsg.IncrementalAlterConfigOpAppend)
			if err != nil {
				return nil, err
			}
			configs[c.Name] = value
		default:
			return nil, fmt.Errorf("%w: operation %d on config %q", kerr.InvalidRequest, c.Op, c.Name)
		}
	}
	return configs, nil
}

// changedList appends words to a list, or subtracts them.
func changedList(table catalog.Table, configs map[string]string, name, words string, add bool) (string, error) {
	spec, known := table.Lookup(name)
	if !known {
		return "", table.Validate(map[string]string{name: words})
	}
	if spec.Type != catalog.List {
		return "", &catalog.ConfigError{Name: name, Value: words, Reason: "only a list can be appended to or subtracted from: set the value"}
	}
	value, set := configs[name]
	if !set {
		value = spec.Default
	}
	list := splitList(value)
	for _, word := range splitList(words) {
		at := slices.Index(list, word)
		switch {
		case add && at < 0:
			list = append(list, word)
		case !add && at >= 0:
			list = slices.Delete(list, at, at+1)
		}
	}
	return strings.Join(list, ","), nil
}

func splitList(value string) []string {
	var words []string
	for word := range strings.SplitSeq(value, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}
