package group

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestScripts runs the scripts in testdata/script. A script has one group and any number
// of clients, which are named c1, c2 and so on; the member id that a client gets
// is its name and a number. A client remembers its member id and generation.
//
//	config [delay=3s] [max-members=2] [metadata-bytes=4]
//		starts over with an empty group.
//	join client=c1 [new] [member=ID] [instance=I] [session=10s] [rebalance=60s]
//		[type=consumer] [protocols=(range:a+b,sticky)] [no-protocols] [require-id] [skip]
//		joins; a protocol is a name and the topics its metadata subscribes to. new
//		forgets the client's member id, require-id is JoinGroup v4, skip is v9.
//	sync client=c1 [member=ID] [instance=I] [gen=N] [type=T] [protocol=P] [assign=(ID:x,ID:y)]
//	stored seq=N [lost]
//		the awaited store became durable, or failed.
//	heartbeat client=c1 [member=ID] [instance=I] [gen=N]
//	leave client=c1 [member=ID] [instance=I]
//		with instance and no client: an administrator removes a static member.
//	commit client=c1|none [member=ID] [instance=I] [gen=N] topic=t partition=0 offset=N
//		[position=N] [metadata=M]
//	offsets
//		lists what is committed.
//	forget topic=t partition=0
//	advance by=6s
//		moves time, ticking at each deadline on the way.
//	group
//		describes the group.
//	restart
//		forgets the group and restores it from all records that were stored.
//
// Every command prints its effects: replies as "client: …", and stores.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/script", func(t *testing.T, path string) {
		s := newScript(Config{})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.run(t, d)
		})
	})
}

type script struct {
	cfg     Config
	g       *Group
	now     time.Time
	tokens  map[Token]string // client of a parked request
	next    Token
	clients map[string]*client
	log     []Record // durable
	awaited map[uint64]Record
	out     strings.Builder
}

type client struct {
	memberID   string
	generation int32
	ids        int
}

var epoch = time.UnixMilli(0)

func newScript(cfg Config) *script {
	return &script{
		cfg: cfg, g: New("g", cfg), now: epoch,
		tokens: map[Token]string{}, clients: map[string]*client{}, awaited: map[uint64]Record{},
	}
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	switch d.Cmd {
	case "config":
		var cfg Config
		cfg.InitialRebalanceDelay = duration(t, d, "delay", 0)
		d.MaybeScanArgs(t, "max-members", &cfg.MaxMembers)
		d.MaybeScanArgs(t, "metadata-bytes", &cfg.MaxMetadataBytes)
		*s = *newScript(cfg)
	case "join":
		s.join(t, d)
	case "sync":
		s.sync(t, d)
	case "stored":
		var seq int
		d.ScanArgs(t, "seq", &seq)
		if rec, ok := s.awaited[uint64(seq)]; ok && !d.HasArg("lost") {
			s.log = append(s.log, rec)
		}
		s.effects(s.g.Stored(s.now, uint64(seq), !d.HasArg("lost")))
	case "heartbeat":
		w := s.who(t, d)
		s.result(s.g.Heartbeat(s.now, w.member, w.instance, w.generation))
	case "leave":
		w := s.who(t, d)
		errs, eff := s.g.Leave(s.now, []Leaving{{MemberID: w.member, InstanceID: w.instance}})
		s.result(errs[0])
		s.effects(eff)
	case "commit":
		s.commit(t, d)
	case "offsets":
		for _, topic := range s.g.Topics() {
			for p, c := range s.g.Partitions(topic) {
				fmt.Fprintf(&s.out, "%s/%d offset=%d metadata=%q\n", topic, p, c.Offset, c.Metadata)
			}
		}
	case "forget":
		var topic string
		var partition int
		d.ScanArgs(t, "topic", &topic)
		d.ScanArgs(t, "partition", &partition)
		s.g.Forget(topic, int32(partition))
		s.log = append(s.log, OffsetTombstone("g", topic, int32(partition)))
	case "advance":
		s.advance(duration(t, d, "by", 0))
	case "group":
		s.describe()
	case "restart":
		s.restart(t)
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	return s.out.String()
}

// who is the identity a command speaks with.
type who struct {
	client, member, instance string
	generation               int32
}

func (s *script) who(t *testing.T, d *datadriven.TestData) who {
	var w who
	d.MaybeScanArgs(t, "client", &w.client)
	w.generation = -1
	if c := s.clients[w.client]; c != nil {
		w.member, w.generation = c.memberID, c.generation
	}
	if d.HasArg("new") {
		w.member = ""
	}
	d.MaybeScanArgs(t, "member", &w.member)
	d.MaybeScanArgs(t, "instance", &w.instance)
	var gen int
	if d.MaybeScanArgs(t, "gen", &gen) {
		w.generation = int32(gen)
	}
	return w
}

func (s *script) client(name string) *client {
	if s.clients[name] == nil {
		s.clients[name] = &client{generation: -1}
	}
	return s.clients[name]
}

func (s *script) token(client string) Token {
	s.next++
	s.tokens[s.next] = client
	return s.next
}

func (s *script) join(t *testing.T, d *datadriven.TestData) {
	w := s.who(t, d)
	c := s.client(w.client)
	c.ids++
	r := JoinRequest{
		MemberID:          w.member,
		InstanceID:        w.instance,
		ClientID:          w.client,
		ClientHost:        "/host",
		SessionTimeout:    duration(t, d, "session", 10*time.Second),
		RebalanceTimeout:  duration(t, d, "rebalance", time.Minute),
		ProtocolType:      "consumer",
		NewMemberID:       fmt.Sprintf("%s-%d", w.client, c.ids),
		RequireMemberID:   d.HasArg("require-id"),
		CanSkipAssignment: d.HasArg("skip"),
	}
	d.MaybeScanArgs(t, "type", &r.ProtocolType)
	protocols := []string{"range:t"}
	if arg, ok := d.Arg("protocols"); ok {
		protocols = arg.Vals
	}
	if d.HasArg("no-protocols") {
		protocols = nil
	}
	for _, p := range protocols {
		name, topics, _ := strings.Cut(p, ":")
		m := kmsg.NewConsumerMemberMetadata()
		m.Topics = strings.Split(topics, "+")
		r.Protocols = append(r.Protocols, Protocol{Name: name, Metadata: m.AppendTo(nil)})
	}
	s.effects(s.g.Join(s.now, s.token(w.client), r))
}

func (s *script) sync(t *testing.T, d *datadriven.TestData) {
	w := s.who(t, d)
	r := SyncRequest{MemberID: w.member, InstanceID: w.instance, Generation: w.generation}
	d.MaybeScanArgs(t, "type", &r.ProtocolType)
	d.MaybeScanArgs(t, "protocol", &r.Protocol)
	if arg, ok := d.Arg("assign"); ok {
		for _, a := range arg.Vals {
			id, data, _ := strings.Cut(a, ":")
			r.Assignments = append(r.Assignments, Assignment{MemberID: id, Data: []byte(data)})
		}
	}
	s.effects(s.g.Sync(s.now, s.token(w.client), r))
}

func (s *script) commit(t *testing.T, d *datadriven.TestData) {
	w := s.who(t, d)
	var topic, metadata string
	var partition, offset, position int
	d.ScanArgs(t, "topic", &topic)
	d.ScanArgs(t, "partition", &partition)
	d.ScanArgs(t, "offset", &offset)
	d.MaybeScanArgs(t, "position", &position)
	d.MaybeScanArgs(t, "metadata", &metadata)
	err := s.g.CheckCommit(s.now, CommitRequest{MemberID: w.member, InstanceID: w.instance, Generation: w.generation})
	err = errors.Join(err, s.g.CheckMetadata(metadata))
	if err == nil {
		c := Committed{Offset: int64(offset), LeaderEpoch: -1, Metadata: metadata, Time: s.now, Position: int64(position)}
		s.g.Apply(topic, int32(partition), c)
		s.log = append(s.log, OffsetRecord("g", topic, int32(partition), c))
	}
	s.result(err)
}

func (s *script) advance(by time.Duration) {
	end := s.now.Add(by)
	for {
		next := s.g.Deadline()
		if next.IsZero() || next.After(end) {
			break
		}
		s.now = next
		expired, eff := s.g.Tick(s.now)
		for _, e := range expired {
			fmt.Fprintf(&s.out, "%s expired: %s\n", e.MemberID, e.Reason)
		}
		s.effects(eff)
	}
	s.now = end
	fmt.Fprintf(&s.out, "now %v", s.now.Sub(epoch))
	if next := s.g.Deadline(); !next.IsZero() {
		fmt.Fprintf(&s.out, ", next deadline %v", next.Sub(epoch))
	}
	s.out.WriteString("\n")
}

func (s *script) restart(t *testing.T) {
	s.g = New("g", s.cfg)
	clear(s.tokens)
	clear(s.awaited)
	for i, rec := range s.log {
		e, err := Decode(rec.Key, rec.Value)
		if err != nil {
			t.Fatalf("Decode(record %d): %v", i, err)
		}
		e.Committed.Position = int64(i)
		s.g.Restore(e)
	}
	s.g.Resume(s.now)
	s.describe()
}

func (s *script) describe() {
	d := s.g.Describe()
	fmt.Fprintf(&s.out, "%v gen=%d type=%q protocol=%q leader=%q\n", d.State, d.Generation, d.ProtocolType, d.Protocol, d.Leader)
	for _, m := range d.Members {
		fmt.Fprintf(&s.out, "  %s instance=%q assignment=%q\n", m.ID, m.InstanceID, m.Assignment)
	}
}

func (s *script) result(err error) {
	if err == nil {
		s.out.WriteString("ok\n")
		return
	}
	fmt.Fprintf(&s.out, "%v\n", err)
}

func (s *script) effects(eff Effects) {
	if st := eff.Store; st != nil {
		e, err := Decode(st.Record.Key, st.Record.Value)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&s.out, "store %d gen=%d members=", st.Seq, e.membership.Generation)
		for i, m := range e.membership.Members {
			if i > 0 {
				s.out.WriteString(",")
			}
			fmt.Fprintf(&s.out, "%s:%s", m.MemberID, m.Assignment)
		}
		if st.Await {
			s.out.WriteString(" awaited")
			s.awaited[st.Seq] = st.Record
		} else {
			s.log = append(s.log, st.Record)
		}
		s.out.WriteString("\n")
	}
	for _, r := range eff.Replies {
		name, ok := s.tokens[r.Token]
		if !ok {
			panic(fmt.Sprintf("token %d is not parked", r.Token))
		}
		delete(s.tokens, r.Token)
		fmt.Fprintf(&s.out, "%s: ", name)
		if r.Sync != nil {
			s.printSync(r.Sync)
		} else {
			s.printJoin(s.client(name), r.Join)
		}
	}
}

func (s *script) printJoin(c *client, r *JoinReply) {
	if r.Err != nil {
		fmt.Fprintf(&s.out, "join %v, member=%q\n", r.Err, r.MemberID)
		if errors.Is(r.Err, ErrMemberIDRequired) {
			c.memberID = r.MemberID
		}
		return
	}
	c.memberID, c.generation = r.MemberID, r.Generation
	fmt.Fprintf(&s.out, "join member=%s gen=%d protocol=%s leader=%s", r.MemberID, r.Generation, r.Protocol, r.Leader)
	if r.SkipAssignment {
		s.out.WriteString(" skip")
	}
	for i, m := range r.Members {
		sep := ","
		if i == 0 {
			sep = " members="
		}
		fmt.Fprintf(&s.out, "%s%s", sep, m.ID)
	}
	s.out.WriteString("\n")
}

func (s *script) printSync(r *SyncReply) {
	if r.Err != nil {
		fmt.Fprintf(&s.out, "sync %v\n", r.Err)
		return
	}
	fmt.Fprintf(&s.out, "sync protocol=%s assignment=%q\n", r.Protocol, r.Assignment)
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
