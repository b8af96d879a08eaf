package catalog

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/riffle-stream/riffle/broker/statefile"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// MaxPartitions is the largest number of partitions of one topic,
// MaxTotalPartitions that of all topics of a broker. Each partition is a
// directory with open files.
const (
	MaxPartitions      = 10_000
	MaxTotalPartitions = 100_000
)

// Errors of Create, Validate, Delete, SetPartitions and SetConfigs.
var (
	// ErrTopicExists means that there is a topic of that name.
	ErrTopicExists = errors.New("catalog: topic exists")
	// ErrUnknownTopic means that there is no topic of that name.
	ErrUnknownTopic = errors.New("catalog: unknown topic")
	// ErrInvalidName means that Kafka does not allow the name of a topic.
	ErrInvalidName = errors.New("catalog: invalid topic name")
	// ErrInvalidPartitions means that the number of partitions is below one, above
	// a limit, or not more than a topic has.
	ErrInvalidPartitions = errors.New("catalog: invalid number of partitions")
	// ErrInvalidConfig means that a config is unknown or its value is not
	// allowed. The error is a *ConfigError.
	ErrInvalidConfig = errors.New("catalog: invalid config")
	// ErrFenced means that an earlier change failed in a way that leaves open
	// whether the disk holds it. The catalog can be read, but not changed until
	// the broker is started again.
	ErrFenced = statefile.ErrFenced
)

// Topic is one topic. It is a value: the catalog hands out copies.
type Topic struct {
	Name       string
	ID         [16]byte
	Partitions int32
	// Configs holds the configs that differ from the default because somebody
	// set them. It is shared and must not be changed.
	Configs map[string]string
	// Internal marks the topics that belong to the broker itself.
	Internal bool
}

// Dir is the directory of the topic below the broker's: the id in hexadecimal,
// because a name may be anything that Kafka allows, and a file system may not
// tell "Orders" from "orders".
func (t Topic) Dir() string { return fmt.Sprintf("%s/%x", topicsDir, t.ID) }

// Catalog is the topics of one broker. It is safe for concurrent use.
type Catalog struct {
	fsys vfs.FS

	current atomic.Pointer[state] // immutable; replaced under mu

	mu   sync.Mutex // of changes, and of file
	file *statefile.File
}

// state is what the file holds.
type state struct {
	clusterID      string
	nextProducerID int64
	changes        int64 // that made it what it is
	byName         map[string]Topic
	byID           map[[16]byte]Topic
	partitions     int64 // of all topics

	groups map[string]map[string]string // configs by group; only what was set
}

func newState(clusterID string) *state {
	return &state{clusterID: clusterID, byName: map[string]Topic{}, byID: map[[16]byte]Topic{}, groups: map[string]map[string]string{}}
}

func (s *state) clone() *state {
	c := *s
	c.byName, c.byID = maps.Clone(s.byName), maps.Clone(s.byID)
	return &c
}

func (s *state) add(t Topic) {
	s.byName[t.Name], s.byID[t.ID] = t, t
	s.partitions += int64(t.Partitions)
}

func (s *state) remove(t Topic) {
	delete(s.byName, t.Name)
	delete(s.byID, t.ID)
	s.partitions -= int64(t.Partitions)
}

func (s *state) sorted() []Topic {
	return slices.SortedFunc(maps.Values(s.byName), func(a, b Topic) int { return cmp.Compare(a.Name, b.Name) })
}

// Open reads the catalog of the broker whose directory is fsys, or starts an
// empty one with a new cluster id. It refuses a file of another program or a
// later release, a damaged one, and a directory that holds topics but no catalog;
// the error, a *FileError, names the file and the remedy.
//
// The caller holds the directory's lock.
func Open(fsys vfs.FS) (*Catalog, error) {
	c := &Catalog{fsys: fsys, file: statefile.New(fsys, fileSpec)}
	s, err := c.read()
	if err != nil {
		return nil, err
	}
	if s == nil {
		id, err := newID()
		if err != nil {
			return nil, err
		}
		s = newState(base64.RawURLEncoding.EncodeToString(id[:]))
		if err := c.replace(s); err != nil {
			return nil, err
		}
	}
	c.current.Store(s)
	return c, nil
}

// ClusterID is the id of the cluster, a UUID as Kafka writes it. It stays the same
// for as long as the file exists.
func (c *Catalog) ClusterID() string { return c.current.Load().clusterID }

// Lookup returns the topic with that name.
func (c *Catalog) Lookup(name string) (Topic, bool) {
	t, ok := c.current.Load().byName[name]
	return t, ok
}

// LookupID returns the topic with that id.
func (c *Catalog) LookupID(id [16]byte) (Topic, bool) {
	t, ok := c.current.Load().byID[id]
	return t, ok
}

// Topics returns all topics, sorted by name.
func (c *Catalog) Topics() []Topic { return c.current.Load().sorted() }

// Create adds a topic. The partitions are counted from 1, and nil configs are all
// the defaults. All that is wrong with the arguments is reported at once, see
// Validate.
func (c *Catalog) Create(name string, partitions int32, configs map[string]string) (Topic, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.current.Load()
	normal, err := s.validate(name, partitions, configs)
	if err != nil {
		return Topic{}, err
	}
	id, err := newID()
	if err != nil {
		return Topic{}, err
	}
	t := Topic{Name: name, ID: id, Partitions: partitions, Configs: normal, Internal: internal(name)}
	s = s.clone()
	s.add(t)
	if err := c.commitLocked(s); err != nil {
		return Topic{}, fmt.Errorf("catalog: create topic %q: %w", name, err)
	}
	return t, nil
}

// Validate returns the error that Create would for its arguments: ErrTopicExists,
// ErrInvalidName, ErrInvalidPartitions and one *ConfigError for each wrong config,
// joined.
func (c *Catalog) Validate(name string, partitions int32, configs map[string]string) error {
	_, err := c.current.Load().validate(name, partitions, configs)
	return err
}

// Delete removes a topic and returns what it was.
func (c *Catalog) Delete(name string) (Topic, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.current.Load()
	t, ok := s.byName[name]
	if !ok {
		return Topic{}, fmt.Errorf("%w: %q", ErrUnknownTopic, name)
	}
	s = s.clone()
	s.remove(t)
	if err := c.commitLocked(s); err != nil {
		return Topic{}, fmt.Errorf("catalog: delete topic %q: %w", name, err)
	}
	return t, nil
}

// Changes is how often the catalog has changed. It never falls.
func (c *Catalog) Changes() int64 { return c.current.Load().changes }

// ReserveProducerIDs returns the first of count ids for idempotent producers that
// nobody got before and nobody will, not even after a crash. Each call writes the
// file: reserve a thousand at a time.
func (c *Catalog) ReserveProducerIDs(count int) (first int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := *c.current.Load() // shares the maps, which do not change
	first = s.nextProducerID
	if count < 1 || int64(count) > math.MaxInt64-first {
		return 0, fmt.Errorf("catalog: reserve %d producer ids from %d on: want one at least, and none above %d", count, first, math.MaxInt64)
	}
	s.nextProducerID += int64(count)
	if err := c.commitLocked(&s); err != nil {
		return 0, fmt.Errorf("catalog: reserve producer ids: %w", err)
	}
	return first, nil
}

// commitLocked makes s durable and then current. The caller holds mu.
func (c *Catalog) commitLocked(s *state) error {
	if err := c.replace(s); err != nil {
		return err
	}
	c.current.Store(s)
	return nil
}

// validate returns the configs as they are kept: without blanks around a value.
func (s *state) validate(name string, partitions int32, configs map[string]string) (normal map[string]string, err error) {
	var errs []error
	if err := ValidateName(name); err != nil {
		errs = append(errs, err)
	} else if _, ok := s.byName[name]; ok {
		errs = append(errs, fmt.Errorf("%w: %q", ErrTopicExists, name))
	}
	switch {
	case partitions < 1 || partitions > MaxPartitions:
		errs = append(errs, fmt.Errorf("%w: topic %q with %d, want 1 to %d", ErrInvalidPartitions, name, partitions, MaxPartitions))
	case s.partitions+int64(partitions) > MaxTotalPartitions:
		errs = append(errs, fmt.Errorf("%w: topic %q with %d would make %d partitions in all, at most %d fit one broker; delete topics or take fewer partitions",
			ErrInvalidPartitions, name, partitions, s.partitions+int64(partitions), MaxTotalPartitions))
	}
	normal, err = TopicTable.normalize(configs)
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return normal, nil
}

// ValidateName checks the name of a topic by Kafka's rule: 1 to 249 letters,
// digits, dots, underscores and hyphens of ASCII, neither "." nor "..". The error
// matches ErrInvalidName.
func ValidateName(name string) error {
	const maxLen = 249
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidName)
	case name == "." || name == "..":
		return fmt.Errorf("%w: %q", ErrInvalidName, name)
	case len(name) > maxLen:
		return fmt.Errorf("%w: %q... has %d bytes, at most %d are allowed", ErrInvalidName, name[:32], len(name), maxLen)
	}
	for _, r := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return fmt.Errorf("%w: %q holds %q; letters, digits, '.', '_' and '-' are allowed", ErrInvalidName, name, r)
		}
	}
	return nil
}

// internal reports whether a topic belongs to the broker itself. Kafka knows
// these by name, and so do its clients.
func internal(name string) bool {
	return name == "__consumer_offsets" || name == "__transaction_state"
}

// newID draws a UUID (version 4). As in Kafka, its text does not begin with a
// hyphen, which a command line would take for a flag.
func newID() (id [16]byte, err error) {
	for {
		if _, err := rand.Read(id[:]); err != nil {
			return id, fmt.Errorf("catalog: draw an id: %w", err)
		}
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if id[0]>>2 != 62 { // '-' in base64url
			return id, nil
		}
	}
}
