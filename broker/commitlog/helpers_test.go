package commitlog

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// epoch is when tests begin.
var epoch = time.UnixMilli(1_700_000_000_000)

// openLog opens a log that is verified and closed when the test ends.
func openLog(t testing.TB, fsys vfs.FS, cfg Config) *Log {
	t.Helper()
	l, err := Open(fsys, cfg, epoch)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { verifyAndClose(t, l) })
	return l
}

// verifyAndClose may be called twice, and on a closed log.
func verifyAndClose(t testing.TB, l *Log) {
	t.Helper()
	if l.writable() == ErrClosed {
		return
	}
	if err := l.Verify(); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// batchOf is a batch of records with the given values, one millisecond apart.
func batchOf(timestampMillis int64, values ...string) record.Batch {
	var b record.Builder
	for i, v := range values {
		b.Append(timestampMillis+int64(i), []byte("k"), []byte(v))
	}
	return slices.Clone(b.Finish())
}

func batchFrom(producer int64, sequence int32, timestampMillis int64, values ...string) record.Batch {
	var b record.Builder
	b.SetProducer(producer, 0, sequence)
	for i, v := range values {
		b.Append(timestampMillis+int64(i), nil, []byte(v))
	}
	return slices.Clone(b.Finish())
}

func mustAppend(t testing.TB, l *Log, b record.Batch) Appended {
	t.Helper()
	a, err := l.Append(b, epoch)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return a
}

// values reads all records of [from, to) and returns their values. The error is that
// of the read that did not go on; what came before it is returned, too.
func values(l *Log, from, to int64, maxBytes int) ([]string, error) {
	var got []string
	buf := make([]byte, 0, 512)
	for at := from; at < to; {
		b, err := l.Read(ReadSpec{From: at, UpTo: to, MaxBytes: maxBytes, WholeFirst: true}, buf)
		if err != nil {
			return got, err
		}
		if len(b) == 0 {
			return got, fmt.Errorf("nothing to read at %d", at)
		}
		for len(b) > 0 {
			batch, rest, err := record.Next(b)
			if err != nil {
				return got, err
			}
			if batch.BaseOffset() > at {
				return got, fmt.Errorf("batch at %d, want %d", batch.BaseOffset(), at)
			}
			for r, err := range batch.Records() {
				switch {
				case err != nil:
					return got, err
				case r.Offset < at:
					continue
				case r.Offset != at:
					return got, fmt.Errorf("record at %d, want %d", r.Offset, at)
				}
				got = append(got, string(r.Value))
				at++
			}
			b = rest
		}
	}
	return got, nil
}

func mustValues(t testing.TB, l *Log) []string {
	t.Helper()
	got, err := values(l, l.StartOffset(), l.EndOffset(), 1<<20)
	if err != nil {
		t.Fatalf("read [%d, %d): %v", l.StartOffset(), l.EndOffset(), err)
	}
	return got
}

// checkBatchAnywhere checks a batch without knowing its offset.
func checkBatchAnywhere(b []byte) (record.Batch, error) {
	batch, _, err := record.Next(b)
	if err != nil {
		return nil, err
	}
	return checkBatch(batch, batch.BaseOffset(), nil)
}
