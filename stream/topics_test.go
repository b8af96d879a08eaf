package stream

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// describe returns the partitions of the topics that exist.
func describe(t *testing.T, c *Cluster, names ...string) map[string]int32 {
	t.Helper()
	partitions := make(map[string]int32)
	err := c.administer(t.Context(), func(admin *client.Admin) error {
		found, err := admin.Topics(t.Context(), names...)
		for name, topic := range found {
			partitions[name] = topic.Partitions
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return partitions
}

// topicID returns the id of a topic.
func topicID(t *testing.T, c *Cluster, name string) (id [16]byte) {
	t.Helper()
	err := c.administer(t.Context(), func(admin *client.Admin) error {
		found, err := admin.Topics(t.Context(), name)
		id = found[name].ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestInternalTopics(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 3, "lines")
		createTopics(t, c, 5, "others")
		others := NewTopic("others", serde.String, serde.String)
		// Two sub-topologies over a repartition topic. The upper one is as wide as its widest input, the lower
		// one as what it reads.
		b := NewBuilder("wide")
		b.From(lines).Merge(b.From(others)).
			Rekey("by-value", serde.String, serde.String, func(_, v string) string { return v }).
			Process("count", count, seenStore).To(counts)
		runToEnd(t, build(t, b), c, Config{})

		// A repartition topic that is read together with a given one has its number of partitions.
		b = NewBuilder("joined")
		b.From(others).Rekey("by-value", serde.String, serde.String, func(_, v string) string { return v }).
			Merge(b.From(lines)).
			Process("count", count, seenStore).To(counts)
		runToEnd(t, build(t, b), c, Config{})

		names := []string{
			"counts", "wide-by-value-repartition", "wide-seen-changelog", "wide-dead-letters",
			"joined-by-value-repartition", "joined-seen-changelog", "joined-dead-letters",
		}
		want := map[string]int32{
			"counts": 5, "wide-by-value-repartition": 5, "wide-seen-changelog": 5, "wide-dead-letters": 1,
			"joined-by-value-repartition": 3, "joined-seen-changelog": 3, "joined-dead-letters": 1,
		}
		if diff := cmp.Diff(want, describe(t, c, names...)); diff != "" {
			t.Errorf("partitions (-want +got):\n%s", diff)
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	createTopics(t, c, 2, "lines", "refused-seen-changelog")
	createTopics(t, c, 4, "others", "mixed-lines", "moved-seen-changelog")
	others := NewTopic("others", serde.String, serde.String)

	for _, tt := range []struct {
		name  string
		build func(b *Builder)
		want  []string
	}{
		{
			name: "missing-source",
			build: func(b *Builder) {
				b.From(NewTopic("nowhere", serde.String, serde.String)).To(shouts)
				b.From(NewTopic("nothing", serde.String, serde.String)).To(shouts)
			},
			want: []string{
				"application missing-source: ",
				"source topic nowhere does not exist: riffle topic create nowhere --partitions N",
				"source topic nothing does not exist: riffle topic create nothing --partitions N",
			},
		},
		{
			name: "uneven",
			build: func(b *Builder) {
				b.From(lines).Merge(b.From(others)).Process("count", count, seenStore).To(counts)
			},
			want: []string{"sub-topology 0 keeps state over topics with different numbers of partitions (lines has 2, others has 4)", "Rekey"},
		},
		{
			name: "moved",
			build: func(b *Builder) {
				b.From(lines).Process("count", count, seenStore).To(counts)
			},
			want: []string{"changelog topic moved-seen-changelog has 4 partitions, but its 2 tasks need 2", "rename the application, to begin anew"},
		},
	} {
		b := NewBuilder(tt.name)
		tt.build(b)
		app, err := NewApp(build(t, b), c, quiet(Config{StopAtEnd: true}))
		if err != nil {
			t.Fatal(err)
		}
		err = app.Run(t.Context())
		if err == nil {
			t.Errorf("%s: Run returned no error", tt.name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %q", tt.name, err, want)
			}
		}
		if err := app.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "once") {
			t.Errorf("%s: second Run returned %v", tt.name, err)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	_, err := NewApp(shout(t), Embedded(t.TempDir()), Config{Workers: -1, MaxPollRecords: -5, Backend: state.NewMemory()})
	if err == nil {
		t.Fatal("NewApp took a negative number of workers")
	}
	for _, want := range []string{"Config.Workers is -1", "Config.MaxPollRecords is -5"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if _, err := NewApp(nil, nil, Config{}); err == nil {
		t.Error("NewApp took no topology")
	}
	if err := (&Cluster{}).Open(t.Context()); err == nil {
		t.Error("Open took a cluster that is nowhere")
	}
}
