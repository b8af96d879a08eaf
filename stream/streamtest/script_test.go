package streamtest_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
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

// The topics of the scripts. All keys and values are text.
var (
	leftTopic  = stream.NewTopic("left", serde.String, serde.String)
	rightTopic = stream.NewTopic("right", serde.String, serde.String)
	outTopic   = stream.NewTopic("out", serde.String, serde.String)
)

func textTable(name string) state.TableStore[string, string] {
	return state.NewTableStore(name, serde.String, serde.String)
}

func countTable(name string) state.TableStore[string, int64] {
	return state.NewTableStore(name, serde.String, serde.Int64)
}

// shop is the part of a value before the colon: "ams:7" belongs to group ams.
func shop(_, v string) string {
	name, _, _ := strings.Cut(v, ":")
	return name
}

// shopOrNone is a foreign key that is null for "none:…".
func shopOrNone(v string) []byte {
	if name := shop("", v); name != "none" {
		return []byte(name)
	}
	return nil
}

func number(v string) int64 {
	_, n, _ := strings.Cut(v, ":")
	i, _ := strconv.ParseInt(n, 10, 64)
	return i
}

// scripted are the topologies that scripts run, by name.
var scripted = map[string]func(b *stream.Builder){
	"table": func(b *stream.Builder) { b.Table(leftTopic).To(outTopic) },
	"filter": func(b *stream.Builder) {
		b.Table(leftTopic).Filter(func(v string) bool { return v != "small" }).To(outTopic)
	},
	"map":    func(b *stream.Builder) { b.Table(leftTopic).Map(strings.ToUpper).To(outTopic) },
	"stream": func(b *stream.Builder) { b.Table(leftTopic).Stream().To(outTopic) },
	"changes": func(b *stream.Builder) {
		b.Table(leftTopic).Changes(func(c stream.Change[string]) string { return fmt.Sprint(c.Old, " to ", c.New) }).To(outTopic)
	},
	"materialize": func(b *stream.Builder) {
		b.Table(leftTopic).Map(strings.ToUpper).Materialize(textTable("upper")).To(outTopic)
	},
	"count": func(b *stream.Builder) { decimal(b.From(leftTopic).Count(countTable("n"))).To(outTopic) },
	"reduce": func(b *stream.Builder) {
		b.From(leftTopic).Reduce(textTable("longest"), func(a, b string) string { return a + b }).To(outTopic)
	},
	"aggregate": func(b *stream.Builder) {
		decimal(b.From(leftTopic).Aggregate(countTable("sum"), func(n int64, v string) int64 { return n + number(v) })).To(outTopic)
	},
	"rekey-count": func(b *stream.Builder) {
		decimal(b.Table(leftTopic).Rekey("by-shop", serde.String, serde.String, shop).Count(countTable("n"))).To(outTopic)
	},
	"rekey-reduce": func(b *stream.Builder) {
		b.Table(leftTopic).Rekey("by-shop", serde.String, serde.String, shop).
			Reduce(textTable("members"), func(a, v string) string { return a + "+" + v },
				func(a, v string) string { return a + "-" + v }).
			To(outTopic)
	},
	"rekey-aggregate": func(b *stream.Builder) {
		decimal(b.Table(leftTopic).Rekey("by-shop", serde.String, serde.String, shop).
			Aggregate(countTable("sum"), func(n int64, v string) int64 { return n + number(v) },
				func(n int64, v string) int64 { return n - number(v) })).
			To(outTopic)
	},
	"stream-table": func(b *stream.Builder) {
		b.From(leftTopic).Join(b.Table(rightTopic), inner).To(outTopic)
	},
	"stream-table-left": func(b *stream.Builder) {
		b.From(nullableLeft).LeftJoin(b.Table(nullableRight), func(l []byte, r stream.Optional[string]) string {
			return left(string(l), r)
		}).To(outBytes)
	},
	"stream-table-bytes": func(b *stream.Builder) {
		b.From(nullableLeft).Join(b.Table(nullableRight), func(l []byte, r string) string { return inner(string(l), r) }).To(outBytes)
	},
	"stream-table-rekeyed": func(b *stream.Builder) {
		b.From(leftTopic).Rekey("by-shop", serde.String, serde.String, shop).Join(b.Table(rightTopic), inner).To(outTopic)
	},
	"table-table": func(b *stream.Builder) {
		b.Table(leftTopic).Join(b.Table(rightTopic), inner).To(outTopic)
	},
	"table-table-left": func(b *stream.Builder) {
		b.Table(leftTopic).LeftJoin(b.Table(rightTopic), left).To(outTopic)
	},
	"table-table-outer": func(b *stream.Builder) {
		b.Table(leftTopic).OuterJoin(b.Table(rightTopic), outer).To(outTopic)
	},
	"global": func(b *stream.Builder) {
		b.From(leftTopic).JoinGlobal(b.GlobalTable(rightTopic), shop, inner).To(outTopic)
	},
	"global-left": func(b *stream.Builder) {
		b.From(nullableLeft).LeftJoinGlobal(b.GlobalTable(nullableRight), func(_, v []byte) []byte {
			if string(v) == "nowhere" {
				return nil
			}
			return v
		}, func(l []byte, r stream.Optional[string]) string { return left(string(l), r) }).To(outBytes)
	},
	"global-by-key": func(b *stream.Builder) {
		b.From(nullableLeft).JoinGlobal(b.GlobalTable(nullableRight), func(k, _ []byte) []byte { return k },
			func(l []byte, r string) string { return inner(string(l), r) }).To(outBytes)
	},
	"global-by-key-left": func(b *stream.Builder) {
		b.From(nullableLeft).LeftJoinGlobal(b.GlobalTable(nullableRight), func(k, _ []byte) []byte { return k },
			func(l []byte, r stream.Optional[string]) string { return left(string(l), r) }).To(outBytes)
	},
	// Those of the documentation have windows of 15 and a grace of 5.
	"stream-stream-15": func(b *stream.Builder) {
		lates(b.From(nullableLeft).JoinStream(b.From(nullableRight2), within15, joinStore,
			func(l, r []byte) string { return inner(string(l), string(r)) }))
	},
	"stream-stream-left-15": func(b *stream.Builder) {
		lates(b.From(nullableLeft).LeftJoinStream(b.From(nullableRight2), within15, joinStore,
			func(l []byte, r stream.Optional[[]byte]) string { return inner(string(l), bytesText(r)) }))
	},
	"stream-stream-outer-15": func(b *stream.Builder) {
		lates(b.From(nullableLeft).OuterJoinStream(b.From(nullableRight2), within15, joinStore,
			func(l, r stream.Optional[[]byte]) string { return inner(bytesText(l), bytesText(r)) }))
	},
	"regions": func(b *stream.Builder) { // of users, in which their names' lengths are summed up
		regions := b.Table(leftTopic).MapRow(func(user, region string) string { return fmt.Sprintf("%s:%d", region, len(user)) })
		decimal(regions.Rekey("by-region", serde.String, serde.String, shop).
			Aggregate(countTable("sum"), func(n int64, v string) int64 { return n + number(v) },
				func(n int64, v string) int64 { return n - number(v) })).
			To(outTopic)
	},
	"members": func(b *stream.Builder) { // of which the last one takes the row with him
		b.Table(leftTopic).Rekey("by-shop", serde.String, serde.String, shop).
			Aggregate(state.NewTableStore("members", serde.String, serde.JSON[[]string]()),
				func(all []string, v string) []string { return append(all, v) },
				func(all []string, v string) []string {
					all = slices.DeleteFunc(all, func(have string) bool { return have == v })
					if len(all) == 0 {
						return nil
					}
					return all
				}).
			Map(func(all []string) string { return strings.Join(all, "+") }).To(outTopic)
	},
	"stream-stream": func(b *stream.Builder) {
		lates(b.From(nullableLeft).JoinStream(b.From(nullableRight2), window.Within(100*time.Millisecond).Grace(20*time.Millisecond), joinStore,
			func(l, r []byte) string { return inner(string(l), string(r)) }))
	},
	"stream-stream-left": func(b *stream.Builder) {
		lates(b.From(nullableLeft).LeftJoinStream(b.From(nullableRight2), window.Within(100*time.Millisecond).Grace(20*time.Millisecond), joinStore,
			func(l []byte, r stream.Optional[[]byte]) string { return inner(string(l), bytesText(r)) }))
	},
	"stream-stream-outer": func(b *stream.Builder) {
		lates(b.From(nullableLeft).OuterJoinStream(b.From(nullableRight2), window.Within(100*time.Millisecond).Grace(20*time.Millisecond), joinStore,
			func(l, r stream.Optional[[]byte]) string { return inner(bytesText(l), bytesText(r)) }))
	},
	"foreign": func(b *stream.Builder) {
		b.Table(leftTopic).JoinForeign(b.Table(nullableRight), shopOrNone, textTable("joined"), inner).To(outTopic)
	},
	"foreign-left": func(b *stream.Builder) {
		b.Table(leftTopic).LeftJoinForeign(b.Table(nullableRight), shopOrNone, textTable("joined"), left).To(outTopic)
	},
	"suppress":           suppress(stream.Suppressed{TimeLimit: 10 * time.Millisecond}),
	"suppress-2-records": suppress(stream.Suppressed{TimeLimit: 10 * time.Millisecond, MaxRecords: 2}),
	"suppress-42-bytes":  suppress(stream.Suppressed{TimeLimit: 10 * time.Millisecond, MaxBytes: 42}),
	"suppress-fails": func(b *stream.Builder) {
		limits := stream.Suppressed{TimeLimit: 10 * time.Millisecond, MaxRecords: 2}
		b.Table(leftTopic).Suppress(suppressStore, limits).Stream().TryMap(func(v string) (string, error) {
			if v == "bad" {
				return "", errors.New("not to be sent")
			}
			return v, nil
		}).To(outTopic)
	},
	"suppress-join": func(b *stream.Builder) {
		limits := stream.Suppressed{TimeLimit: 10 * time.Millisecond}
		b.From(rightTopic).LeftJoin(b.Table(leftTopic).Suppress(suppressStore, limits), left).To(outTopic)
	},
	"async": func(b *stream.Builder) {
		b.From(leftTopic).FlatMap(func(v string) []string { return strings.Split(v, "_") }).AsyncMap("call", answer, stream.Async{Attempts: 2, Backoff: time.Microsecond}).To(outTopic)
	},
	"async-count": func(b *stream.Builder) {
		called := b.From(nullableLeft).AsyncMapRecord("call", func(_ context.Context, r stream.Record[[]byte, []byte]) (string, error) {
			return fmt.Sprintf("%s/%s/%d", r.Key, r.Value, r.Time.UnixMilli()), nil
		}, stream.Async{})
		decimalBytes(called.Count(state.NewTableStore("n", serde.Bytes, serde.Int64))).To(outBytes)
		called.To(outBytes)
	},
	"async-below-async": func(b *stream.Builder) {
		b.From(leftTopic).AsyncMap("call", answer, stream.Async{}).AsyncMap("again", answer, stream.Async{}).To(outTopic)
	},
	"async-below-store": func(b *stream.Builder) {
		b.From(leftTopic).Join(b.Table(rightTopic), inner).AsyncMap("call", answer, stream.Async{}).To(outTopic)
	},
	"async-rekeyed": func(b *stream.Builder) {
		b.From(leftTopic).Join(b.Table(rightTopic), inner).
			Rekey("joined", serde.String, serde.String, func(k, _ string) string { return k }).
			AsyncMap("call", answer, stream.Async{}).To(outTopic)
	},
	"async-mistakes": func(b *stream.Builder) {
		var none func(context.Context, string) (string, error)
		b.From(leftTopic).AsyncMap("", none, stream.Async{MaxInFlight: -1, Timeout: -1}).To(outTopic)
	},
	"failures":       failures(stream.Errors{}),
	"failures-skip":  failures(stream.Errors{Decoding: stream.Always(stream.Skip), Producing: stream.Always(stream.Skip), Processing: panicsOnly}),
	"failures-retry": failures(stream.Errors{Attempts: 3}),
	"cogroup": func(b *stream.Builder) {
		b.From(leftTopic).Cogroup(func(a, v string) string { return a + "L" + v }).
			With(b.From(rightTopic), func(a, v string) string { return a + "R" + v }).
			Aggregate(textTable("both")).
			To(outTopic)
	},
}

var within15 = window.Within(15 * time.Millisecond).Grace(5 * time.Millisecond)

var suppressStore = state.NewSuppressStore("held-back", serde.String, serde.String)

// suppress writes the changes of a table that is suppressed.
func suppress(limits stream.Suppressed) func(b *stream.Builder) {
	return func(b *stream.Builder) {
		b.Table(leftTopic).Suppress(suppressStore, limits).
			Changes(func(c stream.Change[string]) string { return text(c.Old) + ">" + text(c.New) }).To(outTopic)
	}
}

// answer is a slow call that some values fail.
func answer(_ context.Context, v string) (string, error) {
	switch {
	case strings.HasPrefix(v, "refused"):
		return "", stream.Permanent(errors.New("refused for good"))
	case strings.HasPrefix(v, "down"):
		return "", errors.New("service down")
	case strings.HasPrefix(v, "panic"):
		panic("oh")
	}
	return strings.ToUpper(v), nil
}

func decimalBytes(t stream.Table[[]byte, int64]) stream.Table[[]byte, string] {
	return t.Map(func(n int64) string { return strconv.FormatInt(n, 10) })
}

// nullableLeft has room for null in keys and values.
var nullableLeft = stream.NewTopic("left", serde.Bytes, serde.Bytes)

// nullableRight and outBytes have the keys of nullableLeft.
var (
	nullableRight = stream.NewTopic("right", serde.Bytes, serde.String)
	outBytes      = stream.NewTopic("out", serde.Bytes, serde.String)

	// nullableRight2 has room for null in its values, too.
	nullableRight2 = stream.NewTopic("right", serde.Bytes, serde.Bytes)
	joinStore      = state.NewJoinStore("joined", serde.Bytes, serde.Bytes, serde.Bytes)
)

// lates writes a join's results, and what is late.
func lates(j stream.Joined[[]byte, []byte, []byte, string]) {
	late := func(v []byte) string { return "late:" + string(v) }
	j.Merge(j.LateLeft().Map(late), j.LateRight().Map(late)).To(outBytes)
}

func bytesText(v stream.Optional[[]byte]) string {
	return text(stream.Optional[string]{Value: string(v.Value), Present: v.Present})
}

// Joiners, which write [LEFT,RIGHT].
func inner(l, r string) string                        { return "[" + l + "," + r + "]" }
func left(l string, r stream.Optional[string]) string { return inner(l, text(r)) }
func outer(l, r stream.Optional[string]) string       { return inner(text(l), text(r)) }

func text(v stream.Optional[string]) string {
	if !v.Present {
		return "null"
	}
	return v.Value
}

func decimal(t stream.Table[string, int64]) stream.Table[string, string] {
	return t.Map(func(n int64) string { return strconv.FormatInt(n, 10) })
}

// TestScripts runs topologies on records that are written as text. The one command is
//
//	run topology=NAME [text]
//	TOPIC KEY VALUE @TIME
//
// which prints what each record brings about, as it is written to the topic out: KEY=VALUE@TIME. The value null is a
// tombstone, the key null no key; hex:00ff stands for bytes; TIME is in milliseconds. A line "restart" drops everything but stores and topics. With "text" the
// topology's text comes first.
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if filepath.Base(filepath.Dir(path)) == "windows" || filepath.Base(filepath.Dir(path)) == "parking" {
			return // TestWindowScripts, TestParkingScripts
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "run" {
				t.Fatalf("unknown command %q", d.Cmd)
			}
			var name string
			d.ScanArgs(t, "topology", &name)
			define := scripted[name]
			if define == nil {
				t.Fatalf("no topology %q", name)
			}
			b := stream.NewBuilder("app")
			define(b)
			topology, err := b.Build()
			if err != nil {
				return err.Error() + "\n"
			}
			var out strings.Builder
			if d.HasArg("text") {
				fmt.Fprintf(&out, "%s--\n", topology)
			}
			driver := streamtest.New(t, topology)
			for line := range strings.Lines(d.Input) {
				out.WriteString(scriptLine(t, driver, strings.TrimSpace(line)) + "\n")
			}
			return out.String()
		})
	})
}

func scriptLine(t *testing.T, d *streamtest.Driver, line string) string {
	t.Helper()
	if line == "restart" {
		d.Restart()
		return line
	}
	fields := strings.Fields(line)
	if len(fields) != 4 {
		t.Fatalf("%q: want TOPIC KEY VALUE @TIME", line)
	}
	millis, err := strconv.ParseInt(strings.TrimPrefix(fields[3], "@"), 10, 64)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	d.PipeBytes(fields[0], unlessNull(fields[1]), unlessNull(fields[2]), time.UnixMilli(millis))
	var got []string
	for _, r := range d.ReadBytes("out") {
		got = append(got, fmt.Sprintf("%s=%s@%d", orNull(r.Key), orNull(r.Value), r.Time.UnixMilli()))
	}
	for _, l := range d.Skipped() {
		got = append(got, fmt.Sprintf("skipped at %s, %v: %v", l.Node, l.Stage, l.Cause))
	}
	for _, l := range d.DeadLetters() {
		got = append(got, fmt.Sprintf("dead letter at %s: %v", l.Node, l.Cause))
	}
	return strings.TrimSpace(line + ": " + strings.Join(got, ", "))
}

func unlessNull(s string) []byte {
	if s == "null" {
		return nil
	}
	if digits, ok := strings.CutPrefix(s, "hex:"); ok {
		b, err := hex.DecodeString(digits)
		if err != nil {
			panic(err)
		}
		return b
	}
	return []byte(s)
}

func orNull(b []byte) string {
	if b == nil {
		return "null"
	}
	return string(b)
}
