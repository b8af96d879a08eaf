package streamtest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// What a wall-clock punctuation sends has stream time as its time, and what it stores is there for the next record.
func TestWallClock(t *testing.T) {
	t.Parallel()
	count := func(c *stream.Context[string, int64], r stream.Record[string, int64]) error {
		return totals.In(c).Put(r.Key, r.Value)
	}
	report := func(c *stream.Context[string, int64], at time.Time) error {
		for e, err := range totals.In(c).All() {
			if err != nil {
				return err
			}
			if err := c.Forward(e.Key, e.Value); err != nil {
				return err
			}
		}
		return c.Forward("at", at.Unix())
	}
	b := stream.NewBuilder("app")
	b.From(in).ProcessWith("report", stream.OnRecord(count).PunctuateWallClock(10*time.Second, report), totals).To(out)
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	d := streamtest.New(t, topology)
	d.Pipe(in, "a", 1, at(100))
	d.AdvanceWallClock(9 * time.Second)
	d.Pipe(in, "b", 2, at(120))
	d.Advance(at(130))
	if early := d.Read(out); len(early) > 0 {
		t.Fatalf("sent before its time: %v", early)
	}
	d.AdvanceWallClock(time.Second)
	d.AdvanceWallClock(25 * time.Second) // two are missed, and one comes
	d.AdvanceWallClock(5 * time.Second)
	var want []stream.Record[string, int64]
	for _, now := range []int64{10, 35, 40} {
		for _, r := range []stream.Record[string, int64]{{Key: "a", Value: 1}, {Key: "b", Value: 2}, {Key: "at", Value: now}} {
			r.Time, r.Topic, r.Offset = at(130), "out", int64(len(want))
			want = append(want, r)
		}
	}
	if diff := cmp.Diff(want, d.Read(out)); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}
