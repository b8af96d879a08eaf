package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/sync/errgroup"

	"github.com/riffle-stream/riffle/broker/catalog"
	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/internal/vfs"
)

const (
	// topicsDir holds one directory per topic, named by its id.
	topicsDir = "topics"
	// deletedSuffix marks the directory of a topic that is being deleted.
	deletedSuffix = ".deleted"
	// openAtOnce is how many logs are recovered side by side when the broker starts.
	openAtOnce = 8
	// maxBatchBytes is the largest batch that a log takes, whatever a topic allows.
	maxBatchBytes = 256 << 20
)

// topic is a topic with its open partitions at one moment. It does not change: where
// partitions are added or configs altered, another one with the same name and id
// takes its place (see topics_change.go).
type topic struct {
	catalog.Topic
	cfg        catalog.TopicConfig
	partitions []*partition // by index
}

// topics are the topics of the broker. It is safe for concurrent use.
type topics struct {
	b *Broker

	// changing serialises creation and deletion, which touch the disk. Lookups do
	// not wait for it.
	changing sync.Mutex

	// version changes whenever a topic is put or deleted, and when others may see it.
	version atomic.Uint64

	mu struct {
		sync.RWMutex
		byName map[string]*topic
		byID   map[[16]byte]*topic
	}
}

// openTopics opens the logs of all topics and finishes what a crash interrupted.
func openTopics(b *Broker) (*topics, error) {
	ts := &topics{b: b}
	ts.mu.byName = map[string]*topic{}
	ts.mu.byID = map[[16]byte]*topic{}
	if err := ts.finishDeletions(); err != nil {
		return nil, err
	}
	var g errgroup.Group
	g.SetLimit(openAtOnce)
	for _, ct := range b.catalog.Topics() {
		t, err := ts.newTopic(ct)
		if err != nil {
			return nil, errors.Join(err, g.Wait(), ts.close())
		}
		ts.put(t)
		for _, p := range t.partitions {
			g.Go(func() error { return ts.openLog(p) })
		}
	}
	if err := g.Wait(); err != nil {
		return nil, errors.Join(err, ts.close())
	}
	return ts, nil
}

// newTopic makes the directories of a topic. Its logs are still to be opened.
func (ts *topics) newTopic(ct catalog.Topic) (*topic, error) {
	t := &topic{Topic: ct, cfg: ct.Config()}
	if err := makeDirs(ts.b.fsys, ct); err != nil {
		return nil, fmt.Errorf("broker: make the directories of topic %q: %w", ct.Name, err)
	}
	for i := range ct.Partitions {
		p := &partition{index: i, flusher: ts.b.flusher}
		p.current.Store(t)
		t.partitions = append(t.partitions, p)
	}
	return t, nil
}

// makeDirs makes the directories of a topic's partitions and their names durable.
func makeDirs(fsys vfs.FS, ct catalog.Topic) error {
	var errs []error
	for i := range ct.Partitions {
		errs = append(errs, fsys.MkdirAll(partitionDir(ct, i)))
	}
	return errors.Join(append(errs, fsys.SyncDir(ct.Dir()), fsys.SyncDir(topicsDir))...)
}

func partitionDir(ct catalog.Topic, index int32) string {
	return ct.Dir() + "/" + strconv.Itoa(int(index))
}

// openLog recovers the log of a partition and reports what was found.
func (ts *topics) openLog(p *partition) error {
	dir := partitionDir(p.topic().Topic, p.index)
	fsys, err := ts.b.fsys.Sub(dir)
	if err != nil {
		return fmt.Errorf("broker: open %s in %s: %w", p, dir, err)
	}
	logger := ts.b.cfg.Logger.With("partition", p.String(), "dir", dir)
	cfg := logConfig(p.topic().cfg, logger)
	cfg.Dir = dir
	p.log, err = commitlog.Open(fsys, cfg, time.Now())
	if err != nil {
		return fmt.Errorf("broker: open %s in %s: %w", p, dir, err)
	}
	r := p.log.Recovery()
	ts.b.metrics.recovered(r)
	if r.Quarantined {
		logger.Error("broker: the end of the log is damaged: it is served as far as it is good, and takes no records; "+
			"copy what is readable to a new topic", "damage", len(r.Corrupt))
	}
	return nil
}

// logConfig is what a log needs to know of a topic's configs.
func logConfig(c catalog.TopicConfig, logger *slog.Logger) commitlog.Config {
	lc := commitlog.Config{
		SegmentBytes:       c.SegmentBytes,
		SegmentAge:         c.SegmentAge,
		IndexIntervalBytes: c.IndexIntervalBytes,
		MaxBatchBytes:      min(c.MaxMessageBytes, maxBatchBytes),
		LogAppendTime:      c.LogAppendTime,
		Logger:             logger,
	}
	if c.Delete {
		lc.RetentionAge = keep(c.Retention)
		lc.RetentionBytes = keep(c.RetentionBytes)
	}
	return lc
}

// keep turns Kafka's limits, where negative means none and zero means nothing is
// kept, into a log's, where zero means none.
func keep[T ~int64](limit T) T {
	switch {
	case limit < 0:
		return 0
	case limit == 0:
		return 1
	default:
		return limit
	}
}

// create makes a topic, on disk first. The error matches those of catalog.Create.
func (ts *topics) create(name string, partitions int32, configs map[string]string) (*topic, error) {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	ct, err := ts.b.catalog.Create(name, partitions, configs)
	if err != nil {
		return nil, err
	}
	t, err := ts.newTopic(ct)
	if err == nil {
		var g errgroup.Group
		g.SetLimit(openAtOnce)
		for _, p := range t.partitions {
			g.Go(func() error { return ts.openLog(p) })
		}
		err = g.Wait()
	}
	if err != nil {
		// A topic that is only half there must not stay. If this fails, too, it is
		// completed at the next start.
		_, undo := ts.b.catalog.Delete(name)
		return nil, errors.Join(err, undo, t.close(), ts.b.fsys.RemoveAll(ct.Dir()))
	}
	ts.put(t)
	return t, nil
}

// internal returns an internal topic, which it makes if it is missing.
func (ts *topics) internal(name string, partitions int32, configs map[string]string) (*topic, error) {
	if t, ok := ts.lookup(name); ok {
		return t, nil
	}
	return ts.create(name, partitions, configs)
}

// delete removes a topic and its records. Requests under way get errors that make
// clients look again.
//
// The directory is marked first: from then on the deletion is decided, and the next
// start completes what a crash or an error interrupts.
func (ts *topics) delete(name string) error {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	t, ok := ts.lookup(name)
	if !ok {
		return fmt.Errorf("%w: %q", catalog.ErrUnknownTopic, name)
	}
	ts.mu.Lock()
	delete(ts.mu.byName, t.Name)
	delete(ts.mu.byID, t.ID)
	ts.version.Add(1)
	ts.mu.Unlock()

	// A log that cannot be closed cleanly is going away all the same.
	if err := t.close(); err != nil {
		ts.b.cfg.Logger.Warn("broker: a log of a deleted topic was not closed cleanly", "topic", name, "cause", err)
	}
	if err := errors.Join(ts.b.fsys.Rename(t.Dir(), markedDir(t.Topic)), ts.b.fsys.SyncDir(topicsDir)); err != nil {
		return fmt.Errorf("broker: mark the directory of topic %q as deleted; it is served again after a restart: %w", name, err)
	}
	return ts.finishDeletion(t.Topic)
}

func markedDir(ct catalog.Topic) string { return ct.Dir() + deletedSuffix }

// finishDeletion makes the catalog forget a topic whose directory is marked, and
// removes the directory.
func (ts *topics) finishDeletion(ct catalog.Topic) error {
	_, err := ts.b.catalog.Delete(ct.Name)
	if vfs.IsNoSpace(err) {
		// Somebody deletes a topic because the disk is full: the records go first. The
		// mark stays until the catalog has forgotten the topic.
		for i := range ct.Partitions {
			err = errors.Join(err, ts.b.fsys.RemoveAll(markedDir(ct)+"/"+strconv.Itoa(int(i))))
		}
		_, err = ts.b.catalog.Delete(ct.Name)
	}
	if err != nil {
		return fmt.Errorf("broker: the deletion of topic %q is completed by the next start: %w", ct.Name, err)
	}
	if err := ts.b.fsys.RemoveAll(markedDir(ct)); err != nil {
		ts.b.cfg.Logger.Warn("broker: the records of a deleted topic could not be removed, the next start tries again",
			"topic", ct.Name, "dir", markedDir(ct), "cause", err)
	}
	return nil
}

// finishDeletions completes deletions that were interrupted. A directory that
// belongs to no topic and is not marked is left alone: it may be somebody's records.
func (ts *topics) finishDeletions() error {
	fsys := ts.b.fsys
	if err := errors.Join(fsys.MkdirAll(topicsDir), fsys.SyncDir(".")); err != nil {
		return fmt.Errorf("broker: make %s: %w", topicsDir, err)
	}
	names, err := fsys.List(topicsDir)
	if err != nil {
		return fmt.Errorf("broker: list %s: %w", topicsDir, err)
	}
	known := map[string]catalog.Topic{}
	for _, ct := range ts.b.catalog.Topics() {
		known[ct.Dir()] = ct
	}
	for _, name := range names {
		live, marked := strings.CutSuffix(topicsDir+"/"+name, deletedSuffix)
		ct, isTopic := known[live]
		switch {
		case marked && isTopic:
			if err := ts.finishDeletion(ct); err != nil {
				return err
			}
		case marked:
			if err := fsys.RemoveAll(live + deletedSuffix); err != nil {
				return fmt.Errorf("broker: remove %s: %w", live+deletedSuffix, err)
			}
		case !isTopic:
			ts.b.cfg.Logger.Warn("broker: this directory belongs to no topic; remove it if you know what it is", "dir", live)
		}
	}
	return nil
}

func (ts *topics) put(t *topic) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.mu.byName[t.Name], ts.mu.byID[t.ID] = t, t
	ts.version.Add(1)
}

func (ts *topics) lookup(name string) (*topic, bool) {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	t, ok := ts.mu.byName[name]
	return t, ok
}

func (ts *topics) lookupID(id [16]byte) (*topic, bool) {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	t, ok := ts.mu.byID[id]
	return t, ok
}

// all returns the topics, sorted by name.
func (ts *topics) all() []*topic {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	return slices.SortedFunc(maps.Values(ts.mu.byName), func(a, b *topic) int { return strings.Compare(a.Name, b.Name) })
}

// close closes all logs.
func (ts *topics) close() error {
	var errs []error
	for _, t := range ts.all() {
		errs = append(errs, t.close())
	}
	return errors.Join(errs...)
}

func (t *topic) close() error {
	if t == nil {
		return nil
	}
	var errs []error
	for _, p := range t.partitions {
		if p.log == nil {
			continue
		}
		if err := p.log.Close(); err != nil {
			errs = append(errs, fmt.Errorf("broker: close %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// partition returns a partition, or an error that errorCode turns into
// UNKNOWN_TOPIC_OR_PARTITION.
func (b *Broker) partition(name string, index int32) (*partition, error) {
	t, ok := b.topics.lookup(name)
	if !ok {
		return nil, fmt.Errorf("%w: topic %q", kerr.UnknownTopicOrPartition, name)
	}
	return t.partition(index)
}

// find returns a topic by id where the version of the request goes by ids, or by
// name.
func (b *Broker) find(byID bool, id [16]byte, name string) (*topic, error) {
	if byID {
		if t, ok := b.topics.lookupID(id); ok {
			return t, nil
		}
		return nil, fmt.Errorf("%w: %x", kerr.UnknownTopicID, id)
	}
	if t, ok := b.topics.lookup(name); ok {
		return t, nil
	}
	return nil, fmt.Errorf("%w: topic %q", kerr.UnknownTopicOrPartition, name)
}

func (t *topic) partition(index int32) (*partition, error) {
	if index < 0 || int(index) >= len(t.partitions) {
		return nil, fmt.Errorf("%w: %q has partitions 0 to %d, not %d", kerr.UnknownTopicOrPartition, t.Name, len(t.partitions)-1, index)
	}
	return t.partitions[index], nil
}

// internalTopic returns the partitions of an internal topic, which it makes if it
// is missing; an existing one keeps its number of partitions.
func (b *Broker) internalTopic(name string, partitions int32, configs map[string]string) ([]*partition, error) {
	t, err := b.topics.internal(name, partitions, configs)
	if err != nil {
		return nil, fmt.Errorf("broker: make internal topic %s: %w", name, err)
	}
	return t.partitions, nil
}
