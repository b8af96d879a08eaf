package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/riffle-stream/riffle/stream/internal/client"
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
	lost := p.lostChangelogs(notes)
	if len(lost) == 0 {
		return nil
	}
	// Another instance that starts for the first time may have made them, and committed, since this one looked. The client that
	// looked keeps what it saw for a while.
	admin, err := client.NewAdmin(p.conn)
	if err != nil {
		return err
	}
	defer admin.Close()
	found, err := admin.Topics(ctx, slices.Sorted(maps.Keys(lost))...)
	if err != nil {
		return err
	}
	var errs []error
	for _, topic := range slices.Sorted(maps.Keys(lost)) {
		if t, ok := found[topic]; ok {
			p.found[topic] = t
			continue
		}
		errs = append(errs, fmt.Errorf("changelog topic %s is gone, and with it store %q; the records that it stood for are committed and would not be read again: give the store a new name, to go on with an empty one, or begin anew, by renaming the application or deleting its consumer group and its other changelogs",
			topic, lost[topic]))
	}
	return errors.Join(errs...)
}

// lostChangelogs returns the changelogs that were not found of stores that notes name, with their stores.
func (p *planner) lostChangelogs(notes map[string][]string) map[string]string {
	lost := make(map[string]string)
	for _, sub := range p.graph.Subs {
		for _, s := range sub.Stores {
			topic := graph.ChangelogTopic(p.graph.Name, s.Name)
			if _, ok := p.found[topic]; ok {
				continue
			}
			named := slices.ContainsFunc(sub.Topics(), func(in string) bool {
				return slices.ContainsFunc(notes[in], func(note string) bool { return noted(note, s.Name) })
			})
			if named {
				lost[topic] = s.Name
			}
		}
	}
	return lost
}
