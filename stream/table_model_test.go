package stream_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
	"github.com/riffle-stream/riffle/stream/window"
)

// event is an input record of the models. A value of "" is a tombstone.
type event struct {
	topic, key, value string
	millis            int64
}

var (
	modelLeft    = stream.NewTopic("left", serde.String, serde.String)
	modelRight   = stream.NewTopic("right", serde.String, serde.String)
	modelForeign = stream.NewTopic("right", serde.Bytes, serde.String)
	modelOut     = stream.NewTopic("out", serde.String, serde.String)
)

func textStore(name string) state.TableStore[string, string] {
	return state.NewTableStore(name, serde.String, serde.String)
}

// tableModel says what an operator's table holds after some events.
type tableModel struct {
	name   string
	define func(b *stream.Builder) stream.Table[string, string]
	rows   func(events []event) map[string]string
	// times says which times the rows have, if it is not nil.
	times func(events []event) map[string]int64
	// stream marks operators over streams: their inputs have no tombstones.
	stream bool
}

// lastTimes are the times of the last events of each key of a topic.
func lastTimes(events []event, topic string) map[string]int64 {
	times := make(map[string]int64)
	for _, e := range events {
		if e.topic == topic {
			times[e.key] = e.millis
		}
	}
	return times
}

// latestTimes are the latest times of each key.
func latestTimes(events []event) map[string]int64 {
	times := make(map[string]int64)
	for _, e := range events {
		times[e.key] = max(times[e.key], e.millis)
	}
	return times
}

// latest is the table of a topic.
func latest(events []event, topic string) map[string]string {
	rows := make(map[string]string)
	for _, e := range events {
		if e.topic == topic {
			rows[e.key] = e.value
		}
	}
	maps.DeleteFunc(rows, func(_, v string) bool { return v == "" })
	return rows
}

// folded is what f makes of the records of each key, one after the other.
func folded(events []event, f func(row, topic, value string) string) map[string]string {
	rows := make(map[string]string)
	for _, e := range events {
		rows[e.key] = f(rows[e.key], e.topic, e.value)
	}
	return rows
}

// joined are the halves of the keys that wanted wants.
func joined(events []event, wanted func(l, r string) bool) map[string]string {
	left, right := latest(events, "left"), latest(events, "right")
	rows := make(map[string]string)
	for _, e := range events {
		if l, r := left[e.key], right[e.key]; wanted(l, r) {
			rows[e.key] = l + "," + r
		}
	}
	return rows
}

// firstLetter is a foreign key.
func firstLetter(v string) []byte {
	if v[0] == 'x' {
		return nil
	}
	return []byte(v[:1])
}

func long(v string) bool { return len(v) > 1 }

// letters counts letters, so that adding and taking away commute.
func letters(n int64, v string) int64 { return n + int64(len(v)) }

var tableModels = []tableModel{
	{
		name:   "table",
		define: func(b *stream.Builder) stream.Table[string, string] { return b.Table(modelLeft) },
		rows:   func(events []event) map[string]string { return latest(events, "left") },
		times:  func(events []event) map[string]int64 { return lastTimes(events, "left") },
	},
	{
		name: "table in a store of another name",
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.TableIn(modelLeft, textStore("named"))
		},
		rows: func(events []event) map[string]string { return latest(events, "left") },
	},
	{
		name: "stream of a table", // has its new values, not its deletes
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.Table(modelLeft).Stream().Reduce(textStore("all"), func(a, v string) string { return a + v })
		},
		rows: func(events []event) map[string]string {
			events = slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.value == "" })
			return folded(events, func(row, _, v string) string { return row + v })
		},
	},
	{
		name: "changes of a table", // of a row that is not there a delete is none
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.Table(modelLeft).Changes(func(c stream.Change[string]) string { return c.Old.Value + ">" + c.New.Value }).
				Reduce(textStore("all"), func(a, v string) string { return a + " " + v })
		},
		rows: func(events []event) map[string]string {
			rows, before := make(map[string]string), make(map[string]string)
			for _, e := range events {
				if old := before[e.key]; old != "" || e.value != "" {
					rows[e.key] = strings.TrimPrefix(rows[e.key]+" "+old+">"+e.value, " ")
				}
				before[e.key] = e.value
			}
			return rows
		},
	},
	{
		name: "filter-map",
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.Table(modelLeft).Filter(long).Map(strings.ToUpper).FilterRow(func(k, v string) bool { return k != "a" }).
				MapRow(func(k, v string) string { return k + v }).Materialize(textStore("upper"))
		},
		rows: func(events []event) map[string]string {
			rows := make(map[string]string)
			for k, v := range latest(events, "left") {
				if long(v) && k != "a" {
					rows[k] = k + strings.ToUpper(v)
				}
			}
			return rows
		},
	},
	{
		name: "rekey-aggregate",
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.Table(modelLeft).Rekey("by", serde.String, serde.String, func(_, v string) string { return v[:1] }).
				Aggregate(state.NewTableStore("sum", serde.String, serde.Int64), letters,
					func(n int64, v string) int64 { return n - int64(len(v)) }).
				Filter(func(n int64) bool { return n > 0 }).
				Map(func(n int64) string { return fmt.Sprint(n) })
		},
		rows: func(events []event) map[string]string {
			sums := make(map[string]int64)
			for _, v := range latest(events, "left") {
				sums[v[:1]] = letters(sums[v[:1]], v)
			}
			rows := make(map[string]string)
			for k, n := range sums {
				rows[k] = fmt.Sprint(n)
			}
			return rows
		},
	},
	{
		name: "rekey-count", // a nil group is none
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.Table(modelLeft).Filter(long).
				Rekey("by", serde.Bytes, serde.String, func(_, v string) []byte {
					if v[0] == 'x' {
						return nil
					}
					return []byte(v[:1])
				}).
				Count(state.NewTableStore("n", serde.Bytes, serde.Int64)).
				Filter(func(n int64) bool { return n > 0 }).
				Map(func(n int64) string { return fmt.Sprint(n) }).
				Rekey("as-text", serde.String, serde.String, func(k []byte, _ string) string { return string(k) }).
				Reduce(textStore("text"), func(_, v string) string { return v }, func(_, _ string) string { return "0" }).
				Filter(func(n string) bool { return n != "0" })
		},
		rows: func(events []event) map[string]string {
			n := make(map[string]int)
			for _, v := range latest(events, "left") {
				if long(v) && v[0] != 'x' {
					n[v[:1]]++
				}
			}
			rows := make(map[string]string)
			for k, n := range n {
				rows[k] = fmt.Sprint(n)
			}
			return rows
		},
	},
	{
		name: "count", stream: true,
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.From(modelLeft).Count(state.NewTableStore("n", serde.String, serde.Int64)).
				Map(func(n int64) string { return strings.Repeat("I", int(n)) })
		},
		rows: func(events []event) map[string]string {
			return folded(events, func(row, _, _ string) string { return row + "I" })
		},
		times: latestTimes,
	},
	{
		name: "count of a rekeyed stream", stream: true, // through a repartition topic
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.From(modelLeft).Rekey("by", serde.String, serde.String, func(k, v string) string { return k + v[:1] }).
				Count(state.NewTableStore("n", serde.String, serde.Int64)).
				Map(func(n int64) string { return fmt.Sprint(n) })
		},
		rows: func(events []event) map[string]string {
			n := make(map[string]int)
			rows := make(map[string]string)
			for _, e := range events {
				k := e.key + e.value[:1]
				n[k]++
				rows[k] = fmt.Sprint(n[k])
			}
			return rows
		},
	},
	{
		name: "reduce", stream: true,
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.From(modelLeft).Reduce(textStore("all"), func(a, v string) string { return a + "," + v })
		},
		rows: func(events []event) map[string]string {
			return folded(events, func(row, _, v string) string { return strings.TrimPrefix(row+","+v, ",") })
		},
		times: latestTimes,
	},
	{
		name: "aggregate of a map", stream: true, // add changes the row in place: the old one must not change with it
		define: func(b *stream.Builder) stream.Table[string, string] {
			store := state.NewTableStore("seen", serde.String, serde.JSON[map[string]int]())
			return b.From(modelLeft).Aggregate(store, func(seen map[string]int, v string) map[string]int {
				if seen == nil {
					seen = make(map[string]int)
				}
				seen[v]++
				return seen
			}).
				Rekey("same", serde.String, serde.JSON[map[string]int](), func(k string, _ map[string]int) string { return k }).
				Aggregate(textStore("text"), func(_ string, seen map[string]int) string { return fmt.Sprint(seen) },
					func(row string, seen map[string]int) string {
						if row != fmt.Sprint(seen) {
							return "took away what was not added: " + fmt.Sprint(seen)
						}
						return ""
					}).
				Rekey("again", serde.String, serde.String, func(k, _ string) string { return k }).
				Reduce(textStore("last"), func(a, v string) string { return a + v }, func(a, v string) string { return strings.TrimSuffix(a, v) })
		},
		rows: func(events []event) map[string]string {
			seen := make(map[string]map[string]int)
			for _, e := range events {
				if seen[e.key] == nil {
					seen[e.key] = make(map[string]int)
				}
				seen[e.key][e.value]++
			}
			rows := make(map[string]string)
			for k, s := range seen {
				rows[k] = fmt.Sprint(s)
			}
			return rows
		},
	},
	{
		name: "join",
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.Table(modelLeft).Join(b.Table(modelRight), func(l, r string) string { return l + "," + r })
		},
		rows: func(events []event) map[string]string {
			return joined(events, func(l, r string) bool { return l != "" && r != "" })
		},
		times: func(events []event) map[string]int64 {
			times, right := lastTimes(events, "left"), lastTimes(events, "right")
			for k, at := range times {
				times[k] = max(at, right[k])
			}
			return times
		},
	},
	{
		name: "left join",
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.Table(modelLeft).LeftJoin(b.Table(modelRight), func(l string, r stream.Optional[string]) string { return l + "," + r.Value })
		},
		rows: func(events []event) map[string]string {
			return joined(events, func(l, _ string) bool { return l != "" })
		},
	},
	{
		name: "outer join",
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.Table(modelLeft).OuterJoin(b.Table(modelRight), func(l, r stream.Optional[string]) string { return l.Value + "," + r.Value })
		},
		rows: func(events []event) map[string]string {
			return joined(events, func(l, r string) bool { return l != "" || r != "" })
		},
	},
	{
		name: "join of computed tables, regrouped", // rows are looked up through filters, maps and a join
		define: func(b *stream.Builder) stream.Table[string, string] {
			right := b.Table(modelRight).Filter(long).Map(func(v string) string { return v[:1] })
			third := b.Table(stream.NewTopic("third", serde.String, serde.String))
			return b.Table(modelLeft).OuterJoin(right, func(l, r stream.Optional[string]) string { return l.Value + r.Value }).
				Join(third, func(v, _ string) string { return v }).
				Rekey("by", serde.String, serde.String, func(_, v string) string { return v[:1] }).
				Aggregate(state.NewTableStore("sum", serde.String, serde.Int64), letters,
					func(n int64, v string) int64 { return n - int64(len(v)) }).
				Filter(func(n int64) bool { return n > 0 }).
				Map(func(n int64) string { return fmt.Sprint(n) })
		},
		rows: func(events []event) map[string]string {
			left, right, third := latest(events, "left"), latest(events, "right"), latest(events, "third")
			sums := make(map[string]int64)
			for k := range third {
				v := left[k]
				if long(right[k]) {
					v += right[k][:1]
				}
				if v != "" {
					sums[v[:1]] = letters(sums[v[:1]], v)
				}
			}
			rows := make(map[string]string)
			for k, n := range sums {
				rows[k] = fmt.Sprint(n)
			}
			return rows
		},
	},
	{
		name: "foreign join", // the first letter of a left row names a right one; x names none
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.Table(modelLeft).JoinForeign(b.Table(modelForeign).Filter(long), firstLetter, textStore("joined"),
				func(l, r string) string { return l + "," + r })
		},
		rows: func(events []event) map[string]string {
			right := latest(events, "right")
			rows := make(map[string]string)
			for k, v := range latest(events, "left") {
				if r := right[v[:1]]; v[0] != 'x' && long(r) {
					rows[k] = v + "," + r
				}
			}
			return rows
		},
	},
	{
		name: "foreign left join, regrouped",
		define: func(b *stream.Builder) stream.Table[string, string] {
			joined := b.Table(modelLeft).Map(strings.ToLower).Materialize(textStore("lower")).
				LeftJoinForeign(b.Table(modelForeign), firstLetter, textStore("joined"),
					func(l string, r stream.Optional[string]) string { return l + r.Value })
			return joined.Rekey("by", serde.String, serde.String, func(_, v string) string { return v[:1] }).
				Aggregate(state.NewTableStore("sum", serde.String, serde.Int64), letters,
					func(n int64, v string) int64 { return n - int64(len(v)) }).
				Filter(func(n int64) bool { return n > 0 }).
				Map(func(n int64) string { return fmt.Sprint(n) })
		},
		rows: func(events []event) map[string]string {
			right := latest(events, "right")
			sums := make(map[string]int64)
			for _, v := range latest(events, "left") {
				group := v[:1]
				if v[0] != 'x' {
					v += right[v[:1]]
				}
				sums[group] = letters(sums[group], v)
			}
			rows := make(map[string]string)
			for k, n := range sums {
				rows[k] = fmt.Sprint(n)
			}
			return rows
		},
	},
	{
		name: "foreign join of a table with itself",
		define: func(b *stream.Builder) stream.Table[string, string] {
			left := b.Table(modelLeft)
			return left.JoinForeign(left, func(v string) string { return v[:1] }, textStore("joined"), func(l, r string) string { return l + "," + r })
		},
		rows: func(events []event) map[string]string {
			left := latest(events, "left")
			rows := make(map[string]string)
			for k, v := range left {
				if r := left[v[:1]]; r != "" {
					rows[k] = v + "," + r
				}
			}
			return rows
		},
	},
	{
		name: "cogroup", stream: true,
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.From(modelLeft).Cogroup(func(a, v string) string { return a + "l" + v }).
				With(b.From(modelRight), func(a, v string) string { return a + "r" + v }).
				Aggregate(textStore("both"))
		},
		rows: func(events []event) map[string]string {
			return folded(events, func(row, topic, v string) string { return row + topic[:1] + v })
		},
		times: latestTimes,
	},
	{
		name: "unlimited windows", stream: true,
		define: func(b *stream.Builder) stream.Table[string, string] {
			ever := state.NewWindowStore("ever", serde.String, serde.String).Retention(state.Forever)
			return asText(b.From(modelLeft).Window(window.Unlimited()).Reduce(ever, func(a, v string) string { return a + v }).Table)
		},
		rows: func(events []event) map[string]string {
			rows := make(map[string]string)
			for k, v := range folded(events, func(row, _, v string) string { return row + v }) {
				rows[fmt.Sprint(window.Key[string]{Key: k, Window: window.Millis(0, math.MaxInt64)})] = v
			}
			return rows
		},
	},
	windowsJoined("windows joined", func(s stream.Stream[string, string], name string) stream.Table[window.Key[string], int64] {
		return s.Window(window.Hopping(4*time.Millisecond, 2*time.Millisecond).Grace(time.Second)).
			Count(state.NewWindowStore(name, serde.String, serde.Int64)).Table
	}, func(times []int64, count func(start, end int64)) {
		for start := int64(0); start < 10; start += 2 {
			count(start, start+4)
		}
	}),
	windowsJoined("sessions joined", func(s stream.Stream[string, string], name string) stream.Table[window.Key[string], int64] {
		return s.Sessions(window.Session(2 * time.Millisecond).Grace(time.Second)).
			Count(state.NewSessionStore(name, serde.String, serde.Int64)).Table
	}, func(times []int64, count func(start, end int64)) {
		start := times[0]
		for i, at := range times {
			if i == len(times)-1 || times[i+1] > at+2 {
				count(start, at+1)
				start = append(times, 0)[i+1] // of the next one, if there is one
			}
		}
	}),
	windowsJoined("sliding windows joined", func(s stream.Stream[string, string], name string) stream.Table[window.Key[string], int64] {
		return s.Sliding(window.Sliding(3*time.Millisecond, 5*time.Millisecond).Grace(time.Second)).
			Count(state.NewWindowStore(name, serde.String, serde.Int64)).Table
	}, func(times []int64, count func(start, end int64)) {
		for _, at := range slices.Compact(slices.Clone(times)) {
			count(at-3+1, at+1)
			count(at-5+1, at+1)
		}
	}),
}

// asText is a table of windows with its keys as text.
func asText(t stream.Table[window.Key[string], string]) stream.Table[string, string] {
	return t.Rekey("as-text", serde.String, serde.String, func(k window.Key[string], _ string) string { return k.String() }).
		Reduce(textStore("text"), func(_, v string) string { return v }, func(_, _ string) string { return "" }).
		Filter(func(v string) bool { return v != "" })
}

// windowsJoined is the model of counts of windows of two streams that are joined, window by window: the rows of one are looked up when the
// other changes. all is called with the times of the records of one key, in order, and calls count for each window there might be.
func windowsJoined(name string, counts func(s stream.Stream[string, string], name string) stream.Table[window.Key[string], int64],
	all func(times []int64, count func(start, end int64)),
) tableModel {
	text := func(l, r int64) string { return fmt.Sprintf("%d,%d", l, r) }
	return tableModel{
		name: name, stream: true,
		define: func(b *stream.Builder) stream.Table[string, string] {
			return asText(counts(b.From(modelLeft), "left-counts").OuterJoin(counts(b.From(modelRight), "right-counts"),
				func(l, r stream.Optional[int64]) string { return text(l.Value, r.Value) }))
		},
		rows: func(events []event) map[string]string {
			times := make(map[string][]int64) // by topic and key
			for _, e := range events {
				id := e.topic + "/" + e.key
				times[id] = append(times[id], e.millis)
			}
			windows := make(map[string]map[string]int64) // by topic, then by window
			for id, times := range times {
				slices.Sort(times)
				topic, key, _ := strings.Cut(id, "/")
				if windows[topic] == nil {
					windows[topic] = make(map[string]int64)
				}
				all(times, func(start, end int64) {
					n := int64(0)
					for _, at := range times {
						if start <= at && at < end {
							n++
						}
					}
					if n > 0 {
						windows[topic][window.Key[string]{Key: key, Window: window.Millis(start, end)}.String()] = n
					}
				})
			}
			rows := make(map[string]string)
			for _, side := range windows {
				for w := range side {
					rows[w] = text(windows["left"][w], windows["right"][w])
				}
			}
			return rows
		},
	}
}

// Every table operator holds, after each record, what a model makes of all records so far, whatever their times,
// tombstones included, and wherever the task is restarted. What is written to a topic adds up to the same.
func TestTableModels(t *testing.T) {
	t.Parallel()
	for _, m := range tableModels {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			topology := build(t, func(b *stream.Builder) { m.define(b).To(modelOut) })
			rapid.Check(t, func(rt *rapid.T) { checkTable(rt, topology, m, topology.Program().Graph.Sources()) })
		})
	}
}

func checkTable(rt *rapid.T, topology *stream.Topology, m tableModel, topics []string) {
	d := streamtest.New(rt, topology)
	values := []string{"", "", "a", "ab", "b", "bc", "x", "xy"}
	if m.stream {
		values = values[2:]
	}
	var events []event
	got, times := make(map[string]string), make(map[string]int64)
	for range rapid.IntRange(1, 40).Draw(rt, "events") {
		e := event{
			topic: rapid.SampledFrom(topics).Draw(rt, "topic"), key: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key"),
			value: rapid.SampledFrom(values).Draw(rt, "value"), millis: rapid.Int64Range(0, 9).Draw(rt, "time"),
		}
		events = append(events, e)
		var value []byte
		if e.value != "" {
			value = []byte(e.value)
		}
		d.PipeBytes(e.topic, []byte(e.key), value, time.UnixMilli(e.millis))
		if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
			d.Restart()
		}
		for _, r := range d.ReadBytes("out") {
			if r.Value == nil {
				delete(got, string(r.Key))
			} else {
				got[string(r.Key)], times[string(r.Key)] = string(r.Value), r.Time.UnixMilli()
			}
		}
		if m.times != nil {
			for k, want := range m.times(events) {
				if _, there := got[k]; there && times[k] != want {
					rt.Fatalf("after %v the row of %s is of %d ms, want %d", events, k, times[k], want)
				}
			}
		}
		if diff := cmp.Diff(m.rows(events), got); diff != "" {
			rt.Fatalf("rows after %v (-want +got):\n%s", events, diff)
		}
	}
}

// A record is joined with the row that a table has for its key when it is read: the nested loop over what came before. Keys and
// values of the stream may be null, and the table has tombstones.
func TestStreamTableModel(t *testing.T) {
	t.Parallel()
	topology := build(t, func(b *stream.Builder) {
		left, table := b.From(nullLeft), b.Table(modelForeign).Filter(long)
		left.Join(table, func(l []byte, r string) string { return string(l) + "," + r }).To(inner)
		left.LeftJoin(table, func(l []byte, r stream.Optional[string]) string { return fmt.Sprint(string(l), r) }).To(outer)
	})
	checkLookups(t, topology, func(rows map[string]string, key, _ []byte) (row string, found bool) {
		row = rows[string(key)]
		return row, key != nil && long(row)
	})
}

// A record is joined with the row that a global table has for what the key function names: some part of it, or nothing. The
// driver applies the rows at once.
func TestGlobalTableModel(t *testing.T) {
	t.Parallel()
	named := func(k, v []byte) []byte {
		switch {
		case len(v)%3 == 0:
			return k // which may be null
		case len(v)%3 == 1:
			return nil
		}
		return []byte{'a' + v[0]%3}
	}
	topology := build(t, func(b *stream.Builder) {
		left, table := b.From(nullLeft), b.GlobalTable(modelForeign)
		left.JoinGlobal(table, named, func(l []byte, r string) string { return string(l) + "," + r }).To(inner)
		left.LeftJoinGlobal(table, named, func(l []byte, r stream.Optional[string]) string { return fmt.Sprint(string(l), r) }).To(outer)
	})
	checkLookups(t, topology, func(rows map[string]string, key, value []byte) (row string, found bool) {
		name := named(key, value)
		row = rows[string(name)]
		return row, name != nil && row != ""
	})
}

var (
	nullLeft = stream.NewTopic("left", serde.Bytes, serde.Bytes)
	inner    = stream.NewTopic("inner", serde.Bytes, serde.String)
	outer    = stream.NewTopic("outer", serde.Bytes, serde.String)
)

// checkLookups compares joins of a stream with what look makes of the rows that were written so far.
func checkLookups(t *testing.T, topology *stream.Topology, look func(rows map[string]string, key, value []byte) (row string, found bool)) {
	keys := rapid.SampledFrom([][]byte{nil, []byte("a"), []byte("b"), []byte("c"), {}})
	rapid.Check(t, func(rt *rapid.T) {
		d := streamtest.New(rt, topology)
		var events []event
		for i := range rapid.IntRange(1, 40).Draw(rt, "events") {
			e := event{topic: rapid.SampledFrom([]string{"left", "right"}).Draw(rt, "topic"), value: fmt.Sprint(i), millis: rapid.Int64Range(0, 9).Draw(rt, "time")}
			key, value := keys.Draw(rt, "key"), []byte(fmt.Sprint(i))
			if rapid.IntRange(0, 3).Draw(rt, "null") == 0 {
				e.value, value = "", nil
			}
			e.key = string(key)
			d.PipeBytes(e.topic, key, value, time.UnixMilli(e.millis))
			var wantInner, wantOuter []string
			if e.topic == "left" && value != nil {
				at := fmt.Sprint("@", e.millis) // whatever the time of the row
				row, found := look(latest(events, "right"), key, value)
				o := stream.Optional[string]{}
				if found {
					o = stream.Optional[string]{Value: row, Present: true}
				}
				wantOuter = append(wantOuter, fmt.Sprint(e.key, "=", e.value, o, at))
				if found {
					wantInner = append(wantInner, fmt.Sprint(e.key, "=", e.value, ",", row, at))
				}
			}
			if letters := d.DeadLetters(); len(letters) > 0 && (e.topic != "right" || key != nil) {
				rt.Fatalf("dead letters of %+v: %v", e, letters)
			}
			if e.topic == "right" && key != nil { // a row has a key
				events = append(events, e)
			}
			got := make([][]string, 2)
			for n, topic := range []stream.Topic[[]byte, string]{inner, outer} {
				for _, r := range d.Read(topic) {
					got[n] = append(got[n], fmt.Sprint(string(r.Key), "=", r.Value, "@", r.Time.UnixMilli()))
				}
			}
			if diff := cmp.Diff([][]string{wantInner, wantOuter}, got); diff != "" {
				rt.Fatalf("results of %+v after %v (-want +got):\n%s", e, events, diff)
			}
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

// A sliding window is there if a record ends it. The row of one that is not is the zero value, also if there are records in its width.
func TestMissingSlidingWindow(t *testing.T) {
	t.Parallel()
	topology := build(t, func(b *stream.Builder) {
		counts := func(in stream.Topic[string, string], name string) stream.Table[window.Key[string], int64] {
			return b.From(in).Sliding(window.Sliding(time.Second).Grace(0)).Count(state.NewWindowStore(name, serde.String, serde.Int64)).Table
		}
		counts(modelRight, "right-counts").
			LeftJoin(counts(modelLeft, "left-counts"), func(r int64, l stream.Optional[int64]) string { return fmt.Sprint(r, l) }).
			Stream().To(stream.NewTopic("out", window.KeySerde(serde.String), serde.String))
	})
	d := streamtest.New(t, topology)
	d.Pipe(modelLeft, "a", "x", time.UnixMilli(1))
	d.Pipe(modelRight, "a", "x", time.UnixMilli(2))
	if got := string(d.ReadBytes("out")[0].Value); got != "1 {0 false}" {
		t.Errorf("the window of the right record is %s, want 1 {0 false}: no left record ends it", got)
	}
}
