package brokertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/catalog"
	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// stopTimeout is how long a broker may take to finish what it does.
const stopTimeout = 30 * time.Second

// Option changes the configuration of a broker for tests.
type Option func(*broker.Config)

// TCP makes the broker listen on a free port of the loopback interface.
func TCP() Option {
	return func(c *broker.Config) { c.Listen = append(c.Listen, "127.0.0.1:0") }
}

// Dir keeps the data in a directory of the system.
func Dir(dir string) Option {
	return func(c *broker.Config) { c.Dir, c.FS = dir, nil }
}

// FS keeps the data in fsys, so that a second broker can find it there.
func FS(fsys vfs.FS) Option {
	return func(c *broker.Config) { c.FS = fsys }
}

// Log shows the broker's log with the test's.
func Log(t testing.TB) Option {
	return func(c *broker.Config) {
		c.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

// With changes anything else.
func With(change func(*broker.Config)) Option { return change }

// Start starts a broker, in memory and without a TCP listener unless the options
// say otherwise. When the test ends it is stopped, if the test has not done so, and
// its logs are verified.
func Start(t testing.TB, opts ...Option) *broker.Broker {
	t.Helper()
	var cfg broker.Config
	for _, o := range opts {
		o(&cfg)
	}
	if cfg.FS == nil && cfg.Dir == "" {
		cfg.FS = vfs.NewMem()
	}
	b, err := broker.Start(cfg)
	if err != nil {
		t.Fatalf("start a broker: %v", err)
	}
	t.Cleanup(func() {
		Stop(t, b)
		if err := verify(cfg); err != nil {
			t.Errorf("verify the logs: %v", err)
		}
	})
	return b
}

// Stop stops a broker in order, as a restart in the middle of a test needs it.
func Stop(t testing.TB, b *broker.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := b.Stop(ctx); err != nil {
		t.Errorf("stop the broker: %v", err)
	}
}

// Client returns a client of the broker over the in-memory listener, closed when
// the test ends.
func Client(t testing.TB, b *broker.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{
		kgo.SeedBrokers("memory.riffle.invalid:9092"), // any name: the dialer knows one broker
		kgo.Dialer(func(ctx context.Context, _, _ string) (net.Conn, error) { return b.Dial(ctx) }),
		kgo.AlwaysRetryEOF(),
	}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// verify opens all logs of a stopped broker and reads them. Where the directory was
// taken over by another broker it does nothing: that one's end verifies it.
func verify(cfg broker.Config) (err error) {
	fsys := cfg.FS
	if fsys == nil {
		dir, err := vfs.OpenDir(cfg.Dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, dir.Close()) }()
		fsys = dir
	}
	lock, err := fsys.Lock("LOCK")
	if errors.Is(err, vfs.ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	c, err := catalog.Open(fsys)
	if err != nil {
		return err
	}
	var errs []error
	for _, topic := range c.Topics() {
		for i := range topic.Partitions {
			if err := verifyLog(fsys, fmt.Sprintf("%s/%d", topic.Dir(), i)); err != nil {
				errs = append(errs, fmt.Errorf("%s-%d: %w", topic.Name, i, err))
			}
		}
	}
	return errors.Join(errs...)
}

func verifyLog(fsys vfs.FS, dir string) (err error) {
	sub, err := fsys.Sub(dir)
	if err != nil {
		return err
	}
	log, err := commitlog.Open(sub, commitlog.Config{}, time.Now())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return log.Verify()
}
