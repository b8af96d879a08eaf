package broker

import (
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/riffle-stream/riffle/broker/catalog"
)

// grow adds partitions to a topic, up to count. The error matches those of
// catalog.SetPartitions.
//
// Directories and logs come first, then the catalog: a crash in between leaves
// empty directories that nobody is told of, and that the next attempt takes over.
func (ts *topics) grow(name string, count int32) error {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	old, ok := ts.lookup(name)
	if !ok {
		return fmt.Errorf("%w: %q", catalog.ErrUnknownTopic, name)
	}
	if err := ts.b.catalog.ValidatePartitions(name, count); err != nil {
		return err
	}
	wanted := old.Topic
	wanted.Partitions = count
	grown, err := ts.newTopic(wanted)
	if err != nil {
		return err
	}
	added := &topic{partitions: grown.partitions[len(old.partitions):]}
	var g errgroup.Group
	g.SetLimit(openAtOnce)
	for _, p := range added.partitions {
		g.Go(func() error { return ts.openLog(p) })
	}
	if err := g.Wait(); err != nil {
		return errors.Join(err, added.close())
	}
	if _, err := ts.b.catalog.SetPartitions(name, count); err != nil {
		return errors.Join(err, added.close())
	}
	ts.replace(&topic{Topic: wanted, cfg: old.cfg, partitions: append(old.partitions[:len(old.partitions):len(old.partitions)], added.partitions...)})
	return nil
}

// alter replaces the configs of a topic by what change makes of them, on disk
// first, and tells the open logs. The error matches those of catalog.SetConfigs.
// With validateOnly nothing is changed.
//
// A new index.interval.bytes takes effect when the broker is started again.
func (ts *topics) alter(name string, validateOnly bool, change func(catalog.Topic) (map[string]string, error)) error {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	old, ok := ts.lookup(name)
	if !ok {
		return fmt.Errorf("%w: %q", catalog.ErrUnknownTopic, name)
	}
	configs, err := change(old.Topic)
	if err != nil {
		return err
	}
	if err := catalog.TopicTable.Validate(configs); err != nil || validateOnly {
		return err
	}
	ct, err := ts.b.catalog.SetConfigs(name, configs)
	if err != nil {
		return err
	}
	altered := &topic{Topic: ct, cfg: ct.Config(), partitions: old.partitions}
	var errs []error
	for _, p := range altered.partitions {
		if err := p.log.Configure(logConfig(altered.cfg, nil)); err != nil {
			errs = append(errs, fmt.Errorf("broker: configure %s: %w", p, err))
		}
	}
	ts.replace(altered)
	if old.cfg.Flush != altered.cfg.Flush {
		// What was written under os, and shown to consumers, is to be durable like the
		// rest. A log whose fsync fails is fenced, and its producers are told.
		for _, p := range altered.partitions {
			errs = append(errs, p.log.Flush())
		}
	}
	return errors.Join(errs...)
}

// replace puts a topic in the place of what it was before.
func (ts *topics) replace(now *topic) {
	for _, p := range now.partitions {
		p.current.Store(now)
	}
	ts.put(now)
}
