package broker_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/broker/record"
)

// overBoth runs a test over TCP and over the in-memory listener.
func overBoth(t *testing.T, test func(t *testing.T, start func(opts ...brokertest.Option) *raw)) {
	for _, transport := range []string{"memory", "tcp"} {
		t.Run("transport="+transport, func(t *testing.T) {
			t.Parallel()
			test(t, func(opts ...brokertest.Option) *raw {
				t.Helper()
				b := brokertest.Start(t, append(opts, brokertest.TCP())...)
				return dial(t, b, transport)
			})
		})
	}
}

// raw is a connection on which a test speaks the protocol itself.
type raw struct {
	t         testing.TB
	b         *broker.Broker
	transport string
	nc        net.Conn
	sent      int32 // correlation id of the last request
	received  int32
}

func dial(t testing.TB, b *broker.Broker, transport string) *raw {
	t.Helper()
	var (
		nc  net.Conn
		err error
	)
	if transport == "tcp" {
		nc, err = net.Dial("tcp", b.Addr())
	} else {
		nc, err = b.Dial(context.Background())
	}
	if err != nil {
		t.Fatalf("dial over %s: %v", transport, err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second)) // a hang is a failure with a name
	return &raw{t: t, b: b, transport: transport, nc: nc}
}

// again opens another connection of the same kind.
func (r *raw) again() *raw {
	r.t.Helper()
	return dial(r.t, r.b, r.transport)
}

// do sends a request at its version and returns the response.
func do[T kmsg.Response](r *raw, req kmsg.Request) T {
	r.t.Helper()
	r.send(req)
	return recv[T](r, req)
}

// send writes requests without waiting.
func (r *raw) send(reqs ...kmsg.Request) {
	r.t.Helper()
	var frames []byte
	for _, req := range reqs {
		r.sent++
		// AppendRequest writes the length to the beginning of what it is given.
		frames = append(frames, kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw")).AppendRequest(nil, req, r.sent)...)
	}
	r.write(frames)
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.nc.Write(b); err != nil {
		r.t.Fatalf("write: %v", err)
	}
}

// recv reads the response to the oldest request that has none yet.
func recv[T kmsg.Response](r *raw, req kmsg.Request) T {
	r.t.Helper()
	body := r.frame()
	r.received++
	if id := int32(binary.BigEndian.Uint32(body)); id != r.received {
		r.t.Fatalf("response %d to %T, want %d: out of order", id, req, r.received)
	}
	body = body[4:]
	resp := req.ResponseKind()
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		if body[0] != 0 {
			r.t.Fatalf("response header of %T has %d tagged fields", req, body[0])
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		r.t.Fatalf("decode %T v%d: %v", resp, resp.GetVersion(), err)
	}
	if again := resp.AppendTo(nil); len(again) != len(body) {
		r.t.Errorf("%T v%d has %d bytes, its fields need %d", resp, resp.GetVersion(), len(body), len(again))
	}
	return resp.(T)
}

func (r *raw) frame() []byte {
	r.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(r.nc, size[:]); err != nil {
		r.t.Fatalf("read a response: %v", err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r.nc, body); err != nil {
		r.t.Fatalf("read a response of %d bytes: %v", len(body), err)
	}
	return body
}

// wantClosed checks that the broker closes the connection without another byte.
func (r *raw) wantClosed(why string) {
	r.t.Helper()
	n, err := r.nc.Read(make([]byte, 1))
	if n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Errorf("%s: read %d bytes, %v, want the connection closed", why, n, err)
	}
}

// at sets the version of a request.
func at[R kmsg.Request](version int16, req R) R {
	req.SetVersion(version)
	return req
}

// create makes a topic and returns its id.
func (r *raw) create(name string, partitions int32, configs ...string) [16]byte {
	r.t.Helper()
	resp := do[*kmsg.CreateTopicsResponse](r, at(7, createRequest(name, partitions, configs...)))
	if code := resp.Topics[0].ErrorCode; code != 0 {
		r.t.Fatalf("create topic %q: error %d, %s", name, code, text(resp.Topics[0].ErrorMessage))
	}
	return resp.Topics[0].TopicID
}

func createRequest(name string, partitions int32, configs ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, -1
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], &configs[i+1]
		rt.Configs = append(rt.Configs, c)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

// produceRequest sends batches to partition 0 and up of a topic, by name.
func produceRequest(topic string, acks int16, batches ...[]byte) *kmsg.ProduceRequest {
	req := at(9, kmsg.NewPtrProduceRequest())
	req.Acks = acks
	req.TimeoutMillis = 5000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	for i, b := range batches {
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = int32(i), b
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

// produce sends one batch to partition 0 and returns the answer.
func (r *raw) produce(topic string, batch []byte) kmsg.ProduceResponseTopicPartition {
	r.t.Helper()
	resp := do[*kmsg.ProduceResponse](r, produceRequest(topic, -1, batch))
	return resp.Topics[0].Partitions[0]
}

// fetchRequest reads partition 0 of a topic by name.
func fetchRequest(topic string, offset int64) *kmsg.FetchRequest {
	req := at(12, kmsg.NewPtrFetchRequest())
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 1, 50<<20
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.FetchOffset, rp.PartitionMaxBytes = offset, 1<<20
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// fetch reads partition 0 and returns the answer.
func (r *raw) fetch(topic string, offset int64) kmsg.FetchResponseTopicPartition {
	r.t.Helper()
	return do[*kmsg.FetchResponse](r, fetchRequest(topic, offset)).Topics[0].Partitions[0]
}

// offsets are the base offsets of the batches in records.
func offsets(t testing.TB, records []byte) []int64 {
	t.Helper()
	var bases []int64
	for len(records) > 0 {
		b, rest, err := record.Next(records)
		if err == nil {
			err = b.Check()
		}
		if err != nil {
			t.Fatalf("a fetched batch: %v", err)
		}
		bases = append(bases, b.BaseOffset())
		records = rest
	}
	return bases
}

// batch builds a batch of records with the given values and timestamps that count
// up from ms.
func batch(ms int64, values ...string) record.Batch {
	var w record.Builder
	for i, v := range values {
		w.Append(ms+int64(i), nil, []byte(v))
	}
	return w.Finish()
}

// sequenced builds a batch of n records of an idempotent producer.
func sequenced(id int64, epoch int16, first int32, n int) record.Batch {
	var w record.Builder
	for range n {
		w.Append(1000, nil, []byte("v"))
	}
	w.SetProducer(id, epoch, first)
	return w.Finish()
}
