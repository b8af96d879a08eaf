package processors_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// runScripts runs the scripts of a processor and prints what comes out, one record a line. Commands:
//
//	new [ARGUMENTS of the processor]
//	pipe
//	SECOND KEY VALUE
//	restart
func runScripts[R any](t *testing.T, dir string, build func(t *testing.T, td *datadriven.TestData) *streamtest.Driver, out stream.Topic[string, R], text func(R) string) {
	t.Parallel()
	datadriven.Walk(t, "testdata/"+dir, func(t *testing.T, path string) {
		var d *streamtest.Driver
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			var b strings.Builder
			switch td.Cmd {
			case "new":
				d = build(t, td)
			case "restart":
				d.Restart()
			case "pipe":
				pipeLines(t, d, td.Input)
				for _, r := range d.Read(out) {
					fmt.Fprintf(&b, "%s %s\n", r.Key, text(r.Value))
				}
				for _, l := range d.DeadLetters() {
					fmt.Fprintf(&b, "dead letter %q: %v\n", l.Value, l.Cause)
				}
			default:
				t.Fatalf("unknown command %q", td.Cmd)
			}
			return b.String()
		})
	})
}

// drive runs one processor between the topic in and another one.
func drive[R any](t streamtest.TB, process func(*stream.Context[string, R], stream.Record[string, string]) error, store state.Definition, out stream.Topic[string, R]) *streamtest.Driver {
	t.Helper()
	b := stream.NewBuilder("app")
	b.From(in).Process("process", process, store).To(out)
	topology, err := b.Build()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return streamtest.New(t, topology)
}

// wantMistakes builds a topology with a store that is declared wrongly.
func wantMistakes[R any](t *testing.T, process func(*stream.Context[string, R], stream.Record[string, string]) error, store state.Definition, out stream.Topic[string, R], mentions ...string) {
	t.Helper()
	b := stream.NewBuilder("app")
	b.From(in).Process("process", process, store).To(out)
	_, err := b.Build()
	for _, want := range mentions {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Build: %v, want a mention of %s", err, want)
		}
	}
}

// place prints where a record was read.
func place(o processors.Origin) string { return fmt.Sprintf("%s@%d", o.Topic, o.Offset) }
