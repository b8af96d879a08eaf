package broker_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
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

// panics counts the handlers that panicked.
func panics(t testing.TB, registry *prometheus.Registry) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "broker_panics_total" {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("there is no broker_panics_total")
	return 0
}

// ending is a length that ends a connection once what was sent before it is handled.
var ending = []byte{0xff, 0xff, 0xff, 0xff}

// converse sends bytes on a new connection and counts what comes back until the broker
// closes it.
func converse(t testing.TB, b *broker.Broker, sent []byte) (answered int64) {
	t.Helper()
	nc, err := b.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = nc.Write(sent) }() // it fails where the broker closes early
	answered, err = io.Copy(io.Discard, nc)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the broker has not closed the connection after %x", sent)
	}
	return answered
}

// FuzzConn sends anything to a broker as a client that has logged in, or has not: no
// handler panics, what is allocated is bounded by what is sent and answered, and others
// are served as before. What is sent is a request of a key and a version with any body,
// then any bytes.
func FuzzConn(f *testing.F) {
	registries := [2]*prometheus.Registry{prometheus.NewRegistry(), prometheus.NewRegistry()}
	open := brokertest.Start(f, brokertest.With(small), brokertest.With(func(c *broker.Config) { c.Registerer = registries[0] }))
	locked := brokertest.Start(f, brokertest.With(small), brokertest.With(func(c *broker.Config) {
		secured(c)
		c.Listen, c.Registerer = nil, registries[1]
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
	for _, req := range rich("orders") {
		f.Add(true, req.Key(), req.GetVersion(), req.AppendTo(nil), []byte{})
	}

	f.Fuzz(func(t *testing.T, loggedIn bool, key, version int16, body, rest []byte) {
		other.t = t
		b, registry := open, registries[0]
		// What a connection and a broker that tells nothing allocate, or one that answers.
		fixed, factor := int64(128<<10), int64(4)
		if !loggedIn {
			b, registry = locked, registries[1]
		} else {
			fixed, factor = 1<<20, 128
		}
		frame := requestFrame(key, version, body)
		if len(rest) == 0 {
			sent := append(frame, ending...)
			got, limit := broker.Allocates(func() uint64 {
				answered := converse(t, b, sent)
				return uint64(fixed + factor*(int64(len(sent))+answered))
			})
			if got > limit {
				t.Errorf("key %d v%d: %d bytes made the broker allocate %d, the limit is %d", key, version, len(sent), got, limit)
			}
		} else {
			sendAndLeave(t, b, append(frame, rest...), func() {
				// The broker answers, closes, or waits for more: it lives.
				do[*kmsg.ApiVersionsResponse](other, at(0, kmsg.NewPtrApiVersionsRequest()))
			})
		}
		do[*kmsg.ApiVersionsResponse](other, at(0, kmsg.NewPtrApiVersionsRequest()))
		if panics(t, registry) > 0 {
			t.Fatalf("the handler of key %d v%d panicked", key, version)
		}
	})
}

// rich are requests that ask for what there is, so that the fuzzer starts there.
func rich(topic string) []kmsg.Request {
	join := at(5, kmsg.NewPtrJoinGroupRequest())
	join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = "g", 10_000, 10_000, "consumer"
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = "range", []byte{0, 1}
	join.Protocols = append(join.Protocols, protocol)
	describe := at(4, kmsg.NewPtrDescribeConfigsRequest())
	for _, resource := range []struct {
		kind kmsg.ConfigResourceType
		name string
	}{{kmsg.ConfigResourceTypeTopic, topic}, {kmsg.ConfigResourceTypeBroker, ""}} {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = resource.kind, resource.name
		describe.Resources = append(describe.Resources, r)
	}
	groups := at(5, kmsg.NewPtrDescribeGroupsRequest())
	groups.Groups = []string{"g"}
	commit := at(8, kmsg.NewPtrOffsetCommitRequest())
	commit.Group, commit.Generation = "g", -1
	ct := kmsg.NewOffsetCommitRequestTopic()
	ct.Topic, ct.Partitions = topic, []kmsg.OffsetCommitRequestTopicPartition{kmsg.NewOffsetCommitRequestTopicPartition()}
	commit.Topics = append(commit.Topics, ct)
	create := at(7, kmsg.NewPtrCreateTopicsRequest())
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "more", 2, 1
	create.Topics, create.TimeoutMillis = append(create.Topics, rt), 1000
	initID := at(4, kmsg.NewPtrInitProducerIDRequest())
	initID.TransactionalID, initID.TransactionTimeoutMillis = kmsg.StringPtr("x"), 1000
	metadata := at(12, kmsg.NewPtrMetadataRequest())
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &topic
	metadata.Topics = append(metadata.Topics, mt)
	return []kmsg.Request{join, describe, groups, commit, create, initID, metadata}
}

// requestFrame is a request as it is sent, with any body.
func requestFrame(key, version int16, body []byte) []byte {
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
	return append(frame, body...)
}

// sendAndLeave sends bytes on a new connection and closes it when meanwhile is done.
func sendAndLeave(t testing.TB, b *broker.Broker, sent []byte, meanwhile func()) {
	t.Helper()
	nc, err := b.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	done := make(chan struct{})
	go func() { // whatever comes back
		defer close(done)
		_, _ = io.Copy(io.Discard, nc)
	}()
	_, _ = nc.Write(sent)
	meanwhile()
	nc.Close()
	<-done
}
