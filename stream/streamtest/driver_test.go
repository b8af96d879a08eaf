package streamtest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

var (
	in     = stream.NewTopic("in", serde.String, serde.Int64)
	out    = stream.NewTopic("out", serde.String, serde.Int64)
	totals = state.NewKeyValueStore("totals", serde.String, serde.Int64).TTL(time.Minute)

	errNegative = errors.New("negative")
)

func sum(c *stream.Context[string, int64], r stream.Record[string, int64]) error {
	if r.Value < 0 {
		return errNegative
	}
	total, _, err := totals.In(c).Get(r.Key)
	if err != nil {
		return err
	}
	return errors.Join(totals.In(c).Put(r.Key, total+r.Value), c.Forward(r.Key, total+r.Value))
}

func topology(t *testing.T) *stream.Topology {
	t.Helper()
	b := stream.NewBuilder("app")
	b.From(in).Process("sum", sum, totals).To(out)
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

func at(second int64) time.Time { return time.Unix(second, 0).UTC() }

func TestPipeAndRead(t *testing.T) {
	t.Parallel()
	d := streamtest.New(t, topology(t))
	header := []stream.Header{{Key: "h", Value: []byte("1")}}
	d.Pipe(in, "a", 1, at(10))
	d.PipeRecord(in, stream.Record[string, int64]{Key: "a", Value: 2, Time: at(20), Headers: header})
	want := []stream.Record[string, int64]{
		{Key: "a", Value: 1, Time: at(10), Topic: "out"},
		{Key: "a", Value: 3, Time: at(20), Topic: "out", Offset: 1, Headers: header},
	}
	if diff := cmp.Diff(want, d.Read(out)); diff != "" {
		t.Errorf("Read (-want +got):\n%s", diff)
	}
	if again := d.Read(out); again != nil {
		t.Errorf("Read again: %v, want nothing", again)
	}
	d.Pipe(in, "b", 5, at(20))
	if diff := cmp.Diff([]int64{5}, d.Values(out)); diff != "" {
		t.Errorf("Values (-want +got):\n%s", diff)
	}
}

// Stores, offsets and stream time survive a restart.
func TestRestart(t *testing.T) {
	t.Parallel()
	d := streamtest.New(t, topology(t))
	d.Pipe(in, "a", 1, at(100))
	d.Pipe(in, "b", 1, at(161)) // a has expired
	d.Restart()
	d.Pipe(in, "a", 5, at(150))
	d.Pipe(in, "b", 2, at(150))
	if diff := cmp.Diff([]int64{1, 1, 5, 3}, d.Values(out)); diff != "" {
		t.Errorf("out (-want +got):\n%s", diff)
	}
	if v, found := d.Get(totals, "b"); v != 3 || !found {
		t.Errorf("b = %d, %t, want 3", v, found)
	}
	if _, found := d.Get(totals, "c"); found {
		t.Error("c is found")
	}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	d := streamtest.New(t, topology(t))
	d.Pipe(in, "a", -1, at(1))
	d.PipeBytes("in", []byte("a"), []byte("xyz"), at(1))
	var got []string
	for _, l := range d.DeadLetters() {
		got = append(got, fmt.Sprintf("%s@%d %s %q=%x %t", l.Topic, l.Offset, l.Node, l.Key, l.Value, errors.Is(l.Cause, errNegative)))
	}
	want := []string{`in@0 sum "a"=ffffffffffffffff true`, `in@1 in "a"=78797a false`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}

// What a test does not ask for, or cannot have, fails it.
func TestDriverFailsTheTest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		do   func(d *streamtest.Driver)
		want string
	}{
		{"dead letter", func(d *streamtest.Driver) { d.Pipe(in, "a", -1, at(1)) }, `dead letter in@0, node "sum": negative`},
		{"no reader", func(d *streamtest.Driver) { d.Pipe(out, "a", 1, at(1)) }, "pipe to out: the topology does not read it"},
		{"no store", func(d *streamtest.Driver) {
			d.Get(state.NewKeyValueStore("other", serde.String, serde.String), "k")
		}, `store "other"`},
		{"wrong type", func(d *streamtest.Driver) {
			d.Pipe(in, "a", 1, at(1))
			d.Read(stream.NewTopic("out", serde.String, serde.Int32))
		}, "read out: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{T: t}
			func() {
				defer func() {
					if p := recover(); p != nil && p != f {
						panic(p)
					}
				}()
				test.do(streamtest.New(f, topology(t)))
			}()
			for _, cleanup := range f.cleanups {
				cleanup()
			}
			if got := strings.Join(f.messages, "\n"); !strings.Contains(got, test.want) {
				t.Errorf("messages %q, want %q", got, test.want)
			}
		})
	}
}

// fake is a test that keeps what is reported to it, and panics with itself when it is told to end.
type fake struct {
	*testing.T
	messages []string
	cleanups []func()
}

func (f *fake) Cleanup(do func()) { f.cleanups = append(f.cleanups, do) }
func (f *fake) Errorf(format string, args ...any) {
	f.messages = append(f.messages, fmt.Sprintf(format, args...))
}

func (f *fake) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	panic(f)
}
