package bench

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/internal/memnet"
)

const topic = "bench"

// setup is what a broker is measured with.
type setup struct {
	partitions int32
	flush      string // "each" or "os"
	transport  string // "tcp" or "memory"
}

// contenders are the brokers, the one that is measured first.
var contenders = []struct {
	name  string
	start func(testing.TB, setup) []kgo.Opt // how a client reaches the topic
}{
	{"riffle", startRiffle},
	{"kfake", startKfake},
}

func startRiffle(t testing.TB, s setup) []kgo.Opt {
	t.Helper()
	cfg := broker.Config{Dir: t.TempDir()}
	if s.transport == "tcp" {
		cfg.Listen = []string{"127.0.0.1:0"}
	}
	b, err := broker.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	opts := []kgo.Opt{kgo.SeedBrokers(b.Addr())}
	if s.transport == "memory" {
		opts = inMemory(b.Dial)
	}
	createTopic(t, s, opts)
	return opts
}

func startKfake(t testing.TB, s setup) []kgo.Opt {
	t.Helper()
	cfg := []kfake.Opt{kfake.NumBrokers(1), kfake.DataDir(t.TempDir())}
	if s.flush == "each" {
		cfg = append(cfg, kfake.SyncWrites())
	}
	var opts []kgo.Opt
	if s.transport == "memory" {
		l := memnet.Listen("127.0.0.1:9092", memnet.Config{})
		cfg = append(cfg, kfake.ListenFn(func(string, string) (net.Listener, error) { return l, nil }))
		opts = inMemory(l.Dial)
	}
	c, err := kfake.NewCluster(cfg...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if opts == nil {
		opts = []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
	}
	createTopic(t, setup{partitions: s.partitions}, opts)
	return opts
}

func inMemory(dial func(context.Context) (net.Conn, error)) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers("127.0.0.1:9092"), // any name: the dialer knows one broker
		kgo.Dialer(func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }),
		kgo.AlwaysRetryEOF(),
	}
}

func createTopic(t testing.TB, s setup, opts []kgo.Opt) {
	t.Helper()
	var configs map[string]*string
	if s.flush != "" {
		configs = map[string]*string{"riffle.flush": &s.flush}
	}
	if _, err := kadm.NewClient(client(t, opts)).CreateTopic(t.Context(), s.partitions, 1, configs, topic); err != nil {
		t.Fatal(err)
	}
}

func client(t testing.TB, opts []kgo.Opt, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(append([]kgo.Opt{
		kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(time.Second),
	}, opts...), more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}
