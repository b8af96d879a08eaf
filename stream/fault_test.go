package stream

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// faulty starts a broker whose answers a test can replace.
func faulty(t *testing.T) (*Cluster, *kfake.Cluster) {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return Kafka(fake.ListenAddrs()...), fake
}

// refuse makes the broker refuse requests that write to a topic, for as long as on is true.
func refuse(fake *kfake.Cluster, topic string, on *atomic.Bool) {
	fake.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		r := req.(*kmsg.ProduceRequest)
		hit := false
		for _, rt := range r.Topics {
			info := fake.TopicInfo(topic)
			hit = hit || rt.Topic == topic || info != nil && rt.TopicID == info.TopicID
		}
		if !hit || !on.Load() {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range r.Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = rt.Topic, rt.TopicID
			for _, p := range rt.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, 29 // TOPIC_AUTHORIZATION_FAILED
				answer.Partitions = append(answer.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})
}

// An output, if its handler says so, or a changelog record that cannot be written stops the application before anything is
// committed; the next run does it all again.
func TestFailedWritesCommitNothing(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{"counts", "counting-seen-changelog"} {
		t.Run("topic="+topic, func(t *testing.T) {
			t.Parallel()
			c, fake := faulty(t)
			createTopics(t, c, 2, "lines")
			write(t, c, lines, someLines(100, 5)...)
			backend := state.NewMemory()
			b := NewBuilder("counting")
			b.From(lines).Process("count", count, seenStore).To(counts.OnError(Always(Stop)))
			topology := build(t, b)
			runToEnd(t, topology, c, Config{Backend: backend})
			write(t, c, lines, someLines(100, 5)...)

			var on atomic.Bool
			on.Store(true)
			refuse(fake, topic, &on)
			app, err := NewApp(topology, c, quiet(Config{Backend: backend, StopAtEnd: true}))
			if err != nil {
				t.Fatal(err)
			}
			err = app.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "TOPIC_AUTHORIZATION_FAILED") {
				t.Fatalf("Run returned %v", err)
			}
			if n := committed(t, c, "counting", "lines"); n != 100 {
				t.Errorf("the group has committed %d records, want the 100 of the first run", n)
			}
			on.Store(false)
			stats := runToEnd(t, topology, c, Config{Backend: backend})
			if stats.Processed != 100 {
				t.Errorf("the next run processed %d records, want the 100 that failed", stats.Processed)
			}
			want := make(map[string][]int64)
			for i, r := range someLines(200, 5) {
				want[r.Key] = append(want[r.Key], int64(i/5+1))
			}
			got := byKey(read(t, c, counts))
			for key, values := range got {
				if got[key], err = dedup(values); err != nil {
					t.Errorf("counts of %s: %v", key, err)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("counts without repetitions (-want +got):\n%s", diff)
			}
		})
	}
}

// committed is the sum of the offsets that a group has committed in a topic.
func committed(t *testing.T, c *Cluster, group, topic string) (sum int64) {
	t.Helper()
	err := c.administer(t.Context(), func(admin *client.Admin) error {
		offsets, err := admin.Committed(t.Context(), group)
		for _, at := range offsets[topic] {
			sum += at
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// refuseCommits makes the broker answer the next commits of offsets with an error.
func refuseCommits(fake *kfake.Cluster, code int16, times *atomic.Int32) {
	fake.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		if times.Add(-1) < 0 {
			return nil, nil, false
		}
		r := req.(*kmsg.OffsetCommitRequest)
		resp := r.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, rt := range r.Topics {
			answer := kmsg.NewOffsetCommitResponseTopic()
			answer.Topic, answer.TopicID = rt.Topic, rt.TopicID
			for _, p := range rt.Partitions {
				rp := kmsg.NewOffsetCommitResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, code
				answer.Partitions = append(answer.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})
}

// A cluster that cannot take offsets for a while does not stop the application.
func TestCommitWaitsForTheCluster(t *testing.T) {
	t.Parallel()
	c, fake := faulty(t)
	createTopics(t, c, 2, "lines")
	write(t, c, lines, someLines(100, 5)...)
	var refused atomic.Int32
	refused.Store(2)
	refuseCommits(fake, 7, &refused) // REQUEST_TIMED_OUT
	if stats := runToEnd(t, counting(t), c, Config{Guarantee: AtLeastOnce}); stats.Processed != 100 || refused.Load() >= 0 {
		t.Errorf("the run has %+v with %d answers left, want all records and no answer", stats, refused.Load())
	}
	if n := committed(t, c, "counting", "lines"); n != 100 {
		t.Errorf("the group has committed %d records, want 100", n)
	}
}

// Of two processes that run as the same instance, the older one stops: they would take each other's place for ever.
func TestSameInstanceTwice(t *testing.T) {
	t.Parallel()
	c, _ := faulty(t)
	createTopics(t, c, 1, "lines")
	cfg := Config{Instance: "one", SessionTimeout: 6 * time.Second}
	app, err := NewApp(counting(t), c, quiet(cfg))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- app.Run(t.Context()) }()
	eventually(t, "the first has the task", func() bool { return len(app.Stats().Tasks) > 0 })
	other, stop := background(t, counting(t), c, cfg)
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), `as instance "one"`) {
			t.Errorf("the first run returned %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the first goes on")
	}
	eventually(t, "the second has the task", func() bool { return len(other.Stats().Tasks) > 0 })
	if err := stop(); err != nil {
		t.Errorf("the second run returned %v", err)
	}
}

// A member whose offsets the group refuses drops what it holds, and goes on with the right state.
func TestRefusedOffsets(t *testing.T) {
	t.Parallel()
	c, fake := faulty(t)
	createTopics(t, c, 2, "lines")
	var fenced atomic.Int32
	fenced.Store(3)
	refuseCommits(fake, 25, &fenced) // UNKNOWN_MEMBER_ID
	app, stop := background(t, counting(t), c, Config{Guarantee: AtLeastOnce, CommitInterval: 5 * time.Millisecond, SessionTimeout: 6 * time.Second})
	write(t, c, lines, someLines(100, 5)...)
	eventually(t, "the group has taken a commit", func() bool {
		return app.Stats().Commits > 0 && app.Stats().Lag == 0 && committed(t, c, "counting", "lines") == 100
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if fenced.Load() >= 3 {
		t.Error("nothing was refused")
	}
	for key, values := range byKey(read(t, c, counts)) {
		distinct, err := dedup(values)
		if err != nil || len(distinct) != 20 || distinct[19] != 20 {
			t.Errorf("counts of %s are %v (%v), want 1 to 20, perhaps repeated", key, values, err)
		}
	}
}

// A run can be cancelled while it restores its state.
func TestCancelDuringRestore(t *testing.T) {
	t.Parallel()
	c, fake := faulty(t)
	createTopics(t, c, 1, "lines")
	write(t, c, lines, someLines(100, 5)...)
	runToEnd(t, counting(t), c, Config{})

	release := make(chan struct{})
	changelog := topicID(t, c, "counting-seen-changelog")
	fake.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		restores := func(topic kmsg.FetchRequestTopic) bool { return topic.TopicID == changelog }
		if !slices.ContainsFunc(req.(*kmsg.FetchRequest).Topics, restores) {
			return nil, nil, false
		}
		fake.SleepControl(func() { <-release })
		return nil, nil, false
	})
	app, stop := background(t, counting(t), c, Config{ShutdownTimeout: time.Hour})
	eventually(t, "the restore waits for the broker", func() bool { return app.Stats().Restoring > 0 })
	if err := stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	close(release)
	if stats := runToEnd(t, counting(t), c, Config{}); stats.Processed != 0 || stats.Restored == 0 {
		t.Errorf("the next run has %+v, want state restored and nothing to process", stats)
	}
}
