package catalog

import "fmt"

// SetPartitions makes the number of a topic's partitions larger. It cannot become
// smaller: that would drop records, and move keys.
func (c *Catalog) SetPartitions(name string, partitions int32) (Topic, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changeLocked(name, "set the partitions of", func(s *state, t *Topic) error {
		if err := s.validateGrowth(*t, partitions); err != nil {
			return err
		}
		t.Partitions = partitions
		return nil
	})
}

// ValidatePartitions returns the error that SetPartitions would for its arguments:
// ErrUnknownTopic or ErrInvalidPartitions.
func (c *Catalog) ValidatePartitions(name string, partitions int32) error {
	s := c.current.Load()
	t, ok := s.byName[name]
	if !ok {
		return fmt.Errorf("%w: %q", ErrUnknownTopic, name)
	}
	return s.validateGrowth(t, partitions)
}

// SetConfigs replaces all configs of a topic; those that are not named fall back to
// their defaults. The error is ErrUnknownTopic, or that of TopicTable.Validate.
func (c *Catalog) SetConfigs(name string, configs map[string]string) (Topic, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changeLocked(name, "set the configs of", func(_ *state, t *Topic) (err error) {
		t.Configs, err = TopicTable.normalize(configs)
		return err
	})
}

// changeLocked makes a change of one topic durable. The caller holds mu.
func (c *Catalog) changeLocked(name, doing string, change func(*state, *Topic) error) (Topic, error) {
	s := c.current.Load()
	t, ok := s.byName[name]
	if !ok {
		return Topic{}, fmt.Errorf("%w: %q", ErrUnknownTopic, name)
	}
	s = s.clone()
	s.remove(t)
	if err := change(s, &t); err != nil {
		return Topic{}, err
	}
	s.add(t)
	if err := c.commitLocked(s); err != nil {
		return Topic{}, fmt.Errorf("catalog: %s topic %q: %w", doing, name, err)
	}
	return t, nil
}

// validateGrowth checks a new number of partitions for t, whether or not s counts
// those it has.
func (s *state) validateGrowth(t Topic, partitions int32) error {
	others := s.partitions
	if _, counted := s.byName[t.Name]; counted {
		others -= int64(t.Partitions)
	}
	switch {
	case partitions <= t.Partitions:
		return fmt.Errorf("%w: topic %q has %d, %d are not more", ErrInvalidPartitions, t.Name, t.Partitions, partitions)
	case partitions > MaxPartitions:
		return fmt.Errorf("%w: topic %q with %d, want at most %d", ErrInvalidPartitions, t.Name, partitions, MaxPartitions)
	case others+int64(partitions) > MaxTotalPartitions:
		return fmt.Errorf("%w: topic %q with %d would make %d partitions in all, at most %d fit one broker",
			ErrInvalidPartitions, t.Name, partitions, others+int64(partitions), MaxTotalPartitions)
	}
	return nil
}
