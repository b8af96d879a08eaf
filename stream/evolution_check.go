package stream

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

// An application keeps the text of its topology in the compacted topic NAME-topology, so that the next one that starts
// can tell what it would leave behind.

// topologyKey is the key of the one record that counts.
const topologyKey = "topology"

// checkTopology refuses to start where a store or a repartition topic of the last topology would be left behind, unless
// the configuration accepts that. It returns whether the stored text is to be replaced.
func (a *App) checkTopology(ctx context.Context, p *planner) (changed bool, err error) {
	topic := graph.TopologyTopic(a.topology.Name())
	if _, ok := p.found[topic]; !ok {
		return true, nil
	}
	stored, err := a.storedTopology(ctx, p.admin, topic)
	if err != nil || stored == a.topology.String() {
		return false, err
	}
	if stored == "" {
		return true, nil
	}
	diff, err := DiffTopologies(stored, a.topology.String())
	if err != nil {
		return false, fmt.Errorf("topic %s: %w", topic, err)
	}
	if orphans := diff.Of(Orphaned); len(orphans) > 0 && !a.cfg.AcceptOrphans {
		lines := make([]string, len(orphans))
		for i, o := range orphans {
			lines[i] = fmt.Sprintf("%s %s: %s", o.Kind, o.Name, o.Why)
		}
		return false, fmt.Errorf("this topology would leave behind what the last one kept: %s; give it the old name again, or accept the loss with Config.AcceptOrphans",
			strings.Join(lines, "; "))
	}
	for _, part := range diff.Parts {
		if part.Fate != Kept {
			a.cfg.Logger.Info("the topology has changed", "app", a.topology.Name(), part.Kind, part.Name, "fate", string(part.Fate), "why", part.Why)
		}
	}
	return true, nil
}

// storedTopology reads the text that was stored last; "" if there is none.
func (a *App) storedTopology(ctx context.Context, admin *client.Admin, topic string) (text string, err error) {
	starts, err := admin.StartOffsets(ctx, topic)
	if err != nil {
		return "", err
	}
	ends, err := admin.StableOffsets(ctx, topic)
	if err != nil {
		return "", err
	}
	reader, err := client.NewReader(a.cluster.conn())
	if err != nil {
		return "", err
	}
	defer reader.Close()
	span := client.Span{Topic: topic, From: starts[topic][0], To: ends[topic][0]}
	err = reader.Read(ctx, []client.Span{span}, func(b client.Batch) error {
		for _, r := range b.Records {
			if string(r.Key) == topologyKey {
				text = string(r.Value)
			}
		}
		return nil
	})
	return text, err
}

// storeTopology stores the text of the topology.
func (a *App) storeTopology(ctx context.Context) error {
	producer, err := client.NewProducer(a.cluster.conn(), client.ProducerConfig{})
	if err != nil {
		return err
	}
	defer producer.Close()
	err = producer.Send(ctx, client.Output{
		Topic: graph.TopologyTopic(a.topology.Name()), Key: []byte(topologyKey), Value: []byte(a.topology.String()),
		Timestamp: time.Now().UnixMilli(),
	})
	if err == nil {
		err = producer.Flush(ctx)
	}
	if err != nil {
		return fmt.Errorf("stream: application %s: store the topology's text: %w", a.topology.Name(), err)
	}
	return nil
}
