package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/riffle-stream/riffle/stream/internal/graph"
)

// An application notes beside its offsets which stores stand for them. So a changelog that is missing because its
// store is new can be told from one that was deleted: there the offsets say that records need not be read again, and
// nothing is left of what became of them.

const (
	notePrefix = "riffle stores "
	// noteBytes leaves room for stream times below the default of Kafka's offset.metadata.max.bytes, 4096. A longer note would make the
	// commit fail.
	noteBytes = 3072
)

// storeNotes returns for each input topic the note of the stores that its records go into.
func storeNotes(g *graph.Topology) map[string]string {
	stores := make(map[string][]string)
	for _, sub := range g.Subs {
		for _, topic := range sub.Topics() {
			for _, s := range sub.Stores {
				stores[topic] = append(stores[topic], s.Name)
			}
		}
	}
	notes := make(map[string]string)
	for topic, names := range stores {
		slices.Sort(names)
		if note := notePrefix + strings.Join(slices.Compact(names), ","); len(note) <= noteBytes {
			notes[topic] = note
		}
	}
	return notes
}

// noted reports whether a note names a store.
func noted(note, store string) bool {
	note, _, _ = strings.Cut(note, "\n") // behind it are stream times
	names, ok := strings.CutPrefix(note, notePrefix)
	return ok && slices.Contains(strings.Split(names, ","), store)
}

// checkChangelogs refuses to go on with empty stores where the group has committed what they stood for.
func (p *planner) checkChangelogs(ctx context.Context) error {
	notes, err := p.admin.Notes(ctx, p.graph.Name)
	if err != nil {
		return err
	}
	var errs []error
	for _, sub := range p.graph.Subs {
		for _, s := range sub.Stores {
			topic := graph.ChangelogTopic(p.graph.Name, s.Name)
			if _, ok := p.found[topic]; ok {
				continue
			}
			lost := slices.ContainsFunc(sub.Topics(), func(in string) bool {
				return slices.ContainsFunc(notes[in], func(note string) bool { return noted(note, s.Name) })
			})
			if lost {
				errs = append(errs, fmt.Errorf("changelog topic %s is gone, and with it store %q; the records that it stood for are committed and would not be read again: give the store a new name, to go on with an empty one, or begin anew, by renaming the application or deleting its consumer group and its other changelogs",
					topic, s.Name))
			}
		}
	}
	return errors.Join(errs...)
}
