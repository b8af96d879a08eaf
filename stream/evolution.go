package stream

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// TopologyDiff says what becomes of the stores and the repartition topics of an application when one topology takes the
// place of another. Make one with [DiffTopologies].
type TopologyDiff struct {
	// Parts are first those of the old topology, in its order, then what is new.
	Parts []TopologyPart
}

// TopologyPart is a store or a repartition topic.
type TopologyPart struct {
	Kind string // "store" or "repartition topic"
	Name string
	Fate Fate
	Why  string // what happens, as a sentence; empty for what is kept
}

// Fate is what becomes of a part.
type Fate string

const (
	Kept     Fate = "kept"     // it goes on as it is
	Migrated Fate = "migrated" // it goes on in other tasks, from its changelog
	Orphaned Fate = "orphaned" // it stays on the cluster, and nobody reads it any more
	New      Fate = "new"      // it begins empty
)

// DiffTopologies compares two texts of [Topology.String]. A store is known by its name: one that is renamed is an
// orphan and a new one.
func DiffTopologies(before, after string) (TopologyDiff, error) {
	from, err := parseTopology(before)
	if err != nil {
		return TopologyDiff{}, fmt.Errorf("stream: the old topology: %w", err)
	}
	to, err := parseTopology(after)
	if err != nil {
		return TopologyDiff{}, fmt.Errorf("stream: the new topology: %w", err)
	}
	var d TopologyDiff
	for _, name := range from.stores {
		d.Parts = append(d.Parts, fateOfStore(name, from.place[name], to.place[name]))
	}
	for _, topic := range from.repartitions {
		part := TopologyPart{Kind: "repartition topic", Name: topic, Fate: Kept}
		if !slices.Contains(to.repartitions, topic) {
			part.Fate, part.Why = Orphaned, "records in it that are not processed yet will not be"
		}
		d.Parts = append(d.Parts, part)
	}
	for _, name := range to.stores {
		if from.place[name] == nil {
			d.Parts = append(d.Parts, TopologyPart{"store", name, New, "it begins empty: what its inputs held before is not read again"})
		}
	}
	for _, topic := range to.repartitions {
		if !slices.Contains(from.repartitions, topic) {
			d.Parts = append(d.Parts, TopologyPart{Kind: "repartition topic", Name: topic, Fate: New})
		}
	}
	return d, nil
}

// fateOfStore compares where a store is in two topologies; to is nil if it is not in the new one.
func fateOfStore(name string, from, to *subText) TopologyPart {
	part := TopologyPart{Kind: "store", Name: name, Fate: Kept}
	switch {
	case to == nil:
		part.Fate, part.Why = Orphaned, "no step names it: its changelog topic stays, and what it holds is used no more"
	case !maps.Equal(from.reads, to.reads):
		part.Fate = Migrated
		part.Why = fmt.Sprintf("its tasks read %s instead of %s: keys must lie in the same partitions as before", to.inputs(), from.inputs())
	case from.number != to.number:
		part.Fate = Migrated
		part.Why = fmt.Sprintf("its sub-topology is number %d instead of %d: each instance restores it from the changelog", to.number, from.number)
	}
	return part
}

// Of returns the parts of a fate.
func (d TopologyDiff) Of(fate Fate) []TopologyPart {
	var parts []TopologyPart
	for _, p := range d.Parts {
		if p.Fate == fate {
			parts = append(parts, p)
		}
	}
	return parts
}

// String has a line for each part:
//
//	kept      store totals
//	orphaned  store seen: no step names it: its changelog topic stays, and what it holds is used no more
func (d TopologyDiff) String() string {
	var b strings.Builder
	for _, p := range d.Parts {
		fmt.Fprintf(&b, "%-9s %s %s", p.Fate, p.Kind, p.Name)
		if p.Why != "" {
			b.WriteString(": " + p.Why)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// topologyText is what the text of a topology says about stores and repartition topics.
type topologyText struct {
	stores       []string // in order of mention
	repartitions []string
	place        map[string]*subText // of each store
}

// subText is a sub-topology of a text.
type subText struct {
	number int
	reads  map[string]bool
}

func (s *subText) inputs() string { return strings.Join(slices.Sorted(maps.Keys(s.reads)), ", ") }

// keep notes stores that a line names.
func (t *topologyText) keep(stores string, sub *subText) {
	for store := range strings.SplitSeq(stores, ",") {
		if store != "" && t.place[store] == nil {
			t.stores = append(t.stores, store)
			t.place[store] = sub
		}
	}
}

// parseTopology reads a text of Topology.String.
func parseTopology(text string) (*topologyText, error) {
	t := &topologyText{place: make(map[string]*subText)}
	sub := &subText{reads: make(map[string]bool)}
	for line := range strings.Lines(text) {
		before, _, _ := strings.Cut(strings.TrimSpace(line), " <- ")
		fields := strings.Fields(before)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 2 {
			return nil, fmt.Errorf("%q is not a line of a topology's text", strings.TrimSpace(line))
		}
		options := make(map[string]string)
		for _, word := range fields[2:] {
			if key, value, ok := strings.Cut(word, "="); ok {
				options[key] = value
			}
		}
		switch fields[0] {
		case "sub-topology":
			sub = &subText{reads: make(map[string]bool)}
			if _, err := fmt.Sscan(fields[1], &sub.number); err != nil {
				return nil, fmt.Errorf("%q is not a line of a topology's text: %w", strings.TrimSpace(line), err)
			}
		case "source":
			topic := options["topic"]
			if topic == "" {
				topic = fields[1]
			}
			sub.reads[topic] = true
			t.keep(options["store"], sub)
		case "rekey":
			if topic := options["topic"]; topic != "" {
				t.repartitions = append(t.repartitions, topic)
			}
		case "processor":
			t.keep(options["store"], sub)
		case "sink", "global":
		default:
			return nil, fmt.Errorf("%q is not a line of a topology's text", strings.TrimSpace(line))
		}
	}
	return t, nil
}
