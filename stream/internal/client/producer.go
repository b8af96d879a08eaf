package client

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ProducerConfig tunes a Producer. The zero value is a working configuration.
type ProducerConfig struct {
	// MaxBufferedRecords and MaxBufferedBytes bound what waits to be sent. The defaults are 50,000 and 32 MiB.
	MaxBufferedRecords, MaxBufferedBytes int
	// Linger is how long a batch may wait to fill. The default is 5 ms.
	Linger time.Duration
}

// Producer writes records outside any application: idempotently, with acks=all. Not concurrent.
type Producer struct {
	cl   *kgo.Client
	sink *Sink
}

// recycleEvery is after how many records a producer gives its slabs to the garbage collector. Only a flush would
// tell that they can be reused, and a producer should not stop for that.
const recycleEvery = 4096

// NewProducer connects to the cluster on its own. Close it after use.
func NewProducer(conn Conn, cfg ProducerConfig) (*Producer, error) {
	if cfg.MaxBufferedRecords == 0 {
		cfg.MaxBufferedRecords = 50_000
	}
	if cfg.MaxBufferedBytes == 0 {
		cfg.MaxBufferedBytes = 32 << 20
	}
	if cfg.Linger == 0 {
		cfg.Linger = 5 * time.Millisecond
	}
	opts := []kgo.Opt{
		kgo.RecordPartitioner(newPartitioner(nil)),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(cfg.MaxBufferedRecords),
		kgo.MaxBufferedBytes(cfg.MaxBufferedBytes),
		kgo.ProducerLinger(cfg.Linger),
	}
	if !conn.Compress {
		opts = append(opts, kgo.ProducerBatchCompression(kgo.NoCompression()))
	}
	cl, err := conn.open("riffle-writer", opts...)
	if err != nil {
		return nil, err
	}
	return &Producer{cl: cl, sink: newSink(cl, func(string) int { return defaultRecordLimit })}, nil
}

// Send is like Sink.Send: it copies o and queues it, and blocks while the buffers are full.
func (p *Producer) Send(ctx context.Context, o Output) error {
	if p.sink.Sent() >= recycleEvery {
		p.sink.forget()
	}
	_, err := p.sink.Send(ctx, o)
	return err
}

// Flush waits until everything is acknowledged or has failed, and returns the first failure.
func (p *Producer) Flush(ctx context.Context) error {
	if err := p.cl.Flush(ctx); err != nil {
		return err
	}
	return p.sink.Err()
}

// Close drops what has not been flushed.
func (p *Producer) Close() { p.cl.Close() }
