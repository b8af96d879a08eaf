package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Errors of topic administration.
var (
	// ErrUnknownTopic means that the cluster has no topic of that name.
	ErrUnknownTopic = errors.New("client: unknown topic")
	// ErrTopicExists means that a topic of that name is there already.
	ErrTopicExists = errors.New("client: topic exists")
)

// Topic is what the cluster says about a topic.
type Topic struct {
	Name       string
	Partitions int32
	// ID tells a topic from one of the same name that was deleted. It is zero where the cluster gives no ids.
	ID [16]byte
}

// Admin asks and tells a cluster about topics and offsets. It may be used concurrently.
type Admin struct {
	adm   *kadm.Client
	close func()
}

// NewAdmin connects to the cluster on its own. Close it after use.
func NewAdmin(conn Conn) (*Admin, error) {
	cl, err := conn.open("riffle-admin")
	if err != nil {
		return nil, err
	}
	return &Admin{adm: kadm.NewClient(cl), close: cl.Close}, nil
}

// Admin returns an Admin that shares the client's connections. It need not be closed.
func (c *Client) Admin() *Admin { return &Admin{adm: c.adm, close: func() {}} }

// Close ends the connections.
func (a *Admin) Close() { a.close() }

// Topics returns those of the named topics that exist.
func (a *Admin) Topics(ctx context.Context, names ...string) (map[string]Topic, error) {
	found := make(map[string]Topic, len(names))
	if len(names) == 0 {
		return found, nil
	}
	details, err := a.adm.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("client: describe topics: %w", err)
	}
	for _, d := range details {
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition):
		case d.Err != nil:
			return nil, fmt.Errorf("client: describe topic %s: %w", d.Topic, d.Err)
		default:
			found[d.Topic] = Topic{Name: d.Topic, Partitions: int32(len(d.Partitions)), ID: d.ID}
		}
	}
	return found, nil
}

// CreateTopic creates a topic with the cluster's default replication. ErrTopicExists if it is there already.
func (a *Admin) CreateTopic(ctx context.Context, name string, partitions int32, configs map[string]string) error {
	values := make(map[string]*string, len(configs))
	for k, v := range configs {
		values[k] = &v
	}
	_, err := a.adm.CreateTopic(ctx, partitions, -1, values, name)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.TopicAlreadyExists):
		return fmt.Errorf("%w: %s", ErrTopicExists, name)
	default:
		return fmt.Errorf("client: create topic %s with %d partitions: %w", name, partitions, err)
	}
}

// DeleteTopic deletes a topic with all its records.
func (a *Admin) DeleteTopic(ctx context.Context, name string) error {
	if _, err := a.adm.DeleteTopic(ctx, name); err != nil {
		return fmt.Errorf("client: delete topic %s: %w", name, err)
	}
	return nil
}

// Offsets is an offset by topic and partition.
type Offsets map[string]map[int32]int64

// Set stores an offset.
func (o Offsets) Set(topic string, partition int32, at int64) {
	if o[topic] == nil {
		o[topic] = make(map[int32]int64)
	}
	o[topic][partition] = at
}

// StartOffsets returns the offset of the first record of every partition of the topics.
func (a *Admin) StartOffsets(ctx context.Context, topics ...string) (Offsets, error) {
	return listed(a.adm.ListStartOffsets, ctx, topics)
}

// EndOffsets returns the offset that the next record will get in every partition of the topics.
func (a *Admin) EndOffsets(ctx context.Context, topics ...string) (Offsets, error) {
	return listed(a.adm.ListEndOffsets, ctx, topics)
}

// StableOffsets returns where every partition of the topics ends for a reader of committed records.
func (a *Admin) StableOffsets(ctx context.Context, topics ...string) (Offsets, error) {
	return listed(a.adm.ListCommittedOffsets, ctx, topics)
}

func listed(list func(context.Context, ...string) (kadm.ListedOffsets, error), ctx context.Context, topics []string) (Offsets, error) {
	offsets := make(Offsets, len(topics))
	if len(topics) == 0 {
		return offsets, nil
	}
	found, err := list(ctx, topics...)
	if err == nil {
		err = found.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("client: list offsets of %v: %w", topics, err)
	}
	found.Each(func(l kadm.ListedOffset) { offsets.Set(l.Topic, l.Partition, l.Offset) })
	return offsets, nil
}

// Committed returns the offsets that a group has committed. A group that does not exist has committed none.
func (a *Admin) Committed(ctx context.Context, group string) (Offsets, error) {
	offsets := make(Offsets)
	found, err := a.committed(ctx, group)
	found.Each(func(r kadm.OffsetResponse) { offsets.Set(r.Topic, r.Partition, r.At) })
	return offsets, err
}

// stableBackoff is the pause before committed offsets are asked for again that a transaction is about to change.
const stableBackoff = 20 * time.Millisecond

// Settled is Committed for some partitions, with their notes, and waits until no open transaction can change their offsets any more.
func (a *Admin) Settled(ctx context.Context, group string, partitions map[string][]int32) (Offsets, PartitionNotes, error) {
	for {
		found, err := a.adm.FetchOffsets(kadm.RequireStable(ctx), group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("client: committed offsets of group %s: %w", group, err)
		}
		offsets, notes, err := settled(found, partitions)
		if !errors.Is(err, kerr.UnstableOffsetCommit) {
			if err != nil {
				err = fmt.Errorf("client: committed offsets of group %s: %w", group, err)
			}
			return offsets, notes, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("client: group %s: a transaction holds the offsets: %w", group, context.Cause(ctx))
		case <-time.After(stableBackoff):
		}
	}
}

// PartitionNotes are the notes beside the offsets of a group, by topic and partition.
type PartitionNotes map[string]map[int32]string

func settled(found kadm.OffsetResponses, partitions map[string][]int32) (Offsets, PartitionNotes, error) {
	offsets, notes := make(Offsets), make(PartitionNotes)
	for topic, ps := range partitions {
		for _, p := range ps {
			r, ok := found.Lookup(topic, p)
			if !ok {
				continue
			}
			if r.Err != nil {
				return nil, nil, fmt.Errorf("topic %s partition %d: %w", topic, p, r.Err)
			}
			offsets.Set(topic, p, r.At)
			if notes[topic] == nil {
				notes[topic] = make(map[int32]string)
			}
			notes[topic][p] = r.Metadata
		}
	}
	return offsets, notes, nil
}

// Notes returns what a group has noted beside its offsets, by topic: each text once.
func (a *Admin) Notes(ctx context.Context, group string) (map[string][]string, error) {
	notes := make(map[string][]string)
	found, err := a.committed(ctx, group)
	found.Each(func(r kadm.OffsetResponse) {
		if r.Metadata != "" && !slices.Contains(notes[r.Topic], r.Metadata) {
			notes[r.Topic] = append(notes[r.Topic], r.Metadata)
		}
	})
	return notes, err
}

func (a *Admin) committed(ctx context.Context, group string) (kadm.OffsetResponses, error) {
	found, err := a.adm.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err == nil {
		err = found.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("client: committed offsets of group %s: %w", group, err)
	}
	return found, nil
}

// Takes is what records a topic takes.
type Takes struct {
	RecordBytes int  // the largest one: key, value and headers
	OnlyKeyed   bool // it is compacted: a record without a key is refused
	// Ahead is how far the time of a record may lie after the cluster's clock. Zero is any.
	Ahead time.Duration
}

// Takes returns what the topics take, by their settings. Of a topic whose settings the cluster does not tell it returns Kafka's
// defaults.
func (a *Admin) Takes(ctx context.Context, topics ...string) (map[string]Takes, error) {
	takes := make(map[string]Takes, len(topics))
	if len(topics) == 0 {
		return takes, nil
	}
	for _, topic := range topics {
		takes[topic] = Takes{RecordBytes: defaultRecordLimit}
	}
	found, err := a.adm.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("client: describe configs of %v: %w", topics, err)
	}
	for _, r := range found {
		if r.Err != nil {
			continue
		}
		t := takes[r.Name]
		appendTime := false
		for _, c := range r.Configs {
			switch c.Key {
			case "max.message.bytes":
				if n, err := strconv.Atoi(c.MaybeValue()); err == nil {
					t.RecordBytes = max(n-BatchOverhead, 1)
				}
			case "cleanup.policy":
				t.OnlyKeyed = strings.Contains(c.MaybeValue(), "compact")
			case "message.timestamp.after.max.ms":
				t.Ahead = timeBound(c.MaybeValue())
			case "message.timestamp.type":
				appendTime = c.MaybeValue() == "LogAppendTime"
			}
		}
		if appendTime { // the cluster does not look at the record's
			t.Ahead = 0
		}
		takes[r.Name] = t
	}
	return takes, nil
}

// timeBound is a setting in milliseconds as a duration; 0 if it is so large that it bounds nothing.
func timeBound(text string) time.Duration {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms > int64(math.MaxInt64/time.Millisecond) {
		return 0
	}
	return max(time.Duration(ms)*time.Millisecond, time.Millisecond)
}
