package stream

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
	"github.com/riffle-stream/riffle/serde"
)

// A fetch that is answered during a commit has the first of the records that are appended meanwhile. The next commit has
// the others too: they do not wait for one of their own.
func TestCommitTakesWhatCameDuringTheLastOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		c := &Cluster{memory: faultfs.SlowSync(vfs.NewMem(), func() {
			if slow.Load() {
				time.Sleep(time.Second)
			}
		})}
		if err := c.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
		createTopics(t, c, 1, "in", "out")
		in := NewTopic("in", serde.String, serde.String)
		b := NewBuilder("prompt")
		b.From(in).To(NewTopic("out", serde.String, serde.String))
		topology, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		app, err := NewApp(topology, c, Config{CommitInterval: time.Minute, TransactionTimeout: 5 * time.Minute, ShutdownTimeout: 5 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- app.Run(ctx) }()
		w, err := NewWriter(t.Context(), c, in, WriterConfig{Linger: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		put := func(value string) {
			if err := w.Write(t.Context(), Record[string, string]{Key: "k", Value: value}); err != nil {
				t.Fatal(err)
			}
		}
		put("first")
		time.Sleep(time.Minute)
		slow.Store(true)
		// Nothing happens at the same time as something else, and all is durable before the commit of a ends.
		put("a")                            // durable after a second; its commit takes four or more
		time.Sleep(1250 * time.Millisecond) // so it is under way now
		put("b")
		time.Sleep(time.Second)
		put("c")
		time.Sleep(time.Minute)
		slow.Store(false)
		ends, err := c.EndOffsets(t.Context(), "out")
		if err != nil {
			t.Fatal(err)
		}
		// Four records, and a marker for each commit.
		if ends[0] != 4+3 {
			t.Errorf("the output ends at %d, want four records and three markers", ends[0])
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}
