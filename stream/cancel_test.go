package stream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
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
	for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup} {
		for _, err := range []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.GroupAuthorizationFailed, nil} {
			t.Run(fmt.Sprintf("%s/throughout=%v", key.Name(), err), func(t *testing.T) {
				t.Parallel()
				c, fake := faulty(t)
				createTopics(t, c, 1, "lines")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				fake.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
					fake.KeepControl()
					cancel()
					resp := req.ResponseKind()
					switch r := resp.(type) {
					case *kmsg.JoinGroupResponse:
						r.Version, r.ErrorCode = req.GetVersion(), code(err)
					case *kmsg.SyncGroupResponse:
						r.Version, r.ErrorCode = req.GetVersion(), code(err)
					}
					if err == nil {
						return nil, errors.New("no answer"), true // the connection ends
					}
					return resp, nil, true
				})
				app, newErr := NewApp(shout(t), c, quiet(Config{ShutdownTimeout: time.Second}))
				if newErr != nil {
					t.Fatal(newErr)
				}
				ended := make(chan error, 1)
				go func() { ended <- app.Run(ctx) }()
				select {
				case err := <-ended:
					if err != nil {
						t.Errorf("Run returned %v, want nil", err)
					}
				case <-time.After(10 * time.Second):
					t.Error("Run goes on 10 s after its end, want one of about 1 s")
					<-ended
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

// code is that of an error, 0 for none.
func code(err *kerr.Error) int16 {
	if err == nil {
		return 0
	}
	return err.Code
}
