package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

const (
	// watchEvery is how often a worker asks whether its input topics are still there: the client library waits
	// without a word for a topic that was deleted, and for ever for one that was made again.
	watchEvery = 5 * time.Second
	// watchTimeout bounds the question. A cluster that cannot be reached is the business of others.
	watchTimeout = time.Second
	// watchMisses is how often in a row a topic may be missing: a broker that has just started may not know it yet.
	watchMisses = 3
)

// watch notices input topics that are deleted, or get more partitions, while the application runs.
type watch struct {
	topics []string
	keyed  map[string]bool // state is kept by their keys
	last   time.Time
	seen   map[string]client.Topic
	counts map[string]int32 // of partitions, as first seen
	missed map[string]int
}

func newWatch(subs []Sub) *watch {
	v := &watch{keyed: make(map[string]bool), seen: make(map[string]client.Topic), counts: make(map[string]int32), missed: make(map[string]int)}
	for _, sub := range subs {
		v.topics = append(v.topics, sub.Inputs...)
		for _, topic := range sub.Inputs {
			v.keyed[topic] = v.keyed[topic] || len(sub.Stores) > 0
		}
	}
	slices.Sort(v.topics)
	v.topics = slices.Compact(v.topics)
	return v
}

// step is called after each round.
func (v *watch) step(ctx context.Context, admin *client.Admin) error {
	if time.Since(v.last) < watchEvery {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	found, err := admin.Topics(ctx, v.topics...)
	v.last = time.Now()
	if err != nil {
		return nil
	}
	return v.look(found)
}

// look compares the topics that there are with those that there were.
func (v *watch) look(found map[string]client.Topic) error {
	for _, topic := range v.topics {
		t, ok := found[topic]
		if !ok {
			if v.missed[topic]++; v.missed[topic] >= watchMisses {
				return fmt.Errorf("worker: input topic %s was deleted", topic)
			}
			continue
		}
		v.missed[topic] = 0
		before, known := v.seen[topic]
		if known && before.ID != t.ID {
			return fmt.Errorf("worker: input topic %s was deleted and made again: start the application again", topic)
		}
		if known && before.Partitions != t.Partitions && v.keyed[topic] {
			return fmt.Errorf("worker: input topic %s has %d partitions, and had %d: records of a key now come to another task than its state; stop writing to it, copy it to a topic with the new number of partitions, and run the application on that one, under another name",
				topic, t.Partitions, before.Partitions)
		}
		if !known {
			v.counts[topic] = t.Partitions
		}
		v.seen[topic] = t
	}
	return nil
}
