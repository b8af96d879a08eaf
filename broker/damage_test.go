package broker_test

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// Damaged records are reported to the client and, once, to the log; what is whole
// around them is served.
func TestDamagedRecordsAreNotServed(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	var out lockedBuilder
	start := func() (*broker.Broker, *raw) {
		// Not brokertest: it would rightly complain about the log at the end.
		b, err := broker.Start(broker.Config{FS: fsys, Logger: slog.New(slog.NewTextHandler(&out, nil))})
		if err != nil {
			t.Fatal(err)
		}
		return b, dial(t, b, "memory")
	}
	b, r := start()
	r.create("orders", 1)
	for range 3 {
		r.produce("orders", batch(1, "some value"))
	}
	size := len(batch(1, "some value"))
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	flipped := false
	for _, topic := range topicDirs(t, fsys) {
		f, err := fsys.Open("topics/" + topic + "/0/00000000000000000000.log")
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := f.Size(); n == int64(3*size) {
			_, _ = f.WriteAt([]byte{0xff}, int64(2*size-2)) // in the second batch
			flipped = true
		}
		f.Close()
	}
	if !flipped {
		t.Fatal("the log was not found")
	}

	b, r = start()
	defer b.Stop(t.Context())
	if p := r.fetch("orders", 0); p.ErrorCode != 0 || !slices.Equal(offsets(t, p.RecordBatches), []int64{0}) {
		t.Errorf("before the damage: error %d, batches %v", p.ErrorCode, offsets(t, p.RecordBatches))
	}
	for range 3 {
		if p := r.fetch("orders", 1); p.ErrorCode != 2 || len(p.RecordBatches) != 0 {
			t.Errorf("at the damage: error %d, %d bytes, want 2 and none", p.ErrorCode, len(p.RecordBatches))
		}
	}
	if p := r.fetch("orders", 2); p.ErrorCode != 0 || !slices.Equal(offsets(t, p.RecordBatches), []int64{2}) {
		t.Errorf("behind the damage: error %d, batches %v", p.ErrorCode, offsets(t, p.RecordBatches))
	}
	if got := strings.Count(out.String(), "asked for records that are damaged"); got != 1 {
		t.Errorf("the damage was logged %d times, want once:\n%s", got, out.String())
	}
}

// lockedBuilder collects what several goroutines write.
type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
