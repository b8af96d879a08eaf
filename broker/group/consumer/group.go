package consumer

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// State is where a group stands.
type State int8

// The states of a group.
const (
	// Empty: no members; it may hold offsets.
	Empty State = iota
	// Assigning: the next heartbeat computes another assignment.
	Assigning
	// Reconciling: not all members have reached their assignment.
	Reconciling
	// Stable: every member uses what it is meant to have.
	Stable
)

// String is Kafka's name of the state.
func (s State) String() string {
	return [...]string{Empty: "Empty", Assigning: "Assigning", Reconciling: "Reconciling", Stable: "Stable"}[s]
}

// Config bounds a group. The zero value is a working configuration.
type Config struct {
	// SessionTimeout is how long a member may be silent
	// (group.consumer.session.timeout.ms). The default is 45 s.
	SessionTimeout time.Duration

	// MaxMembers is how many members a group may have (group.consumer.max.size). The
	// default is 1000.
	MaxMembers int
}

// WithDefaults returns c with every zero field set to its default.
func (c Config) WithDefaults() Config {
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 45*time.Second)
	c.MaxMembers = cmp.Or(c.MaxMembers, 1000)
	return c
}

// Validate reports every mistake in c, after its defaults are applied.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	if c.SessionTimeout < 0 {
		errs = append(errs, fmt.Errorf("consumer: SessionTimeout %v is negative", c.SessionTimeout))
	}
	if c.MaxMembers < 0 {
		errs = append(errs, fmt.Errorf("consumer: MaxMembers %d is negative", c.MaxMembers))
	}
	return errors.Join(errs...)
}

// Topic is what can be subscribed to.
type Topic struct {
	Name       string
	ID         [16]byte
	Partitions int32
}

// Topics are the topics of the cluster.
type Topics interface {
	// Version changes whenever a topic comes, goes or grows.
	Version() uint64
	// Topic finds one by name.
	Topic(name string) (Topic, bool)
	// Names are those of all topics.
	Names() iter.Seq[string]
}

// Partition is a partition of a topic, by the topic's id.
type Partition struct {
	Topic [16]byte
	Index int32
}

func (p Partition) compare(o Partition) int {
	return cmp.Or(slices.Compare(p.Topic[:], o.Topic[:]), cmp.Compare(p.Index, o.Index))
}

// Group is the membership of one consumer group.
type Group struct {
	id  string
	cfg Config

	epoch       int32 // counts what calls for another assignment; 0 before the first
	targetEpoch int32 // the epoch that the targets are of

	members map[string]*member // by id
	static  map[string]*member // by instance id

	// holders are the members that may use a partition, or have not given it up yet.
	holders map[Partition]*member

	// topicsHash is of the topics that the targets are made of; topicsVersion is what
	// it was compared with last, if compared is set.
	topicsHash    uint64
	topicsVersion uint64
	compared      bool
	matches       map[string][]string // topics by regular expression, of topicsVersion

	changes changes
}

// New returns a group without members. The zero Config works.
func New(id string, cfg Config) *Group {
	return &Group{
		id:      id,
		cfg:     cfg.WithDefaults(),
		members: map[string]*member{},
		static:  map[string]*member{},
		holders: map[Partition]*member{},
		matches: map[string][]string{},
	}
}

// Configure changes the configuration. Sessions that run keep their end.
func (g *Group) Configure(cfg Config) { g.cfg = cfg.WithDefaults() }

// ID is the group's name.
func (g *Group) ID() string { return g.id }

// State is where the group stands.
func (g *Group) State() State {
	switch {
	case len(g.members) == 0:
		return Empty
	case g.epoch > g.targetEpoch:
		return Assigning
	}
	for _, m := range g.members {
		if !m.reconciled(g.targetEpoch) {
			return Reconciling
		}
	}
	return Stable
}

// Subscribed reports whether a member reads a topic. A regular expression counts by the
// topics that it matched at the last heartbeat.
func (g *Group) Subscribed(topic string) bool {
	for _, m := range g.members {
		if slices.Contains(m.topics, topic) || slices.Contains(g.matches[m.regex], topic) {
			return true
		}
	}
	return false
}

// bump asks for another assignment.
func (g *Group) bump() {
	g.epoch++
	g.changes.group = true
}

// sorted are the members by id.
func (g *Group) sorted() []*member {
	all := make([]*member, 0, len(g.members))
	for _, m := range g.members {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *member) int { return strings.Compare(a.id, b.id) })
	return all
}
