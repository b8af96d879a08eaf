package stream

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// alter changes a setting of a topic.
func alter(t *testing.T, c *Cluster, topic, key, value string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers("in-memory:9092"), kgo.Dialer(c.Dial))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	answers, err := kadm.NewClient(cl).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range answers {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
}

// A topic whose limit is lowered, or that becomes compacted, while the application runs refuses what it took before. That costs the
// records that do not fit, and no others: each is a dead letter that names the topic, the size and the remedy; its writes to stores are
// undone. So it is with outputs, with repartition topics and with changelogs.
func TestSettingsChangeWhileRunning(t *testing.T) {
	t.Parallel()
	blobs := state.NewKeyValueStore("blobs", serde.String, serde.String)
	keep := func(c *Context[string, string], r Record[string, string]) error {
		if err := blobs.In(c).Put(r.Key, r.Value); err != nil {
			return err
		}
		return c.Forward(r.Key, r.Value)
	}
	for _, test := range []struct {
		topic, key, value, cause string
	}{
		{"copies", "max.message.bytes", "5000", `for topic "copies" is above the limit of`},
		{"lowered-again-repartition", "max.message.bytes", "5000", `for topic "lowered-again-repartition" is above the limit of`},
		{"lowered-blobs-changelog", "max.message.bytes", "5000", `raise max.message.bytes of topic "lowered-blobs-changelog"`},
		{"copies", "cleanup.policy", "compact", `"copies", which is compacted`},
		{"copies", "message.timestamp.after.max.ms", "60000", `for topic "copies" lies more than 1m0s after the clock`},
		{"lowered-again-repartition", "message.timestamp.after.max.ms", "60000", `for topic "lowered-again-repartition" lies more than 1m0s after the clock`},
	} {
		for _, g := range []Guarantee{ExactlyOnce, AtLeastOnce} {
			t.Run(strings.Join([]string{test.topic, test.key, []string{"exactly-once", "at-least-once"}[g]}, "/"), func(t *testing.T) {
				t.Parallel()
				c := openCluster(t, Embedded(t.TempDir()))
				createTopics(t, c, 1, "lines", "copies")
				b := NewBuilder("lowered")
				b.From(lines).
					Rekey("again", serde.String, serde.String, func(k, _ string) string { return k }).
					Process("keep", keep, blobs).
					Rekey("nobody", serde.Bytes, serde.String, func(k, _ string) []byte {
						if k == "none" {
							return nil
						}
						return []byte(k)
					}).
					To(NewTopic("copies", serde.Bytes, serde.String))
				topology := build(t, b)
				app, err := NewApp(topology, c, quiet(Config{Guarantee: g}))
				if err != nil {
					t.Fatal(err)
				}
				stop := start(t, app)
				write(t, c, lines, someLines(20, 5)...)
				eventually(t, "the first records are done", func() bool { return committed(t, c, "lowered", "lowered-again-repartition") >= 20 })
				alter(t, c, test.topic, test.key, test.value)
				more := someLines(20, 5)
				bad := &more[19] // the last of its key: what is overwritten before the commit never reaches the changelog
				switch test.key {
				case "cleanup.policy":
					bad.Key = "none"
				case "message.timestamp.after.max.ms":
					bad.Time = time.Now().Add(30 * time.Minute)
				default:
					bad.Value = strings.Repeat("x", 10_000)
				}
				write(t, c, lines, more...)
				eventually(t, "all are done, and the bad one is a dead letter", func() bool {
					if app.Stats().DeadLetters == 0 || committed(t, c, "lowered", "lines") < 40 {
						return false
					}
					// At least once may have written some lines to the repartition topic twice.
					ends, err := c.EndOffsets(t.Context(), "lowered-again-repartition")
					return err == nil && committed(t, c, "lowered", "lowered-again-repartition") >= ends[0]
				})
				if err := stop(); err != nil {
					t.Fatalf("Run returned %v", err)
				}
				dead := read(t, c, NewTopic("lowered-dead-letters", serde.String, serde.String))
				if g == ExactlyOnce && len(dead) != 1 { // at least once what was not committed is repeated
					t.Errorf("%d dead letters, want 1", len(dead))
				}
				for _, d := range dead {
					if d.Key != bad.Key || d.Value != bad.Value {
						t.Errorf("the dead letter has key %q and a value of %d bytes, want the record that does not fit", d.Key, len(d.Value))
					}
					if cause := headerOf(d.Headers, HeaderCause); !strings.Contains(cause, test.cause) {
						t.Errorf("the cause is %q, want %q", cause, test.cause)
					}
				}
				if got := len(read(t, c, NewTopic("copies", serde.Bytes, serde.String))); got < 39 || g == ExactlyOnce && got != 39 {
					t.Errorf("%d outputs, want 39", got)
				}
				// The next run goes on, with the same state.
				stats := runToEnd(t, topology, c, Config{Guarantee: g})
				if stats.Processed != 0 || stats.DeadLetters != 0 {
					t.Errorf("the next run has %+v, want nothing to do", stats)
				}
			})
		}
	}
}

// A topic refuses a batch for the time of one of its records. That one is a dead letter; the others of the request, of the batch
// too, are written, and nothing is tried again.
func TestTimesThatATopicDoesNotTake(t *testing.T) {
	t.Parallel()
	for _, g := range []Guarantee{ExactlyOnce, AtLeastOnce} {
		t.Run([]string{"exactly-once", "at-least-once"}[g], func(t *testing.T) {
			t.Parallel()
			c := openCluster(t, Embedded(t.TempDir()))
			createTopics(t, c, 1, "lines")
			input := lines.EventTime(func(v string) time.Time {
				if v == "far" {
					return time.Now().AddDate(50, 0, 0)
				}
				return time.Now()
			})
			b := NewBuilder("far")
			b.From(input).Rekey("again", serde.String, serde.String, func(k, _ string) string { return k }).Process("count", count, seenStore).To(NewTopic("copies", serde.String, serde.Int64))
			b.From(input).To(NewTopic("straight", serde.String, serde.String))
			all := someLines(20, 5)
			all[10].Value = "far"
			write(t, c, lines, all...)
			stats := runToEnd(t, build(t, b), c, Config{Guarantee: g})
			if stats.Processed != 39 || stats.DeadLetters != 1 || stats.Rewinds != 0 {
				t.Errorf("the run has %+v, want 20 lines and 19 of the repartition topic, one dead letter and no rewind", stats)
			}
			for _, topic := range []string{"copies", "straight"} {
				if n := len(read(t, c, NewTopic(topic, serde.String, serde.Bytes))); n != 19 {
					t.Errorf("%d outputs in %s, want 19", n, topic)
				}
			}
			dead := read(t, c, NewTopic("far-dead-letters", serde.String, serde.String))
			if len(dead) != 1 || dead[0].Value != "far" || headerOf(dead[0].Headers, HeaderStage) != "producing" {
				t.Errorf("dead letters are %+v, want the one record, at the stage producing", dead)
			}
		})
	}
}

// A dead letter that its topic does not take pauses the partition until it does. Nothing is left out.
func TestDeadLetterTooLarge(t *testing.T) {
	t.Parallel()
	c := openCluster(t, Embedded(t.TempDir()))
	createTopics(t, c, 2, "lines")
	b := NewBuilder("huge")
	b.From(lines).TryMap(func(v string) (string, error) {
		if len(v) > 5000 {
			return "", errors.New("too long")
		}
		return v, nil
	}).To(shouts)
	app, err := NewApp(build(t, b), c, quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	app.refusals.pause = 2 * time.Millisecond
	stop := start(t, app)
	write(t, c, lines, someLines(20, 5)...)
	eventually(t, "the first records are done", func() bool { return committed(t, c, "huge", "lines") == 20 })
	alter(t, c, "huge-dead-letters", "max.message.bytes", "5000")
	write(t, c, lines, Record[string, string]{Key: "k", Value: strings.Repeat("x", 10_000)})
	eventually(t, "the task pauses", func() bool { return app.Stats().Paused == 1 })
	if n := app.Stats().DeadLetters; n != 0 {
		t.Errorf("%d dead letters are counted, want none", n)
	}
	alter(t, c, "huge-dead-letters", "max.message.bytes", "100000")
	eventually(t, "it goes on", func() bool { return app.Stats().DeadLetters == 1 && committed(t, c, "huge", "lines") == 21 })
	if err := stop(); err != nil {
		t.Fatalf("Run returned %v", err)
	}
}

// The empty key is a key like any other, in memory, in the changelog and after a restore.
func TestEmptyKeyInAStore(t *testing.T) {
	t.Parallel()
	store := state.NewKeyValueStore("empty", serde.String, serde.Int64)
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "lines")
		define := func() *Topology {
			b := NewBuilder("empty")
			b.From(lines).Process("count", func(c *Context[string, int64], r Record[string, string]) error {
				n, _, err := store.In(c).Get("")
				if err != nil {
					return err
				}
				if err := store.In(c).Put("", n+1); err != nil {
					return err
				}
				return c.Forward(r.Key, n+1)
			}, store).To(counts)
			return build(t, b)
		}
		for run := range 3 { // each restores from the changelog alone
			write(t, c, lines, someLines(10, 3)...)
			runToEnd(t, define(), c, Config{StateDir: t.TempDir()})
			got := read(t, c, counts)
			if want := int64(10 * (run + 1)); len(got) != int(want) || got[want-1].Value != want {
				t.Fatalf("after run %d the counts are %v, want 1 to %d", run, got, want)
			}
		}
	})
}

func headerOf(headers []Header, key string) string {
	for _, h := range headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
