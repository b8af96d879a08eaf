package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/internal/reliability"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// order is what the tests of poison pills read.
type order struct {
	ID    int    `avro:"id"`
	State string `avro:"state"`
}

// Poison pills of any kind become dead letters, bytes and all, and everything else is processed: whether one record in ten is
// bad, or each.
func TestPoisonPills(t *testing.T) {
	t.Parallel()
	const records = 400
	for name, value := range map[string]serde.Serde[order]{"json": serde.JSON[order](), "avro": serde.Avro[order]()} {
		for _, every := range []int{10, 1} {
			t.Run(fmt.Sprintf("serde=%s/bad=1 in %d", name, every), func(t *testing.T) {
				t.Parallel()
				poisonPills(t, value, records, every)
			})
		}
	}
}

// One record in a hundred among many: what is said of a few hundred holds of a million.
func TestManyPoisonPills(t *testing.T) {
	t.Parallel()
	poisonPills(t, serde.JSON[order](), reliability.Figure(5_000, 1_000_000), 100)
}

func poisonPills(t *testing.T, value serde.Serde[order], records, every int) {
	c := openCluster(t, Embedded(t.TempDir()))
	createTopics(t, c, 3, "orders")
	orders := NewTopic("orders", serde.String, value)
	raw := NewTopic("orders", serde.Bytes, serde.Bytes)
	b := NewBuilder("shop")
	b.From(orders).TryMap(func(o order) (order, error) {
		switch o.State {
		case "fails":
			return o, errors.New("it fails")
		case "panics":
			panic(o)
		}
		return o, nil
	}).AsyncMap("ask", func(ctx context.Context, o order) (order, error) {
		if o.State == "hangs" {
			<-ctx.Done()
			return o, ctx.Err()
		}
		return o, nil
	}, Async{Timeout: time.Millisecond, Attempts: 1, MaxInFlight: 500}).
		Process("keep", func(c *Context[string, order], r Record[string, order]) error {
			if err := seenStore.In(c).Put(r.Key, 1); err != nil {
				return err
			}
			return c.Forward(r.Key, r.Value)
		}, seenStore).
		To(NewTopic("kept", serde.String, value))

	var in []Record[[]byte, []byte]
	want := make(map[string]int) // dead letters, by key and value
	for i := range records {
		o := order{ID: i, State: "fine"}
		r := Record[[]byte, []byte]{Key: fmt.Appendf(nil, "key-%d", i%7), Time: time.UnixMilli(int64(1000 + i))}
		bad := i%every == 0
		kind := i / every % 7
		if bad {
			o.State = []string{"fails", "panics", "hangs", "fine", "fine", "fine", "fine"}[kind]
		}
		var err error
		if r.Value, err = value.Encode(nil, o); err != nil {
			t.Fatal(err)
		}
		if bad {
			switch kind {
			case 3:
				r.Value = r.Value[:len(r.Value)/2]
			case 4:
				r.Value = []byte{0xff, 0, byte(i), byte(i >> 8)}
			case 5:
				r.Value = nil
			case 6:
				r.Value = []byte{}
			}
			want[fmt.Sprintf("%q %q", r.Key, r.Value)]++
		}
		in = append(in, r)
	}
	write(t, c, raw, in...)
	stats := runWithin(t, build(t, b), c, Config{Version: "v1.2.3"}, 10*time.Minute)
	bad := (records + every - 1) / every
	if stats.Processed != int64(records) || stats.DeadLetters != int64(bad) {
		t.Errorf("the run has %+v, want %d records and %d dead letters", stats, records, bad)
	}
	got := make(map[string]int)
	for _, r := range read(t, c, NewTopic("shop-dead-letters", serde.Bytes, serde.Bytes)) {
		got[fmt.Sprintf("%q %q", r.Key, r.Value)]++
		for _, header := range []string{HeaderCause, HeaderNode, HeaderStage, HeaderTopic, HeaderPartition, HeaderOffset, HeaderVersion} {
			if !slices.ContainsFunc(r.Headers, func(h Header) bool { return h.Key == header && len(h.Value) > 0 }) {
				t.Errorf("dead letter %q has no header %s", r.Value, header)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	if n := len(read(t, c, NewTopic("kept", serde.Bytes, serde.Bytes))); n != records-bad {
		t.Errorf("%d outputs, want %d", n, records-bad)
	}
}

// A record without a key where one is needed is a dead letter.
func TestNullKey(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines")
		write(t, c, NewTopic("lines", serde.Bytes, serde.String), Record[[]byte, string]{Value: "no key"}, Record[[]byte, string]{Key: []byte("k"), Value: "a key"})
		b := NewBuilder("keyed")
		b.From(lines).Count(state.NewTableStore("rows", serde.String, serde.Int64)).To(counts)
		stats := runToEnd(t, build(t, b), c, Config{})
		if stats.Processed != 2 || stats.DeadLetters != 1 {
			t.Errorf("the run has %+v, want 2 records and a dead letter", stats)
		}
	})
}

// A handler that stops the application has it begin with the same record again. What was done before is committed or
// not, the dead letters with the rest.
func TestStopHandler(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines")
		write(t, c, lines, someLines(100, 5)...)
		stop := true
		define := func() *Topology {
			b := NewBuilder("stopping")
			b.OnError(Errors{Processing: func(f Failure) Reaction {
				if f.Offset == 50 && stop {
					return Stop
				}
				return DeadLetter
			}})
			b.From(lines).TryMap(func(v string) (string, error) {
				if strings.HasSuffix(v, "0") {
					return "", errors.New("a zero")
				}
				return v, nil
			}).To(shouts)
			return build(t, b)
		}
		app, err := NewApp(define(), c, quiet(Config{StopAtEnd: true, CommitInterval: time.Hour}))
		if err != nil {
			t.Fatal(err)
		}
		if err := app.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "lines-0 at offset 50") || !strings.Contains(err.Error(), "a zero") {
			t.Fatalf("Run returned %v, want the record and its cause", err)
		}
		dead := NewTopic("stopping-dead-letters", serde.String, serde.String)
		done := committed(t, c, "stopping", "lines")
		if got, want := len(read(t, c, dead))+len(read(t, c, shouts)), int(done); got != want {
			t.Errorf("%d outputs and dead letters, but %d records are committed", got, want)
		}
		stop = false
		runToEnd(t, define(), c, Config{})
		if got := len(read(t, c, dead)); got != 10 {
			t.Errorf("%d dead letters, want 10", got)
		}
		if got := len(read(t, c, shouts)); got != 90 {
			t.Errorf("%d outputs, want 90", got)
		}
	})
}

// A topic that takes no outputs costs its records, which become dead letters, and not the application. Once it takes them again, it
// gets the rest.
func TestRefusedOutputs(t *testing.T) {
	t.Parallel()
	for _, g := range []Guarantee{ExactlyOnce, AtLeastOnce} {
		t.Run(fmt.Sprint("guarantee=", g), func(t *testing.T) {
			t.Parallel()
			c, fake := faulty(t)
			createTopics(t, c, 1, "lines")
			write(t, c, lines, someLines(20, 5)...)
			b := NewBuilder("refused")
			in := b.From(lines)
			in.Filter(func(v string) bool { return v != "line 3" }).To(shouts)
			in.Process("count", count, seenStore).To(counts)
			createTopics(t, c, 1, "shouts", "counts")
			refused := fake.Fault(notAuthorized("shouts"))
			app, err := NewApp(build(t, b), c, quiet(Config{Guarantee: g}))
			if err != nil {
				t.Fatal(err)
			}
			app.refusals.pause = 2 * time.Millisecond
			stop := start(t, app)
			eventually(t, "the records are done", func() bool { return app.Stats().Lag == 0 && app.Stats().DeadLetters == 19 })
			refused.Remove()
			write(t, c, lines, someLines(20, 5)...)
			eventually(t, "the others are done too", func() bool { return committed(t, c, "refused", "lines") == 40 })
			if err := stop(); err != nil {
				t.Fatalf("Run returned %v", err)
			}
			dead := read(t, c, NewTopic("refused-dead-letters", serde.String, serde.String))
			for _, r := range dead {
				i := slices.IndexFunc(r.Headers, func(h Header) bool { return h.Key == HeaderCause })
				if i < 0 || !strings.Contains(string(r.Headers[i].Value), "TOPIC_AUTHORIZATION_FAILED") {
					t.Errorf("dead letter %q has the headers %v, want the cause", r.Value, r.Headers)
				}
			}
			if g == AtLeastOnce {
				return // outputs are repeated
			}
			// What the pause has not let through is a dead letter; nothing is lost or doubled, and counts are of what has passed.
			if got := len(dead) + len(read(t, c, shouts)); got != 38 {
				t.Errorf("%d dead letters and outputs, want 38", got)
			}
			if got := len(dead) + len(read(t, c, counts)); got != 40 {
				t.Errorf("%d dead letters and counts, want 40", got)
			}
		})
	}
}

// notAuthorized has the broker refuse records for a topic, and no others of a request.
func notAuthorized(topic string) kfake.Fault {
	return kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.TopicAuthorizationFailed, Count: -1}
}

// start runs an app until stop is called, which returns what Run returned.
func start(t *testing.T, app *App) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	t.Cleanup(cancel)
	return func() error { cancel(); return <-done }
}

// Where dead letters cannot be written, the partition that has one pauses, and says so. Nothing is left out, the other
// partitions go on, and once they can be written so does it.
func TestRefusedDeadLetters(t *testing.T) {
	t.Parallel()
	for _, g := range []Guarantee{ExactlyOnce, AtLeastOnce} {
		t.Run(fmt.Sprint("guarantee=", g), func(t *testing.T) {
			t.Parallel()
			c, fake := faulty(t)
			createTopics(t, c, 4, "lines")
			write(t, c, lines, someLines(100, 20)...)
			b := NewBuilder("held")
			b.From(lines).TryMap(func(v string) (string, error) {
				if v == "line 42" {
					return "", errors.New("a 42")
				}
				return v, nil
			}).Process("count", count, seenStore).To(counts)
			app, err := NewApp(build(t, b), c, quiet(Config{Guarantee: g}))
			if err != nil {
				t.Fatal(err)
			}
			app.refusals.pause = 2 * time.Millisecond
			createTopics(t, c, 1, "held-dead-letters")
			refused := fake.Fault(notAuthorized("held-dead-letters"))
			bad := slices.IndexFunc(read(t, c, lines), func(r Record[string, string]) bool { return r.Value == "line 42" })
			at := read(t, c, lines)[bad]
			others := int64(100)
			for _, r := range read(t, c, lines) {
				if r.Partition == at.Partition && r.Offset >= at.Offset {
					others--
				}
			}
			stop := start(t, app)
			eventually(t, "one task pauses, and the others are done", func() bool {
				return app.Stats().Paused == 1 && committed(t, c, "held", "lines") == others
			})
			if n := app.Stats().DeadLetters; n != 0 {
				t.Errorf("%d dead letters are counted, want none", n)
			}
			refused.Remove()
			eventually(t, "it goes on", func() bool {
				return app.Stats().Paused == 0 && committed(t, c, "held", "lines") == 100 && app.Stats().DeadLetters == 1
			})
			if err := stop(); err != nil {
				t.Fatalf("Run returned %v", err)
			}
			if n := len(read(t, c, NewTopic("held-dead-letters", serde.String, serde.String))); n != 1 {
				t.Errorf("%d dead letters, want 1", n)
			}
			got := read(t, c, counts)
			if g == ExactlyOnce && len(got) != 99 {
				t.Errorf("%d counts, want 99", len(got))
			}
		})
	}
}
