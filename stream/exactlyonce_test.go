package stream

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

var faultyEnds = flag.Int("eos.ends", 3, "how many ends of transactions TestUnknownEnds disturbs, of each kind")

// fate is what becomes of a request that ends a transaction.
type fate int

const (
	arrives   fate = iota
	lost           // the request is lost with its connection
	unheard        // the broker does it, but its answer is lost with the connection
	refused        // the broker does it, but answers that something unknown went wrong
	overtaken      // the connection breaks; the request arrives late, within the next transaction
)

// post carries the requests of clients, and decides on those that end transactions.
type post struct {
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	decide func() fate

	mu struct {
		sync.Mutex
		late []func() // deliver what was overtaken
		done map[fate]int
	}
}

func (p *post) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := p.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &postConn{Conn: conn, post: p}, nil
}

// postConn is a connection whose client writes one request at a time, each with one Write.
type postConn struct {
	net.Conn
	post *post

	mu struct {
		sync.Mutex
		broken bool
		spoil  map[uint32]fate // answers, by the correlation id
	}
	answer []byte // what was read and not passed on
}

func (c *postConn) Write(b []byte) (int, error) {
	if len(b) < 12 || int16(binary.BigEndian.Uint16(b[4:])) != int16(kmsg.EndTxn) {
		return c.Conn.Write(b)
	}
	p := c.post
	p.mu.Lock()
	defer p.mu.Unlock()
	what := p.decide()
	p.mu.done[what]++
	deliverLate := p.mu.late
	p.mu.late = nil
	for _, deliver := range deliverLate {
		deliver()
	}
	switch what {
	case lost:
		c.Conn.Close()
		return 0, net.ErrClosed
	case unheard, refused:
		c.mu.Lock()
		if c.mu.spoil == nil {
			c.mu.spoil = make(map[uint32]fate)
		}
		c.mu.spoil[binary.BigEndian.Uint32(b[8:])] = what
		c.mu.Unlock()
	case overtaken:
		c.mu.Lock()
		c.mu.broken = true
		c.mu.Unlock()
		late := append([]byte(nil), b...)
		p.mu.late = append(p.mu.late, func() {
			_, _ = c.Conn.Write(late) // the broker may have closed the connection
		})
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// Close keeps a broken connection open towards the broker, for what is late.
func (c *postConn) Close() error {
	c.mu.Lock()
	broken := c.mu.broken
	c.mu.Unlock()
	if broken {
		return nil
	}
	return c.Conn.Close()
}

func (c *postConn) Read(b []byte) (int, error) {
	if len(c.answer) == 0 {
		if err := c.readAnswer(); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.answer)
	c.answer = c.answer[n:]
	return n, nil
}

// readAnswer reads one whole answer.
func (c *postConn) readAnswer() error {
	frame := make([]byte, 4, 64)
	if err := readFull(c.Conn, frame); err != nil {
		return err
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
	if err := readFull(c.Conn, frame[4:]); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	what, spoiled := c.mu.spoil[binary.BigEndian.Uint32(frame[4:])]
	switch {
	case c.mu.broken || spoiled && what == unheard:
		c.Conn.Close()
		return net.ErrClosed
	case spoiled && what == refused:
		// Size, correlation id, no tags, throttle time, error code.
		binary.BigEndian.PutUint16(frame[4+4+1+4:], 0xffff) // UNKNOWN_SERVER_ERROR
	}
	c.answer = frame
	return nil
}

func readFull(conn net.Conn, b []byte) error {
	for len(b) > 0 {
		n, err := conn.Read(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// wantCounts compares the committed outputs with the counts of the lines written, and the state with the last of them.
func wantCounts(t *testing.T, topology *Topology, c *Cluster, want map[string][]int64) {
	t.Helper()
	if diff := cmp.Diff(want, byKey(read(t, c, counts))); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	last := make(map[string]int64)
	for key, values := range want {
		last[key] = values[len(values)-1]
	}
	if diff := cmp.Diff(last, dump(t, topology, c, seenStore)); diff != "" {
		t.Errorf("state, restored from its changelog (-want +got):\n%s", diff)
	}
}

// Whatever becomes of a request that ends a transaction, and of its answer, every line is counted once, in state and
// outputs. Also if the request arrives when the next transaction is under way (KAFKA-17754).
func TestUnknownEnds(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		for name, what := range map[string]fate{"lost": lost, "unheard": unheard, "refused": refused, "overtaken": overtaken} {
			t.Run("fate="+name, func(t *testing.T) {
				// One after the other: they share the group.
				testUnknownEnds(t, c, what)
			})
		}
	})
}

func testUnknownEnds(t *testing.T, c *Cluster, what fate) {
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-crash.seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	conn := c.conn()
	p := &post{dial: conn.Dial}
	if p.dial == nil {
		p.dial = new(net.Dialer).DialContext
	}
	p.mu.done = make(map[fate]int)
	p.decide = func() fate {
		if rng.IntN(3) == 0 {
			return what
		}
		return arrives
	}
	name := fmt.Sprintf("ends-%d", what)
	in, out := NewTopic(name+"-in", serde.String, serde.String), NewTopic(name+"-out", serde.String, counts.Value)
	createTopics(t, c, 2, in.Name)
	b := NewBuilder(name)
	b.From(in).Process("count", count, seenStore).To(out)
	topology := build(t, b)
	app, stop := background(t, topology, &Cluster{seeds: conn.Seeds, dial: p.Dial}, Config{Instance: "one"})
	disturbed := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.mu.done[what]
	}
	want := make(map[string][]int64)
	for written := 0; disturbed() < *faultyEnds; {
		more := someLines(20, 7)
		write(t, c, in, more...)
		for _, r := range more {
			want[r.Key] = append(want[r.Key], int64(len(want[r.Key]))+1)
		}
		written += len(more)
		eventually(t, "the outputs are committed", func() bool { return committed(t, c, name, in.Name) >= int64(written) })
	}
	if err := stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if rewinds := app.Stats().Rewinds; what == refused && rewinds == 0 {
		t.Error("the application never went back to its last commit")
	}
	runToEnd(t, topology, c, Config{Instance: "one"})
	got := make(map[string][]int64)
	for _, r := range read(t, c, out) {
		got[r.Key] = append(got[r.Key], r.Value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	last := make(map[string]int64)
	for key, values := range want {
		last[key] = int64(len(values))
	}
	if diff := cmp.Diff(last, dump(t, topology, c, seenStore)); diff != "" {
		t.Errorf("state, restored from its changelog (-want +got):\n%s", diff)
	}
	t.Logf("%d ends disturbed, %d rewinds", disturbed(), app.Stats().Rewinds)
}

// Processes that run under the same name end one another. What the older one had open does not count.
func TestHijack(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, "lines")
		want := make(map[string][]int64)
		topology := counting(t)
		var previous chan error
		const processes = 3
		for range processes - 1 {
			app, err := NewApp(topology, c, quiet(Config{Instance: "one", SessionTimeout: 6 * time.Second}))
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- app.Run(t.Context()) }()
			write(t, c, lines, someLines(500, 13)...)
			for _, r := range someLines(500, 13) {
				want[r.Key] = append(want[r.Key], int64(len(want[r.Key]))+1)
			}
			eventually(t, "the newest has tasks", func() bool { return len(app.Stats().Tasks) > 0 })
			if previous != nil {
				if err := <-previous; err == nil || !strings.Contains(err.Error(), `as instance "one"`) {
					t.Errorf("an older run returned %v", err)
				}
			}
			previous = ended
		}
		_, stop := background(t, topology, c, Config{Instance: "one", SessionTimeout: 6 * time.Second})
		if err := <-previous; err == nil {
			t.Error("the last but one run returned no error")
		}
		eventually(t, "all is committed", func() bool { return committed(t, c, "counting", "lines") >= 500*(processes-1) })
		if err := stop(); err != nil {
			t.Error(err)
		}
		wantCounts(t, topology, c, want)
	})
}

// Instances that come and go while lines are written count each of them once.
func TestRebalanceStorm(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 4, "lines")
		topology := counting(t)
		want := make(map[string][]int64)
		total := int64(0)
		more := func() {
			write(t, c, lines, someLines(200, 13)...)
			total += 200
			for _, r := range someLines(200, 13) {
				want[r.Key] = append(want[r.Key], int64(len(want[r.Key]))+1)
			}
		}
		_, stopFirst := background(t, topology, c, Config{})
		for range 2 {
			second, stopSecond := background(t, topology, c, Config{})
			third, stopThird := background(t, topology, c, Config{})
			more()
			eventually(t, "the others have tasks", func() bool { return len(second.Stats().Tasks)+len(third.Stats().Tasks) > 0 })
			more()
			if err := stopSecond(); err != nil {
				t.Error(err)
			}
			more()
			if err := stopThird(); err != nil {
				t.Error(err)
			}
		}
		eventually(t, "all is committed", func() bool { return committed(t, c, "counting", "lines") >= total })
		if err := stopFirst(); err != nil {
			t.Error(err)
		}
		wantCounts(t, topology, c, want)
	})
}

// A cluster that knows only the first protocol of transactions is enough.
func TestOlderTransactions(t *testing.T) {
	t.Parallel()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.MaxVersions(kversion.V3_6_0()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := Kafka(fake.ListenAddrs()...)
	createTopics(t, c, 2, "lines")
	topology, backend := counting(t), state.NewMemory()
	want := make(map[string][]int64)
	for range 3 {
		write(t, c, lines, someLines(300, 13)...)
		for _, r := range someLines(300, 13) {
			want[r.Key] = append(want[r.Key], int64(len(want[r.Key]))+1)
		}
		runToEnd(t, topology, c, Config{Backend: backend, Instance: "one", MaxPollRecords: 50})
	}
	wantCounts(t, topology, c, want)
}
