package stream

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/serde"
)

// Who ends Run while it starts gets what he gets later: nil. Whatever it is about to ask of the cluster, and whether that answers this once.
func TestCancelWhileStarting(t *testing.T) {
	t.Parallel()
	for _, key := range []kmsg.Key{
		kmsg.Metadata, kmsg.DescribeConfigs, kmsg.OffsetFetch, kmsg.CreateTopics, kmsg.ListOffsets, kmsg.Fetch,
		kmsg.FindCoordinator, kmsg.InitProducerID, kmsg.JoinGroup, kmsg.SyncGroup,
	} {
		for _, answers := range []bool{true, false} {
			t.Run(key.Name()+map[bool]string{true: "/answered", false: "/refused"}[answers], func(t *testing.T) {
				t.Parallel()
				c, fake := faulty(t)
				createTopics(t, c, 1, "lines", "names")
				write(t, c, NewTopic("names", serde.String, serde.String), Record[string, string]{Key: "a", Value: "b"})
				write(t, c, lines, someLines(10, 2)...)
				b := NewBuilder("starting")
				b.From(lines).JoinGlobal(b.GlobalTable(NewTopic("names", serde.String, serde.String)),
					func(k, _ string) string { return k }, func(v, _ string) string { return v }).
					Process("count", count, seenStore).To(counts)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				fake.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) { // once
					cancel(errors.New("the caller has seen enough"))
					if answers {
						return nil, nil, false
					}
					return nil, errors.New("no answer"), true // the connection ends
				})
				app, err := NewApp(build(t, b), c, quiet(Config{ShutdownTimeout: time.Second}))
				if err != nil {
					t.Fatal(err)
				}
				if err := app.Run(ctx); err != nil {
					t.Errorf("Run returned %v, want nil", err)
				}
				if ctx.Err() == nil {
					t.Errorf("the application asked for no %s", key.Name())
				}
			})
		}
	}
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		app, err := NewApp(shout(t), Embedded(t.TempDir()), quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := app.Run(ctx); err != nil {
			t.Errorf("Run returned %v, want nil", err)
		}
	})
}
