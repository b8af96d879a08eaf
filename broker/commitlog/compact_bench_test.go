package commitlog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// BenchmarkCompact cleans a log of 32 MiB on disk in which each key has four values.
// MB/s are bytes of the log, of which compaction reads and maps each byte once and
// filters it once.
func BenchmarkCompact(b *testing.B) {
	for _, codec := range []record.Codec{record.None, record.Zstd, record.LZ4} {
		for _, size := range []int{100, 1000} {
			b.Run(fmt.Sprintf("codec=%v/record=%d", codec, size), func(b *testing.B) { benchmarkCompact(b, codec, size) })
		}
	}
}

func benchmarkCompact(b *testing.B, codec record.Codec, size int) {
	const total, perBatch = 32 << 20, 50
	rng := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, size)
	records := total / size
	for b.Loop() {
		b.StopTimer()
		fsys, err := vfs.OpenDir(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		l, err := Open(fsys, Config{SegmentBytes: 4 << 20}, epoch)
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; i < records; i += perBatch {
			var w record.Builder
			for j := range perBatch {
				for k := range value {
					value[k] = 'a' + byte(rng.Uint32()&15)
				}
				w.Append(1, fmt.Append(nil, (i+j)%(records/4)), value)
			}
			batch := slices.Clone(w.Finish())
			if codec != record.None {
				batch = packed(b, batch, codec)
			}
			if _, err := l.Append(batch, epoch); err != nil {
				b.Fatal(err)
			}
		}
		if err := l.Flush(); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(total)
		b.StartTimer()
		c, err := l.Compact(CompactSpec{Below: l.EndOffset()}, epoch)
		if err != nil || !c.Cleaned {
			b.Fatalf("Compact = %+v, %v", c, err)
		}
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		_ = fsys.Close()
		b.StartTimer()
	}
}
