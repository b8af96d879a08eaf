package broker_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
)

// small keeps what a request can ask for small, so that the fuzzer is fast.
func small(c *broker.Config) {
	c.MaxPartitionsPerTopic = 2
	c.MaxFrameBytes = 64 << 10
	c.MaxFetchBytes = 64 << 10
}

// FuzzConn sends anything to a broker as a client that has logged in, or has not: no
// handler panics, and others are served as before. What is sent is a request of a key
// and a version with any body, then any bytes.
func FuzzConn(f *testing.F) {
	registry := prometheus.NewRegistry()
	open := brokertest.Start(f, brokertest.With(small), brokertest.With(func(c *broker.Config) { c.Registerer = registry }))
	locked := brokertest.Start(f, brokertest.With(small), brokertest.With(func(c *broker.Config) {
		secured(c)
		c.Listen = nil
	}))
	other := dial(f, open, "memory")
	_ = other.nc.SetDeadline(time.Time{})
	other.create("orders", 1)
	versions := do[*kmsg.ApiVersionsResponse](other, at(0, kmsg.NewPtrApiVersionsRequest()))
	for _, k := range versions.ApiKeys {
		for _, version := range []int16{k.MinVersion, k.MaxVersion} {
			req := kmsg.RequestForKey(k.ApiKey)
			req.SetVersion(version)
			f.Add(true, k.ApiKey, version, req.AppendTo(nil), []byte{})
			f.Add(false, k.ApiKey, version, req.AppendTo(nil), []byte{0, 0, 0, 8, 0, 3, 0, 1, 0, 0, 0, 2})
		}
	}
	produce := produceRequest("orders", -1, batch(1, "a"))
	f.Add(true, produce.Key(), produce.Version, produce.AppendTo(nil), []byte("GET / HTTP/1.1\r\n\r\n"))
	fetch := fetchRequest("orders", 0)
	f.Add(true, fetch.Key(), fetch.Version, fetch.AppendTo(nil), []byte{0x7f, 0xff, 0xff, 0xff})

	f.Fuzz(func(t *testing.T, loggedIn bool, key, version int16, body, rest []byte) {
		other.t = t
		b := locked
		if loggedIn {
			b = open
		}
		nc, err := b.Dial(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
		frame := binary.BigEndian.AppendUint32(nil, uint32(10+len(body)))
		frame = binary.BigEndian.AppendUint16(frame, uint16(key))
		frame = binary.BigEndian.AppendUint16(frame, uint16(version))
		frame = append(frame, 0, 0, 0, 1, 0xff, 0xff) // correlation id, no client id
		if req := kmsg.RequestForKey(key); req != nil {
			if req.SetVersion(version); req.IsFlexible() {
				frame = append(frame, 0)
				binary.BigEndian.PutUint32(frame, uint32(11+len(body)))
			}
		}
		answered := make(chan struct{})
		go func() { // whatever comes back
			defer close(answered)
			_, _ = io.CopyN(io.Discard, nc, 4)
		}()
		if _, err := nc.Write(append(append(frame, body...), rest...)); err == nil && len(rest) > 0 {
			closeWrite(nc)
		}
		// The broker answers, closes, or waits for a time that the request names: one
		// more request of another client shows that it lives.
		do[*kmsg.ApiVersionsResponse](other, at(0, kmsg.NewPtrApiVersionsRequest()))
		nc.Close()
		<-answered
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "broker_panics_total" && family.GetMetric()[0].GetCounter().GetValue() > 0 {
				t.Fatalf("the handler of key %d v%d panicked", key, version)
			}
		}
	})
}

// closeWrite ends what is sent, where the connection can.
func closeWrite(nc net.Conn) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
