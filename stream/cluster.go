package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/riffle-stream/riffle/internal/embed"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// Cluster is where topics live: a broker in this process, a Riffle server, or Apache Kafka. A topology runs
// unchanged on each. A Cluster may be used concurrently.
//
// A broker in this process runs while anything uses the cluster: an App, a Writer, a Read, or whoever called
// Open and not yet Close.
type Cluster struct {
	dir        string   // of an embedded broker
	memory     vfs.FS   // of an embedded broker in memory
	base       *Cluster // the cluster that this one is a way to
	wrap       func(net.Conn) (net.Conn, error)
	seeds      []string // of another one
	dial       func(ctx context.Context, network, addr string) (net.Conn, error)
	tls        *tls.Config    // nil: plaintext
	login      sasl.Mechanism // nil: none
	secureErr  error          // what is wrong with Secure's argument
	logger     *slog.Logger
	registerer prometheus.Registerer

	mu struct {
		sync.Mutex
		users     int
		broker    *embed.Broker
		instances map[string]map[int]bool // running instances of each application, by number
	}
}

// Embedded is a broker in this process that keeps everything in dir: its topics in dir/broker, the state of an
// application in dir/state/NAME. The directory is made if it is missing; one process at a time can use it.
func Embedded(dir string) *Cluster { return &Cluster{dir: dir} }

// InMemory is an embedded broker that keeps everything in memory, for tests and trials: what it holds lasts as long as the
// Cluster. Applications keep their state in memory, too, unless their Config says otherwise. Neither the broker nor the
// clients wait for anything but each other and time, so they can run in a bubble of testing/synctest.
func InMemory() *Cluster { return &Cluster{memory: vfs.NewMem()} }

// Over returns the same cluster, reached over connections that wrap makes of its own: for tests that cut, delay or count
// them. An error of wrap fails the connection. Settings of c, as Secure, apply to both.
func (c *Cluster) Over(wrap func(net.Conn) (net.Conn, error)) *Cluster {
	return &Cluster{base: c, wrap: wrap}
}

// Kafka is a cluster that is reached at the given addresses, "host:port": a Riffle server or Apache Kafka. Some of
// its brokers are enough, it tells of the others.
func Kafka(addrs ...string) *Cluster { return &Cluster{seeds: addrs} }

// Observe makes the embedded broker log to logger and register its metrics with registerer, and the clients of
// the cluster log too. Either may be nil. Call it before the cluster is used; it returns c.
func (c *Cluster) Observe(logger *slog.Logger, registerer prometheus.Registerer) *Cluster {
	c.logger, c.registerer = logger, registerer
	return c
}

// Open starts the embedded broker, unless it runs already, and keeps it running until Close. With another
// cluster it does nothing.
func (c *Cluster) Open(ctx context.Context) error {
	if c.base != nil {
		return c.base.Open(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.secureErr != nil {
		return c.secureErr
	}
	if !c.embedded() && len(c.seeds) == 0 {
		return errors.New("stream: a cluster needs a directory (Embedded) or an address (Kafka)")
	}
	if c.embedded() && c.mu.broker == nil {
		b, err := c.start()
		if err != nil {
			return err
		}
		c.mu.broker = b
	}
	c.mu.users++
	return nil
}

func (c *Cluster) embedded() bool { return c.dir != "" || c.memory != nil }

func (c *Cluster) start() (*embed.Broker, error) {
	if c.memory != nil {
		b, err := embed.StartIn(c.memory, c.logger, c.registerer)
		if err != nil {
			return nil, fmt.Errorf("stream: start the broker in memory: %w", err)
		}
		return b, nil
	}
	b, err := embed.Start(filepath.Join(c.dir, "broker"), c.logger, c.registerer)
	if err != nil {
		return nil, fmt.Errorf("stream: start the broker in %s: %w", c.dir, err)
	}
	return b, nil
}

// Close takes back one Open. The last one stops the embedded broker.
func (c *Cluster) Close() error {
	if c.base != nil {
		return c.base.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.users == 0 {
		return errors.New("stream: Close of a cluster that is not open")
	}
	if c.mu.users--; c.mu.users > 0 || c.mu.broker == nil {
		return nil
	}
	b := c.mu.broker
	c.mu.broker = nil
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return b.Close(ctx)
}

// Dial connects to the embedded broker, whatever the address, for other Kafka clients in this process:
//
//	kgo.NewClient(kgo.SeedBrokers("embedded:9092"), kgo.Dialer(cluster.Dial))
//
// The cluster must be open, and the connection ends with it. Another cluster is reached at its addresses: Dial fails.
func (c *Cluster) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	b := c.mu.broker
	c.mu.Unlock()
	switch {
	case c.dir == "":
		return nil, errors.New("stream: Dial reaches an embedded broker only: connect to the addresses of the cluster")
	case b == nil:
		return nil, errors.New("stream: Dial of a cluster that is not open: call Open first")
	}
	return b.Dial(ctx, network, addr)
}

// conn says how to reach the cluster. It must be open.
func (c *Cluster) conn() client.Conn {
	if c.base != nil {
		return c.wrapped(c.base.conn())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := client.Conn{Seeds: c.seeds, Dial: c.dial, TLS: c.tls, Login: c.login, Compress: true, Logger: c.logger}
	if b := c.mu.broker; b != nil {
		conn = client.Conn{Seeds: []string{embed.Addr}, Dial: b.Dial, Logger: c.logger}
	}
	return conn
}

// wrapped makes connections pass through wrap.
func (c *Cluster) wrapped(conn client.Conn) client.Conn {
	dial := conn.Dial
	switch {
	case dial != nil:
	case conn.TLS != nil:
		dial = (&tls.Dialer{Config: conn.TLS}).DialContext
	default:
		dial = (&net.Dialer{}).DialContext
	}
	conn.TLS = nil
	conn.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		inner, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		outer, err := c.wrap(inner)
		if err != nil {
			inner.Close()
			return nil, err
		}
		return outer, nil
	}
	return conn
}

// stateDir is where the state of an application lies unless its Config says otherwise.
func (c *Cluster) stateDir(app string) string {
	if c.base != nil {
		return c.base.stateDir(app)
	}
	if c.dir != "" {
		return filepath.Join(c.dir, "state", app)
	}
	return filepath.Join("riffle-data", app)
}

// instance returns the name by which an instance of an application is a static member of its group, and a
// function that gives it back. It is empty for a cluster that other processes use too. Members of an embedded
// broker die with it: after a crash the new process takes their places at once, instead of waiting for the group
// to notice.
func (c *Cluster) instance(app string) (name string, release func()) {
	if c.base != nil {
		return c.base.instance(app)
	}
	if !c.embedded() {
		return "", func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.instances == nil {
		c.mu.instances = make(map[string]map[int]bool)
	}
	used := c.mu.instances[app]
	if used == nil {
		used = make(map[int]bool)
		c.mu.instances[app] = used
	}
	n := 0
	for used[n] {
		n++
	}
	used[n] = true
	return fmt.Sprintf("embedded-%d", n), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(used, n)
	}
}

// inMemory reports whether what the cluster holds ends with the process.
func (c *Cluster) inMemory() bool {
	if c.base != nil {
		return c.base.inMemory()
	}
	return c.memory != nil
}

// CreateTopics creates the topics that do not exist yet, with the given number of partitions. A topic that exists
// with another number is an error: records of a key would move.
func (c *Cluster) CreateTopics(ctx context.Context, partitions int, names ...string) error {
	return c.createTopics(ctx, partitions, nil, names...)
}

func (c *Cluster) createTopics(ctx context.Context, partitions int, configs map[string]string, names ...string) error {
	if partitions < 1 || partitions > 1<<20 {
		return fmt.Errorf("stream: create topics with %d partitions: want at least 1", partitions)
	}
	return c.administer(ctx, func(admin *client.Admin) error {
		found, err := admin.Topics(ctx, names...)
		if err != nil {
			return err
		}
		var errs []error
		for _, name := range names {
			if t, ok := found[name]; ok {
				if t.Partitions != int32(partitions) {
					errs = append(errs, fmt.Errorf("stream: topic %s exists with %d partitions, not %d: use that number, or delete it first (riffle topic delete %s)",
						name, t.Partitions, partitions, name))
				}
				continue
			}
			if err := admin.CreateTopic(ctx, name, int32(partitions), configs); err != nil && !errors.Is(err, client.ErrTopicExists) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
}

// administer calls f with a connection to the cluster.
func (c *Cluster) administer(ctx context.Context, f func(*client.Admin) error) (err error) {
	if err := c.Open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	admin, err := client.NewAdmin(c.conn())
	if err != nil {
		return err
	}
	defer admin.Close()
	return f(admin)
}
