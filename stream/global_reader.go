package stream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// globals are the global tables of an App.
type globals struct {
	app    *App
	tables map[string]*task.Global // by topic
	reader *client.Reader
	next   []client.Span // where each partition is read on
}

// loadGlobals reads the topics of the global tables to their ends. There may be none.
func (a *App) loadGlobals(ctx context.Context) (*globals, error) {
	topics := a.topology.program.Graph.Globals()
	g := &globals{app: a, tables: make(map[string]*task.Global)}
	if len(topics) == 0 {
		return g, nil
	}
	for _, topic := range topics {
		g.tables[topic] = task.NewGlobal()
	}
	spans, err := g.spans(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream: global tables of %s: %w", a.topology.Name(), err)
	}
	if g.reader, err = client.NewReader(a.cluster.conn()); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := g.reader.Read(ctx, spans, g.apply); err != nil {
		g.close()
		return nil, fmt.Errorf("stream: load the global tables of %s: %w", a.topology.Name(), err)
	}
	for _, s := range spans {
		g.next = append(g.next, client.Span{Topic: s.Topic, Partition: s.Partition, From: s.To})
	}
	rows := 0
	for _, table := range g.tables {
		rows += table.Len()
	}
	a.cfg.Logger.Info("global tables loaded", "app", a.topology.Name(), "topics", topics, "rows", rows, "after", time.Since(start).Round(time.Millisecond))
	return g, nil
}

// spans are what the topics hold now.
func (g *globals) spans(ctx context.Context) (spans []client.Span, err error) {
	topics := slices.Sorted(maps.Keys(g.tables))
	admin, err := client.NewAdmin(g.app.cluster.conn())
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	starts, err := admin.StartOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	ends, err := admin.StableOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	for _, topic := range topics {
		for p, start := range starts[topic] {
			spans = append(spans, client.Span{Topic: topic, Partition: p, From: start, To: ends[topic][p]})
		}
	}
	return spans, nil
}

func (g *globals) apply(b client.Batch) error {
	g.tables[b.Topic].Apply(b.Records)
	var bytes int64
	for _, table := range g.tables {
		bytes += table.Bytes()
	}
	if limit := g.app.cfg.MaxGlobalBytes; bytes > limit {
		return fmt.Errorf("the global tables take more than %d bytes of memory: raise Config.MaxGlobalBytes, or use a Table for topic %s", limit, b.Topic)
	}
	return nil
}

// follow keeps the tables up to date until ctx ends.
func (g *globals) follow(ctx context.Context) error {
	if g.reader == nil {
		return nil
	}
	if err := g.reader.Follow(ctx, g.next, g.apply); err != nil {
		return fmt.Errorf("stream: follow the global tables of %s: %w", g.app.topology.Name(), err)
	}
	return nil
}

// close ends the connections.
func (g *globals) close() {
	if g.reader != nil {
		g.reader.Close()
	}
}
