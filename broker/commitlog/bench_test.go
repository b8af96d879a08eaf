package commitlog

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

func benchDir(b *testing.B) vfs.FS {
	b.Helper()
	d, err := vfs.OpenDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	return d
}

func benchBatch(records, valueBytes int) record.Batch {
	var w record.Builder
	value := bytes.Repeat([]byte("v"), valueBytes)
	for i := range records {
		w.Append(epoch.UnixMilli()+int64(i), []byte("0123456789abcdef"), value)
	}
	return slices.Clone(w.Finish())
}

func report(b *testing.B, records, bytes int) {
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkGroupCommit lets several producers wait for their appends, over several
// logs with one flusher.
func BenchmarkGroupCommit(b *testing.B) {
	for _, logs := range []int{1, 6} {
		for _, producers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("logs=%d/producers=%d/batch=10/value=100B", logs, producers), func(b *testing.B) {
				var flushes atomic.Int64
				f := NewFlusher(FlusherConfig{FlushedFunc: func(time.Duration, int, error) { flushes.Add(1) }})
				defer f.Close()
				var all []*Log
				for range logs {
					l, err := Open(benchDir(b), Config{}, epoch)
					if err != nil {
						b.Fatal(err)
					}
					defer l.Close()
					all = append(all, l)
				}
				size := len(benchBatch(10, 100))
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for p := range producers {
					wg.Go(func() {
						batch := benchBatch(10, 100)
						l := all[p%logs]
						for next.Add(1) <= int64(b.N) {
							a, err := l.Append(batch, epoch)
							if err == nil {
								err = f.Wait(context.Background(), l, a.NextOffset)
							}
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				report(b, 10, size)
				b.ReportMetric(float64(b.N)/float64(flushes.Load()), "batches/fsync")
			})
		}
	}
}

// BenchmarkRead compares reads, every batch checked, with preads of the same file.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	d, err := vfs.OpenDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	l, err := Open(d, Config{SegmentBytes: 256 << 20}, epoch)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	batch := benchBatch(100, 100)
	for l.Size() < 256<<20 {
		if _, err := l.Append(batch, epoch); err != nil {
			b.Fatal(err)
		}
	}
	size := l.Size()
	for _, max := range []int{64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("max=%d/from=file", max), func(b *testing.B) {
			f, err := os.Open(dir + "/" + fileName(0, logSuffix))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			buf := make([]byte, max)
			at := int64(0)
			for b.Loop() {
				if _, err := f.ReadAt(buf, at); err != nil {
					b.Fatal(err)
				}
				if at += int64(max); at+int64(max) > size-(1<<20) {
					at = 0
				}
			}
			report(b, max*100/len(batch), max)
		})
		b.Run(fmt.Sprintf("max=%d/from=log", max), func(b *testing.B) {
			buf := make([]byte, 0, max+64<<10)
			from, bytes := int64(0), 0
			for b.Loop() {
				got, err := l.Read(ReadSpec{From: from, UpTo: l.EndOffset(), MaxBytes: max}, buf)
				if err != nil {
					b.Fatal(err)
				}
				bytes += len(got)
				if from += int64(len(got) / len(batch) * 100); from >= l.EndOffset()-20000 {
					from = 0
				}
			}
			report(b, max*100/len(batch), bytes/b.N)
		})
	}
}

// BenchmarkRecovery opens a log that was not closed: from its last mark, and without
// its checkpoint, from the start of the segment.
func BenchmarkRecovery(b *testing.B) {
	const size = 256 << 20
	for _, from := range []string{"mark", "start"} {
		b.Run(fmt.Sprintf("log=%dMiB/from=%s", size>>20, from), func(b *testing.B) {
			fsys := benchDir(b)
			cfg := Config{}
			if from == "start" {
				cfg.MarkBytes = 1 << 40
			}
			l, err := Open(fsys, cfg, epoch)
			if err != nil {
				b.Fatal(err)
			}
			batch := benchBatch(100, 100)
			for l.Size() < size {
				if _, err := l.Append(batch, epoch); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Flush(); err != nil {
				b.Fatal(err)
			}
			saved := mustReadAll(b, fsys, checkpointName)
			for b.Loop() {
				if err := writeAt(fsys, checkpointName, saved, 0, true); err != nil {
					b.Fatal(err)
				}
				r, err := Open(fsys, cfg, epoch)
				if err != nil {
					b.Fatal(err)
				}
				if r.Recovery().Clean {
					b.Fatal("log was clean")
				}
				b.ReportMetric(float64(r.Recovery().WalkedBytes), "walked-B")
				for _, s := range r.mu.segments {
					if err := s.suspend(); err != nil {
						b.Fatal(err)
					}
				}
				if err := r.checkpoint.close(); err != nil {
					b.Fatal(err)
				}
				for _, at := range r.marks {
					if at >= r.EndOffset() {
						_ = fsys.Remove(fileName(at, snapshotSuffix)) // of the recovery itself
					}
				}
			}
			b.SetBytes(size)
		})
	}
}
