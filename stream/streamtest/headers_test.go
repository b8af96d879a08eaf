package streamtest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
	"github.com/riffle-stream/riffle/stream/window"
)

// traced are the steps through which headers travel. What they write to the topic out is compared; a record is piped with
// a header "from" that says which it is, and a trace context.
var traced = []struct {
	name   string
	define func(b *stream.Builder)
	want   []string // headers of each output, by the names of the records
}{
	{"map", func(b *stream.Builder) { b.From(leftTopic).Map(strings.ToUpper).To(outTopic) }, []string{"l1", "l2", "l3"}},
	{"forward", func(b *stream.Builder) {
		b.From(leftTopic).Process("pass", func(c *stream.Context[string, string], r stream.Record[string, string]) error {
			return c.Forward(r.Key, r.Value)
		}).To(outTopic)
	}, []string{"l1", "l2", "l3"}},
	{"repartition", func(b *stream.Builder) {
		decimal(b.From(leftTopic).Rekey("by-shop", serde.String, serde.String, shop).Count(countTable("n"))).To(outTopic)
	}, []string{"l1", "l2", "l3"}},
	{"aggregate", func(b *stream.Builder) { decimal(b.From(leftTopic).Count(countTable("n"))).To(outTopic) }, []string{"l1", "l2", "l3"}},
	{"suppress: of the last change", func(b *stream.Builder) {
		decimal(b.From(leftTopic).Count(countTable("n"))).
			Suppress(suppressStore, stream.Suppressed{TimeLimit: 100 * time.Millisecond}).To(outTopic)
	}, []string{"l2"}},
	{"stream-table: the stream's", func(b *stream.Builder) { b.From(leftTopic).LeftJoin(b.Table(rightTopic), left).To(outTopic) }, []string{"l1", "l2", "l3"}},
	{"stream-stream: of the one that was read last", func(b *stream.Builder) {
		b.From(leftTopic).JoinStream(b.From(rightTopic), window.Within(100*time.Millisecond).Grace(0),
			state.NewJoinStore("joined", serde.String, serde.String, serde.String), inner).To(outTopic)
	}, []string{"r1", "l2"}},
	{"stream-stream, left: of the record that stays alone", func(b *stream.Builder) {
		b.From(leftTopic).LeftJoinStream(b.From(rightTopic), window.Within(time.Millisecond).Grace(0),
			state.NewJoinStore("joined", serde.String, serde.String, serde.String), left).To(outTopic)
	}, []string{"l1", "l2"}},
	{"table-table: of the change", func(b *stream.Builder) { b.Table(leftTopic).Join(b.Table(rightTopic), inner).To(outTopic) }, []string{"r1", "l2", "l3"}},
	{"foreign: of the change", func(b *stream.Builder) {
		b.Table(leftTopic).JoinForeign(b.Table(nullableRight), func(string) []byte { return []byte("k") }, textTable("joined"), inner).To(outTopic)
	}, []string{"r1", "l2", "l3"}},
	{"updates of windows", func(b *stream.Builder) {
		windowTexts(tumbled(b, windows)).Stream().Rekey("plain", serde.String, serde.String, plainKey).To(outTopic)
	}, []string{"l1", "l2", "l3"}},
	{"closed windows: the trace of the last record", func(b *stream.Builder) {
		tumbled(b, windows).OnClose().Map(decimals).Rekey("plain", serde.String, serde.String, plainKey).To(outTopic)
	}, []string{"trace l2"}},
	{"closed sliding windows: the trace of the record at its end", func(b *stream.Builder) {
		b.From(leftTopic).Sliding(window.Sliding(100*time.Millisecond).Grace(0)).Count(windows).
			OnClose().Map(decimals).Rekey("plain", serde.String, serde.String, plainKey).To(outTopic)
	}, []string{"trace l1", "trace l2"}},
	{"closed sessions: the trace of the last record", func(b *stream.Builder) {
		b.From(leftTopic).Sessions(window.Session(100*time.Millisecond).Grace(0)).
			Count(state.NewSessionStore("sessions", serde.String, serde.Int64)).
			OnClose().Map(decimals).Rekey("plain", serde.String, serde.String, plainKey).To(outTopic)
	}, []string{"trace l2"}},
}

var windows = state.NewWindowStore("windows", serde.String, serde.Int64)

func tumbled(b *stream.Builder, store state.WindowStore[string, int64]) stream.WindowTable[string, string, int64, window.Key[string]] {
	return b.From(leftTopic).Window(window.Tumbling(100 * time.Millisecond).Grace(0)).Count(store)
}

func windowTexts(t stream.WindowTable[string, string, int64, window.Key[string]]) stream.Table[window.Key[string], string] {
	return t.Map(decimals)
}

func decimals(n int64) string                        { return fmt.Sprint(n) }
func plainKey(k window.Key[string], _ string) string { return k.Key }
func headerOf(name string) stream.Header             { return stream.Header{Key: "from", Value: []byte(name)} }

func traceOf(name string) stream.Header {
	return stream.Header{Key: "traceparent", Value: []byte(name)}
}

func named(name string) []stream.Header { return []stream.Header{headerOf(name), traceOf(name)} }

func record(v string, at int64, h []stream.Header) stream.Record[string, string] {
	return stream.Record[string, string]{Key: "k", Value: v, Time: time.UnixMilli(at).UTC(), Headers: h}
}

// Headers travel with what a record brings about: of a join those of the record that brings the result about, as in Kafka
// Streams. What is sent because stream time has moved on has the trace of a record, if not its headers.
func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, test := range traced {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := stream.NewBuilder("app")
			test.define(b)
			topology, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			d := streamtest.New(t, topology)
			d.PipeRecord(leftTopic, record("k:1", 10, named("l1")))
			if strings.Contains(topology.String(), "source right") {
				d.PipeRecord(rightTopic, record("right", 20, named("r1")))
			}
			d.Restart()
			d.PipeRecord(leftTopic, record("k:2", 30, named("l2")))
			d.PipeRecord(leftTopic, record("k:3", 300, named("l3")))
			var got []string
			for _, r := range d.ReadBytes("out") {
				var names []string
				for _, h := range r.Headers {
					names = append(names, string(h.Value))
				}
				switch {
				case len(r.Headers) == 2 && cmp.Equal(r.Headers, named(names[0])):
					got = append(got, names[0])
				case len(r.Headers) == 1 && cmp.Equal(r.Headers[0], traceOf(names[0])):
					got = append(got, "trace "+names[0])
				default:
					got = append(got, fmt.Sprint(r.Headers))
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("headers of the outputs (-want +got):\n%s", diff)
			}
		})
	}
}

// A record without a trace leaves the trace of the one before, and a session that is merged keeps that of the later one.
func TestTraceOfWindows(t *testing.T) {
	t.Parallel()
	b := stream.NewBuilder("app")
	texts := func(closed stream.Stream[window.Key[string], int64], name string) {
		closed.Map(func(n int64) string { return fmt.Sprintf("%s %d", name, n) }).Rekey(name, serde.String, serde.String, plainKey).To(outTopic)
	}
	texts(tumbled(b, windows).OnClose(), "window")
	sessions := b.From(leftTopic).Sessions(window.Session(20 * time.Millisecond).Grace(50 * time.Millisecond)).
		Count(state.NewSessionStore("sessions", serde.String, serde.Int64))
	texts(sessions.OnClose(), "session")
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	state := stream.Header{Key: "tracestate", Value: []byte("vendor=1")}
	d := streamtest.New(t, topology)
	d.PipeRecord(leftTopic, record("1", 10, named("a")))
	d.PipeRecord(leftTopic, record("2", 40, append(named("b"), state)))
	d.PipeRecord(leftTopic, record("3", 25, nil)) // merges the two
	d.PipeRecord(leftTopic, record("4", 60, []stream.Header{headerOf("c")}))
	d.PipeRecord(leftTopic, record("5", 900, nil))
	d.Advance(time.UnixMilli(2000))
	var got []string
	for _, r := range d.Read(outTopic) {
		got = append(got, r.Value)
		for _, h := range r.Headers {
			got[len(got)-1] += fmt.Sprintf(" %s=%s", h.Key, h.Value)
		}
	}
	want := []string{
		"window 4 traceparent=b tracestate=vendor=1", "session 4 traceparent=b tracestate=vendor=1",
		"session 1", "window 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("closed (-want +got):\n%s", diff)
	}
}
