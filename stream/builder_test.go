package stream_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/window"
)

func forward(c *stream.Context[string, string], r stream.Record[string, string]) error {
	return c.Forward(r.Key, r.Value)
}

func both(l, r string) string { return l + r }

func left(l string, r stream.Optional[string]) string { return l + r.Value }

// Each row makes one mistake, and Build has one sentence for it.
func TestBuildMistakes(t *testing.T) {
	t.Parallel()
	var noSerde serde.Serde[string]
	errSchema := errors.New("no schema")
	badSerde := serde.String
	badSerde.Err = errSchema
	tests := []struct {
		name   string
		define func(b *stream.Builder)
		want   []string
	}{
		{"nothing", func(*stream.Builder) {}, []string{"stream: the topology reads no topic: start it with From"}},
		{"nil functions", func(b *stream.Builder) {
			s := b.From(lines)
			s.Filter(nil).To(words)
			s.TryMap[string](nil).To(words)
			s.FlatMapRecord[string](nil).To(words)
			s.PeekRecord(nil)
			yes, _ := s.Branch(nil)
			yes.To(words)
			s.Rekey("rekey", serde.String, serde.String, (func(string, string) string)(nil)).To(words)
			s.Process[string, string]("process", nil)
		}, []string{
			`stream: filter "lines-filter-1": the function is nil`,
			`stream: map "lines-map-1": the function is nil`,
			`stream: flatmap "lines-flatmap-1": the function is nil`,
			`stream: peek "lines-peek-1": the function is nil`,
			`stream: branch "lines-branch-1": the function is nil`,
			`stream: rekey "rekey": the function is nil`,
			`stream: process "process": the function is nil`,
		}},
		{"no names", func(b *stream.Builder) {
			b.From(stream.NewTopic("", serde.String, serde.String)).
				Process("", forward).
				Rekey("", serde.String, serde.String, func(k, _ string) string { return k }).
				To(words)
		}, []string{
			`stream: process below "-from-1" has no name`,
			`stream: rekey below "-process-1" has no name`,
			`stream: from: the topic's name "" is empty`,
		}},
		{"serdes", func(b *stream.Builder) {
			b.From(stream.NewTopic("in", noSerde, serde.String)).
				Rekey("by", serde.String, noSerde, func(k, _ string) string { return k }).
				To(stream.NewTopic("out", serde.String, badSerde))
		}, []string{
			`stream: from: topic "in": key: serde: "" has no Encode or no Decode function`,
			`stream: rekey "by": value: serde: "" has no Encode or no Decode function`,
			`stream: to: topic "out": value: no schema`,
		}},
		{"two definitions of a topic", func(b *stream.Builder) {
			b.From(lines).To(stream.NewTopic("words", serde.String, serde.String))
			b.From(stream.NewTopic("lines", serde.String, serde.Bytes)).To(stream.NewTopic("words", serde.String, serde.JSON[[]byte]()))
		}, []string{
			`stream: topic "lines" is defined twice, as string string, string string and as string string, []uint8 bytes: use one definition`,
			`stream: topic "words" is defined twice, as string string, string string and as string string, []uint8 ` + serde.JSON[[]byte]().Name + `: use one definition`,
		}},
		{"event time", func(b *stream.Builder) {
			b.From(lines).To(words)
			b.From(lines.EventTime(func(string) time.Time { return time.Time{} })).To(words)
		}, []string{`stream: from: topic "lines" is defined with an event time and without: use one definition`}},
		{"builders", func(b *stream.Builder) {
			other := stream.NewBuilder("other")
			b.From(lines).Merge(other.From(words), stream.Stream[string, string]{}).To(others)
		}, []string{
			`stream: merge of "lines": a stream of another builder`,
			`stream: merge of "lines": a stream of no builder`,
		}},
		{"tables", func(b *stream.Builder) {
			b.From(lines).To(words)
			b.Table(lines)
			b.Table(others)
			b.TableIn(others, textStore("elsewhere"))
			b.From(words).Reduce(textStore("last"), nil)
			b.Table(others).Rekey("", serde.String, noSerde, (func(string, string) string)(nil)).
				Reduce(textStore("last"), func(a, _ string) string { return a }, nil)
			b.From(words).Cogroup((func(a, v string) string)(nil)).
				With(stream.NewBuilder("other").From(words), func(a, _ string) string { return a }).
				Aggregate(textStore("cogroup"))
		}, []string{
			`stream: topic "lines" is read as a stream and as a table, and its value type string has no room for a tombstone: take the stream from the table (Table.Stream)`,
			`stream: table "others": its topic is kept in store "others" and in store "elsewhere": a topic is one table`,
			`stream: reduce "last": the function is nil`,
			`stream: rekey below "others" has no name`,
			`stream: rekey "": the function is nil`,
			`stream: rekey "": value: serde: "" has no Encode or no Decode function`,
			`stream: reduce "last": the function is nil`,
			`stream: cogroup of "words": a stream of another builder`,
			`stream: cogroup "cogroup": the function is nil`,
			`stream: two steps have the name "last" (reduce and reduce): a name stands for one step`,
		}},
		{"joins", func(b *stream.Builder) {
			other := stream.NewBuilder("other")
			var none stream.Table[string, string]
			quoted := serde.String
			quoted.Name = "quoted"
			b.From(lines).Join[string, string](b.Table(words), nil).To(others)
			b.From(lines).LeftJoin(other.Table(words), left).To(others)
			matched := state.NewJoinStore("matched", serde.String, serde.String, serde.String)
			b.From(lines).JoinStream(b.From(others), window.Between(time.Second, -time.Minute).Grace(-1), matched, (func(l, r string) string)(nil))
			b.From(lines).JoinStream(other.From(words), window.Within(0).Grace(0), matched, both).To(others)
			computed := b.Table(words).Map(func(v string) string { return v })
			computed.JoinForeign(other.Table(words), func(v string) string { return v }, textStore("foreign"), both)
			computed.JoinForeign(b.Table(words), (func(string) string)(nil), textStore("foreign"), both)
			b.GlobalTable(stream.NewTopic("unused", serde.String, serde.String))
			b.From(lines).JoinGlobal(b.GlobalTable(words), nil, both).To(others)
			b.From(lines).JoinGlobal(other.GlobalTable(words), both, both).To(others)
			b.Table(words).LeftJoin(none, left).To(others)
			b.Table(words).Join(b.Table(stream.NewTopic("quoted", quoted, serde.String)), both)
		}, []string{
			`stream: join "lines-join-1": the function is nil`,
			`stream: leftjoin of "lines": a table of another builder`,
			`stream: joinstream "matched": the function is nil`,
			"stream: joinstream \"matched\": the grace of a window is -1ns: want 0 or a multiple of 1ms",
			"records from 1s before to -1m0s after are joined: that is no time at all",
			`stream: joinstream "matched": a stream of another builder`,
			`stream: joinforeign "foreign": a table of another builder`,
			`stream: joinforeign "foreign": the function is nil`,
			"stream: joinforeign \"foreign\": the values of table \"words-map-1\" are computed, and no serde is known for them: Materialize it first",
			`stream: joinglobal "lines-joinglobal-1": the function is nil`,
			`stream: joinglobal of "lines": a table of another builder`,
			`stream: leftjoin of "words": a table of no builder`,
			`stream: global table "unused" is not used: join a stream with it`,
			`stream: join "words-join-1" leads nowhere: end it with To, Process or Peek`,
			`stream: join "words-join-1": its inputs have keys of different serdes (words has string string, quoted has string quoted): equal keys would meet in different tasks; Rekey one of them to the serde of the other`,
		}},
		{"stores", func(b *stream.Builder) {
			b.From(lines).
				Process("a", count, totals, nil).
				Process("b", func(*stream.Context[string, string], stream.Record[string, int64]) error { return nil },
					state.NewKeyValueStore("totals", serde.String, serde.String)).
				Process("c", forward, state.KeyValueStore[string, string]{})
		}, []string{
			`stream: process "a": a store is nil`,
			`stream: store "totals" of process "b" is not the store "totals" of process "a": use one definition, or give each its own name`,
			`stream: process "c": state: a store was not declared with NewKeyValueStore`,
		}},
		{"timers", func(b *stream.Builder) {
			p := stream.OnRecord(forward).
				OnTimer(state.NewTimers("due", serde.String), nil).
				OnTimer(state.Timers[string]{}, func(*stream.Context[string, string], state.Timer[string]) error { return nil }).
				Punctuate(time.Microsecond, func(*stream.Context[string, string], time.Time) error { return nil }).
				Punctuate(time.Second, nil)
			b.From(lines).ProcessWith("a", p).Process("b", forward, state.NewTimers("idle", serde.String))
		}, []string{
			`stream: process "a": the function for the timers "due" is nil`,
			`stream: process "a": a punctuation every 1µs: want a multiple of 1ms`,
			`stream: process "a": the function for the punctuation is nil`,
			`stream: process "a": state: timers were not declared with NewTimers`,
			`stream: process "b": nothing happens when the timers "idle" are due: name them in the OnTimer of a processor`,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := stream.NewBuilder("app")
			test.define(b)
			topology, err := b.Build()
			if err == nil {
				t.Fatalf("built:\n%s", topology)
			}
			if diff := cmp.Diff(test.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBuildKeepsTheChainOfErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("no schema")
	broken := serde.String
	broken.Err = cause
	b := stream.NewBuilder("app")
	b.From(lines).To(stream.NewTopic("out", broken, serde.String))
	if _, err := b.Build(); !errors.Is(err, cause) {
		t.Errorf("Build: %v, want one that wraps %v", err, cause)
	}
}

func TestBuilderIsUsedOnce(t *testing.T) {
	t.Parallel()
	b := stream.NewBuilder("app")
	s := b.From(lines)
	s.To(words)
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	before := topology.String()
	s.Filter(func(string) bool { return true }).To(others)
	if after := topology.String(); after != before {
		t.Errorf("the topology changed after Build:\n%s", cmp.Diff(before, after))
	}
	if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), "Build was called before") {
		t.Errorf("second Build: %v, want an error", err)
	}
}

// From of the same topic is the same stream.
func TestFromTwice(t *testing.T) {
	t.Parallel()
	got := build(t, func(b *stream.Builder) {
		b.From(lines).To(words)
		b.From(lines).To(others)
	}).String()
	want := "source lines\nsink words <- lines\nsink others <- lines\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("topology (-want +got):\n%s", diff)
	}
}
