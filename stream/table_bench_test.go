package stream_test

import (
	"testing"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/window"
)

// BenchmarkTable measures tables and joins as BenchmarkTask measures the rest: what is left beside the serdes is the
// engine. Each has one output a record.
func BenchmarkTable(b *testing.B) {
	numbers := stream.NewTopic("numbers", serde.Int64, serde.Int64)
	out := stream.NewTopic("out", serde.Int64, serde.Int64)
	sums := state.NewTableStore("sums", serde.Int64, serde.Int64)
	joined := state.NewJoinStore("joined", serde.Int64, serde.Int64, serde.Int64)
	add := func(a, b int64) int64 { return a + b }
	tests := []struct {
		name   string
		define func(b *stream.Builder)
	}{
		{"table", func(b *stream.Builder) { b.Table(numbers).To(out) }},
		{"table+filter+map", func(b *stream.Builder) {
			b.Table(numbers).Filter(func(n int64) bool { return n >= 0 }).Map(func(n int64) int64 { return n + 1 }).To(out)
		}},
		{"aggregate", func(b *stream.Builder) { b.From(numbers).Aggregate(sums, add).To(out) }},
		{"stream-table", func(b *stream.Builder) {
			table := b.From(numbers).Aggregate(sums, add)
			b.From(numbers).Join(table, add).To(out)
		}},
		{"stream-stream", func(b *stream.Builder) { // every record joins itself
			b.From(numbers).JoinStream(b.From(numbers), window.Within(0).Grace(0), joined, add).To(out)
		}},
	}
	for _, test := range tests {
		b.Run("topology="+test.name, func(b *testing.B) { benchmarkTask(b, build(b, test.define)) })
	}
}
