package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkFetch reads all records from the beginning by one client, from the page
// cache.
func BenchmarkFetch(b *testing.B) {
	for _, transport := range []string{"tcp", "memory"} {
		for _, l := range loads {
			for _, partitions := range []int32{1, 6, 100} {
				name := fmt.Sprintf("transport=%s/value=%s/partitions=%d/broker=", transport, l.name, partitions)
				for _, c := range contenders {
					b.Run(name+c.name, func(b *testing.B) {
						opts := c.start(b, setup{partitions, "os", transport})
						l.produce(b, client(b, opts), l.make())
						for b.Loop() {
							l.consume(b, opts)
						}
						l.report(b)
					})
				}
				b.Run(name+"file", func(b *testing.B) {
					f := newFloor(b, "os")
					for _, batch := range l.batches() {
						f.append(batch)
					}
					buf := make([]byte, 1<<20)
					for b.Loop() {
						for at := int64(0); ; {
							n, err := f.file.ReadAt(buf, at)
							if at += int64(n); errors.Is(err, io.EOF) {
								break
							}
							if err != nil {
								b.Fatal(err)
							}
						}
					}
					l.report(b)
				})
			}
		}
	}
}

// consume reads all records by a client of its own.
func (l load) consume(b *testing.B, opts []kgo.Opt) {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}, opts...)...)
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	for got := 0; got < l.records; {
		fetches := cl.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			b.Fatal(err)
		}
		got += fetches.NumRecords()
	}
}
