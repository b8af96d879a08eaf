package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/IBM/sarama"
	"github.com/syndtr/goleveldb/leveldb"
)

// gokaShaped does for a record what goka does: a get and a put in a goleveldb of the partition, and a message to the
// changelog, whose acknowledgement lets the offset be committed.
type gokaShaped struct {
	onTopics
	group    sarama.ConsumerGroup
	producer sarama.AsyncProducer
	out      string
	mu       sync.Mutex
	stores   map[int32]*leveldb.DB
	cancel   context.CancelFunc
	running  sync.WaitGroup
	ended    chan error
}

// memoryDialer leads sarama to the broker in this process.
type memoryDialer struct{ *plant }

func (d memoryDialer) Dial(network, addr string) (net.Conn, error) {
	return d.cluster.Dial(context.Background(), network, addr)
}

func (g *gokaShaped) config() *sarama.Config {
	cfg := sarama.NewConfig()
	cfg.Version = sarama.V2_8_0_0
	cfg.Net.Proxy.Enable, cfg.Net.Proxy.Dialer = true, memoryDialer{g.plant}
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	cfg.Consumer.Offsets.AutoCommit.Interval = commitInterval
	cfg.Producer.RequiredAcks = sarama.WaitForAll
	cfg.Producer.Partitioner = sarama.NewManualPartitioner
	cfg.Producer.Return.Successes = true
	return cfg
}

func (g *gokaShaped) start(b *testing.B) {
	b.Helper()
	g.out, g.stores, g.ended = g.output(b, g.onTopics.group), make(map[int32]*leveldb.DB), make(chan error, 2)
	var err error
	seeds := []string{"in-this-process:9092"}
	g.group, err = sarama.NewConsumerGroup(seeds, g.onTopics.group, g.config())
	check(b, err)
	g.producer, err = sarama.NewAsyncProducer(seeds, g.config())
	check(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.running.Go(func() {
		for ctx.Err() == nil {
			if err := g.group.Consume(ctx, g.topicNames(), gokaClaims{g}); err != nil {
				g.ended <- err
				return
			}
		}
	})
	g.running.Go(func() {
		for m := range g.producer.Successes() {
			m.Metadata.(consumed).mark()
		}
	})
	g.running.Go(func() {
		for err := range g.producer.Errors() {
			select {
			case g.ended <- err:
			default:
			}
		}
	})
}

func (g *gokaShaped) failed() error {
	select {
	case err := <-g.ended:
		return err
	default:
		return nil
	}
}

func (g *gokaShaped) stop(b *testing.B) {
	b.Helper()
	g.cancel()
	err := g.group.Close()
	g.producer.AsyncClose()
	g.running.Wait()
	for _, db := range g.stores {
		err = errors.Join(err, db.Close())
	}
	check(b, errors.Join(err, g.failed()))
}

// store opens the database of a partition.
func (g *gokaShaped) store(partition int32) (*leveldb.DB, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if db := g.stores[partition]; db != nil {
		return db, nil
	}
	db, err := leveldb.OpenFile(filepath.Join(g.dir, fmt.Sprintf("%s-%d", g.onTopics.group, partition)), nil)
	if err == nil {
		g.stores[partition] = db
	}
	return db, err
}

// consumed is an input message that is done with when its output is acknowledged.
type consumed struct {
	session sarama.ConsumerGroupSession
	message *sarama.ConsumerMessage
}

func (c consumed) mark() { c.session.MarkMessage(c.message, "") }

// gokaClaims runs the partitions, each on a goroutine.
type gokaClaims struct{ *gokaShaped }

func (g gokaClaims) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (g gokaClaims) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (g gokaClaims) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	db, err := g.store(claim.Partition())
	if err != nil {
		return err
	}
	for m := range claim.Messages() {
		key, value, err := g.process(db, event{m.Key, m.Value, m.Timestamp.UnixMilli()})
		if err != nil {
			return err
		}
		g.producer.Input() <- &sarama.ProducerMessage{
			Topic: g.out, Partition: m.Partition, Timestamp: m.Timestamp,
			Key: sarama.ByteEncoder(key), Value: sarama.ByteEncoder(value),
			Metadata: consumed{session, m},
		}
	}
	return nil
}

func (g gokaClaims) process(db *leveldb.DB, e event) (key, value []byte, err error) {
	at, update := g.goka(e)
	if at == nil {
		return e.key, update(nil), nil
	}
	old, err := db.Get(at, nil)
	if err != nil && !errors.Is(err, leveldb.ErrNotFound) {
		return nil, nil, err
	}
	value = update(old)
	return at, value, db.Put(at, value, nil)
}
