package stream_test

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
	"github.com/riffle-stream/riffle/stream/internal/task"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

var (
	lines  = stream.NewTopic("lines", serde.String, serde.String)
	words  = stream.NewTopic("words", serde.String, serde.String)
	others = stream.NewTopic("others", serde.String, serde.String)
	counts = stream.NewTopic("counts", serde.String, serde.Int64)

	totals = state.NewKeyValueStore("totals", serde.String, serde.Int64)
)

// at returns the event time that lies n seconds after the start of the test's time.
func at(n int) time.Time { return time.Unix(1_000_000+int64(n), 0).UTC() }

// build fails the test if the topology has mistakes.
func build(t testing.TB, define func(b *stream.Builder)) *stream.Topology {
	t.Helper()
	b := stream.NewBuilder("app")
	define(b)
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

// count is a processor that sends how often it has seen a key.
func count(c *stream.Context[string, int64], r stream.Record[string, string]) error {
	n, _, err := totals.In(c).Get(r.Key)
	if err != nil {
		return err
	}
	if err := totals.In(c).Put(r.Key, n+1); err != nil {
		return err
	}
	return c.Forward(r.Key, n+1)
}

// TestOperators has one row for each operator: lines go in, words come out.
func TestOperators(t *testing.T) {
	t.Parallel()
	type S = stream.Stream[string, string]
	type R = stream.Record[string, string]
	short := func(s string) bool { return len(s) < 3 }
	errLong := errors.New("too long")
	upper := func(s string) (string, error) {
		if !short(s) {
			return "", errLong
		}
		return strings.ToUpper(s), nil
	}
	tests := []struct {
		name string
		op   func(S) S
		in   []string
		want []string
		dead string // the node where one of the records fails
	}{
		{"Filter", func(s S) S { return s.Filter(short) }, []string{"a", "long", "b"}, []string{"a", "b"}, ""},
		{"FilterRecord", func(s S) S { return s.FilterRecord(func(r R) bool { return r.Offset == 1 }) }, []string{"a", "b"}, []string{"b"}, ""},
		{"TryFilter", func(s S) S {
			return s.TryFilter(func(s string) (bool, error) {
				if s == "bad" {
					return true, errLong
				}
				return short(s), nil
			})
		}, []string{"a", "bad", "long", "b"}, []string{"a", "b"}, "lines-filter-1"},
		{"Map", func(s S) S { return s.Map(strings.ToUpper) }, []string{"a"}, []string{"A"}, ""},
		{"MapRecord", func(s S) S {
			return s.MapRecord(func(r R) string { return fmt.Sprint(r.Key, r.Value, r.Time.Unix(), r.Topic, r.Partition, r.Offset) })
		}, []string{"a"}, []string{"ka1000000lines0 0"}, ""},
		{"TryMap", func(s S) S { return s.TryMap(upper) }, []string{"a", "long", "b"}, []string{"A", "B"}, "lines-map-1"},
		{"FlatMap", func(s S) S { return s.FlatMap(strings.Fields) }, []string{"a b", "", "c"}, []string{"a", "b", "c"}, ""},
		{"FlatMapRecord", func(s S) S {
			return s.FlatMapRecord(func(r R) []string { return []string{r.Key, r.Value} })
		}, []string{"a"}, []string{"k", "a"}, ""},
		{"TryFlatMap", func(s S) S {
			return s.TryFlatMap(func(s string) ([]string, error) {
				return strings.Fields(s), map[bool]error{true: errLong}[s == "a bad"]
			})
		}, []string{"a b", "a bad", "c"}, []string{"a", "b", "c"}, "lines-flatmap-1"},
		{"Branch", func(s S) S {
			yes, no := s.Branch(short)
			return no.Map(strings.ToUpper).Merge(yes)
		}, []string{"a", "long"}, []string{"a", "LONG"}, ""},
		{"Merge", func(s S) S { return s.Merge(s.Filter(short), s.Map(strings.ToUpper)) }, []string{"a", "long"}, []string{"a", "A", "a", "LONG", "long"}, ""},
		{"Process", func(s S) S {
			return s.Process("twice", func(c *stream.Context[string, string], r R) error {
				return errors.Join(c.Forward(r.Key, r.Value), c.Forward(r.Key, r.Value))
			})
		}, []string{"a"}, []string{"a", "a"}, ""},
		{"Rekey", func(s S) S {
			return s.Rekey("same", serde.String, serde.String, func(k, v string) string { return v }).
				MapRecord(func(r R) string { return r.Key + "=" + r.Value })
		}, []string{"a"}, []string{"a=a"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := streamtest.New(t, build(t, func(b *stream.Builder) { test.op(b.From(lines)).To(words) }))
			for i, line := range test.in {
				d.Pipe(lines, "k", line, at(i))
			}
			if diff := cmp.Diff(test.want, d.Values(words)); diff != "" {
				t.Errorf("words (-want +got):\n%s", diff)
			}
			dead := ""
			for _, l := range d.DeadLetters() {
				dead += l.Node
				if !errors.Is(l.Cause, errLong) {
					t.Errorf("dead letter of %s: %v, want %v", l.Node, l.Cause, errLong)
				}
			}
			if dead != test.dead {
				t.Errorf("dead letters of %q, want %q", dead, test.dead)
			}
		})
	}
}

func TestPeek(t *testing.T) {
	t.Parallel()
	var seen []string
	d := streamtest.New(t, build(t, func(b *stream.Builder) {
		b.From(lines).
			Peek(func(v string) { seen = append(seen, v) }).
			PeekRecord(func(r stream.Record[string, string]) { seen = append(seen, r.Key) })
	}))
	d.Pipe(lines, "k", "v", at(0))
	if diff := cmp.Diff([]string{"v", "k"}, seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
}

// A record keeps its key, time, headers and origin through every operator that does not say otherwise.
func TestMetadataPassesOperators(t *testing.T) {
	t.Parallel()
	var got []stream.Record[string, string]
	d := streamtest.New(t, build(t, func(b *stream.Builder) {
		yes, no := b.From(lines).
			Filter(func(string) bool { return true }).
			Map(strings.ToUpper).
			FlatMap(func(s string) []string { return []string{s} }).
			Process("forward", func(c *stream.Context[string, string], r stream.Record[string, string]) error {
				return c.Forward(r.Key, r.Value)
			}).
			Rekey("other", serde.String, serde.String, func(k, v string) string { return k + v }).
			Branch(func(string) bool { return false })
		yes.Merge(no).
			PeekRecord(func(r stream.Record[string, string]) { got = append(got, r) }).
			To(words)
	}))
	headers := []stream.Header{{Key: "trace", Value: []byte("7")}, {Key: "null"}}
	d.Pipe(lines, "k", "first", at(0))
	d.PipeRecord(lines, stream.Record[string, string]{Key: "k", Value: "v", Time: at(5), Headers: headers})
	want := stream.Record[string, string]{Key: "kV", Value: "V", Time: at(5), Headers: headers, Topic: "lines", Offset: 1}
	if diff := cmp.Diff(want, got[1]); diff != "" {
		t.Errorf("at the end (-want +got):\n%s", diff)
	}
	want.Topic = "words"
	if diff := cmp.Diff(want, d.Read(words)[1]); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
}

func TestForwardRecord(t *testing.T) {
	t.Parallel()
	send := stream.Record[string, string]{}
	d := streamtest.New(t, build(t, func(b *stream.Builder) {
		b.From(lines).Process("send", func(c *stream.Context[string, string], r stream.Record[string, string]) error {
			return c.ForwardRecord(send)
		}).To(words)
	}))
	headers := []stream.Header{{Key: "h"}}
	in := stream.Record[string, string]{Key: "k", Value: "v", Time: at(5), Headers: headers}

	send = stream.Record[string, string]{Key: "a", Value: "b"}
	d.PipeRecord(lines, in)
	send = stream.Record[string, string]{Key: "a", Value: "b", Time: at(7).Add(time.Microsecond), Headers: headers}
	d.PipeRecord(lines, in)
	want := []stream.Record[string, string]{
		{Key: "a", Value: "b", Time: at(5), Topic: "words"},
		{Key: "a", Value: "b", Time: at(7), Headers: headers, Topic: "words", Offset: 1},
	}
	if diff := cmp.Diff(want, d.Read(words)); diff != "" {
		t.Errorf("words (-want +got):\n%s", diff)
	}

	send.Time = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)
	d.PipeRecord(lines, in)
	if dead := d.DeadLetters(); len(dead) != 1 || dead[0].Node != "send" {
		t.Errorf("a record of 1969: dead letters %+v, want one of send", dead)
	}
}

func TestEventTime(t *testing.T) {
	t.Parallel()
	timed := lines.EventTime(func(v string) time.Time {
		at, _ := time.Parse(time.RFC3339Nano, v)
		return at
	})
	var stamps []time.Time
	d := streamtest.New(t, build(t, func(b *stream.Builder) {
		b.From(timed).Process("times", func(c *stream.Context[string, string], r stream.Record[string, string]) error {
			stamps = append(stamps, r.Time, c.RecordTime(), c.StreamTime())
			return c.Forward(r.Key, r.Value)
		}).To(words)
	}))
	early, late := "2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:06Z"
	d.Pipe(lines, "k", late, at(0))
	d.Pipe(lines, "k", early, at(0))
	first, _ := time.Parse(time.RFC3339Nano, "2026-01-02T03:04:05.123Z") // the log has milliseconds
	second, _ := time.Parse(time.RFC3339Nano, late)
	if diff := cmp.Diff([]time.Time{second, second, second, first, first, second}, stamps); diff != "" {
		t.Errorf("record, context and stream time (-want +got):\n%s", diff)
	}
	if got := d.Read(words)[1].Time; !got.Equal(first) {
		t.Errorf("the output is stamped %v, want %v", got, first)
	}
	d.Pipe(lines, "k", "no time", at(0))
	if dead := d.DeadLetters(); len(dead) != 1 || dead[0].Node != "lines" {
		t.Errorf("a value without a time: dead letters %+v, want one of the source", dead)
	}
}

// What a record without a key, or without a value, turns into.
func TestNull(t *testing.T) {
	t.Parallel()
	raw := stream.NewTopic("raw", serde.Bytes, serde.Bytes)
	rawOut := stream.NewTopic("raw-out", serde.Bytes, serde.Bytes)
	processed := stream.NewTopic("processed", serde.String, serde.String)
	d := streamtest.New(t, build(t, func(b *stream.Builder) {
		in := b.From(lines)
		in.Map(strings.ToUpper).To(words)
		in.Process("forward", func(c *stream.Context[string, string], r stream.Record[string, string]) error {
			return c.Forward(r.Key, r.Value)
		}).To(processed)
		b.From(raw).Filter(func([]byte) bool { return true }).To(rawOut)
	}))
	d.PipeBytes("lines", nil, []byte("v"), at(0))
	d.PipeBytes("lines", []byte{}, []byte("v"), at(0))
	d.PipeBytes("lines", []byte("k"), nil, at(0))
	if dead := d.DeadLetters(); len(dead) != 1 || dead[0].Offset != 2 {
		t.Errorf("dead letters %+v, want the record without a value, which a string cannot express", dead)
	}
	for _, r := range [][2][]byte{{nil, nil}, {{}, {}}, {[]byte("k"), nil}, {nil, []byte("v")}} {
		d.PipeBytes("raw", r[0], r[1], at(0))
	}
	// Null and empty are not the same, and each comes out as it went in.
	bytesOf := func(topic string) (got []string) {
		for _, r := range d.ReadBytes(topic) {
			got = append(got, fmt.Sprintf("%#v %#v", string(r.Key), r.Key == nil)+fmt.Sprintf(" %#v %#v", string(r.Value), r.Value == nil))
		}
		return got
	}
	if diff := cmp.Diff([]string{`"" true "V" false`, `"" false "V" false`}, bytesOf("words")); diff != "" {
		t.Errorf("words (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`"" false "v" false`, `"" false "v" false`}, bytesOf("processed")); diff != "" {
		t.Errorf("processed (-want +got):\n%s", diff)
	}
	want := []string{`"" true "" true`, `"" false "" false`, `"k" false "" true`, `"" true "v" false`}
	if diff := cmp.Diff(want, bytesOf("raw-out")); diff != "" {
		t.Errorf("raw-out (-want +got):\n%s", diff)
	}
}

// A record that fails anywhere leaves no trace: not in the branches before, not in the stores.
func TestFailedRecordLeavesNoTrace(t *testing.T) {
	t.Parallel()
	errOdd := errors.New("odd")
	tests := []struct {
		name string
		fail func(n int64) error
		// what becomes of the error between where it happens and the source
		pass func(error) error
		node string
	}{
		{"error", func(int64) error { return errOdd }, func(err error) error { return err }, "check"},
		{"panic", func(int64) error { panic(errOdd) }, func(err error) error { return err }, "check"},
		{"swallowed", func(int64) error { return errOdd }, func(error) error { return nil }, "check"},
		{"replaced", func(int64) error { return errOdd }, func(err error) error {
			if err != nil {
				err = errors.New("something else")
			}
			return err
		}, "check"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := streamtest.New(t, build(t, func(b *stream.Builder) {
				in := b.From(lines)
				in.To(words)
				in.Process("count", func(c *stream.Context[string, int64], r stream.Record[string, string]) error {
					return test.pass(count(c, r))
				}, totals).Process("check", func(c *stream.Context[string, int64], r stream.Record[string, int64]) error {
					if r.Value%2 == 1 && r.Offset == 2 {
						return test.fail(r.Value)
					}
					return c.Forward(r.Key, r.Value)
				}).To(counts)
				in.To(others)
			}))
			for i := range 5 {
				d.Pipe(lines, "k", fmt.Sprint(i), at(i))
			}
			if diff := cmp.Diff([]string{"0", "1", "3", "4"}, d.Values(words)); diff != "" {
				t.Errorf("in the branch before (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"0", "1", "3", "4"}, d.Values(others)); diff != "" {
				t.Errorf("in the branch after (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]int64{1, 2, 3, 4}, d.Values(counts)); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			dead := d.DeadLetters()
			if len(dead) != 1 || dead[0].Offset != 2 || dead[0].Node != test.node || !errors.Is(dead[0].Cause, errOdd) {
				t.Errorf("dead letters %+v, want record 2, node %s, cause %v", dead, test.node, errOdd)
			}
			var p *task.PanicError
			if errors.As(dead[0].Cause, &p) != (test.name == "panic") {
				t.Errorf("cause %v is a panic: %t", dead[0].Cause, p != nil)
			}
		})
	}
}

func TestOutputThatDoesNotEncode(t *testing.T) {
	t.Parallel()
	errEncode := errors.New("not encodable")
	broken := serde.String
	broken.Encode = func(dst []byte, v string) ([]byte, error) {
		if v == "bad" {
			return dst, errEncode
		}
		return append(dst, v...), nil
	}
	forgetful := serde.String // returns the value alone, not dst with the value appended
	forgetful.Encode = func(_ []byte, v string) ([]byte, error) { return []byte(v), nil }
	out := stream.NewTopic("out", serde.String, broken)
	lost := stream.NewTopic("lost", serde.String, forgetful)
	d := streamtest.New(t, build(t, func(b *stream.Builder) {
		in := b.From(lines)
		in.To(words)
		in.To(out)
		in.Filter(func(s string) bool { return s == "" }).To(lost)
	}))
	d.Pipe(lines, "k", "bad", at(0))
	d.Pipe(lines, "k", "good", at(0))
	d.Pipe(lines, "k", "", at(0))
	dead := d.DeadLetters()
	if len(dead) != 2 || dead[0].Node != "out" || !errors.Is(dead[0].Cause, errEncode) || dead[1].Node != "lost" {
		t.Errorf("dead letters %+v, want one of out and one of lost", dead)
	}
	if diff := cmp.Diff([]string{"good"}, d.Values(words)); diff != "" {
		t.Errorf("words (-want +got):\n%s", diff)
	}
}

// Rekey moves records between tasks only if a store needs it, and the count is then by the new key.
func TestRekeyRepartitions(t *testing.T) {
	t.Parallel()
	d := streamtest.New(t, build(t, func(b *stream.Builder) {
		b.From(lines).
			FlatMap(strings.Fields).
			Rekey("by-word", serde.String, serde.String, func(_, word string) string { return word }).
			Process("count", count, totals).
			To(counts)
	}))
	d.Pipe(lines, "k1", "a rose is a rose", at(0))
	d.Pipe(lines, "k2", "is it", at(1))
	got := make(map[string]int64)
	for _, r := range d.Read(counts) {
		got[r.Key] = r.Value
		if r.Time != at(0) && r.Time != at(1) {
			t.Errorf("%s is stamped %v", r.Key, r.Time)
		}
	}
	if diff := cmp.Diff(map[string]int64{"a": 2, "rose": 2, "is": 2, "it": 1}, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]state.Entry[string, int64]{{Key: "a", Value: 2}, {Key: "is", Value: 2}, {Key: "it", Value: 1}, {Key: "rose", Value: 2}}, d.Entries(totals)); diff != "" {
		t.Errorf("store (-want +got):\n%s", diff)
	}
	if n := len(d.ReadBytes("app-by-word-repartition")); n != 7 {
		t.Errorf("%d records in the repartition topic, want 7", n)
	}
}

// A topic that the topology writes and reads is two steps of one way.
func TestThroughTopic(t *testing.T) {
	t.Parallel()
	d := streamtest.New(t, build(t, func(b *stream.Builder) {
		b.From(lines).Map(strings.ToUpper).To(words)
		b.From(words).Map(func(s string) string { return s + "!" }).To(others)
	}))
	d.Pipe(lines, "k", "a", at(0))
	if diff := cmp.Diff([]string{"A!"}, d.Values(others)); diff != "" {
		t.Errorf("others (-want +got):\n%s", diff)
	}
}

func TestUndeclaredStoreStopsTheTask(t *testing.T) {
	t.Parallel()
	topology := build(t, func(b *stream.Builder) { b.From(lines).Process("count", count).To(counts) })
	f := &failNow{TB: t}
	d := streamtest.New(f, topology)
	func() {
		defer func() { _ = recover() }()
		d.Pipe(lines, "k", "v", at(0))
	}()
	var unknown *state.UnknownStoreError
	if !errors.As(f.err, &unknown) || !strings.Contains(f.err.Error(), `node "count"`) {
		t.Errorf("the driver failed with %v, want an UnknownStoreError that names the node", f.err)
	}
}

// failNow is a test that panics with the error it is stopped by.
type failNow struct {
	testing.TB
	err error
}

func (f *failNow) Fatalf(_ string, args ...any) {
	f.err, _ = args[0].(error)
	panic(f.err)
}
