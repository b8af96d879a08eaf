package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrFenced means that the group no longer counts this client as the owner of its partitions: another member
// has them or will have them. What was done since the last commit will be done again by the new owner.
var ErrFenced = errors.New("client: partitions are no longer owned by this instance")

// Config describes the client of one application.
type Config struct {
	Conn Conn
	// Group is the consumer group and the client id.
	Group string
	// Address is where others reach this instance: Owners tells it. It becomes part of the client id. Empty is nowhere.
	Address string
	// Instance makes the client a static member of the group under this name: after a crash it takes its old
	// place at once, instead of waiting until the group notices the death. Empty is an ordinary member.
	Instance string
	// Leave makes a static member leave the group when it is closed. Others keep their place for SessionTimeout.
	Leave bool
	// Sets are the co-partitioned sets of topics to consume: partition p of all topics of a set goes to one
	// member.
	Sets [][]string
	// Stateful says which of Sets have state, in their order. Nil is none.
	Stateful []bool
	// Standbys says how copies of state are dealt out. The first member of the group decides for all.
	Standbys Standbys
	// Held returns what state this instance has, of the units of Sets. It is called from another goroutine at each
	// rebalance. Nil is none.
	Held func() map[Unit]Held
	// Manual are the topics whose records go to the partition they name.
	Manual []string
	// RecordLimits are the largest records, in bytes of key, value and headers, by topic. The default for
	// others is 1,000,000: Kafka's limit for a batch, less what surrounds a record.
	RecordLimits map[string]int

	// MaxBufferedRecords and MaxBufferedBytes bound what waits to be sent. When either is reached, Send
	// blocks. The defaults are 100,000 and 64 MiB.
	MaxBufferedRecords, MaxBufferedBytes int
	// MaxFetchBytes and MaxFetchPartitionBytes bound what one fetch brings. The defaults are 16 MiB and 2 MiB.
	MaxFetchBytes, MaxFetchPartitionBytes int32
	// Linger is how long the producer waits for a batch to fill. A flush does not wait. The default is 5 ms; in transactions, whose
	// records nobody sees before the commit flushes them, 100 ms.
	Linger time.Duration
	// SessionTimeout is how long the group waits for a silent member. The default is 30 s.
	SessionTimeout time.Duration
	// Note returns what is stored in the group beside the offset of a partition. See Admin.Notes. It is called during commits. Nil is
	// nothing.
	Note func(topic string, partition int32) string

	// TransactionalID makes Begin and CommitTransaction usable; nothing can be sent outside a transaction then. It must
	// be this client's alone: a later producer of the same id ends the transactions of the earlier one.
	TransactionalID string
	// TransactionTimeout is how long the cluster leaves a transaction open before it aborts it. The default is 10 s.
	TransactionTimeout time.Duration

	// Logger tells what the user has to know. The default is none.
	Logger *slog.Logger

	// Assigned, Revoked and Lost follow the group. They are never called between a Poll that returned and
	// the next AllowRebalance.
	Revoked, Lost func(ctx context.Context, partitions map[string][]int32)
	// Assigned is called at the end of every rebalance, with the partitions that are new.
	Assigned func(ctx context.Context, a Assignment)
	// Resume is called after Assigned with the committed offset of each assigned partition, -1 where there is
	// none, and may raise it. It may wait, until ctx ends: these partitions are not read before, others are.
	Resume func(ctx context.Context, committed map[string]map[int32]int64) error
}

const (
	defaultRecordLimit = 1_000_000
	leaveTimeout       = 5 * time.Second
	// rebalanceTimeout is how long the group waits for a member that is at work: in a round, a commit or a restore.
	// It is what Kafka Streams allows.
	rebalanceTimeout = 5 * time.Minute
	// commitBackoff is the pause before offsets are committed again that the group could not take.
	commitBackoff = 500 * time.Millisecond
)

func (c Config) withDefaults() Config {
	orInt := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	orInt(&c.MaxBufferedRecords, 100_000)
	orInt(&c.MaxBufferedBytes, 64<<20)
	if c.MaxFetchBytes == 0 {
		c.MaxFetchBytes = 16 << 20
	}
	if c.MaxFetchPartitionBytes == 0 {
		c.MaxFetchPartitionBytes = 1 << 20
	}
	if c.Linger == 0 {
		c.Linger = 5 * time.Millisecond
		if c.TransactionalID != "" {
			c.Linger = 100 * time.Millisecond
		}
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = 30 * time.Second
	}
	if c.TransactionTimeout == 0 {
		c.TransactionTimeout = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Client consumes as a member of a group, records of committed transactions only, and produces idempotently with
// acks=all.
//
// Poll, Commit, AllowRebalance and what has to do with transactions belong to one goroutine. Sinks of different tasks
// may be used in parallel between a Poll and the next AllowRebalance.
type Client struct {
	cfg Config
	cl  *kgo.Client // the member; without transactions also the producer
	adm *kadm.Client
	txn transaction

	given atomic.Pointer[[]Standby] // copies to keep, as of the last sync
	since atomic.Int64              // when it began to join, in nanoseconds
}

// Assignment is what a rebalance brought to a member.
type Assignment struct {
	Partitions map[string][]int32 // that it did not have before
	Standbys   []Standby          // all that it is to keep
	Took       time.Duration      // since it joined
}

// Open joins the group. The first Poll or a callback shows whether the cluster can be reached. When ctx ends the member gives
// up whatever it asks of the cluster: Close, too, does not wait for an answer then, and the group may have to notice by itself.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	c := &Client{cfg: cfg}
	opts := append(c.cfg.Conn.options(clientID(cfg.Group, cfg.Address)), kgo.WithContext(ctx))
	cl, err := kgo.NewClient(append(opts, c.options()...)...)
	if err != nil {
		return nil, fmt.Errorf("client: open %s: %w", cfg.Group, err)
	}
	c.cl, c.adm = cl, kadm.NewClient(cl)
	return c, nil
}

func (c *Client) options() []kgo.Opt {
	cfg := c.cfg
	var topics []string
	for _, set := range cfg.Sets {
		topics = append(topics, set...)
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeTopics(topics...),
		kgo.Balancers(balancer{
			sets: cfg.Sets, stateful: cfg.Stateful, standbys: cfg.Standbys, held: cfg.Held,
			joining: c.joining, given: func(s []Standby) { c.given.Store(&s) }, joins: new(atomic.Int64),
		}),
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.HeartbeatInterval(min(time.Second, cfg.SessionTimeout/3)),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		// Control records move the position past the end of a transaction; without them an input that ends
		// in one would never look drained. They are not passed on.
		kgo.KeepControlRecords(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxBytes(cfg.MaxFetchBytes),
		kgo.FetchMaxPartitionBytes(cfg.MaxFetchPartitionBytes),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.OnPartitionsAssigned(c.assigned),
		kgo.OnPartitionsRevoked(callback(cfg.Revoked)),
		kgo.OnPartitionsLost(callback(cfg.Lost)),
		kgo.AdjustFetchOffsetsFn(c.adjust),
	}
	if cfg.Instance != "" {
		opts = append(opts, kgo.InstanceID(cfg.Instance))
	}
	if cfg.TransactionalID == "" {
		opts = append(opts, c.producerOptions()...)
	}
	return opts
}

func (c *Client) producerOptions() []kgo.Opt {
	cfg := c.cfg
	opts := []kgo.Opt{
		kgo.RecordPartitioner(newPartitioner(cfg.Manual)),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(cfg.MaxBufferedRecords),
		kgo.MaxBufferedBytes(cfg.MaxBufferedBytes),
		kgo.ProducerLinger(cfg.Linger),
		kgo.ProducerBatchMaxBytesFn(c.batchLimit),
	}
	if !cfg.Conn.Compress {
		opts = append(opts, kgo.ProducerBatchCompression(kgo.NoCompression()))
	}
	return opts
}

func callback(f func(context.Context, map[string][]int32)) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
		if f != nil {
			f(ctx, partitions)
		}
	}
}

func (c *Client) joining() { c.since.Store(time.Now().UnixNano()) }

func (c *Client) assigned(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	if c.cfg.Assigned == nil {
		return
	}
	a := Assignment{Partitions: partitions, Took: time.Duration(time.Now().UnixNano() - c.since.Load())}
	if given := c.given.Load(); given != nil {
		a.Standbys = *given
	}
	c.cfg.Assigned(ctx, a)
}

// adjust lets the owner raise the offsets to resume at.
func (c *Client) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	if c.cfg.Resume == nil {
		return offsets, nil
	}
	committed := make(map[string]map[int32]int64, len(offsets))
	for topic, ps := range offsets {
		committed[topic] = make(map[int32]int64, len(ps))
		for p, o := range ps {
			committed[topic][p] = max(o.EpochOffset().Offset, -1)
		}
	}
	if err := c.cfg.Resume(ctx, committed); err != nil {
		return nil, err
	}
	for topic, ps := range committed {
		for p, at := range ps {
			if at >= 0 && at != offsets[topic][p].EpochOffset().Offset {
				offsets[topic][p] = kgo.NewOffset().At(at)
			}
		}
	}
	return offsets, nil
}

func (c *Client) recordLimit(topic string) int {
	if n, ok := c.cfg.RecordLimits[topic]; ok {
		return n
	}
	return defaultRecordLimit
}

// BatchOverhead is what surrounds a single record in its batch, with room to spare: a topic whose max.message.bytes
// is n takes records of n-BatchOverhead bytes.
const BatchOverhead = 1 << 10

func (c *Client) batchLimit(topic string) int32 {
	return int32(min(c.recordLimit(topic)+BatchOverhead, 1<<30))
}

// Poll waits for records, at most until ctx ends, and calls add for each batch of one partition. It takes all that was fetched,
// which Config.MaxFetchBytes bounds: of a part, only the first partitions would be found in it. The records
// stay valid for as long as they are referenced. Rebalances are held off until AllowRebalance.
//
// The end of ctx is not an error; what was fetched before is taken nevertheless. A returned error concerns a partition that cannot be
// read any more.
func (c *Client) Poll(ctx context.Context, add func(Batch)) error {
	var fetches kgo.Fetches
	if ctx.Err() != nil {
		var noWait context.Context // nil: after the end of a context kgo does not even look
		fetches = c.cl.PollFetches(noWait)
	}
	if len(fetches) == 0 {
		fetches = c.cl.PollFetches(ctx) // which holds rebalances off in any case
	}
	var errs []error
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if err := c.fetchError(p.Topic, p.Partition, p.Err); err != nil {
			errs = append(errs, err)
		}
		if len(p.Records) > 0 {
			add(view(p))
		}
	})
	return errors.Join(errs...)
}

// fetchError tells what is worth stopping for from what is not.
func (c *Client) fetchError(topic string, partition int32, err error) error {
	var lost *kgo.ErrDataLoss
	var session *kgo.ErrGroupSession
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed):
		return nil
	case errors.As(err, &lost):
		c.cfg.Logger.Error("records of an input were lost before they were read: its log ends below the position of this application",
			"topic", lost.Topic, "partition", lost.Partition, "position", lost.ConsumedTo, "resumed_at", lost.ResetTo)
		return nil
	case errors.As(err, &session) && errors.Is(err, kerr.FencedInstanceID):
		// Joining again would take the place back from the other one, and so on for ever.
		return fmt.Errorf("client: another process has joined group %s as instance %q: give each instance a name of its own: %w", c.cfg.Group, c.cfg.Instance, err)
	case errors.As(err, &session):
		c.cfg.Logger.Warn("left the group by force, joining again", "group", c.cfg.Group, "err", err)
		return nil
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("client: topic %s partition %d is gone: was the topic deleted? %w", topic, partition, err)
	default:
		return fmt.Errorf("client: read topic %s partition %d: %w", topic, partition, err)
	}
}

// view turns the library's records into ours.
func view(p kgo.FetchTopicPartition) Batch {
	b := Batch{
		Topic:     p.Topic,
		Partition: p.Partition,
		End:       p.LastStableOffset,
		Records:   make([]Record, 0, len(p.Records)),
		First:     p.Records[0].Offset,
		Next:      p.Records[len(p.Records)-1].Offset + 1,
	}
	for _, r := range p.Records {
		if r.Attrs.IsControl() {
			continue
		}
		b.Records = append(b.Records, Record{
			Key: r.Key, Value: r.Value, Headers: headersOf(r), Timestamp: r.Timestamp.UnixMilli(), Offset: r.Offset,
		})
	}
	return b
}

// headersOf returns the headers of a record, nil if it has none.
func headersOf(r *kgo.Record) []Header {
	if len(r.Headers) == 0 {
		return nil
	}
	headers := make([]Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = Header{Key: h.Key, Value: h.Value}
	}
	return headers
}

// AllowRebalance ends the time in which callbacks are held off.
func (c *Client) AllowRebalance() { c.cl.AllowRebalance() }

// Seek goes on with other offsets of partitions that were read before.
func (c *Client) Seek(offsets Offsets) {
	to := make(map[string]map[int32]kgo.EpochOffset, len(offsets))
	for topic, partitions := range offsets {
		to[topic] = make(map[int32]kgo.EpochOffset, len(partitions))
		for p, at := range partitions {
			to[topic][p] = kgo.EpochOffset{Epoch: -1, Offset: at}
		}
	}
	c.cl.SetOffsets(to)
}

// Buffered is how many records are fetched and wait to be polled.
func (c *Client) Buffered() int64 { return c.cl.BufferedFetchRecords() }

// Pause stops fetching a partition until Unpause. What was fetched and not yet polled is fetched again then.
func (c *Client) Pause(topic string, partition int32) {
	c.cl.PauseFetchPartitions(map[string][]int32{topic: {partition}})
}

// Unpause takes a Pause back.
func (c *Client) Unpause(topic string, partition int32) {
	c.cl.ResumeFetchPartitions(map[string][]int32{topic: {partition}})
}

// Flush waits until everything that was sent is acknowledged or has failed. Whether it failed is for the
// sinks to say.
func (c *Client) Flush(ctx context.Context) error {
	producer := c.cl
	if c.txn.producer != nil {
		producer = c.txn.producer
	}
	if err := producer.Flush(ctx); err != nil {
		return fmt.Errorf("client: flush: %w", err)
	}
	return nil
}

// Commit stores the next offsets of the given partitions in the group. It tries again, until ctx ends, while the
// cluster cannot be reached. ErrFenced means that the group does not take them from this member any more.
func (c *Client) Commit(ctx context.Context, offsets map[string]map[int32]int64) error {
	if len(offsets) == 0 {
		return nil
	}
	commit := make(map[string]map[int32]kgo.EpochOffset, len(offsets))
	for topic, ps := range offsets {
		commit[topic] = make(map[int32]kgo.EpochOffset, len(ps))
		for p, at := range ps {
			commit[topic][p] = kgo.EpochOffset{Epoch: -1, Offset: at}
		}
	}
	noted := kgo.PreCommitFnContext(ctx, c.note)
	for {
		var failed error
		c.cl.CommitOffsetsSync(noted, commit, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			failed = commitError(resp, err)
		})
		if failed == nil || !passing(failed) {
			return failed
		}
		c.cfg.Logger.Warn("the group cannot take offsets, trying again", "group", c.cfg.Group, "err", failed)
		select {
		case <-ctx.Done():
			return failed
		case <-time.After(commitBackoff):
		}
	}
}

// note adds the notes to a commit.
func (c *Client) note(req *kmsg.OffsetCommitRequest) error {
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			if note := c.noteOf(t.Topic, t.Partitions[j].Partition); note != nil {
				t.Partitions[j].Metadata = note
			}
		}
	}
	return nil
}

// noteOf returns the note of a partition, or nil.
func (c *Client) noteOf(topic string, p int32) *string {
	if c.cfg.Note == nil {
		return nil
	}
	if note := c.cfg.Note(topic, p); note != "" {
		return &note
	}
	return nil
}

// passing reports whether a commit may succeed later: the cluster could not be reached, or is not ready. Committing
// the same offsets twice does no harm.
func passing(err error) bool {
	var refused *kerr.Error
	switch {
	case errors.Is(err, ErrFenced), errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed):
		return false
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return false // the topic was deleted
	case errors.As(err, &refused):
		return refused.Retriable
	}
	return true
}

func commitError(resp *kmsg.OffsetCommitResponse, err error) error {
	if err != nil {
		return fmt.Errorf("client: commit offsets: %w", err)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			switch err := kerr.ErrorForCode(p.ErrorCode); {
			case err == nil:
			case fencedBy(err):
				return fmt.Errorf("%w: commit offsets: %w", ErrFenced, err)
			default:
				return fmt.Errorf("client: commit offset of topic %s partition %d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

// fencedBy reports whether the group refuses a member.
func fencedBy(err error) bool {
	return errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID) ||
		errors.Is(err, kerr.FencedInstanceID) || errors.Is(err, kerr.RebalanceInProgress)
}

// Close aborts what is not committed, leaves the group and drops what has not been flushed.
func (c *Client) Close() {
	c.endTransaction()
	c.cl.CloseAllowingRebalance()
	if c.cfg.Instance != "" && c.cfg.Leave {
		c.leave()
	}
}

// leave takes a static member out of the group. It needs a connection of its own: on the client's, the member
// would join again as soon as it saw that it is gone.
func (c *Client) leave() {
	cl, err := c.cfg.Conn.open(c.cfg.Group)
	if err != nil {
		return // the options worked before
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	req := kadm.LeaveGroup(c.cfg.Group).InstanceIDs(c.cfg.Instance).Reason("the application stops")
	if _, err := kadm.NewClient(cl).LeaveGroup(ctx, req); err != nil {
		c.cfg.Logger.Debug("could not leave the group: it will notice after the session timeout", "group", c.cfg.Group, "err", err)
	}
}
