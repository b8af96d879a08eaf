package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/reliability"
)

// These tests are clients that mean no good, on sockets of a real listener.

// roomy lets one address open as many connections as a test wants.
func roomy(n int) brokertest.Option {
	return brokertest.With(func(c *broker.Config) { c.MaxConnections, c.MaxConnectionsPerIP = n+10, n+10 })
}

// Connections that announce huge frames, or speak another protocol, are closed before
// anything is allocated for what they announce.
func TestHugePrefixes(t *testing.T) { // not parallel: it measures the process
	n := reliability.Figure(100, 1000)
	b := brokertest.Start(t, brokertest.TCP(), roomy(n))
	honest := dial(t, b, "tcp")
	honest.create("orders", 1)
	prefixes := [][]byte{{0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}, []byte("GET "), {0x16, 0x03, 0x01, 0x02}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var conns []*raw
	for i := range n {
		r := dial(t, b, "tcp")
		r.write(prefixes[i%len(prefixes)])
		conns = append(conns, r)
	}
	for i, r := range conns {
		r.wantClosed(fmt.Sprintf("connection %d, prefix %x", i, prefixes[i%len(prefixes)]))
	}
	runtime.ReadMemStats(&after)
	if took := int64(after.TotalAlloc - before.TotalAlloc); took > int64(n)*(64<<10) {
		t.Errorf("%d connections took %d bytes, want at most 64 KiB each", n, took)
	}
	honest.mustProduce("orders", batch(1, "served as before"))
}

// Clients that send a byte and fall silent, half a frame, or read no answers, are
// closed, and keep nobody from producing.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	n := reliability.Figure(30, 500)
	registry := prometheus.NewRegistry()
	b := brokertest.Start(t, brokertest.TCP(), roomy(n), brokertest.With(func(c *broker.Config) {
		c.Registerer = registry
		c.FrameTimeout, c.WriteTimeout = 500*time.Millisecond, 500*time.Millisecond
	}))
	honest := dial(t, b, "tcp")
	_ = honest.nc.SetDeadline(time.Now().Add(2 * time.Minute))
	honest.create("orders", 1)
	honest.create("large", 1)
	honest.mustProduce("large", batch(1, strings.Repeat("x", 1000<<10)))
	for i := range n {
		r := dial(t, b, "tcp")
		switch i % 3 {
		case 0:
			r.write([]byte{0})
		case 1:
			whole := produceRequest("orders", -1, batch(1, strings.Repeat("x", 1000))).AppendTo(nil)
			r.write(frame(0, 9, 1, append([]byte{0xff, 0xff, 0}, whole...))[:500])
		case 2:
			for range 16 { // more than the sockets hold
				r.send(fetchRequest("large", 0))
			}
		}
	}
	produced := 0
	for openConnections(t, registry) > 1 { // or the honest one's deadline passes
		for range 10 {
			honest.mustProduce("orders", batch(1, "honest"))
			produced++
		}
	}
	t.Logf("%d batches beside %d slow clients", produced, n)
}

// A flood of connections stays below the limits, leaves those who are there alone, and
// once it is over there is room again.
func TestConnectionFlood(t *testing.T) {
	t.Parallel()
	n := reliability.Figure(300, 5000)
	registry := prometheus.NewRegistry()
	const most, perAddress = 50, 20
	b := brokertest.Start(t, brokertest.TCP(), brokertest.With(func(c *broker.Config) {
		c.MaxConnections, c.MaxConnectionsPerIP, c.Registerer = most, perAddress, registry
	}))
	honest := dial(t, b, "tcp")
	_ = honest.nc.SetDeadline(time.Now().Add(2 * time.Minute))
	honest.create("orders", 1)
	var flood []net.Conn
	for i := range n {
		nc, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if flood = append(flood, nc); len(flood) > 200 { // the test has descriptors, too
			flood[0].Close()
			flood = flood[1:]
		}
		if i%50 == 0 {
			honest.mustProduce("orders", batch(1, "honest"))
			if open := openConnections(t, registry); open > perAddress {
				t.Fatalf("after %d connects %v are open, want at most %d", i, open, perAddress)
			}
			dial(t, b, "memory").fetch("orders", 0)
		}
	}
	for _, nc := range flood {
		nc.Close()
	}
	waitFor(t, "room for another client", func() bool {
		nc, err := net.Dial("tcp", b.Addr())
		if err != nil {
			return false
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = nc.Write(frame(18, 0, 1, []byte{0xff, 0xff}))
		n, _ := nc.Read(make([]byte, 1))
		return n == 1
	})
	honest.mustProduce("orders", batch(1, "honest"))
}

// openConnections are those of TCP listeners.
func openConnections(t *testing.T, registry *prometheus.Registry) (open float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "broker_connections" && m.GetLabel()[0].GetValue() != "memory" {
				open += m.GetGauge().GetValue()
			}
		}
	}
	return open
}

// A batch that would be a gigabyte once decompressed, or claims records that are not
// there, is stored as it is: the broker does not open what it stores. The cleaner of a
// compacted topic opens it, up to a limit, and leaves it as it is.
func TestBombsAreStored(t *testing.T) {
	t.Parallel()
	n := reliability.Figure(3, 50)
	b := brokertest.Start(t, brokertest.TCP(), eager())
	r := dial(t, b, "tcp")
	_ = r.nc.SetDeadline(time.Now().Add(5 * time.Minute))
	r.create("orders", 1)
	cleaned := reliability.Figure(0, 1) == 1 // 64 MiB of each are opened
	if cleaned {
		r.compacted("cards")
	}
	for codec, c := range map[record.Codec]kgo.CompressionCodec{
		record.Gzip: kgo.GzipCompression(), record.Snappy: kgo.SnappyCompression(),
		record.LZ4: kgo.Lz4Compression(), record.Zstd: kgo.ZstdCompression(),
	} {
		bomb := bombOf(t, codec, c)
		for range n {
			base := r.mustProduce("orders", slices.Clone(bomb))
			got, _, err := record.Next(r.fetch("orders", base).RecordBatches)
			if err != nil || !bytes.Equal(got[16:], bomb[16:]) {
				t.Fatalf("%v: %v, or another batch came back", codec, err)
			}
		}
		if cleaned {
			r.mustProduce("cards", slices.Clone(bomb))
			r.mustProduce("cards", keyedBatch("k", codec.String()))
		}
	}
	if cleaned {
		r.mustProduce("cards", keyedBatch("k", "last"))
		waitFor(t, "the cleaner to be through", func() bool {
			return len(offsets(t, r.fetch("cards", 0).RecordBatches)) > 0 && r.fetch("cards", r.latest("cards", 0)-2).ErrorCode == 0
		})
	}
	r.mustProduce("orders", batch(1, "goes on"))
}

// bombOf is a batch of 70 MiB of zeros, said to be a million records.
func bombOf(t *testing.T, codec record.Codec, c kgo.CompressionCodec) record.Batch {
	t.Helper()
	const parts, claimed = 70, 1_000_000
	zeros := make([]byte, 1<<20)
	compressor, err := kgo.DefaultCompressor(c)
	if err != nil {
		t.Fatal(err)
	}
	packed, _ := compressor.Compress(new(bytes.Buffer), zeros)
	payload := bytes.Repeat(packed, parts)
	if codec == record.Snappy { // blocks one after the other, as Java frames them
		block := s2.EncodeSnappy(nil, zeros[:64<<10])
		block = append(binary.BigEndian.AppendUint32(nil, uint32(len(block))), block...)
		payload = append([]byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"), bytes.Repeat(block, min(parts<<4, (1<<20-200)/len(block)))...)
	}
	b := append(slices.Clone(batch(1, "x")[:record.HeaderLen]), payload...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint16(b[21:], uint16(codec))
	binary.BigEndian.PutUint32(b[23:], claimed-1)
	binary.BigEndian.PutUint32(b[57:], claimed)
	return reseal(b)
}

// Records, keys and headers that are too large, or only claim to be, are refused with
// an error that clients know, and the connection goes on.
func TestOversizedRecords(t *testing.T) {
	t.Parallel()
	n := reliability.Figure(100, 1000)
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		const seed = 21
		rng := rand.New(rand.NewPCG(seed, seed))
		r := start()
		r.create("orders", 1, "max.message.bytes", "65536")
		_ = r.nc.SetDeadline(time.Now().Add(2 * time.Minute))
		for name, b := range map[string]record.Batch{
			"value": batch(1, strings.Repeat("x", 64<<10)),
			"key":   keyedBatch(strings.Repeat("k", 64<<10), "v"),
		} {
			if p := r.produce("orders", b); p.ErrorCode != 10 {
				t.Errorf("%s of 64 KiB: error %d, want 10", name, p.ErrorCode)
			}
		}
		for i := range n {
			good := keyedBatch("key", "some value", "key", "another one")
			bad := slices.Clone(good)
			// A varint somewhere in the records says another thing: a length, a count of
			// headers, an offset. Five bytes claim two gigabytes.
			at := record.HeaderLen + rng.IntN(len(bad)-record.HeaderLen-5)
			if i%2 == 0 {
				copy(bad[at:], []byte{0xfe, 0xff, 0xff, 0xff, 0x0f})
			} else {
				bad[at] = byte(rng.Uint32())
			}
			reseal(bad)
			p := r.produce("orders", bad)
			if p.ErrorCode != 0 && p.ErrorCode != 87 && p.ErrorCode != 2 && p.ErrorCode != 32 {
				t.Fatalf("seed %d, batch %d: error %d (%s)", seed, i, p.ErrorCode, text(p.ErrorMessage))
			}
		}
		if p := r.produce("orders", batch(1, "goes on")); p.ErrorCode != 0 {
			t.Errorf("afterwards: error %d", p.ErrorCode)
		}
		do[*kmsg.MetadataResponse](r, at(1, kmsg.NewPtrMetadataRequest()))
	})
}
