package stream_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
	"github.com/riffle-stream/riffle/stream/window"
)

// joinModel is a join of two streams as a list of everything that was read.
type joinModel struct {
	before, after, grace  int64
	leftAlone, rightAlone bool

	streamTime int64
	read       []*joinRecord
}

type joinRecord struct {
	left         bool
	key, value   string
	millis       int64
	order        int
	joined, gone bool
}

func (m *joinModel) alone(r *joinRecord) bool {
	return r.left && m.leftAlone || !r.left && m.rightAlone
}

// closes is the last stream time at which the record's window is open.
func (m *joinModel) closes(r *joinRecord) int64 {
	if r.left {
		return r.millis + max(m.after, 0) + m.grace
	}
	return r.millis + max(m.before, 0) + m.grace
}

func (m *joinModel) near(l, r *joinRecord) bool {
	return l.key == r.key && l.millis-m.before <= r.millis && r.millis <= l.millis+m.after
}

// next returns what a record brings about.
func (m *joinModel) next(x *joinRecord) (results, late []string) {
	if x.millis > m.streamTime {
		m.streamTime = x.millis
		results = m.closeWindows()
	}
	switch {
	case x.value == "":
		return results, nil
	case x.key == "" && m.alone(x):
		return append(results, result(x, nil)), nil
	case x.key == "":
		return results, nil
	case m.closes(x) < m.streamTime:
		return results, []string{x.value}
	}
	var partners []*joinRecord
	for _, y := range m.read {
		if y.left != x.left && !y.gone && (x.left && m.near(x, y) || !x.left && m.near(y, x)) {
			partners = append(partners, y)
		}
	}
	slices.SortStableFunc(partners, func(a, b *joinRecord) int { return cmp.Compare(a.millis, b.millis) })
	for _, y := range partners {
		x.joined, y.joined = true, true
		results = append(results, result(x, y))
	}
	m.read = append(m.read, x)
	return results, nil
}

// closeWindows sends what stayed alone, and forgets what nothing can join any more.
func (m *joinModel) closeWindows() (results []string) {
	var alone []*joinRecord
	for _, r := range m.read {
		if !r.gone && !r.joined && m.alone(r) && m.closes(r) < m.streamTime {
			alone = append(alone, r)
			r.gone = true
		}
		if r.millis+max(m.before, 0)+max(m.after, 0)+m.grace < m.streamTime {
			r.gone = true
		}
	}
	slices.SortFunc(alone, func(a, b *joinRecord) int {
		side := 0
		if a.left != b.left {
			side = 1
			if a.left {
				side = -1
			}
		}
		return cmp.Or(cmp.Compare(m.closes(a), m.closes(b)), side, cmp.Compare(a.key, b.key), cmp.Compare(a.order, b.order))
	})
	for _, r := range alone {
		results = append(results, result(r, nil))
	}
	return results
}

func result(x, y *joinRecord) string {
	millis := x.millis
	other := "-"
	if y != nil {
		other, millis = y.value, max(x.millis, y.millis)
	}
	if x.left {
		return fmt.Sprintf("%s=%s,%s@%d", x.key, x.value, other, millis)
	}
	return fmt.Sprintf("%s=%s,%s@%d", x.key, other, x.value, millis)
}

// Every kind of join of two streams yields, record by record, what the model does: with records in any order of time,
// of equal times, with null keys and values, with any window and grace, and wherever the task is restarted.
func TestJoinStreamModel(t *testing.T) {
	t.Parallel()
	left := stream.NewTopic("left", serde.Bytes, serde.Bytes)
	right := stream.NewTopic("right", serde.Bytes, serde.Bytes)
	results := stream.NewTopic("out", serde.Bytes, serde.String)
	late := stream.NewTopic("late", serde.Bytes, serde.Bytes)
	store := state.NewJoinStore("joined", serde.Bytes, serde.Bytes, serde.Bytes)
	show := func(l, r stream.Optional[[]byte]) string {
		text := func(v stream.Optional[[]byte]) string {
			if !v.Present {
				return "-"
			}
			return string(v.Value)
		}
		return text(l) + "," + text(r)
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := joinModel{
			before: rapid.Int64Range(-5, 20).Draw(rt, "before"), after: rapid.Int64Range(5, 20).Draw(rt, "after"),
			grace: rapid.Int64Range(0, 10).Draw(rt, "grace"),
		}
		within := window.Between(time.Duration(m.before)*time.Millisecond, time.Duration(m.after)*time.Millisecond).Grace(time.Duration(m.grace) * time.Millisecond)
		topology := build(t, func(b *stream.Builder) {
			l, r := b.From(left), b.From(right)
			var j stream.Joined[[]byte, []byte, []byte, string]
			switch rapid.IntRange(0, 2).Draw(rt, "kind") {
			case 0:
				j = l.JoinStream(r, within, store, func(l, r []byte) string { return string(l) + "," + string(r) })
			case 1:
				m.leftAlone = true
				j = l.LeftJoinStream(r, within, store, func(l []byte, r stream.Optional[[]byte]) string {
					return show(stream.Optional[[]byte]{Value: l, Present: true}, r)
				})
			default:
				m.leftAlone, m.rightAlone = true, true
				j = l.OuterJoinStream(r, within, store, show)
			}
			j.To(results)
			j.LateLeft().Merge(j.LateRight()).To(late)
		})
		d := streamtest.New(rt, topology)
		for i := range rapid.IntRange(1, 40).Draw(rt, "records") {
			x := &joinRecord{
				left: rapid.Bool().Draw(rt, "left"), key: rapid.SampledFrom([]string{"", "a", "a", "b", "b"}).Draw(rt, "key"),
				value: fmt.Sprint(i), millis: rapid.Int64Range(0, 80).Draw(rt, "time"), order: i,
			}
			if rapid.IntRange(0, 9).Draw(rt, "null") == 0 {
				x.value = ""
			}
			var key, value []byte
			if x.key != "" {
				key = []byte(x.key)
			}
			if x.value != "" {
				value = []byte(x.value)
			}
			topic := "right"
			if x.left {
				topic = "left"
			}
			d.PipeBytes(topic, key, value, time.UnixMilli(x.millis))
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				d.Restart()
			}
			wantResults, wantLate := m.next(x)
			var gotResults, gotLate []string
			for _, r := range d.Read(results) {
				gotResults = append(gotResults, fmt.Sprintf("%s=%s@%d", r.Key, r.Value, r.Time.UnixMilli()))
			}
			for _, v := range d.Values(late) {
				gotLate = append(gotLate, string(v))
			}
			if diff := gocmp.Diff([][]string{wantResults, wantLate}, [][]string{gotResults, gotLate}); diff != "" {
				rt.Fatalf("results and late records of %+v, stream time %d (-want +got):\n%s", x, m.streamTime, diff)
			}
		}
	})
}

// A record that nothing can join any more is gone from the store, whatever kind of join.
func TestJoinStreamForgets(t *testing.T) {
	t.Parallel()
	store := state.NewJoinStore("joined", serde.String, serde.String, serde.String)
	topology := build(t, func(b *stream.Builder) {
		b.From(lines).OuterJoinStream(b.From(words), window.Within(10*time.Millisecond).Grace(0), store,
			func(l, r stream.Optional[string]) string { return l.Value + r.Value }).To(others)
	})
	d := streamtest.New(t, topology)
	for i := range int64(1000) {
		d.Pipe(lines, "a", "l", time.UnixMilli(3*i))
		d.Pipe(words, "ab"[i%2:i%2+1], "w", time.UnixMilli(3*i))
		if n := d.Size("joined"); n > 40 {
			t.Fatalf("%d entries after %d records a side", n, i)
		}
	}
}
