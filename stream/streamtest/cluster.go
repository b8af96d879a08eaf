package streamtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

// ClusterConfig tunes a Cluster. The zero value is one instance on topics of one partition.
type ClusterConfig struct {
	// Instances is how many instances run at first. The default is 1.
	Instances int
	// Partitions is how many partitions the source topics get that the test does not make itself. The default is 1.
	Partitions int
	// App is the configuration of each instance. Backend and StateDir are the Cluster's own; Logger is none by default, and
	// ShutdownTimeout a second.
	App stream.Config
	// Limit bounds how long Settle, AwaitCrash and Stop may take. The default is a minute.
	Limit time.Duration
}

func (c ClusterConfig) withDefaults() ClusterConfig {
	if c.Instances == 0 {
		c.Instances = 1
	}
	if c.Partitions == 0 {
		c.Partitions = 1
	}
	if c.App.Logger == nil {
		c.App.Logger = slog.New(slog.DiscardHandler)
	}
	if c.App.ShutdownTimeout == 0 {
		c.App.ShutdownTimeout = time.Second
	}
	if c.Limit == 0 {
		c.Limit = time.Minute
	}
	return c
}

// Cluster runs instances of an application on a broker in memory. Make one with [NewCluster], in a bubble of
// testing/synctest. It belongs to the goroutine of its test.
type Cluster struct {
	t         TB
	topology  *stream.Topology
	cfg       ClusterConfig
	cluster   *stream.Cluster
	instances []*instance
	read      map[string]map[int32]int64 // by topic and partition, what Read has returned
}

// NewCluster starts a broker, makes the source topics and starts the instances. When the test ends it stops them, and fails
// the test if one of them failed, or if there are dead letters that [Cluster.DeadLetters] was not asked for.
func NewCluster(t TB, topology *stream.Topology, cfg ClusterConfig) *Cluster {
	t.Helper()
	c := &Cluster{t: t, topology: topology, cfg: cfg.withDefaults(), cluster: stream.InMemory(), read: make(map[string]map[int32]int64)}
	if err := c.cluster.Open(context.Background()); err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(c.close)
	g := topology.Program().Graph
	for _, topic := range append(g.Sources(), g.Globals()...) {
		c.CreateTopic(topic, c.cfg.Partitions)
	}
	for range c.cfg.Instances {
		c.Start()
	}
	return c
}

func (c *Cluster) close() {
	c.t.Helper()
	for i := range c.instances {
		c.stop(i)
	}
	for _, l := range c.DeadLetters() {
		c.t.Errorf("dead letter %s@%d, node %q: %v", l.Topic, l.Offset, l.Node, l.Cause)
	}
	if err := c.cluster.Close(); err != nil {
		c.t.Errorf("close the cluster: %v", err)
	}
}

// Stream returns the cluster as an application sees it, for what a Cluster does not do itself.
func (c *Cluster) Stream() *stream.Cluster { return c.cluster }

// CreateTopic makes a topic, unless it is there with so many partitions.
func (c *Cluster) CreateTopic(name string, partitions int) {
	c.t.Helper()
	if err := c.cluster.CreateTopics(context.Background(), partitions, name); err != nil {
		c.t.Fatalf("%v", err)
	}
}

// Write writes records to a topic, each to the partition of its key, and returns when they are there. What becomes of them
// [Cluster.Settle] waits for.
func (c *Cluster) Write[K, V any](topic stream.Topic[K, V], records ...stream.Record[K, V]) {
	c.t.Helper()
	ctx := context.Background()
	w, err := stream.NewWriter(ctx, c.cluster, topic, stream.WriterConfig{})
	if err != nil {
		c.t.Fatalf("%v", err)
	}
	for _, r := range records {
		err = errors.Join(err, w.Write(ctx, r))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		c.t.Fatalf("%v", err)
	}
}

// Read returns the committed records of a topic that it has not returned yet: one partition after the other, each in order.
// Null is the zero value.
func (c *Cluster) Read[K, V any](topic stream.Topic[K, V]) []stream.Record[K, V] {
	c.t.Helper()
	var records []stream.Record[K, V]
	for _, in := range c.ReadBytes(topic.Name) {
		r := stream.Record[K, V]{
			Key: decode(c.t, topic.Name, topic.Key, in.Key), Value: decode(c.t, topic.Name, topic.Value, in.Value),
			Time: in.Time, Headers: in.Headers, Topic: in.Topic, Partition: in.Partition, Offset: in.Offset,
		}
		records = append(records, r)
	}
	return records
}

// Values is Read for tests that look at nothing but the values.
func (c *Cluster) Values[K, V any](topic stream.Topic[K, V]) []V {
	c.t.Helper()
	var values []V
	for _, r := range c.Read(topic) {
		values = append(values, r.Value)
	}
	return values
}

// ReadBytes is Read without serdes: for null, and for the repartition and changelog topics of the topology. A topic that
// does not exist yet has no records.
func (c *Cluster) ReadBytes(name string) []stream.Record[[]byte, []byte] {
	c.t.Helper()
	if c.read[name] == nil {
		c.read[name] = make(map[int32]int64)
	}
	next := c.read[name]
	var records []stream.Record[[]byte, []byte]
	for r, err := range c.cluster.Read(context.Background(), stream.NewTopic(name, serde.Bytes, serde.Bytes)) {
		if errors.Is(err, stream.ErrUnknownTopic) {
			return nil
		}
		if err != nil {
			c.t.Fatalf("%v", err)
		}
		if r.Offset < next[r.Partition] {
			continue
		}
		next[r.Partition] = r.Offset + 1
		records = append(records, r)
	}
	return records
}

// DeadLetters returns the dead letters that it has not returned yet.
func (c *Cluster) DeadLetters() []DeadLetter {
	c.t.Helper()
	var letters []DeadLetter
	for _, r := range c.ReadBytes(graph.DeadLetterTopic(c.topology.Name())) {
		l := DeadLetter{Offset: -1, Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			text := string(h.Value)
			switch h.Key {
			case stream.HeaderTopic:
				l.Topic = text
			case stream.HeaderOffset:
				_, _ = fmt.Sscan(text, &l.Offset)
			case stream.HeaderTimers:
				l.Timers = text
			case stream.HeaderNode:
				l.Node = text
			case stream.HeaderCause:
				l.Cause = errors.New(text)
			}
		}
		letters = append(letters, l)
	}
	return letters
}

// Get returns the value that a store has committed for a key, from the instance that has it.
func (c *Cluster) Get[K, V any](store state.KeyValueStore[K, V], key K) (value V, found bool) {
	c.t.Helper()
	for _, in := range c.instances {
		if in.ended() {
			continue
		}
		value, found, err := in.app.Get(context.Background(), store, key)
		var elsewhere *stream.NotOwnerError
		switch {
		case err == nil:
			return value, found
		case !errors.As(err, &elsewhere) && !errors.Is(err, stream.ErrNotRunning):
			c.t.Fatalf("%v", err)
		}
	}
	c.t.Fatalf("no instance has the key %v of store %q: Settle first", key, store.Spec().Name)
	return value, false
}

// Settle waits until the instances have shared out all tasks, everything that was written to the sources is processed
// and committed, and what came of it in the topics between sub-topologies, too. It fails the test if an instance fails, or if that
// takes longer than the limit.
func (c *Cluster) Settle() {
	c.t.Helper()
	var lag int64
	tasks, all := 0, 0
	c.await(func() (done bool) {
		c.t.Helper()
		var joined bool
		if joined, tasks = c.look(); !joined {
			return false
		}
		if all == 0 {
			all = c.tasks()
		}
		var err error
		if lag, err = c.cluster.Lag(context.Background(), c.topology); err != nil {
			c.t.Fatalf("%v", err)
		}
		return lag == 0 && tasks == all
	}, func() string {
		return fmt.Sprintf("%d of %d tasks run, and %d records are not processed", tasks, all, lag)
	})
}

// tasks is how many tasks the topology has. Its topics are there: an instance has joined the group.
func (c *Cluster) tasks() (all int) {
	c.t.Helper()
	for _, sub := range c.topology.Program().Graph.Subs {
		widest := 0
		for _, topic := range sub.Topics() {
			ends, err := c.cluster.EndOffsets(context.Background(), topic)
			if err != nil {
				c.t.Fatalf("%v", err)
			}
			widest = max(widest, len(ends))
		}
		all += widest
	}
	return all
}

// await asks again and again, until it is so or the limit is reached.
func (c *Cluster) await(done func() bool, what func() string) {
	c.t.Helper()
	limit := time.NewTimer(c.cfg.Limit)
	defer limit.Stop()
	for pause := settleMin; !done(); pause = min(2*pause, settleMax) {
		select {
		case <-time.After(pause):
		case <-limit.C:
			c.t.Fatalf("after %v %s", c.cfg.Limit, what())
		}
	}
}

// Between settleMin and settleMax lies how long to wait before another look. In a bubble that is when everything else waits.
const (
	settleMin = time.Millisecond
	settleMax = 250 * time.Millisecond
)

// Advance lets time pass: for what goes by the wall clock, as timeouts and intervals do. In a bubble that takes no time.
// Event time is the records' own.
func (c *Cluster) Advance(d time.Duration) { <-time.After(d) }
