package stream

import (
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// Context is what a processor sees of its task while it processes a record, or a timer or punctuation; K and V are the
// types it sends. It is valid during the call only, and for the goroutine of the call only. It is the [state.Context]
// that stores are opened with.
type Context[K, V any] struct {
	frame  *task.Frame
	node   int
	stores []contextStore
	next   handler[K, V]
	own    rec[K, V] // what is sent, with the input's topic, partition and offset

	time    time.Time // of the input, or when the timer was due
	headers []Header  // of the input
}

type contextStore struct {
	name  string
	store state.Store
}

func newContext[K, V any](f *task.Frame, n *graph.Node, next handler[K, V]) *Context[K, V] {
	c := &Context[K, V]{frame: f, node: n.ID, next: next}
	for _, s := range n.Stores {
		c.stores = append(c.stores, contextStore{s.Spec.Name, f.Store(s.Spec.Name)})
	}
	return c
}

// between prepares the context for what is due between records.
func (c *Context[K, V]) between(at time.Time) {
	c.time, c.headers = at, nil
	c.own.Topic, c.own.Partition, c.own.Offset = "", 0, 0
}

// Forward sends a value under a key, with the time and the headers of the record that is processed. An error means
// that a step below failed and that the record has failed with it: return it.
func (c *Context[K, V]) Forward(key K, value V) error {
	return c.send(key, value, c.time, c.headers)
}

// ForwardRecord sends a record with its own time and headers. A zero time is replaced by the time of the record that
// is processed. Topic, partition and offset are always those of the record that is processed.
func (c *Context[K, V]) ForwardRecord(r Record[K, V]) error {
	at := r.Time
	switch {
	case at.IsZero():
		at = c.time
	case at.UnixMilli() < 0:
		return c.frame.Fail(fmt.Errorf("%w: the time %v of a record that is sent lies before 1970", errNoTime, at))
	default:
		at = time.UnixMilli(at.UnixMilli()).UTC()
	}
	return c.send(r.Key, r.Value, at, r.Headers)
}

func (c *Context[K, V]) send(key K, value V, at time.Time, headers []Header) error {
	c.own.Key, c.own.Value, c.own.Time, c.own.Headers = key, value, at, headers
	err := c.next(&c.own)
	c.frame.Enter(c.node)
	return err
}

// StreamTime is the largest event time that the task has seen, this record's included. It never goes back.
func (c *Context[K, V]) StreamTime() time.Time { return time.UnixMilli(c.frame.StreamTime()).UTC() }

// Partition is that of the task, which is the partition of its inputs: also between records, when there is none to ask.
func (c *Context[K, V]) Partition() int32 { return c.frame.Partition() }

// RecordTime is the event time of the record that is processed, or the time for which the timer was set.
func (c *Context[K, V]) RecordTime() time.Time { return c.time }

// Store implements [state.Context]. Use the typed store instead: seen.In(c).
func (c *Context[K, V]) Store(name string) state.Store {
	for _, s := range c.stores {
		if s.name == name {
			return s.store
		}
	}
	c.frame.UnknownStore(name)
	return nil
}
