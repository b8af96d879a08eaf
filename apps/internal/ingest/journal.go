package ingest

import (
	"context"
	"fmt"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

// entry is one record of the journal, under the source's name.
type entry struct {
	// Open is set when reading begins, and not set when it ended in peace.
	Open bool `json:"open"`
	// Line is the last line that is in the topics with all lines before it.
	Line int64 `json:"line"`
	// Settings are those of the Config.
	Settings string `json:"settings,omitzero"`
	// Ends are the ends of the topic's partitions when reading began: what lies behind is of this source.
	Ends []int64 `json:"ends,omitempty"`
}

func journalTopic(app string) stream.Topic[string, entry] {
	return stream.NewTopic(app+"-imports", serde.String, serde.JSON[entry]())
}

// journal is what is known of earlier imports.
type journal struct {
	any        bool // there is an entry at all
	lastSource string
	last       entry
	lines      map[string]int64 // by source, the line at which it was left in peace
}

func readJournal(ctx context.Context, cluster *stream.Cluster, topic stream.Topic[string, entry]) (journal, error) {
	j := journal{lines: make(map[string]int64)}
	for r, err := range cluster.Read(ctx, topic) {
		if err != nil {
			return journal{}, fmt.Errorf("ingest: read the journal: %w", err)
		}
		j.any, j.lastSource, j.last = true, r.Key, r.Value
		j.lines[r.Key] = r.Value.Line
	}
	return j, nil
}

// write adds an entry and waits until it is safe.
func (im *Import[V]) writeJournal(ctx context.Context, e entry) error {
	w, err := stream.NewWriter(ctx, im.cfg.Cluster, im.journal, stream.WriterConfig{})
	if err != nil {
		return fmt.Errorf("ingest: journal: %w", err)
	}
	e.Settings = im.cfg.Settings
	err = w.Write(ctx, stream.Record[string, entry]{Key: im.cfg.Source, Value: e})
	if err == nil {
		err = w.Flush(ctx)
	}
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("ingest: journal: %w", err)
	}
	return nil
}
