package consumer

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/riffle-stream/riffle/broker/group"
)

// TestScripts runs the scripts in testdata/script. A script has one group, some topics
// and any number of clients, which are named c1, c2 and so on; a client's member id is
// its name unless the command gives another. A client remembers its epoch and what it
// was assigned, and reports that as owned; what it is told to give up it gives up only
// by the command revoke.
//
//	config [session=45s] [max-members=2]
//		starts over with an empty group and no topics.
//	topic name=t [partitions=3] [gone]
//		makes a topic, makes it larger, or deletes it.
//	join client=c1 [member=ID] [instance=I] [topics=(a,b)] [regex=R] [assignor=A] [rebalance=60s] [owned=(t-0)]
//	beat client=c1 [member=ID] [instance=I] [epoch=N] [topics=(a,b)] [regex=R] [silent] [full] [owned=(t-0)]
//		heartbeats; silent says nothing of what is owned, full says all.
//	revoke client=c1
//		the client gives up what it is not assigned any more, and says so.
//	leave client=c1 [member=ID] [instance=I] [static]
//	remove instance=I
//	commit client=c1|none [epoch=N] [old] [txn] [partition=t-0]
//	fetch client=c1|none [epoch=N]
//		Each of these may be lost: the answer, and the records, do not arrive.
//	advance by=6s
//		moves time, ticking at each deadline on the way.
//	group
//		describes the group.
//	restart
//		forgets the group and restores it from the log.
//	delete
//		deletes the group in the log, then restarts.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/script", func(t *testing.T, path string) {
		s := newScript(Config{})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.run(t, d)
		})
	})
}

// fakeTopics are the topics of a test.
type fakeTopics struct {
	version uint64
	byName  map[string]Topic
	created byte
}

func (ts *fakeTopics) Version() uint64                      { return ts.version }
func (ts *fakeTopics) Topic(name string) (t Topic, ok bool) { t, ok = ts.byName[name]; return t, ok }
func (ts *fakeTopics) Names() iter.Seq[string]              { return maps.Keys(ts.byName) }

// set makes a topic or makes it larger. The id of a topic is one that no other ever had.
func (ts *fakeTopics) set(name string, partitions int32) {
	ts.version++
	t, ok := ts.byName[name]
	if !ok {
		ts.created++
		t = Topic{Name: name, ID: [16]byte{ts.created}}
	}
	t.Partitions = partitions
	if ts.byName == nil {
		ts.byName = map[string]Topic{}
	}
	ts.byName[name] = t
}

func (ts *fakeTopics) delete(name string) {
	ts.version++
	delete(ts.byName, name)
}

// store is the log of a test.
type store map[string][]byte

func (s store) write(records []group.Record) {
	for _, r := range records {
		s[string(r.Key)] = r.Value
	}
}

// restore makes a group of the log.
func (s store) restore(t interface {
	Helper()
	Fatalf(string, ...any)
}, cfg Config, now time.Time,
) *Group {
	t.Helper()
	g := New("g", cfg)
	for key, value := range s { // in no order, as after compaction
		if !Known([]byte(key)) {
			t.Fatalf("the key %x is not known", key)
		}
		e, err := Decode([]byte(key), value)
		if err != nil {
			t.Fatalf("Decode: %v", err)
		}
		if e.Group != "g" {
			t.Fatalf("a record of group %q", e.Group)
		}
		g.Restore(e)
	}
	g.Resume(now)
	return g
}

type script struct {
	cfg     Config
	g       *Group
	topics  *fakeTopics
	now     time.Time
	clients map[string]*client
	log     store
	out     strings.Builder
}

type client struct {
	epoch    int32
	assigned map[Partition]struct{}
	owned    map[Partition]struct{}
}

var began = time.UnixMilli(0)

func newScript(cfg Config) *script {
	return &script{cfg: cfg, g: New("g", cfg), topics: &fakeTopics{}, now: began, clients: map[string]*client{}, log: store{}}
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	store := true
	switch d.Cmd {
	case "config":
		cfg := Config{SessionTimeout: duration(t, d, "session", 0)}
		d.MaybeScanArgs(t, "max-members", &cfg.MaxMembers)
		*s = *newScript(cfg)
	case "topic":
		var name string
		partitions := 3
		d.ScanArgs(t, "name", &name)
		d.MaybeScanArgs(t, "partitions", &partitions)
		if d.HasArg("gone") {
			s.topics.delete(name)
		} else {
			s.topics.set(name, int32(partitions))
		}
	case "join", "beat", "revoke", "leave":
		s.heartbeat(t, d)
		store = !d.HasArg("lost")
	case "remove":
		var instance string
		d.ScanArgs(t, "instance", &instance)
		s.result(s.g.RemoveInstance(instance))
	case "commit", "fetch":
		s.offsets(t, d)
	case "advance":
		s.advance(duration(t, d, "by", 0))
	case "group":
		s.describe()
	case "restart":
		s.g = s.log.restore(t, s.cfg, s.now)
		s.describe()
	case "delete":
		s.log.write(s.g.Tombstones())
		s.g = s.log.restore(t, s.cfg, s.now)
		s.describe()
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	if store {
		s.log.write(s.g.Changes())
		s.g.Stored()
	}
	return s.out.String()
}

func (s *script) heartbeat(t *testing.T, d *datadriven.TestData) {
	var name string
	d.ScanArgs(t, "client", &name)
	c := s.clients[name]
	if c == nil || d.Cmd == "join" {
		c = &client{owned: map[Partition]struct{}{}}
		s.clients[name] = c
	}
	r := Request{
		MemberID: name, Epoch: c.epoch, ClientID: name, ClientHost: "/host",
		RebalanceTimeout: duration(t, d, "rebalance", -1), Owned: maps.Clone(c.owned),
	}
	d.MaybeScanArgs(t, "member", &r.MemberID)
	d.MaybeScanArgs(t, "instance", &r.InstanceID)
	var epoch int
	if d.MaybeScanArgs(t, "epoch", &epoch) {
		r.Epoch = int32(epoch)
	}
	if arg, ok := d.Arg("topics"); ok {
		r.Topics = append([]string{}, arg.Vals...)
	}
	var regex, assignor string
	if d.MaybeScanArgs(t, "regex", &regex) {
		r.Regex = &regex
	}
	if d.MaybeScanArgs(t, "assignor", &assignor) {
		r.Assignor = &assignor
	}
	switch {
	case d.Cmd == "join", d.HasArg("full"):
		if r.Topics == nil && r.Regex == nil {
			r.Topics = []string{"t"}
		}
		r.RebalanceTimeout = max(r.RebalanceTimeout, time.Minute)
		if d.HasArg("rebalance") {
			r.RebalanceTimeout = duration(t, d, "rebalance", 0)
		}
	case d.Cmd == "revoke":
		c.owned = maps.Clone(c.assigned)
		r.Owned = maps.Clone(c.owned)
	case d.HasArg("static"):
		r.Epoch, r.Owned = StaticLeaveEpoch, nil
	case d.Cmd == "leave":
		r.Epoch, r.Owned = LeaveEpoch, nil
	case d.HasArg("silent"):
		r.Owned = nil
	}
	if arg, ok := d.Arg("owned"); ok {
		r.Owned = map[Partition]struct{}{}
		for _, v := range arg.Vals {
			r.Owned[s.partition(t, v)] = struct{}{}
		}
	}
	reply, err := s.g.Heartbeat(s.now, s.topics, r)
	if err != nil {
		s.result(err)
		return
	}
	if d.HasArg("lost") {
		s.out.WriteString("the answer is lost\n")
		return
	}
	c.epoch = reply.Epoch
	fmt.Fprintf(&s.out, "%s epoch=%d", reply.MemberID, reply.Epoch)
	if reply.Assignment != nil {
		c.assigned = map[Partition]struct{}{}
		for _, p := range reply.Assignment {
			c.assigned[p] = struct{}{}
			c.owned[p] = struct{}{}
		}
		fmt.Fprintf(&s.out, " assigned=%s", s.names(reply.Assignment))
	}
	s.out.WriteString("\n")
}

func (s *script) offsets(t *testing.T, d *datadriven.TestData) {
	r := group.CommitRequest{Generation: -1, KnowsEpochs: !d.HasArg("old")}
	d.MaybeScanArgs(t, "client", &r.MemberID)
	if c := s.clients[r.MemberID]; c != nil {
		r.Generation = c.epoch
	} else {
		r.MemberID = ""
	}
	var epoch int
	if d.MaybeScanArgs(t, "epoch", &epoch) {
		r.Generation = int32(epoch)
	}
	var at string
	switch {
	case d.Cmd == "fetch":
		s.result(s.g.CheckFetch(r.MemberID, r.Generation))
	case d.HasArg("txn"):
		s.result(s.g.CheckTxnCommit(r))
	default:
		err := s.g.CheckCommit(r)
		if d.MaybeScanArgs(t, "partition", &at) && err == nil {
			err = s.g.CheckPartition(r, s.partition(t, at))
		}
		s.result(err)
	}
}

func (s *script) advance(by time.Duration) {
	end := s.now.Add(by)
	for {
		next := s.g.Deadline()
		if next.IsZero() || next.After(end) {
			break
		}
		s.now = next
		for _, e := range s.g.Tick(s.now) {
			fmt.Fprintf(&s.out, "%s expired: %s\n", e.MemberID, e.Reason)
		}
	}
	s.now = end
	fmt.Fprintf(&s.out, "now %v", s.now.Sub(began))
	if next := s.g.Deadline(); !next.IsZero() {
		fmt.Fprintf(&s.out, ", next deadline %v", next.Sub(began))
	}
	s.out.WriteString("\n")
}

func (s *script) describe() {
	d := s.g.Describe()
	fmt.Fprintf(&s.out, "%v epoch=%d/%d assignor=%s\n", d.State, d.TargetEpoch, d.Epoch, d.Assignor)
	for _, m := range d.Members {
		fmt.Fprintf(&s.out, "  %s", m.ID)
		if m.InstanceID != "" {
			fmt.Fprintf(&s.out, " instance=%s", m.InstanceID)
		}
		fmt.Fprintf(&s.out, " epoch=%d topics=%s", m.Epoch, strings.Join(m.Topics, ","))
		if m.Regex != "" {
			fmt.Fprintf(&s.out, " regex=%s", m.Regex)
		}
		fmt.Fprintf(&s.out, " assigned=%s target=%s\n", s.names(m.Assigned), s.names(m.Target))
	}
}

func (s *script) result(err error) {
	if err == nil {
		s.out.WriteString("ok\n")
		return
	}
	fmt.Fprintf(&s.out, "%v\n", err)
}

func (s *script) partition(t *testing.T, name string) Partition {
	topic, index, _ := strings.Cut(name, "-")
	n, err := strconv.Atoi(index)
	if err != nil {
		t.Fatalf("partition %q: %v", name, err)
	}
	return Partition{s.topics.byName[topic].ID, int32(n)}
}

// names are partitions as topic-index, of topics that are gone with a question mark.
func (s *script) names(partitions []Partition) string {
	var names []string
	for _, p := range partitions {
		topic := "?"
		for name, t := range s.topics.byName {
			if t.ID == p.Topic {
				topic = name
			}
		}
		names = append(names, fmt.Sprintf("%s-%d", topic, p.Index))
	}
	slices.Sort(names)
	return "[" + strings.Join(names, " ") + "]"
}

func duration(t *testing.T, d *datadriven.TestData, key string, def time.Duration) time.Duration {
	var text string
	if !d.MaybeScanArgs(t, key, &text) {
		return def
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", d.Pos, err)
	}
	return v
}
