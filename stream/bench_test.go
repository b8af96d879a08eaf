package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// benchInput is a topic with records of 100 bytes over 10,000 keys, in an embedded broker.
func benchInput(b *testing.B, partitions, records int) *Cluster {
	b.Helper()
	c := openCluster(b, Embedded(b.TempDir()))
	createTopics(b, c, partitions, "lines")
	w, err := NewWriter(b.Context(), c, lines, WriterConfig{})
	if err != nil {
		b.Fatal(err)
	}
	value := strings.Repeat("x", 100)
	for i := range records {
		r := Record[string, string]{Key: fmt.Sprintf("key-%d", i%10_000), Value: value, Time: time.UnixMilli(int64(1000 + i))}
		if err := w.Write(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return c
}
