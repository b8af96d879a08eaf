package stream_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// heldRow is a row that the model holds back. A value of "" is none.
type heldRow struct {
	key, before, after string
	due                int64
}

// suppressModel holds rows back in a list.
type suppressModel struct {
	limit, most int64 // most of 0 is any number
	now         int64
	rows        map[string]string
	held        []heldRow
	sent        []string
}

// send sends what is due until now.
func (m *suppressModel) send() {
	slices.SortFunc(m.held, func(a, b heldRow) int { return cmp.Or(cmp.Compare(a.due, b.due), strings.Compare(a.key, b.key)) })
	for len(m.held) > 0 && m.held[0].due <= m.now {
		r := m.held[0]
		m.sent = append(m.sent, fmt.Sprintf("%s: %s>%s", r.key, r.before, r.after))
		m.held = m.held[1:]
	}
}

func (m *suppressModel) take(e event) {
	m.now = max(m.now, e.millis)
	m.send()
	before := m.rows[e.key]
	if m.rows[e.key] = e.value; before == "" && e.value == "" {
		return
	}
	if i := slices.IndexFunc(m.held, func(r heldRow) bool { return r.key == e.key }); i >= 0 {
		m.held[i].after = e.value
		if m.held[i].before == "" && e.value == "" {
			m.held = slices.Delete(m.held, i, i+1)
		}
	} else {
		m.held = append(m.held, heldRow{e.key, before, e.value, e.millis + m.limit})
	}
	slices.SortFunc(m.held, func(a, b heldRow) int { return cmp.Or(cmp.Compare(a.due, b.due), strings.Compare(a.key, b.key)) })
	if m.most > 0 {
		for i := range max(int64(len(m.held))-m.most, 0) {
			m.held[i].due = min(m.held[i].due, m.now)
		}
	}
	m.send()
}

// TestSuppressModel compares a suppressed table, change by change, with a list of rows.
func TestSuppressModel(t *testing.T) {
	t.Parallel()
	store := state.NewSuppressStore("held-back", serde.String, serde.String)
	rapid.Check(t, func(rt *rapid.T) {
		m := &suppressModel{
			limit: rapid.Int64Range(0, 20).Draw(rt, "limit"), most: rapid.Int64Range(0, 3).Draw(rt, "most"), rows: make(map[string]string),
		}
		topology := build(t, func(b *stream.Builder) {
			b.Table(modelLeft).
				Suppress(store, stream.Suppressed{TimeLimit: time.Duration(m.limit) * time.Millisecond, MaxRecords: m.most}).
				Changes(func(c stream.Change[string]) string { return c.Old.Value + ">" + c.New.Value }).
				To(modelOut)
		})
		d := streamtest.New(rt, topology)
		for i := range rapid.IntRange(1, 60).Draw(rt, "events") {
			e := event{
				key: rapid.SampledFrom([]string{"", "a", "b", "c", "ab"}).Draw(rt, "key"), value: fmt.Sprint(i),
				millis: max(m.now+rapid.Int64Range(-15, 10).Draw(rt, "time"), 0),
			}
			value := []byte(e.value)
			if rapid.IntRange(0, 3).Draw(rt, "delete") == 0 {
				e.value, value = "", nil
			}
			m.sent = nil
			m.take(e)
			d.PipeBytes("left", []byte(e.key), value, time.UnixMilli(e.millis))
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				d.Restart()
			}
			var got []string
			for _, r := range d.Read(modelOut) {
				got = append(got, r.Key+": "+r.Value)
			}
			if diff := gocmp.Diff(m.sent, got); diff != "" {
				rt.Fatalf("changes sent with event %d, %v (-want +got):\n%s", i, e, diff)
			}
			if held := d.Size("held-back"); held > 2*len(m.held)+1 {
				rt.Fatalf("the store has %d entries for %d rows", held, len(m.held))
			}
		}
	})
}

// TestSuppressShutDown stops in front of the record that is too many, and goes on there with a higher limit.
func TestSuppressShutDown(t *testing.T) {
	t.Parallel()
	store := state.NewSuppressStore("held-back", serde.String, serde.String)
	topology := build(t, func(b *stream.Builder) {
		b.Table(modelLeft).Suppress(store, stream.Suppressed{TimeLimit: time.Hour, MaxRecords: 1, ShutDownWhenFull: true}).To(modelOut)
	})
	stopped := &stopTB{TB: t}
	d := streamtest.New(stopped, topology)
	d.Pipe(modelLeft, "a", "1", time.UnixMilli(1))
	d.Pipe(modelLeft, "a", "2", time.UnixMilli(2))
	if stopped.why != "" {
		t.Fatalf("stopped by one row: %s", stopped.why)
	}
	func() {
		defer func() { _ = recover() }()
		d.Pipe(modelLeft, "b", "1", time.UnixMilli(3))
	}()
	if want := `suppress "held-back" is full: it holds back 2 records`; !strings.Contains(stopped.why, want) {
		t.Errorf("the second row: %q, want %q", stopped.why, want)
	}
}

// stopTB takes the end of a test down, and panics in its place.
type stopTB struct {
	streamtest.TB
	why string
}

func (s *stopTB) Fatalf(format string, args ...any) {
	s.why = fmt.Sprintf(format, args...)
	panic(s.why)
}

func TestSuppressMistakes(t *testing.T) {
	t.Parallel()
	b := stream.NewBuilder("app")
	b.Table(modelLeft).Suppress(state.SuppressStore[string, string]{}, stream.Suppressed{TimeLimit: time.Microsecond}).To(modelOut)
	_, err := b.Build()
	for _, want := range []string{"the time limit is 1µs: want a multiple of 1ms", "not declared with NewSuppressStore"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Build() = %v, want %q in it", err, want)
		}
	}
}
