package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/group"
	"github.com/riffle-stream/riffle/broker/group/consumer"
	"github.com/riffle-stream/riffle/broker/record"
)

// coordinator is the group coordinator: it owns the groups, whose rules packages
// group and consumer state, and does for them what those do not: it reads the clock,
// holds requests that wait, and writes and replays __consumer_offsets.
//
// Each group has its own lock, under which its events happen and its records are
// appended, so that the log has them in the order of the events. Nobody waits for
// the disk with a lock held: requests of many groups share one fsync.
//
// Locks are taken in the order coordinated.mu, coordinator.mu.
type coordinator struct {
	b      *Broker
	cfg    GroupConfig
	group  group.Config
	logger *slog.Logger
	logs   []*partition // of __consumer_offsets

	metrics groupMetrics

	configuring sync.Mutex // serialises changes of groups' configs

	loop   sync.WaitGroup
	ctx    context.Context // ends with stop
	cancel context.CancelFunc
	wake   chan struct{} // tells the timer loop of an earlier deadline

	token  atomic.Uint64
	parked atomic.Int64
	full   atomic.Bool // said that there are too many groups

	mu struct {
		sync.Mutex
		state  coordinatorState
		groups map[string]*coordinated
		timers timerHeap
		// undecided are the groups with offsets of open transactions, by producer id.
		undecided map[int64]map[string]struct{}
	}
}

type coordinatorState uint8

const (
	coordinatorLoading coordinatorState = iota
	coordinatorReady
	coordinatorStopped
)

// coordinated is a group with its lock and those who wait for it.
type coordinated struct {
	log *partition // where the group's records go
	mu  struct {
		sync.Mutex
		*group.Group // offsets, and members of the classic protocol
		// consumer are the members of the consumer protocol; nil in a classic group.
		consumer *consumer.Group
		// written is the offset after the last change of consumer, emptySince when the
		// last of its members left.
		written    int64
		emptySince time.Time

		gone bool // forgotten: look the group up again
		// committing is how many commits are in the log, or on their way, and not applied.
		committing int
		waiting    map[group.Token]chan group.Reply
	}
	timer groupTimer // belongs to coordinator.mu
}

// newCoordinator returns a coordinator that has loaded nothing yet.
func newCoordinator(b *Broker) *coordinator {
	co := &coordinator{
		b:       b,
		metrics: newGroupMetrics(),
		cfg:     b.cfg.Group,
		logger:  b.cfg.Logger,
		wake:    make(chan struct{}, 1),
		group: group.Config{
			InitialRebalanceDelay: b.cfg.Group.InitialRebalanceDelay,
			MinSessionTimeout:     b.cfg.Group.MinSessionTimeout,
			MaxSessionTimeout:     b.cfg.Group.MaxSessionTimeout,
			MaxMembers:            b.cfg.Group.MaxMembers,
			MaxMetadataBytes:      b.cfg.Group.MaxMetadataBytes,
		},
	}
	co.ctx, co.cancel = context.WithCancel(context.Background())
	co.mu.groups = map[string]*coordinated{}
	return co
}

// patience is how long start waits for the groups. A client that is told to come
// back does so after a quarter of a second, longer than most logs take to load.
const patience = time.Second

// start makes the topic of the groups if it is missing and loads the groups. If that
// takes longer than patience it goes on in the background, and until it is done
// requests are answered with COORDINATOR_LOAD_IN_PROGRESS.
func (co *coordinator) start() error {
	if err := co.group.Validate(); err != nil {
		return err
	}
	logs, err := co.b.internalTopic(offsetsTopic, co.cfg.OffsetsPartitions, offsetsTopicConfigs())
	if err != nil {
		return err
	}
	co.logs = logs
	loaded := make(chan struct{})
	co.loop.Go(func() {
		co.load()
		close(loaded)
		co.runTimers()
	})
	co.loop.Go(co.runExpiry)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-loaded:
	case <-late.C:
	}
	return nil
}

// stop ends the timers and answers whoever waits for a rebalance. Call it before
// the logs are closed.
func (co *coordinator) stop() {
	co.mu.Lock()
	co.mu.state = coordinatorStopped
	co.mu.Unlock()
	co.cancel()
	co.loop.Wait()
}

// errNoGroup means that there is no such group, and the request does not make one.
var errNoGroup = fmt.Errorf("broker: %w", kerr.GroupIDNotFound)

// lock returns the group, locked. If there is none it returns errNoGroup, or makes
// one if create is set. The caller calls unlock.
func (co *coordinator) lock(id string, create bool) (*coordinated, error) {
	for {
		g, err := co.find(id, create)
		if err != nil {
			return nil, err
		}
		g.mu.Lock()
		if !g.mu.gone {
			return g, nil
		}
		g.mu.Unlock()
	}
}

func (co *coordinator) find(id string, create bool) (*coordinated, error) {
	if len(id) > math.MaxInt16 {
		return nil, kerr.InvalidGroupID // longer than a record's key can hold
	}
	co.mu.Lock()
	defer co.mu.Unlock()
	if err := co.serving(); err != nil {
		return nil, err
	}
	g, ok := co.mu.groups[id]
	switch {
	case ok:
		return g, nil
	case !create:
		return nil, errNoGroup
	case len(co.mu.groups) >= co.cfg.MaxGroups:
		if co.full.CompareAndSwap(false, true) { // once: clients come again
			co.logger.Warn("broker: groups are refused, there are as many as allowed: raise Group.MaxGroups",
				"group", id, "limit", co.cfg.MaxGroups)
		}
		return nil, kerr.PolicyViolation
	}
	g = co.newGroup(id)
	co.mu.groups[id] = g
	return g, nil
}

// serving says why the groups are not available. The caller holds co.mu.
func (co *coordinator) serving() error {
	switch co.mu.state {
	case coordinatorLoading:
		return kerr.CoordinatorLoadInProgress
	case coordinatorStopped:
		return kerr.CoordinatorNotAvailable
	default:
		return nil
	}
}

// offsetsTopic is the internal topic that holds memberships and offsets.
const offsetsTopic = "__consumer_offsets"

// offsetsTopicConfigs are Kafka's for the topic, except that a batch may be
// larger: the record of a group holds what each member subscribes to and is
// assigned; and that segments are smaller (Kafka: 100 MiB), because the active one is
// never compacted and all of it is read when the broker starts.
func offsetsTopicConfigs() map[string]string {
	return map[string]string{
		"cleanup.policy":    "compact",
		"segment.bytes":     "4194304",
		"max.message.bytes": "33554432",
	}
}

// offsetsPartition is the partition of __consumer_offsets that a group's records
// go to: Java's hash of the id, as Kafka has it.
func offsetsPartition(id string, partitions int) int {
	var hash int32
	for _, unit := range utf16.Encode([]rune(id)) {
		hash = 31*hash + int32(unit)
	}
	return int(hash&math.MaxInt32) % partitions
}

func (co *coordinator) newGroup(id string) *coordinated {
	g := &coordinated{log: co.logs[offsetsPartition(id, len(co.logs))]}
	g.mu.Group = group.New(id, co.group)
	g.mu.waiting = map[group.Token]chan group.Reply{}
	g.timer = groupTimer{g: g, at: notScheduled}
	return g
}

// unlock forgets the group if there is nothing to remember, so that mistaken
// requests leave nothing behind.
func (co *coordinator) unlock(g *coordinated) {
	if !g.mu.gone && g.disposable() {
		co.forget(g)
	}
	g.mu.Unlock()
}

// forget removes a group from memory. The caller holds its lock.
func (co *coordinator) forget(g *coordinated) {
	g.mu.gone = true
	co.mu.Lock()
	defer co.mu.Unlock()
	delete(co.mu.groups, g.mu.ID())
	co.unschedule(&g.timer)
}

// unstored is a record that a group waits for, on its way to the disk.
type unstored struct {
	seq  uint64 // 0 for none
	next int64  // offset after the record
}

// perform carries out what an event of the group asks for. The caller holds the
// group's lock, and calls settle with the result after it has let go.
func (co *coordinator) perform(g *coordinated, eff group.Effects) unstored {
	var pending unstored
	for {
		failed := false
		if st := eff.Store; st != nil {
			next, err := co.append(g.log, st.Record)
			if err != nil {
				co.logger.Error("broker: a group's change was not stored", "group", g.mu.ID(), "cause", err)
			}
			failed = err != nil && st.Await
			if err == nil && st.Await {
				pending = unstored{seq: st.Seq, next: next}
			}
		}
		for _, r := range eff.Replies {
			if ch, ok := g.mu.waiting[r.Token]; ok { // its client may be gone
				delete(g.mu.waiting, r.Token)
				ch <- r
			}
		}
		if !failed {
			co.schedule(g)
			return pending
		}
		eff = g.mu.Stored(time.Now(), eff.Store.Seq, false)
	}
}

// settle waits until the record is durable and tells the group.
func (co *coordinator) settle(ctx context.Context, g *coordinated, p unstored) {
	for p.seq != 0 {
		err := g.log.wait(co.b.hard(ctx), p.next)
		if err != nil {
			co.logger.Error("broker: a group's change was not stored", "group", g.mu.ID(), "cause", err)
		}
		g.mu.Lock()
		before := g.mu.State()
		p = co.perform(g, g.mu.Stored(time.Now(), p.seq, err == nil))
		if before != group.Stable && g.mu.State() == group.Stable {
			co.metrics.rebalances.Inc()
		}
		co.unlock(g)
	}
}

// append writes records to a group's log and returns the offset after them.
func (co *coordinator) append(log *partition, records ...group.Record) (next int64, err error) {
	now := time.Now().UnixMilli()
	var b record.Builder
	for _, r := range records {
		b.Append(now, r.Key, r.Value)
	}
	a, err := log.append(b.Finish())
	return a.NextOffset, err
}

// await parks a request under a token, hands the token to event, which runs under
// the group's lock, and waits for the answer. Where too many wait already a new
// member is told to come back; a member is not, for others may wait for it.
func (co *coordinator) await(ctx context.Context, id string, newMember bool, event func(*group.Group, group.Token) group.Effects) (group.Reply, error) {
	defer co.parked.Add(-1)
	if co.parked.Add(1) > int64(co.cfg.MaxParked) && newMember {
		return group.Reply{}, fmt.Errorf("broker: %w: %d requests wait for rebalances already", kerr.CoordinatorNotAvailable, co.cfg.MaxParked)
	}
	g, err := co.lock(id, newMember)
	if err != nil {
		return group.Reply{}, err
	}
	if newMember && g.mu.consumer != nil {
		if err := co.becomeClassic(g); err != nil {
			co.unlock(g)
			return group.Reply{}, err
		}
	}
	tok := group.Token(co.token.Add(1))
	answer := make(chan group.Reply, 1)
	g.mu.waiting[tok] = answer
	pending := co.perform(g, event(g.mu.Group, tok))
	co.unlock(g)
	co.settle(ctx, g, pending)

	defer pause(ctx)()
	select {
	case r := <-answer:
		return r, nil
	case <-ctx.Done():
	case <-co.ctx.Done():
	}
	// The member stays parked, as one whose client is slow would: its session
	// decides what becomes of it.
	g.mu.Lock()
	delete(g.mu.waiting, tok)
	co.unlock(g)
	return group.Reply{}, kerr.CoordinatorNotAvailable
}

// join handles JoinGroup.
func (co *coordinator) join(ctx context.Context, id string, r group.JoinRequest) (group.JoinReply, error) {
	reply, err := co.await(ctx, id, r.MemberID == "", func(g *group.Group, tok group.Token) group.Effects {
		return g.Join(time.Now(), tok, r)
	})
	if err != nil {
		return group.JoinReply{}, unknownMemberIfNoGroup(err)
	}
	return *reply.Join, reply.Join.Err
}

// sync handles SyncGroup.
func (co *coordinator) sync(ctx context.Context, id string, r group.SyncRequest) (group.SyncReply, error) {
	reply, err := co.await(ctx, id, false, func(g *group.Group, tok group.Token) group.Effects {
		return g.Sync(time.Now(), tok, r)
	})
	if err != nil {
		return group.SyncReply{}, unknownMemberIfNoGroup(err)
	}
	return *reply.Sync, reply.Sync.Err
}

// heartbeat handles Heartbeat.
func (co *coordinator) heartbeat(id, memberID, instanceID string, generation int32) error {
	g, err := co.lock(id, false)
	if err != nil {
		return unknownMemberIfNoGroup(err)
	}
	defer co.unlock(g)
	return g.mu.Heartbeat(time.Now(), memberID, instanceID, generation)
}

// leave handles LeaveGroup. It returns an error for each member, or one for all.
func (co *coordinator) leave(ctx context.Context, id string, leaving []group.Leaving) ([]error, error) {
	g, err := co.lock(id, false)
	if err != nil {
		return nil, unknownMemberIfNoGroup(err)
	}
	if g.mu.consumer != nil {
		defer co.unlock(g)
		return co.removeInstances(g, leaving), nil
	}
	errs, eff := g.mu.Leave(time.Now(), leaving)
	pending := co.perform(g, eff)
	co.unlock(g)
	co.settle(ctx, g, pending)
	return errs, nil
}

// view calls f with the group, locked, which f must not keep.
func (co *coordinator) view(id string, f func(*coordinated) error) error {
	g, err := co.lock(id, false)
	if err != nil {
		return err
	}
	defer co.unlock(g)
	return f(g)
}

// forEach calls f with every group, locked, in no order.
func (co *coordinator) forEach(f func(*coordinated)) error {
	co.mu.Lock()
	if err := co.serving(); err != nil {
		co.mu.Unlock()
		return err
	}
	ids := slices.Collect(maps.Keys(co.mu.groups))
	co.mu.Unlock()
	for _, id := range ids {
		g, err := co.lock(id, false)
		switch {
		case errors.Is(err, errNoGroup): // gone meanwhile
		case err != nil:
			return err
		default:
			f(g)
			co.unlock(g)
		}
	}
	return nil
}

// unknownMemberIfNoGroup is what Kafka says about members of groups that it does
// not have.
func unknownMemberIfNoGroup(err error) error {
	if errors.Is(err, errNoGroup) {
		return group.ErrUnknownMember
	}
	return err
}

// groupError translates the errors of package group; nil for any other.
func groupError(err error) *kerr.Error {
	for _, known := range []struct {
		err  error
		code *kerr.Error
	}{
		{group.ErrUnknownMember, kerr.UnknownMemberID},
		{group.ErrFencedInstance, kerr.FencedInstanceID},
		{group.ErrIllegalGeneration, kerr.IllegalGeneration},
		{group.ErrRebalanceInProgress, kerr.RebalanceInProgress},
		{group.ErrInconsistentProtocol, kerr.InconsistentGroupProtocol},
		{group.ErrMemberIDRequired, kerr.MemberIDRequired},
		{group.ErrFull, kerr.GroupMaxSizeReached},
		{group.ErrInvalidSessionTimeout, kerr.InvalidSessionTimeout},
		{group.ErrInvalidRequest, kerr.InvalidRequest},
		{group.ErrMetadataTooLarge, kerr.OffsetMetadataTooLarge},
		{group.ErrNotStored, kerr.CoordinatorNotAvailable},
		{consumer.ErrFencedEpoch, kerr.FencedMemberEpoch},
		{consumer.ErrStaleEpoch, kerr.StaleMemberEpoch},
		{consumer.ErrUnreleasedInstance, kerr.UnreleasedInstanceID},
		{consumer.ErrUnsupportedAssignor, kerr.UnsupportedAssignor},
		{consumer.ErrInvalidRegex, kerr.InvalidRegularExpression},
		{consumer.ErrOldCommit, kerr.UnsupportedVersion},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return nil
}
