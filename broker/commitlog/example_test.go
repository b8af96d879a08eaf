package commitlog_test

import (
	"context"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

func Example() {
	l, err := commitlog.Open(vfs.NewMem(), commitlog.Config{}, time.Now())
	if err != nil {
		panic(err)
	}
	defer l.Close()
	flusher := commitlog.NewFlusher(commitlog.FlusherConfig{})
	defer flusher.Close()

	var b record.Builder
	b.Append(time.Now().UnixMilli(), []byte("card-1"), []byte("12.50"))
	b.Append(time.Now().UnixMilli(), []byte("card-2"), []byte("80.00"))
	appended, err := l.Append(b.Finish(), time.Now())
	if err != nil {
		panic(err)
	}
	// Only now may the records be acknowledged.
	if err := flusher.Wait(context.Background(), l, appended.NextOffset); err != nil {
		panic(err)
	}

	got, err := l.Read(commitlog.ReadSpec{From: 1, UpTo: l.FlushedOffset(), MaxBytes: 1 << 20}, nil)
	if err != nil {
		panic(err)
	}
	// The batch comes whole, as it was written: the reader skips what it did not ask for.
	batch, _, err := record.Next(got)
	if err != nil {
		panic(err)
	}
	for r, err := range batch.Records() {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%d %s %s\n", r.Offset, r.Key, r.Value)
	}
	// Output:
	// 0 card-1 12.50
	// 1 card-2 80.00
}
