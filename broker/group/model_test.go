package group

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// TestModel throws events at a group and checks after each what must always hold:
//
//   - every token is answered exactly once, and the group knows just those that
//     are not answered yet; nothing waits for a phase that is over;
//   - a generation has one leader, who is told so, and generations only increase;
//   - in a stable group every member has an assignment, and all support the
//     protocol;
//   - no member goes without having left or timed out;
//   - after a tick nothing is overdue; sessions stand still exactly while the
//     member is parked;
//   - a commit is taken only from a member of the generation that has its
//     assignment, or by an empty group;
//   - restored from its records, the group is what the last of them says.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(Config{
			InitialRebalanceDelay: rapid.SampledFrom([]time.Duration{0, 3 * time.Second}).Draw(t, "delay"),
			MaxMembers:            rapid.SampledFrom([]int{3, 10}).Draw(t, "maxMembers"),
		})
		actions := map[string]func(*rapid.T){
			"":          m.check,
			"join":      m.join,
			"sync":      m.sync,
			"round":     m.round,
			"round2":    m.round, // twice as often
			"stored":    m.stored,
			"heartbeat": m.heartbeat,
			"leave":     m.leave,
			"commit":    m.commit,
			"tick":      m.tick,
			"replace":   m.replace,
			"restart":   m.restart,
		}
		for range 4 { // one run takes some thirty steps, too few for rare states
			t.Repeat(actions)
		}
	})
}

type model struct {
	cfg     Config
	g       *Group
	now     time.Time
	ids     int
	token   Token
	clients []*modelClient

	parked  map[Token]*modelClient
	leaders map[int32]string // name of the client that led a generation
	lastGen int32
	gone    map[string]bool // member ids that may be missing after the event
	before  []string        // member ids before the event
	awaited []uint64
	log     []Record
	offsets map[string]Committed
}

type modelClient struct {
	name, instance string
	memberID       string
	generation     int32
	members        []string // what it was told as leader
}

func newModel(cfg Config) *model {
	m := &model{
		cfg: cfg, g: New("g", cfg), now: epoch,
		parked: map[Token]*modelClient{}, leaders: map[int32]string{}, gone: map[string]bool{},
		offsets: map[string]Committed{},
	}
	for i := range 4 {
		m.clients = append(m.clients, &modelClient{name: fmt.Sprintf("d%d", i)})
	}
	for i := range 2 {
		m.clients = append(m.clients, &modelClient{name: fmt.Sprintf("s%d", i), instance: fmt.Sprintf("i%d", i)})
	}
	return m
}

func (m *model) client(t *rapid.T) *modelClient {
	return rapid.SampledFrom(m.clients).Draw(t, "client")
}

func (m *model) park(c *modelClient) Token {
	m.token++
	m.parked[m.token] = c
	return m.token
}

// round brings most of the clients into the next generation, as a rebalance that
// nobody disturbs does; single events alone would seldom get that far.
func (m *model) round(t *rapid.T) {
	mask := rapid.IntRange(1, 1<<len(m.clients)-1).Draw(t, "who")
	each := func(do func(*modelClient)) {
		for i, c := range m.clients {
			if mask>>i&1 != 0 {
				do(c)
			}
		}
	}
	for range 2 { // an id first
		each(func(c *modelClient) {
			if mem := m.g.member(c.memberID); mem == nil || !mem.joinParked {
				m.joinAs(t, c, []string{"range"}, "t")
			}
		})
		if m.g.State() == CompletingRebalance {
			break
		}
	}
	each(func(c *modelClient) {
		if mem := m.g.member(c.memberID); mem != nil && !mem.joinParked && !mem.syncParked {
			m.syncAs(t, c, c.generation)
		}
	})
	if rapid.IntRange(0, 2).Draw(t, "store") == 0 {
		for len(m.awaited) > 0 {
			seq := m.awaited[0]
			m.awaited = m.awaited[1:]
			m.effects(t, m.g.Stored(m.now, seq, true))
		}
	}
}

func (m *model) join(t *rapid.T) {
	c := m.client(t)
	if rapid.IntRange(0, 5).Draw(t, "restarted") == 0 {
		c.memberID = ""
	}
	protocols := rapid.SampledFrom([]string{"range", "range sticky", "sticky range", "range", "range"}).Draw(t, "protocols")
	topic := rapid.SampledFrom([]string{"t", "t", "t", "u"}).Draw(t, "topic")
	m.joinAs(t, c, strings.Fields(protocols), topic)
}

func (m *model) joinAs(t *rapid.T, c *modelClient, protocols []string, topic string) {
	m.ids++
	r := JoinRequest{
		MemberID:          c.memberID,
		InstanceID:        c.instance,
		SessionTimeout:    time.Duration(rapid.IntRange(6, 20).Draw(t, "session")) * time.Second,
		RebalanceTimeout:  time.Duration(rapid.IntRange(0, 40).Draw(t, "rebalance")) * time.Second,
		ProtocolType:      "consumer",
		NewMemberID:       fmt.Sprintf("%s-%d", c.name, m.ids),
		RequireMemberID:   rapid.Bool().Draw(t, "requireID"),
		CanSkipAssignment: rapid.Bool().Draw(t, "canSkip"),
	}
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{topic}
	for _, name := range protocols {
		r.Protocols = append(r.Protocols, Protocol{Name: name, Metadata: meta.AppendTo(nil)})
	}
	if old := m.g.static[c.instance]; old != nil && r.MemberID == "" {
		m.gone[old.id] = true // replaced
	}
	m.effects(t, m.g.Join(m.now, m.park(c), r))
}

func (m *model) sync(t *rapid.T) {
	c := m.client(t)
	m.syncAs(t, c, m.generation(t, c))
}

func (m *model) syncAs(t *rapid.T, c *modelClient, generation int32) {
	r := SyncRequest{MemberID: c.memberID, InstanceID: c.instance, Generation: generation}
	for _, id := range c.members {
		r.Assignments = append(r.Assignments, Assignment{MemberID: id, Data: []byte("for " + id)})
	}
	m.effects(t, m.g.Sync(m.now, m.park(c), r))
}

// generation is what a client believes, or rarely something else.
func (m *model) generation(t *rapid.T, c *modelClient) int32 {
	return c.generation + rapid.SampledFrom([]int32{0, 0, 0, 0, 0, 0, -1, 1}).Draw(t, "off")
}

// replace restarts a static member.
func (m *model) replace(t *rapid.T) {
	c := rapid.SampledFrom(m.clients[4:]).Draw(t, "client")
	c.memberID = ""
	m.joinAs(t, c, []string{"range"}, "t")
}

func (m *model) stored(t *rapid.T) {
	if len(m.awaited) == 0 {
		t.Skip("nothing to store")
	}
	i := rapid.IntRange(0, len(m.awaited)-1).Draw(t, "store")
	seq := m.awaited[i]
	m.awaited = slices.Delete(m.awaited, i, i+1)
	before, proposed := m.g.State(), m.g.proposal
	m.effects(t, m.g.Stored(m.now, seq, rapid.IntRange(0, 4).Draw(t, "lost") > 0))
	if m.g.State() != before && (proposed == nil || proposed.seq != seq) {
		t.Fatalf("store %d, which nothing waited for, took the group from %v to %v", seq, before, m.g.State())
	}
}

func (m *model) heartbeat(t *rapid.T) {
	c := m.client(t)
	gen := m.generation(t, c)
	err := m.g.Heartbeat(m.now, c.memberID, c.instance, gen)
	member := m.g.member(c.memberID) != nil
	if err == nil && (!member || gen != m.g.Generation() || m.g.State() == PreparingRebalance) {
		t.Fatalf("Heartbeat(%q, %d) = nil in %v", c.memberID, gen, m.g.State())
	}
	if errors.Is(err, ErrUnknownMember) && member && c.instance == "" {
		t.Fatalf("Heartbeat(%q) = %v, but it is a member", c.memberID, err)
	}
}

func (m *model) leave(t *rapid.T) {
	c := m.client(t)
	l := Leaving{MemberID: c.memberID, InstanceID: c.instance}
	if rapid.Bool().Draw(t, "byInstance") && c.instance != "" {
		l.MemberID = ""
	}
	if l.MemberID == "" {
		if old := m.g.static[c.instance]; old != nil {
			m.gone[old.id] = true
		}
	}
	m.gone[l.MemberID] = true
	_, eff := m.g.Leave(m.now, []Leaving{l})
	m.effects(t, eff)
}

func (m *model) commit(t *rapid.T) {
	c := m.client(t)
	r := CommitRequest{MemberID: c.memberID, InstanceID: c.instance, Generation: m.generation(t, c)}
	if rapid.IntRange(0, 3).Draw(t, "simple") == 0 {
		r = CommitRequest{Generation: -1}
	}
	state, member := m.g.State(), m.g.member(r.MemberID)
	if m.g.CheckCommit(m.now, r) != nil {
		return
	}
	if state != Empty && (state == CompletingRebalance || member == nil || r.Generation != m.g.Generation()) {
		t.Fatalf("commit of %+v taken in %v of generation %d", r, state, m.g.Generation())
	}
	topic := rapid.SampledFrom([]string{"t", "u"}).Draw(t, "topic")
	o := Committed{Offset: int64(len(m.log)), LeaderEpoch: -1, Metadata: c.name, Time: m.now, Position: int64(len(m.log))}
	m.g.Apply(topic, 0, o)
	m.offsets[topic] = o
	m.log = append(m.log, OffsetRecord("g", topic, 0, o))
}

func (m *model) tick(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 8000).Draw(t, "millis")) * time.Millisecond)
	if next := m.g.Deadline(); !next.IsZero() && rapid.Bool().Draw(t, "toDeadline") {
		m.now = next
	}
	expired, eff := m.g.Tick(m.now)
	for _, e := range expired {
		m.gone[e.MemberID] = true
	}
	m.effects(t, eff)
	if next := m.g.Deadline(); !next.IsZero() && !next.After(m.now) {
		t.Fatalf("after Tick(%v) the next deadline is %v", m.now.Sub(epoch), next.Sub(epoch))
	}
}

func (m *model) effects(t *rapid.T, eff Effects) {
	if st := eff.Store; st != nil {
		m.log = append(m.log, st.Record)
		if st.Await {
			m.awaited = append(m.awaited, st.Seq)
		}
	}
	for _, r := range eff.Replies {
		c, ok := m.parked[r.Token]
		if !ok {
			t.Fatalf("token %d is answered, but not parked", r.Token)
		}
		delete(m.parked, r.Token)
		if (r.Join == nil) == (r.Sync == nil) {
			t.Fatalf("reply %+v is not one of join and sync", r)
		}
		if r.Join != nil {
			m.joined(t, c, r.Join)
		} else if r.Sync.Err == nil && r.Sync.Assignment == nil {
			t.Fatalf("%s was given no assignment", c.name)
		}
	}
}

func (m *model) joined(t *rapid.T, c *modelClient, r *JoinReply) {
	switch {
	case errors.Is(r.Err, ErrMemberIDRequired):
		c.memberID = r.MemberID
		return
	case errors.Is(r.Err, ErrUnknownMember) && r.MemberID == c.memberID:
		c.memberID = ""
		return
	case r.Err != nil:
		return
	}
	c.memberID, c.generation, c.members = r.MemberID, r.Generation, nil
	if r.Leader != r.MemberID {
		return
	}
	if old, ok := m.leaders[r.Generation]; ok && old != c.name {
		t.Fatalf("generation %d is led by %s and %s", r.Generation, old, c.name)
	}
	m.leaders[r.Generation] = c.name
	for _, jm := range r.Members {
		c.members = append(c.members, jm.ID)
	}
}

func (m *model) check(t *rapid.T) {
	if m.g.Generation() < m.lastGen {
		t.Fatalf("generation went from %d to %d", m.lastGen, m.g.Generation())
	}
	m.lastGen = m.g.Generation()

	var ids []string
	waiting := map[Token]bool{}
	for _, mem := range m.g.members {
		ids = append(ids, mem.id)
		if mem.joinParked {
			waiting[mem.joinToken] = true
		}
		if mem.syncParked {
			waiting[mem.syncToken] = true
		}
		if m.g.state == Stable && mem.assignment == nil {
			t.Fatalf("%s is in a stable group without an assignment", mem.id)
		}
		if (m.g.state == Stable || m.g.state == CompletingRebalance) && !mem.supports(m.g.protocol) {
			t.Fatalf("%s does not support %q", mem.id, m.g.protocol)
		}
		if parked := mem.joinParked || mem.syncParked; parked != mem.deadline.IsZero() && !(parked && mem.isNew) {
			t.Fatalf("%s: parked is %v, the session ends at %v", mem.id, parked, mem.deadline)
		}
		if mem.joinParked && m.g.state != PreparingRebalance && (m.g.state != Stable || mem.joinStore == 0) {
			t.Fatalf("%s waits to join in %v", mem.id, m.g.state)
		}
		if mem.syncParked && m.g.state != CompletingRebalance {
			t.Fatalf("%s waits for its assignment in %v", mem.id, m.g.state)
		}
	}
	if (m.g.state == Empty) != (len(ids) == 0) && m.g.state != PreparingRebalance {
		t.Fatalf("%v with members %v", m.g.state, ids)
	}
	if m.g.proposal != nil && m.g.state != CompletingRebalance {
		t.Fatalf("an assignment is on its way in %v", m.g.state)
	}
	if _, told := m.leaders[m.g.generation]; m.g.state == CompletingRebalance && !told {
		t.Fatalf("nobody was told to lead generation %d", m.g.generation)
	}
	if (m.g.leader == "") != (len(ids) == 0) || m.g.leader != "" && !slices.Contains(ids, m.g.leader) {
		t.Fatalf("leader %q of %v", m.g.leader, ids)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(m.parked)), slices.Sorted(maps.Keys(waiting))); diff != "" {
		t.Fatalf("parked tokens (-model +group):\n%s", diff)
	}
	for _, id := range m.before {
		if !slices.Contains(ids, id) && !m.gone[id] {
			t.Fatalf("%s vanished", id)
		}
	}
	if len(ids)+len(m.g.pending) > m.g.cfg.MaxMembers {
		t.Fatalf("%d members and %d to be, at most %d are allowed", len(ids), len(m.g.pending), m.g.cfg.MaxMembers)
	}
	m.before = ids
	clear(m.gone)
}

// restart restores the group from its log and compares it with the last record.
func (m *model) restart(t *rapid.T) {
	m.g = New("g", m.cfg)
	var last *kmsg.GroupMetadataValue
	for i, rec := range m.log {
		e, err := Decode(rec.Key, rec.Value)
		if err != nil {
			t.Fatalf("Decode(record %d): %v", i, err)
		}
		if e.membership != nil {
			last = e.membership
		}
		e.Committed.Position = int64(i)
		m.g.Restore(e)
	}
	m.g.Resume(m.now)

	d := m.g.Describe()
	want := kmsg.GroupMetadataValue{}
	if last != nil {
		want = *last
	}
	if d.Generation != want.Generation || d.Leader != deref(want.Leader) || len(d.Members) != len(want.Members) {
		t.Fatalf("restored %+v, want %+v", d, want)
	}
	for i, mem := range d.Members {
		if w := want.Members[i]; mem.ID != w.MemberID || mem.InstanceID != deref(w.InstanceID) ||
			!bytes.Equal(mem.Assignment, w.Assignment) || !bytes.Equal(mem.Metadata, w.Subscription) {
			t.Fatalf("restored member %+v, want %+v", mem, w)
		}
	}
	got := map[string]Committed{}
	for _, topic := range m.g.Topics() {
		for _, c := range m.g.Partitions(topic) {
			got[topic] = c
		}
	}
	if diff := cmp.Diff(m.offsets, got); diff != "" {
		t.Fatalf("restored offsets (-want +got):\n%s", diff)
	}
	// What was not stored is forgotten, parked requests with it.
	clear(m.parked)
	m.awaited, m.before, m.lastGen = nil, nil, d.Generation
	maps.DeleteFunc(m.leaders, func(gen int32, _ string) bool { return gen > d.Generation })
}
