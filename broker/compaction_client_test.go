package broker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// TestClientReadsCompacted lets franz-go write to a compacted topic, in all codecs but
// zstd, whose finalizers do not keep to the bubble, and read what is left up to the end.
func TestClientReadsCompacted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := brokertest.Start(t)
		defer brokertest.Stop(t, b)
		dial(t, b, "memory").compacted("cards")
		want := map[string]string{}
		codecs := []kgo.CompressionCodec{
			kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(),
		}
		for round := range 2 {
			for i, codec := range codecs {
				producer := brokertest.Client(t, b, kgo.DefaultProduceTopic("cards"), kgo.ProducerBatchCompression(codec))
				var records []*kgo.Record
				for k := range 50 {
					key, value := fmt.Sprint("key", (i*30+k)%120), strings.Repeat(fmt.Sprint(round, i, k), 20)
					want[key] = value
					records = append(records, &kgo.Record{Key: []byte(key), Value: []byte(value)})
				}
				if err := producer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
					t.Fatal(err)
				}
				producer.Close()
				time.Sleep(2 * time.Second)
			}
		}
		time.Sleep(time.Minute)
		consumer := brokertest.Client(t, b, kgo.ConsumeTopics("cards"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		defer consumer.Close()
		got, read, last := map[string]string{}, 0, int64(-1)
		for last < 399 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			fetches := consumer.PollFetches(ctx)
			cancel()
			if err := fetches.Err(); err != nil {
				t.Fatalf("after %d records, the last at %d: %v", read, last, err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if r.Offset <= last {
					t.Errorf("offset %d after %d", r.Offset, last)
				}
				last = r.Offset
				read++
				got[string(r.Key)] = string(r.Value)
			})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("values (-want +got):\n%s", diff)
		}
		if read >= 300 {
			t.Errorf("%d records were read of 400 with 120 keys: the topic is not compacted", read)
		}
	})
}

// TestOffsetsAreCompacted commits often and looks at what is left of it.
func TestOffsetsAreCompacted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMem()
		start := func() (*broker.Broker, *groupClient) {
			b := brokertest.Start(t, brokertest.FS(disk), brokertest.With(func(c *broker.Config) { c.Cleaner.Interval = time.Hour }))
			return b, &groupClient{raw: dial(t, b, "memory"), group: "g", version: 3, generation: -1}
		}
		b, c := start()
		id := c.create("orders", 1)
		const commits = 2500
		for i := range int64(commits) {
			_ = c.nc.SetDeadline(time.Now().Add(time.Hour))
			if code := c.commit(7, "orders", id, i, strings.Repeat("m", 4000)); code != 0 {
				t.Fatalf("commit %d: error %d", i, code)
			}
		}
		before := logBytes(t, disk)
		time.Sleep(2 * time.Hour)
		after := logBytes(t, disk)
		if after > before/2 {
			t.Errorf("%d bytes of %d are left, want less than half", after, before)
		}
		brokertest.Stop(t, b)
		b, c = start()
		defer brokertest.Stop(t, b)
		_ = c.nc.SetDeadline(time.Now().Add(time.Hour))
		req := at(7, kmsg.NewPtrOffsetFetchRequest())
		req.Group = "g"
		answer := do[*kmsg.OffsetFetchResponse](c.raw, req)
		if len(answer.Topics) != 1 || answer.Topics[0].Partitions[0].Offset != commits-1 {
			t.Errorf("after a restart: %+v, want offset %d", answer.Topics, commits-1)
		}
	})
}

// logBytes is the size of all segments.
func logBytes(t *testing.T, fsys vfs.FS) (bytes int64) {
	t.Helper()
	topics, err := fsys.List("topics")
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		names, err := fsys.List("topics/" + topic + "/0")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !strings.HasSuffix(name, ".log") {
				continue
			}
			f, err := fsys.Open("topics/" + topic + "/0/" + name)
			if err != nil {
				t.Fatal(err)
			}
			size, err := f.Size()
			if err != nil {
				t.Fatal(err)
			}
			bytes += size
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return bytes
}
