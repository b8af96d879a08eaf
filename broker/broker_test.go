package broker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// What keeps a broker from starting is named, together with the remedy.
func TestStartRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	running := brokertest.Start(t, brokertest.Dir(dir), brokertest.TCP())
	foreign := vfs.NewMem()
	if f, err := foreign.Create("catalog"); err == nil {
		_, _ = f.WriteAt([]byte("this is not a catalog of ours, but a text"), 0)
		f.Close()
	}
	for _, tc := range []struct {
		name string
		cfg  broker.Config
		want []string
	}{
		{"nothing set", broker.Config{}, []string{"Dir is empty"}},
		{
			"several mistakes",
			broker.Config{Dir: dir, MaxConnections: -1, Advertise: []string{"a:1"}, IdleTimeout: -5},
			[]string{"MaxConnections is -1", "Advertise names 1", "IdleTimeout is -5"},
		},
		{"directory in use", broker.Config{Dir: dir}, []string{dir, "in use by another broker", "stop it"}},
		{"port in use", broker.Config{FS: vfs.NewMem(), Listen: []string{running.Addr()}}, []string{running.Addr(), "in use by another process", "another port"}},
		{"no port", broker.Config{FS: vfs.NewMem(), Listen: []string{"127.0.0.1"}}, []string{`"127.0.0.1" is not host:port`}},
		{"all interfaces", broker.Config{FS: vfs.NewMem(), Listen: []string{":0"}}, []string{"other machines", "AllowPlaintext", "--allow-plaintext"}},
		{"another interface", broker.Config{FS: vfs.NewMem(), Listen: []string{"192.0.2.1:9092"}}, []string{"192.0.2.1:9092", "AllowPlaintext"}},
		{"bad advertised address", broker.Config{FS: vfs.NewMem(), Listen: []string{"127.0.0.1:0"}, Advertise: []string{"nonsense"}}, []string{`"nonsense"`, "host:port"}},
		{"foreign directory", broker.Config{FS: foreign}, []string{"catalog"}},
	} {
		b, err := broker.Start(tc.cfg)
		if err == nil {
			brokertest.Stop(t, b)
			t.Errorf("%s: started", tc.name)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %q", tc.name, err, want)
			}
		}
	}
	// What refused left nothing locked.
	brokertest.Stop(t, running)
	brokertest.Start(t, brokertest.Dir(dir))
}

func TestAdvertisedAddresses(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.With(func(c *broker.Config) {
		c.Listen = []string{"127.0.0.1:0", "localhost:0", "0.0.0.0:0"}
		c.Advertise = []string{"broker.example:9000"}
		c.AllowPlaintext = true
	}))
	_, port, _ := net.SplitHostPort(b.Addr())
	if port == "0" {
		t.Errorf("Addr = %s, want the port that was chosen", b.Addr())
	}
	if addrs := b.Addrs(); len(addrs) != 3 || addrs[0] != b.Addr() {
		t.Errorf("Addrs = %v, want three, the first %s", addrs, b.Addr())
	}
	node := func(r *raw) string {
		n := do[*kmsg.MetadataResponse](r, at(1, kmsg.NewPtrMetadataRequest())).Brokers[0]
		return fmt.Sprintf("%s:%d", n.Host, n.Port)
	}
	if got := node(dial(t, b, "tcp")); got != "broker.example:9000" {
		t.Errorf("over the first listener: %s, want what it advertises", got)
	}
	if got := node(dial(t, b, "memory")); got != "memory.riffle.invalid:9092" {
		t.Errorf("in memory: %s", got)
	}
}

func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.TCP(), brokertest.With(func(c *broker.Config) { c.MaxConnections, c.MaxConnectionsPerIP = 10, 3 }))
	alive := func(r *raw) bool {
		r.write(frame(18, 0, 1, []byte{0xff, 0xff}))
		n, _ := r.nc.Read(make([]byte, 1))
		return n == 1
	}
	var open []*raw
	for i := range 3 {
		r := dial(t, b, "tcp")
		if open = append(open, r); !alive(r) {
			t.Fatalf("connection %d of 3 was refused", i+1)
		}
	}
	fourth := dial(t, b, "tcp")
	if _, err := fourth.nc.Read(make([]byte, 1)); err == nil {
		t.Error("the fourth connection of an address was served")
	}
	if !alive(dial(t, b, "memory")) {
		t.Error("connections in memory count")
	}
	open[0].nc.Close()
	for deadline := time.Now().Add(5 * time.Second); ; {
		nc, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		r := &raw{t: t, nc: nc}
		_, _ = nc.Write(frame(18, 0, 1, []byte{0xff, 0xff}))
		n, _ := nc.Read(make([]byte, 1))
		r.nc.Close()
		if n == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a place that came free was not given away")
		}
	}
}

// An acknowledged record survives a crash of the machine, wherever it strikes.
func TestCrashLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	const seed = 17
	rng := rand.New(rand.NewPCG(seed, seed))
	fsys := vfs.NewMem()
	b := brokertest.Start(t, brokertest.FS(fsys))
	r := dial(t, b, "memory")
	r.create("orders", 1)
	r.create("loose", 1, "riffle.flush", "os")
	for i := range 30 {
		if p := r.produce("orders", batch(1, fmt.Sprint(i))); p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Fatalf("produce %d: offset %d, error %d", i, p.BaseOffset, p.ErrorCode)
		}
		r.produce("loose", batch(1, fmt.Sprint(i)))
		if i%5 != 0 {
			continue
		}
		after := dial(t, brokertest.Start(t, brokertest.FS(fsys.CrashClone([]int{0, 50, 100}[i%3], rng))), "memory")
		p := after.fetch("orders", 0)
		if got := offsets(t, p.RecordBatches); p.ErrorCode != 0 || len(got) != i+1 || p.HighWatermark != int64(i+1) {
			t.Errorf("seed %d: after a crash behind record %d: %d records, high watermark %d, error %d", seed, i, len(got), p.HighWatermark, p.ErrorCode)
		}
		if p := after.produce("orders", batch(1, "next")); p.BaseOffset != int64(i+1) {
			t.Errorf("seed %d: the next record got offset %d, want %d", seed, p.BaseOffset, i+1)
		}
	}
}

// A full disk fails the requests that need it. Reading goes on, and so does writing
// once there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	b := brokertest.Start(t, brokertest.FS(fsys))
	r := dial(t, b, "memory")
	r.create("orders", 1)
	r.create("spare", 1)
	r.produce("spare", batch(1, strings.Repeat("x", 500<<10)))
	acked := 0
	fsys.SetCapacity(fsys.Used() + 1<<20)
	large := strings.Repeat("x", 100<<10)
	for range 20 {
		switch p := r.produce("orders", batch(1, large)); p.ErrorCode {
		case 0:
			acked++
		case 56:
		default:
			t.Errorf("produce onto a full disk: error %d (%s), want 56", p.ErrorCode, text(p.ErrorMessage))
		}
	}
	if acked == 0 || acked == 20 {
		t.Fatalf("%d of 20 batches fit into 1 MiB", acked)
	}
	if p := r.fetch("orders", 0); p.ErrorCode != 0 || p.HighWatermark != int64(acked) {
		t.Errorf("fetch: error %d, high watermark %d, want %d records", p.ErrorCode, p.HighWatermark, acked)
	}
	if code := do[*kmsg.CreateTopicsResponse](r, at(7, createRequest("another", 1))).Topics[0].ErrorCode; code != 0 && code != 56 {
		t.Errorf("create a topic on a full disk: error %d", code)
	}
	fsys.SetCapacity(fsys.Used()) // not a byte is left
	del := at(1, kmsg.NewPtrDeleteTopicsRequest())
	del.TopicNames = []string{"spare"}
	if code := do[*kmsg.DeleteTopicsResponse](r, del).Topics[0].ErrorCode; code != 0 {
		t.Errorf("delete a topic to make room: error %d", code)
	}
	fsys.SetCapacity(1 << 40)
	if p := r.produce("orders", batch(1, large)); p.ErrorCode != 0 || p.BaseOffset != int64(acked) {
		t.Errorf("with room again: error %d (%s), offset %d, want %d", p.ErrorCode, text(p.ErrorMessage), p.BaseOffset, acked)
	}
}

// Stop answers what is under way, and a second Stop does no harm.
func TestStopFinishesRequests(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		var reqs []kmsg.Request
		for i := range 8 {
			reqs = append(reqs, produceRequest("orders", -1, batch(1, fmt.Sprint(i))))
		}
		r.send(reqs...)
		recv[*kmsg.ProduceResponse](r, reqs[0]) // all have arrived, or are about to
		brokertest.Stop(t, r.b)
		brokertest.Stop(t, r.b)
		if _, err := r.b.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial after Stop = %v, want net.ErrClosed", err)
		}
	})
}

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	b, err := broker.Start(broker.Config{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	r := dial(t, b, "memory")
	r.create("orders", 1)
	r.produce("orders", batch(1, strings.Repeat("x", 900<<10)))
	r.send(fetchRequest("orders", 0))
	if _, err := r.nc.Read(make([]byte, 1)); err != nil { // the answer has begun, and is not read on
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := b.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("Stop = %v after %v, want the context's error soon after 200ms", err, time.Since(began))
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	with := brokertest.With(func(c *broker.Config) { c.Registerer = registry })
	b := brokertest.Start(t, with)
	r := dial(t, b, "memory")
	r.create("orders", 2)
	r.produce("orders", batch(1, "a", "b"))
	r.produce("missing", batch(1, "a"))
	want := `
# HELP broker_partition_high_watermark Offset before which consumers may read.
# TYPE broker_partition_high_watermark gauge
broker_partition_high_watermark{partition="0",topic="__consumer_offsets"} 0
broker_partition_high_watermark{partition="0",topic="orders"} 2
broker_partition_high_watermark{partition="1",topic="orders"} 0
# HELP broker_partitions Partitions of all topics.
# TYPE broker_partitions gauge
broker_partitions 3
# HELP broker_request_errors_total Errors that requests were answered with.
# TYPE broker_request_errors_total counter
broker_request_errors_total{api="Produce",error="UNKNOWN_TOPIC_OR_PARTITION"} 1
# HELP broker_connections Connections that are open.
# TYPE broker_connections gauge
broker_connections{listener="memory"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"broker_partition_high_watermark", "broker_partitions", "broker_request_errors_total", "broker_connections"); err != nil {
		t.Error(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		if names = append(names, f.GetName()); !strings.HasPrefix(f.GetName(), "broker_") && !strings.HasPrefix(f.GetName(), "kafka_") {
			t.Errorf("metric %s begins neither with broker_ nor, as an exporter's, with kafka_", f.GetName())
		}
	}
	for _, name := range []string{"broker_request_duration_seconds", "broker_fsync_duration_seconds", "broker_received_bytes_total", "broker_partition_log_size_bytes"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is missing among %v", name, names)
		}
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	brokertest.Stop(t, b)
	brokertest.Start(t, with) // the registry let go of the first one
}
