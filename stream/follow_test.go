package stream

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
)

// What is there at the beginning comes first, as far back as asked for, then what is written while the loop runs.
func TestFollow(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 1, "things")
		things := NewTopic("things", serde.String, serde.Int64)
		for i := range int64(5) {
			write(t, c, things, Record[string, int64]{Key: "k", Value: i})
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []string
		for r, err := range c.Follow(ctx, things, 2) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%d@%d", r.Value, r.Offset))
			switch r.Value {
			case 4:
				write(t, c, things, Record[string, int64]{Key: "k", Value: 5}, Record[string, int64]{Key: "k", Value: 6})
			case 6:
				cancel()
			}
		}
		if diff := cmp.Diff([]string{"3@3", "4@4", "5@5", "6@6"}, got); diff != "" {
			t.Errorf("followed (-want +got)\n%s", diff)
		}
	})
}

// A record that cannot be decoded does not end the loop; an unknown topic does.
func TestFollowErrors(t *testing.T) {
	t.Parallel()
	c := Embedded(t.TempDir())
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	createTopics(t, c, 1, "things")
	write(t, c, NewTopic("things", serde.String, serde.String), Record[string, string]{Key: "k", Value: "no number"})
	write(t, c, NewTopic("things", serde.String, serde.Int64), Record[string, int64]{Key: "k", Value: 1})
	bad := 0
	for r, err := range c.Follow(t.Context(), NewTopic("things", serde.String, serde.Int64), 10) {
		if err != nil {
			if bad++; r.Topic != "things" || r.Offset != 0 {
				t.Fatalf("the error %v is about %s/%d", err, r.Topic, r.Offset)
			}
			continue
		}
		break
	}
	if bad != 1 {
		t.Errorf("%d errors, want 1", bad)
	}
	for _, err := range c.Follow(t.Context(), NewTopic("nothing", serde.String, serde.Int64), 0) {
		if !errors.Is(err, ErrUnknownTopic) {
			t.Errorf("an unknown topic: %v", err)
		}
	}
}
