package stream

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A task waits for what the cluster is known to have of its other input, however long that takes to come: the records go by
// their times.
func TestKnownRecordsAreWaitedFor(t *testing.T) {
	t.Parallel()
	c, fake := faulty(t)
	createTopics(t, c, 1, "lines", "shouts")
	write(t, c, lines, Record[string, string]{Key: "k", Value: "second", Time: time.Unix(20, 0)})
	write(t, c, shouts, Record[string, string]{Key: "k", Value: "first", Time: time.Unix(10, 0)}, Record[string, string]{Key: "k", Value: "third", Time: time.Unix(30, 0)})
	late := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "shouts", Err: kerr.NotLeaderForPartition, Count: -1})
	var order []string
	b := NewBuilder("waiting")
	b.From(lines).Merge(b.From(shouts)).Peek(func(v string) { order = append(order, v) }).Process("count", count, seenStore).To(counts)
	app, err := NewApp(build(t, b), c, quiet(Config{StopAtEnd: true, MaxInputWait: time.Hour}))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Run(t.Context()) }()
	// Another application reads the first input alone: once it has all, so have the tasks that wait.
	other := NewBuilder("other")
	other.From(lines).To(NewTopic("copies", lines.Key, lines.Value))
	runToEnd(t, build(t, other), c, Config{})
	late.Remove()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"first", "second", "third"}, order); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// An input that is empty, or was read to its end before, is not waited for: neither at the start nor later.
func TestEmptyInputsAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, "lines", "shouts")
		b := NewBuilder("waiting")
		b.From(lines).Merge(b.From(shouts)).Process("count", count, seenStore).To(counts)
		topology := build(t, b)
		write(t, c, lines, someLines(10, 3)...)
		runToEnd(t, topology, c, Config{MaxInputWait: time.Hour})
		write(t, c, shouts, someLines(10, 3)...)
		runToEnd(t, topology, c, Config{MaxInputWait: time.Hour})
		write(t, c, lines, someLines(10, 3)...)
		stats := runToEnd(t, topology, c, Config{MaxInputWait: time.Hour})
		if stats.Processed != 10 || len(read(t, c, counts)) != 30 {
			t.Errorf("the last run has %+v, and there are %d counts; want 10 records and 30 counts", stats, len(read(t, c, counts)))
		}
	})
}

// Records of an input that are gone when they are to be read do not hold up the others for ever.
func TestLostRecordsAreNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	c, fake := faulty(t)
	createTopics(t, c, 1, "lines", "shouts")
	write(t, c, lines, someLines(10, 3)...)
	write(t, c, shouts, someLines(10, 3)...)
	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "shouts", Err: kerr.NotLeaderForPartition, Count: -1})
	b := NewBuilder("waiting")
	b.From(lines).Merge(b.From(shouts)).Process("count", count, seenStore).To(counts)
	app, err := NewApp(build(t, b), c, quiet(Config{MaxInputWait: time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, app)
	eventually(t, "the other input is done", func() bool { return app.Stats().Processed == 10 })
	if err := stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
}
