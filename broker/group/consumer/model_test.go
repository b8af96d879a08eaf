package consumer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/broker/group"
)

// TestModel lets clients that behave come and go, lose answers, fall silent and change
// what they read, while topics change and the coordinator restarts. At no time do two of
// them use one partition; and left in peace they all get what they are meant to have.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"join":      m.join,
			"beat":      m.beat,
			"revoke":    m.revoke,
			"subscribe": m.subscribe,
			"leave":     m.leave,
			"topics":    m.changeTopics,
			"time":      m.pass,
			"restart":   m.restart,
			"":          m.check,
		})
		m.converges(rt)
	})
}

// modelClient is a client with its view of the membership.
type modelClient struct {
	id, instance string
	joined       bool
	epoch        int32
	assigned     map[Partition]struct{} // told by the group
	owned        map[Partition]struct{} // in use, or not given up yet
	topics       []string
	regex        string
	changed      bool // what it reads, since it said so last
}

type model struct {
	cfg     Config
	g       *Group
	topics  *fakeTopics
	log     store
	now     time.Time
	clients []*modelClient
	ids     int
	epoch   int32 // the highest group epoch
}

func newModel(rt *rapid.T) *model {
	m := &model{cfg: Config{SessionTimeout: 30 * time.Second}, topics: &fakeTopics{}, log: store{}, now: began}
	m.g = New("g", m.cfg)
	for i := range rapid.IntRange(1, 4).Draw(rt, "clients") {
		c := &modelClient{}
		if rapid.Bool().Draw(rt, "static") {
			c.instance = fmt.Sprint("i", i)
		}
		m.clients = append(m.clients, c)
	}
	return m
}

var modelTopics = []string{"a", "b", "c"}

func (m *model) draw(rt *rapid.T, joined bool) *modelClient {
	var some []*modelClient
	for _, c := range m.clients {
		if c.joined == joined {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		rt.Skip("no such client")
	}
	return rapid.SampledFrom(some).Draw(rt, "client")
}

func (c *modelClient) reads(rt *rapid.T) {
	c.topics, c.regex = []string{}, ""
	for _, name := range modelTopics {
		if rapid.Bool().Draw(rt, "reads") {
			c.topics = append(c.topics, name)
		}
	}
	if rapid.Bool().Draw(rt, "pattern") {
		c.regex = "[ab]"
	}
	c.changed = true
}

func (m *model) join(rt *rapid.T) {
	c := m.draw(rt, false)
	if c.id == "" || rapid.Bool().Draw(rt, "new id") && c.instance != "" {
		m.ids++
		c.id = fmt.Sprint("m", m.ids)
	}
	c.epoch, c.owned, c.assigned = JoinEpoch, map[Partition]struct{}{}, map[Partition]struct{}{}
	c.reads(rt)
	m.send(rt, c, true)
}

func (m *model) beat(rt *rapid.T) { m.send(rt, m.draw(rt, true), false) }

func (m *model) revoke(rt *rapid.T) {
	c := m.draw(rt, true)
	maps.DeleteFunc(c.owned, func(p Partition, _ struct{}) bool { _, keep := c.assigned[p]; return !keep })
}

func (m *model) subscribe(rt *rapid.T) {
	c := m.draw(rt, true)
	c.reads(rt)
	m.send(rt, c, false)
}

// send heartbeats. The answer may be lost: then the client says everything the next time.
func (m *model) send(rt *rapid.T, c *modelClient, full bool) {
	lost := rapid.IntRange(0, 9).Draw(rt, "lost") == 0
	r := Request{MemberID: c.id, InstanceID: c.instance, Epoch: c.epoch, ClientHost: "/h", RebalanceTimeout: -1}
	if full || c.changed || rapid.Bool().Draw(rt, "says what it owns") {
		r.Owned = maps.Clone(c.owned)
	}
	if full || c.changed {
		assignor := rapid.SampledFrom([]string{Uniform, Range}).Draw(rt, "assignor")
		r.RebalanceTimeout, r.Topics, r.Regex, r.Assignor = 20*time.Second, c.topics, &c.regex, &assignor
	}
	m.answer(rt, c, r, lost)
}

func (m *model) answer(rt *rapid.T, c *modelClient, r Request, lost bool) {
	reply, err := m.g.Heartbeat(m.now, m.topics, r)
	m.stored(rt)
	switch {
	case lost:
		c.changed = true
	case errors.Is(err, group.ErrUnknownMember), errors.Is(err, group.ErrFencedInstance):
		*c = modelClient{instance: c.instance}
	case errors.Is(err, ErrFencedEpoch):
		*c = modelClient{instance: c.instance, id: c.id}
	case errors.Is(err, ErrUnreleasedInstance):
		*c = modelClient{instance: c.instance, id: c.id} // tries again later
	case err != nil:
		rt.Fatalf("Heartbeat(%+v): %v", r, err)
	case r.Epoch < 0:
		*c = modelClient{instance: c.instance}
	default:
		if reply.Epoch < c.epoch {
			rt.Fatalf("%s comes from epoch %d to %d", c.id, c.epoch, reply.Epoch)
		}
		c.joined, c.epoch, c.changed = true, reply.Epoch, false
		if reply.Assignment != nil {
			c.assigned = map[Partition]struct{}{}
			for _, p := range reply.Assignment {
				c.assigned[p], c.owned[p] = struct{}{}, struct{}{}
			}
		}
	}
}

func (m *model) leave(rt *rapid.T) {
	c := m.draw(rt, true)
	r := Request{MemberID: c.id, InstanceID: c.instance, Epoch: LeaveEpoch, RebalanceTimeout: -1}
	if c.instance != "" && rapid.Bool().Draw(rt, "for a while") {
		r.Epoch = StaticLeaveEpoch
	}
	m.answer(rt, c, r, false)
}

func (m *model) changeTopics(rt *rapid.T) {
	name := rapid.SampledFrom(modelTopics).Draw(rt, "topic")
	if rapid.IntRange(0, 3).Draw(rt, "delete") == 0 {
		m.topics.delete(name)
		return
	}
	m.topics.set(name, m.topics.byName[name].Partitions+rapid.Int32Range(1, 3).Draw(rt, "more"))
}

// pass lets time pass. Clients that are removed notice by themselves.
func (m *model) pass(rt *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 12).Draw(rt, "seconds")) * time.Second)
	for _, e := range m.g.Tick(m.now) {
		for _, c := range m.clients {
			if c.id == e.MemberID {
				*c = modelClient{instance: c.instance}
			}
		}
	}
	m.stored(rt)
}

// stored writes to the log, at times only after more has changed.
func (m *model) stored(rt *rapid.T) {
	m.log.write(m.g.Changes())
	if rapid.IntRange(0, 4).Draw(rt, "write again") > 0 {
		m.g.Stored()
	}
}

func (m *model) restart(rt *rapid.T) {
	before := m.g.Describe()
	m.g = m.log.restore(rt, m.cfg, m.now)
	after := m.g.Describe()
	before.State, after.State = 0, 0
	if diff := cmp.Diff(before, after, cmpopts.EquateEmpty()); diff != "" {
		rt.Fatalf("a restart changes the group (-before +after):\n%s", diff)
	}
}

func (m *model) check(rt *rapid.T) {
	users := map[Partition]string{}
	for _, c := range m.clients {
		for p := range c.owned {
			if other, twice := users[p]; twice {
				rt.Fatalf("%s and %s both use %v", other, c.id, p)
			}
			users[p] = c.id
		}
	}
	g := m.g
	if g.epoch < m.epoch || g.targetEpoch > g.epoch {
		rt.Fatalf("the epoch goes from %d to %d, the target's is %d", m.epoch, g.epoch, g.targetEpoch)
	}
	m.epoch = g.epoch
	holders, targets := map[Partition]string{}, map[Partition]string{}
	for _, member := range g.members {
		if member.epoch > g.targetEpoch {
			rt.Fatalf("%s has epoch %d, the target %d", member.id, member.epoch, g.targetEpoch)
		}
		one := func(by map[Partition]string, p Partition) {
			if other, twice := by[p]; twice {
				rt.Fatalf("%s and %s both have %v", other, member.id, p)
			}
			by[p] = member.id
		}
		for p := range member.assigned {
			one(holders, p)
		}
		for p := range member.revoking {
			one(holders, p)
		}
		for p := range member.target {
			one(targets, p)
		}
	}
	for p, holder := range g.holders {
		if holders[p] != holder.id {
			rt.Fatalf("%v is held by %s, noted is %s", p, holders[p], holder.id)
		}
	}
	if len(g.holders) != len(holders) {
		rt.Fatalf("%d partitions are held, %d are noted", len(holders), len(g.holders))
	}
}

// converges lets all clients beat and give up what they should, without a fault.
func (m *model) converges(rt *rapid.T) {
	for round := 0; ; round++ {
		for _, c := range m.clients {
			r := Request{
				MemberID: c.id, InstanceID: c.instance, Epoch: c.epoch, ClientHost: "/h",
				RebalanceTimeout: time.Minute, Topics: c.topics, Regex: &c.regex, Owned: c.owned,
			}
			if !c.joined {
				m.ids++
				c.id, c.epoch, c.owned, c.topics = fmt.Sprint("m", m.ids), JoinEpoch, map[Partition]struct{}{}, modelTopics
				r.MemberID, r.Epoch, r.Owned, r.Topics = c.id, c.epoch, c.owned, c.topics
			}
			maps.DeleteFunc(c.owned, func(p Partition, _ struct{}) bool { _, keep := c.assigned[p]; return !keep })
			r.Owned = maps.Clone(c.owned)
			m.answer(rt, c, r, false)
			m.check(rt)
		}
		m.now = m.now.Add(5 * time.Second)
		m.g.Tick(m.now) // members of clients that changed their id
		if m.settled() {
			break
		}
		if round > 40 {
			rt.Fatalf("not settled: %+v", m.g.Describe())
		}
	}
	used := 0
	for _, c := range m.clients {
		used += len(c.owned)
	}
	want := 0
	for _, name := range modelTopics {
		t := m.topics.byName[name]
		for _, c := range m.clients {
			if slices.Contains(c.topics, name) || c.regex != "" && name != "c" {
				want += int(t.Partitions)
				break
			}
		}
	}
	if used != want {
		rt.Fatalf("%d partitions are used of %d that are read", used, want)
	}
}

// settled reports whether everybody has what it should and nobody else is there.
func (m *model) settled() bool {
	if m.g.State() != Stable || m.g.Len() != len(m.clients) {
		return false
	}
	for _, d := range m.g.Describe().Members {
		at := slices.IndexFunc(m.clients, func(c *modelClient) bool { return c.id == d.ID })
		if at < 0 || !maps.EqualFunc(m.clients[at].owned, m.g.members[d.ID].target, func(_, _ struct{}) bool { return true }) {
			return false
		}
	}
	return true
}
