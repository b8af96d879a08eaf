package stream

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
)

var towns = NewTopic("towns", serde.String, serde.String)

// located joins each line with the town that it names.
func located(t testing.TB) *Topology {
	b := NewBuilder("located")
	b.From(lines).LeftJoinGlobal(b.GlobalTable(towns), func(_, line string) string { return line },
		func(line string, town Optional[string]) string { return line + " " + town.Value }).To(shouts)
	return build(t, b)
}

// Every row is there before the first record is processed, of all partitions, and later ones follow.
func TestGlobalTable(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 3, "towns")
		createTopics(t, c, 2, "lines", "shouts")
		var rows []Record[string, string]
		for _, k := range []string{"a", "b", "c", "d", "e", "f"} {
			rows = append(rows, Record[string, string]{Key: k, Value: "old"}, Record[string, string]{Key: k, Value: "town-" + k})
		}
		write(t, c, towns, rows...)
		write(t, c, lines, Record[string, string]{Key: "1", Value: "a"}, Record[string, string]{Key: "1", Value: "f"}, Record[string, string]{Key: "1", Value: "x"})
		runToEnd(t, located(t), c, Config{})
		if diff := cmp.Diff(map[string][]string{"1": {"a town-a", "f town-f", "x "}}, byKey(read(t, c, shouts))); diff != "" {
			t.Fatalf("shouts (-want +got):\n%s", diff)
		}

		app, err := NewApp(located(t), c, quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- app.Run(ctx) }()
		write(t, c, towns, Record[string, string]{Key: "x", Value: "late"})
		for last := ""; last != "x late" && ctx.Err() == nil; {
			write(t, c, lines, Record[string, string]{Key: "1", Value: "x"})
			if shouted := byKey(read(t, c, shouts))["1"]; len(shouted) > 0 {
				last = shouted[len(shouted)-1]
			}
		}
		if ctx.Err() != nil {
			t.Error("the table does not follow its topic")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What cannot work is refused, with the remedy.
func TestGlobalTableRefused(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	createTopics(t, c, 1, "lines")
	run := func(cfg Config) error {
		cfg.StopAtEnd = true
		app, err := NewApp(located(t), c, quiet(cfg))
		if err != nil {
			t.Fatal(err)
		}
		return app.Run(t.Context())
	}
	if err := run(Config{}); err == nil || !strings.Contains(err.Error(), "the topic of global table towns does not exist: riffle topic create towns --partitions N") {
		t.Errorf("without its topic: %v", err)
	}
	createTopics(t, c, 1, "towns")
	write(t, c, towns, Record[string, string]{Key: "a", Value: strings.Repeat("long", 100)})
	if err := run(Config{MaxGlobalBytes: 100}); err == nil || !strings.Contains(err.Error(), "more than 100 bytes of memory: raise Config.MaxGlobalBytes, or use a Table for topic towns") {
		t.Errorf("above the limit: %v", err)
	}
}
