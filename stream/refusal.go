package stream

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

const (
	// refusalPause is how long a topic that takes no records is not written to; each time it refuses again the pause doubles,
	// up to maxRefusalPause. Who tries has all tasks of the instance go back to their last commit if it is in vain.
	refusalPause    = 5 * time.Second
	maxRefusalPause = time.Minute
)

// refusals are the topics of an application that take no records at present: they are gone, or it may not write them. What would
// be written to one fails its record meanwhile; where that is the topic of the dead letters, tasks pause.
type refusals struct {
	logger *slog.Logger
	known  map[string]bool // the topics that tasks can do without; true is that of the dead letters
	any    atomic.Bool     // whether there were any
	pause  time.Duration   // the first one

	mu struct {
		sync.Mutex
		topics map[string]*refusal
	}
}

type refusal struct {
	err   error
	until time.Time // then the topic is tried again
	pause time.Duration
}

func newRefusals(g *graph.Topology, logger *slog.Logger) *refusals {
	if logger == nil {
		logger = slog.Default()
	}
	r := &refusals{logger: logger, pause: refusalPause, known: map[string]bool{graph.DeadLetterTopic(g.Name): true}}
	for _, topic := range g.Sinks() {
		r.known[topic] = false
	}
	r.mu.topics = make(map[string]*refusal)
	return r
}

// refused returns why a topic takes no records at present, or nil.
func (r *refusals) refused(topic string) error {
	if !r.any.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if found := r.mu.topics[topic]; found != nil && time.Now().Before(found.until) {
		return found.err
	}
	return nil
}

// note takes a refusal, and reports whether it is of a topic that tasks can do without.
func (r *refusals) note(e *client.RefusedError) bool {
	dead, known := r.known[e.Topic]
	if !known {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.mu.topics[e.Topic]
	if found == nil || time.Since(found.until) > maxRefusalPause {
		found = &refusal{pause: r.pause / 2}
		r.mu.topics[e.Topic] = found
	}
	found.pause = min(2*found.pause, maxRefusalPause)
	found.until = time.Now().Add(found.pause)
	// Not a RefusedError: the worker knows of this one.
	found.err = fmt.Errorf("topic %s takes no records: %w", e.Topic, e.Err)
	r.any.Store(true)
	if dead {
		r.logger.Error("dead letters cannot be written: tasks that have one pause, nothing is left out; mend the topic or the permissions",
			"topic", e.Topic, "err", e.Err, "next_try", found.pause)
	} else {
		r.logger.Error("a topic takes no outputs: what would be written there fails its record", "topic", e.Topic, "err", e.Err, "next_try", found.pause)
	}
	return true
}
