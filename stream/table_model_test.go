package stream_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
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
	// stream marks operators over streams: their inputs have no tombstones.
	stream bool
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
	},
	{
		name: "reduce", stream: true,
		define: func(b *stream.Builder) stream.Table[string, string] {
			return b.From(modelLeft).Reduce(textStore("all"), func(a, v string) string { return a + v })
		},
		rows: func(events []event) map[string]string {
			return folded(events, func(row, _, v string) string { return row + v })
		},
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
	},
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
	got := make(map[string]string)
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
				got[string(r.Key)] = string(r.Value)
			}
		}
		if diff := cmp.Diff(m.rows(events), got); diff != "" {
			rt.Fatalf("rows after %v (-want +got):\n%s", events, diff)
		}
	}
}

// A record is joined with the row that its key has in the table when it is read: the nested loop over what came before. The same
// holds of a global table, since the driver applies its rows at once.
func TestStreamTableModel(t *testing.T) {
	t.Parallel()
	topology := build(t, func(b *stream.Builder) {
		table := b.Table(modelRight).Filter(long)
		b.From(modelLeft).JoinGlobal(b.GlobalTable(modelRight), func(k, _ string) string { return k },
			func(l, r string) string { return l + " " + r }).To(others)
		b.From(modelLeft).Join(table, func(l, r string) string { return l + "," + r }).To(modelOut)
		b.From(modelLeft).LeftJoin(table, func(l string, r stream.Optional[string]) string { return fmt.Sprint(l, r) }).To(words)
	})
	rapid.Check(t, func(rt *rapid.T) {
		d := streamtest.New(rt, topology)
		var events []event
		for i := range rapid.IntRange(1, 40).Draw(rt, "events") {
			e := event{
				topic: rapid.SampledFrom([]string{"left", "right"}).Draw(rt, "topic"), key: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key"),
				value: fmt.Sprint(i), millis: rapid.Int64Range(0, 9).Draw(rt, "time"),
			}
			value := []byte(e.value)
			if e.topic == "right" && rapid.Bool().Draw(rt, "delete") {
				e.value, value = "", nil
			}
			events = append(events, e)
			d.PipeBytes(e.topic, []byte(e.key), value, time.UnixMilli(e.millis))
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				d.Restart()
			}
			var wantInner, wantLeft, wantGlobal []string
			if e.topic == "left" {
				row := stream.Optional[string]{Value: latest(events, "right")[e.key]}
				if row.Value != "" {
					wantGlobal = []string{e.value + " " + row.Value}
				}
				if row.Present = long(row.Value); !row.Present {
					row.Value = ""
				}
				wantLeft = []string{fmt.Sprint(e.value, row)}
				if row.Present {
					wantInner = []string{e.value + "," + row.Value}
				}
			}
			if diff := cmp.Diff([][]string{wantInner, wantLeft, wantGlobal}, [][]string{d.Values(modelOut), d.Values(words), d.Values(others)}); diff != "" {
				rt.Fatalf("results of the last of %v (-want +got):\n%s", events, diff)
			}
		}
	})
}
