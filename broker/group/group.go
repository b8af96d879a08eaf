package group

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// State is where a group stands in its rebalance.
type State int8

// The states of a classic group.
const (
	// Empty: no members; it may hold offsets.
	Empty State = iota
	// PreparingRebalance: members are joining.
	PreparingRebalance
	// CompletingRebalance: members wait for the leader's assignment.
	CompletingRebalance
	// Stable: every member of the generation has an assignment.
	Stable
	// Dead is what Kafka reports for a group that does not exist. A Group is
	// never in it.
	Dead
)

// String is Kafka's name of the state.
func (s State) String() string {
	switch s {
	case Empty:
		return "Empty"
	case PreparingRebalance:
		return "PreparingRebalance"
	case CompletingRebalance:
		return "CompletingRebalance"
	case Stable:
		return "Stable"
	default:
		return "Dead"
	}
}

// Token names a parked request. The caller chooses it, unique among the
// requests that are parked.
type Token uint64

// Config bounds groups. The zero value is a working configuration.
type Config struct {
	// InitialRebalanceDelay is how long the first member of an empty group waits
	// for others to join its generation (group.initial.rebalance.delay.ms). Each
	// new member extends it, at most to the rebalance timeout. Zero, the
	// default, is no delay; Kafka's servers use 3 s.
	InitialRebalanceDelay time.Duration

	// MinSessionTimeout and MaxSessionTimeout are the range a member's session
	// timeout must lie in. The defaults are Kafka's: 6 s and 30 min.
	MinSessionTimeout, MaxSessionTimeout time.Duration

	// NewMemberJoinTimeout is how long the join of a new member may be parked
	// before the member is given up. The default is 5 min.
	NewMemberJoinTimeout time.Duration

	// MaxMembers is how many members, and ids handed out to members to be, a
	// group may have. The default is 1000.
	MaxMembers int

	// MaxMetadataBytes is how long the metadata of one offset may be
	// (offset.metadata.max.bytes). The default is 4096.
	MaxMetadataBytes int
}

// WithDefaults returns c with every zero field set to its default.
func (c Config) WithDefaults() Config {
	c.MinSessionTimeout = cmp.Or(c.MinSessionTimeout, 6*time.Second)
	c.MaxSessionTimeout = cmp.Or(c.MaxSessionTimeout, 30*time.Minute)
	c.NewMemberJoinTimeout = cmp.Or(c.NewMemberJoinTimeout, 5*time.Minute)
	c.MaxMembers = cmp.Or(c.MaxMembers, 1000)
	c.MaxMetadataBytes = cmp.Or(c.MaxMetadataBytes, 4096)
	return c
}

// Validate reports every mistake in c, after its defaults are applied.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	if c.InitialRebalanceDelay < 0 {
		errs = append(errs, fmt.Errorf("group: InitialRebalanceDelay %v is negative", c.InitialRebalanceDelay))
	}
	if c.MinSessionTimeout < 0 || c.MaxSessionTimeout < c.MinSessionTimeout {
		errs = append(errs, fmt.Errorf("group: session timeouts [%v, %v] are not a range", c.MinSessionTimeout, c.MaxSessionTimeout))
	}
	if c.NewMemberJoinTimeout < 0 {
		errs = append(errs, fmt.Errorf("group: NewMemberJoinTimeout %v is negative", c.NewMemberJoinTimeout))
	}
	if c.MaxMembers < 0 {
		errs = append(errs, fmt.Errorf("group: MaxMembers %d is negative", c.MaxMembers))
	}
	if c.MaxMetadataBytes < 0 || c.MaxMetadataBytes > maxStringBytes {
		errs = append(errs, fmt.Errorf("group: MaxMetadataBytes %d is not in [0, %d]", c.MaxMetadataBytes, maxStringBytes))
	}
	return errors.Join(errs...)
}

// Group is the state of one classic consumer group.
type Group struct {
	id  string
	cfg Config

	state        State
	stateSince   time.Time
	generation   int32
	protocolType string
	protocol     string // agreed on by the generation; "" when Empty
	leader       string // member id; "" without members

	members []*member            // in the order they joined
	static  map[string]*member   // by instance id
	pending map[string]time.Time // ids handed out to members to be, and when they lapse

	// The join phase ends at joinDeadline, and the sync phase at syncDeadline.
	// Zero means that no such phase is going on.
	joinDeadline, syncDeadline time.Time
	initial                    bool          // the join phase began in Empty
	extendable                 time.Duration // what is left to extend the initial delay by
	memberAdded                bool          // a member joined during the initial delay

	lastSeq  uint64
	proposal *proposal

	offsets map[string]map[int32]Committed // by topic and partition

	// Offsets of open transactions, by producer id.
	pendingOffsets map[int64]map[Place]Committed

	out     Effects   // of the event that is being handled
	expired []Expired // by the Tick that is being handled
}

// proposal is the leader's assignment between the sync that brought it and the
// moment it is durable.
type proposal struct {
	seq         uint64
	assignments map[string][]byte // by member id
}

// New returns an empty group. The zero Config works.
func New(id string, cfg Config) *Group {
	return &Group{
		id:      id,
		cfg:     cfg.WithDefaults(),
		static:  map[string]*member{},
		pending: map[string]time.Time{},
		offsets: map[string]map[int32]Committed{},
	}
}

// ID is the group's name.
func (g *Group) ID() string { return g.id }

// State is where the group stands.
func (g *Group) State() State { return g.state }

// Generation is the current generation; 0 before the first.
func (g *Group) Generation() int32 { return g.generation }

// ProtocolType is what the members call their protocol, as a rule "consumer".
// It is empty for a group that only commits offsets.
func (g *Group) ProtocolType() string { return g.protocolType }

// Disposable reports whether forgetting the group would lose nothing: it never
// had a generation, has no members, none to be, and no offsets.
func (g *Group) Disposable() bool {
	return g.state == Empty && g.generation == 0 && len(g.pending) == 0 && len(g.offsets) == 0 && len(g.pendingOffsets) == 0
}

// Idle reports whether no client is about to become a member.
func (g *Group) Idle() bool { return len(g.pending) == 0 }

// Effects are what an event asks its caller to do, in this order: append Store,
// then deliver Replies.
type Effects struct {
	// Replies answer parked requests.
	Replies []Reply
	// Store, if not nil, is to be appended to the log.
	Store *Store
}

// Store is a snapshot of a group for the log.
type Store struct {
	// Seq is to be handed to Stored.
	Seq uint64
	// Await reports whether the group waits for Stored. If not, calling it
	// does nothing.
	Await bool
	// Record is the snapshot.
	Record Record
}

// Reply answers the parked request Token. Exactly one of Join and Sync is set.
type Reply struct {
	Token Token
	Join  *JoinReply
	Sync  *SyncReply
}

// JoinReply answers a join.
type JoinReply struct {
	Err            error
	MemberID       string
	Generation     int32 // -1 with an error
	ProtocolType   string
	Protocol       string
	Leader         string
	SkipAssignment bool
	Members        []JoinedMember // only for the leader
}

// JoinedMember is what the leader is told about a member.
type JoinedMember struct {
	ID         string
	InstanceID string // "" for none
	Metadata   []byte // of the agreed protocol
}

// SyncReply answers a sync.
type SyncReply struct {
	Err          error
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// take returns the effects of the event that was just handled.
func (g *Group) take() Effects {
	out := g.out
	g.out = Effects{}
	return out
}

func (g *Group) replyJoin(tok Token, r JoinReply) {
	if r.Err != nil {
		r.Generation = -1
	}
	g.out.Replies = append(g.out.Replies, Reply{Token: tok, Join: &r})
}

func (g *Group) replySync(tok Token, r SyncReply) {
	g.out.Replies = append(g.out.Replies, Reply{Token: tok, Sync: &r})
}

// enter changes the state.
func (g *Group) enter(s State, now time.Time) {
	g.state, g.stateSince = s, now
}

// store asks for a snapshot to be written. assignments, if not nil, replace
// those of the members: they are not theirs before the snapshot is durable.
func (g *Group) store(assignments map[string][]byte, await bool) uint64 {
	g.lastSeq++
	g.out.Store = &Store{Seq: g.lastSeq, Await: await, Record: g.snapshot(assignments)}
	return g.lastSeq
}
