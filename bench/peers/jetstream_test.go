package peers

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// jetStream does the work on streams of NATS JetStream in this process: a message is taken, its output published, and it is
// acknowledged, with all before it, when the server has the output. Streams lie in files, which the server syncs every two
// minutes.
type jetStream struct {
	*plant
	server    *server.Server
	conn      *nats.Conn
	js        jetstream.JetStream
	published int
	consuming jetstream.ConsumeContext
	acks      chan outcome
	acked     chan struct{} // closed when the last outcome is known
	count     atomic.Int64
	err       atomic.Pointer[error]
}

// outcome is a message whose output is on its way.
type outcome struct {
	published jetstream.PubAckFuture
	message   jetstream.Msg
	last      int64
}

const (
	publishesInFlight = 8192
	ackEvery          = 500
	natsKeyBytes      = keySize + 8 // a message has no key: it is at the beginning, with the time
)

func (j *jetStream) open(b *testing.B) {
	b.Helper()
	var err error
	j.server, err = server.NewServer(&server.Options{JetStream: true, StoreDir: b.TempDir(), DontListen: true, NoSigs: true})
	check(b, err)
	j.server.Start()
	if !j.server.ReadyForConnections(10 * time.Second) {
		b.Fatal("the NATS server does not start")
	}
	j.conn, err = nats.Connect("", nats.InProcessServer(j.server))
	check(b, err)
	j.js, err = jetstream.New(j.conn, jetstream.WithPublishAsyncMaxPending(publishesInFlight))
	check(b, err)
	for _, name := range []string{"in", "out"} {
		_, err := j.js.CreateStream(b.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}})
		check(b, err)
	}
	b.Cleanup(func() {
		j.conn.Close()
		j.server.Shutdown()
		j.server.WaitForShutdown()
	})
}

func (j *jetStream) prepare(b *testing.B, n int) {
	b.Helper()
	if j.server == nil {
		j.open(b)
	}
	n += int(j.count.Load()) - j.published
	j.input.fill(j.published, n, func(e event) {
		data := append(make([]byte, 0, natsKeyBytes+len(e.value)), e.key...)
		data = append(binary.BigEndian.AppendUint64(data, uint64(e.millis)), e.value...)
		_, err := j.js.PublishAsync("in", data)
		check(b, err)
	})
	<-j.js.PublishAsyncComplete()
	j.published += n
}

func (j *jetStream) start(b *testing.B) {
	b.Helper()
	consumer, err := j.js.CreateOrUpdateConsumer(b.Context(), "in", jetstream.ConsumerConfig{
		Durable: "worker", AckPolicy: jetstream.AckAllPolicy, MaxAckPending: 10 * publishesInFlight,
	})
	check(b, err)
	j.acks, j.acked = make(chan outcome, 2*publishesInFlight/ackEvery), make(chan struct{})
	go j.acknowledge()
	process, taken := j.plain(), j.count.Load()
	j.consuming, err = consumer.Consume(func(m jetstream.Msg) {
		data := m.Data()
		e := event{data[:keySize], data[natsKeyBytes:], int64(binary.BigEndian.Uint64(data[keySize:]))}
		var future jetstream.PubAckFuture
		process(0, e, func(key, value []byte) {
			var err error
			future, err = j.js.PublishAsync("out", append(append(make([]byte, 0, len(key)+len(value)), key...), value...))
			j.fail(err)
		})
		if taken++; taken%ackEvery == 0 {
			j.acks <- outcome{future, m, taken}
		}
	}, jetstream.PullMaxMessages(5000))
	check(b, err)
}

// acknowledge acknowledges messages when their outputs, and those before, are stored.
func (j *jetStream) acknowledge() {
	defer close(j.acked)
	for o := range j.acks {
		if o.published != nil {
			select {
			case <-o.published.Ok():
			case err := <-o.published.Err():
				j.fail(err)
			}
		}
		j.fail(o.message.Ack())
		j.count.Store(o.last)
	}
}

func (j *jetStream) fail(err error) {
	if err != nil {
		j.err.CompareAndSwap(nil, &err)
	}
}

func (j *jetStream) failed() error {
	if err := j.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (j *jetStream) done(*testing.B) int64 { return j.count.Load() }

func (j *jetStream) stop(b *testing.B) {
	b.Helper()
	j.consuming.Stop()
	<-j.consuming.Closed()
	close(j.acks)
	<-j.acked
	if err := j.failed(); err != nil && !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
}
