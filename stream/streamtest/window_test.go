package streamtest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
	"github.com/riffle-stream/riffle/stream/window"
)

// TestWindowScripts runs windowed aggregates that join the values of a window to one text. Times are milliseconds.
// Commands:
//
//	new (tumbling|hopping|sliding|session)=(MS,...) | unlimited [grace=MS] [retention=MS]
//	    Begins a topology with that one step.
//	pipe
//	KEY TIME VALUE
//	    Pipes records in, and prints what each leads to: updates of rows ("-> old => new"), what is sent because its window is
//	    closed, and what came too late.
//	advance to=TIME
//	    Moves stream time without a record.
//	restart
//	    Drops everything but the store.
//	store
//	    Prints what is in the store.
func TestWindowScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/windows", func(t *testing.T, path string) {
		w := &windowScript{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				w.create(d)
				return ""
			case "pipe":
				return w.pipe(d.Input)
			case "advance":
				var to int64
				d.ScanArgs(t, "to", &to)
				w.d.Advance(time.UnixMilli(to))
				return w.read()
			case "restart":
				w.d.Restart()
				return ""
			case "store":
				return w.store()
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

var (
	parts   = stream.NewTopic("parts", serde.String, serde.String)
	updates = stream.NewTopic("updates", window.KeySerde(serde.String), serde.String)
	closed  = stream.NewTopic("closed", window.KeySerde(serde.String), serde.String)
	late    = stream.NewTopic("late", serde.String, serde.String)
)

type windowScript struct {
	t     *testing.T
	d     *streamtest.Driver
	store func() string
}

// join is the aggregate: the values of a window, in the order in which they came.
func join(row, v string) string {
	if row == "" {
		return v
	}
	return row + "+" + v
}

func (w *windowScript) create(d *datadriven.TestData) {
	var grace, retention int64
	var args []time.Duration
	kind := ""
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "grace":
			d.ScanArgs(w.t, "grace", &grace)
		case "retention":
			d.ScanArgs(w.t, "retention", &retention)
		default:
			kind = arg.Key
			for i := range arg.Vals {
				var n int64
				arg.Scan(w.t, i, &n)
				args = append(args, ms(n))
			}
		}
	}
	b := stream.NewBuilder("app")
	w.define(b.From(parts), kind, args, ms(grace), ms(retention))
	topology, err := b.Build()
	if err != nil {
		w.t.Fatal(err)
	}
	w.d = streamtest.New(w.t, topology)
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func (w *windowScript) define(s stream.Stream[string, string], kind string, args []time.Duration, grace, retention time.Duration) {
	windows := state.NewWindowStore("w", serde.String, serde.String).Retention(retention)
	switch kind {
	case "tumbling":
		w.outputs(s.Window(window.Tumbling(args[0]).Grace(grace)).Aggregate(windows, join), windows)
	case "hopping":
		w.outputs(s.Window(window.Hopping(args[0], args[1]).Grace(grace)).Aggregate(windows, join), windows)
	case "sliding":
		w.outputs(s.Sliding(window.Sliding(args...).Grace(grace)).Aggregate(windows, join, join), windows)
	case "session":
		sessions := state.NewSessionStore("s", serde.String, serde.String).Retention(retention)
		w.outputs(s.Sessions(window.Session(args[0]).Grace(grace)).Aggregate(sessions, join, join), windows)
		w.store = func() string {
			var b strings.Builder
			for _, e := range w.d.Sessions(sessions) {
				fmt.Fprintf(&b, "%s%s = %s\n", e.Key, spans(e.Window), e.Value)
			}
			return b.String()
		}
	case "unlimited":
		s.Window(window.Unlimited()).Aggregate(windows, join).To(updates)
	default:
		w.t.Fatalf("no windows %q", kind)
	}
}

func (w *windowScript) outputs(t windowsOf[string], store state.WindowStore[string, string]) {
	t.Changes(func(c stream.Change[string]) string {
		return fmt.Sprintf("%s => %s", orNone(c.Old), orNone(c.New))
	}).To(updates)
	t.OnClose().To(closed)
	t.LateWith(func(v string, missed []window.Window) string { return v + " missed " + spans(missed...) }).To(late)
	w.store = func() string {
		var b strings.Builder
		for _, e := range w.d.Windows(store) {
			fmt.Fprintf(&b, "%s@%d = %s\n", e.Key, e.Start.UnixMilli(), e.Value)
		}
		return b.String()
	}
}

func orNone(v stream.Optional[string]) string {
	if !v.Present {
		return "none"
	}
	return v.Value
}

func spans(windows ...window.Window) string {
	texts := make([]string, len(windows))
	for i, w := range windows {
		texts[i] = fmt.Sprintf("[%d,%d)", w.Start.UnixMilli(), w.End.UnixMilli())
		if w.End.After(noEnd) {
			texts[i] = fmt.Sprintf("[%d,)", w.Start.UnixMilli())
		}
	}
	return strings.Join(texts, " ")
}

var noEnd = time.UnixMilli(1 << 60)

func (w *windowScript) pipe(input string) string {
	var b strings.Builder
	for line := range strings.Lines(input) {
		var key, value string
		var at int64
		if _, err := fmt.Sscan(line, &key, &at, &value); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		w.d.Pipe(parts, key, value, time.UnixMilli(at))
		fmt.Fprintf(&b, "%s\n%s", strings.TrimSpace(line), w.read())
	}
	return b.String()
}

// read prints the outputs that have not been printed.
func (w *windowScript) read() string {
	var b strings.Builder
	for _, r := range w.d.Read(closed) {
		fmt.Fprintf(&b, "  closed %s%s: %s, time %d\n", r.Key.Key, spans(r.Key.Window), r.Value, r.Time.UnixMilli())
	}
	for _, r := range w.d.Read(late) {
		fmt.Fprintf(&b, "  late %s: %s\n", r.Key, r.Value)
	}
	for _, r := range w.d.Read(updates) {
		fmt.Fprintf(&b, "  %s%s: %s, time %d\n", r.Key.Key, spans(r.Key.Window), r.Value, r.Time.UnixMilli())
	}
	return b.String()
}
