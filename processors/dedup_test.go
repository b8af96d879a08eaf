package processors_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

var (
	in      = stream.NewTopic("in", serde.String, serde.String)
	once    = stream.NewTopic("once", serde.String, serde.String)
	checked = stream.NewTopic("checked", serde.String, serde.JSON[processors.Checked[string]]())
)

// word is the id of a test's value: what comes before the first blank.
func word(v string) string {
	id, _, _ := strings.Cut(v, " ")
	return id
}

// newDriver runs both processors side by side, each with a store of its own.
func newDriver(t streamtest.TB, ttl time.Duration) *streamtest.Driver {
	t.Helper()
	seen := processors.NewDedupStore("seen", serde.String).TTL(ttl)
	marked := processors.NewDedupStore("marked", serde.String).TTL(ttl)
	b := stream.NewBuilder("app")
	payments := b.From(in)
	payments.Process("dedup", processors.Dedup(word, seen), seen).To(once)
	payments.Process("mark", processors.MarkDuplicates(word, marked), marked).To(checked)
	topology, err := b.Build()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return streamtest.New(t, topology)
}

func second(n int64) time.Time { return time.Unix(n, 0).UTC() }

// TestDedupScripts pipes records through MarkDuplicates and Dedup and prints what comes out. Commands:
//
//	new [ttl=DURATION]
//	pipe
//	SECOND KEY VALUE      the id is the value's first word; "" is an empty value
//	restart
func TestDedupScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/dedup", func(t *testing.T, path string) {
		var d *streamtest.Driver
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			var out strings.Builder
			switch td.Cmd {
			case "new":
				ttl := "0s"
				td.MaybeScanArgs(t, "ttl", &ttl)
				duration, err := time.ParseDuration(ttl)
				if err != nil {
					t.Fatal(err)
				}
				d = newDriver(t, duration)
			case "restart":
				d.Restart()
			case "pipe":
				for line := range strings.Lines(td.Input) {
					f := strings.SplitN(strings.TrimSpace(line), " ", 3)
					n, err := strconv.ParseInt(f[0], 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					value := f[2]
					if value == `""` {
						value = ""
					}
					d.Pipe(in, f[1], value, second(n))
					passed := len(d.Read(once)) == 1
					for _, r := range d.Read(checked) {
						fmt.Fprintf(&out, "%s %s", r.Key, r.Value.Value)
						if o := r.Value.First; r.Value.Duplicate {
							fmt.Fprintf(&out, ": repeats %s-%d@%d of second %d", o.Topic, o.Partition, o.Offset, o.Time.Unix())
						}
						if passed == r.Value.Duplicate {
							t.Errorf("Dedup passes %q on: %t, but MarkDuplicates says %+v", r.Value.Value, passed, r.Value)
						}
						out.WriteByte('\n')
					}
				}
			default:
				t.Fatalf("unknown command %q", td.Cmd)
			}
			return out.String()
		})
	})
}

// first is a first record as the model remembers it.
type first struct{ time, offset int64 }

// TestDedupModel compares the processor, restarted now and then, with a list of first records that is searched from
// its beginning.
func TestDedupModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ttl := rapid.Int64Range(0, 5).Draw(t, "ttl")
		d := newDriver(t, time.Duration(ttl)*time.Second)
		model := make(map[string]first)
		streamTime := int64(0)
		for offset := range rapid.Int64Range(1, 60).Draw(t, "records") {
			now := rapid.Int64Range(max(0, streamTime-7), streamTime+3).Draw(t, "time")
			key := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "key")
			id := rapid.SampledFrom([]string{"", "x", "y", "xx"}).Draw(t, "id")
			streamTime = max(streamTime, now)

			name := key + "/" + id
			want := processors.Checked[string]{Value: id}
			f, known := model[name]
			alive := func(at int64) bool { return ttl == 0 || streamTime < at+ttl }
			switch {
			case id == "":
			case known && alive(f.time) && (ttl == 0 || f.time-now < ttl):
				want.Duplicate = true
				want.First = processors.Origin{Topic: "in", Offset: f.offset, Time: second(f.time)}
			case known && alive(f.time):
			case alive(now):
				model[name] = first{now, offset}
			default:
				delete(model, name)
			}

			d.Pipe(in, key, id, second(now))
			got := d.Values(checked)
			if diff := cmp.Diff([]processors.Checked[string]{want}, got); diff != "" {
				t.Fatalf("record %d, key %q, id %q, second %d of stream time %d (-want +got):\n%s", offset, key, id, now, streamTime, diff)
			}
			if passed := len(d.Read(once)) == 1; passed == want.Duplicate {
				t.Fatalf("record %d: Dedup passes it on: %t", offset, passed)
			}
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

// A store that is declared wrongly is found by Build.
func TestDedupStoreMistakes(t *testing.T) {
	t.Parallel()
	seen := processors.NewDedupStore("se en", serde.Serde[string]{Name: "nothing"}).TTL(-time.Second)
	b := stream.NewBuilder("app")
	b.From(in).Process("dedup", processors.Dedup(word, seen), seen).To(once)
	_, err := b.Build()
	for _, want := range []string{`"se en"`, `serde: "nothing"`, "ttl -1s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Build: %v, want a mention of %s", err, want)
		}
	}
}

// A record that is read again is not a duplicate of itself.
func TestDedupSameRecordTwice(t *testing.T) {
	t.Parallel()
	seen := processors.NewDedupStore("seen", serde.String)
	b := stream.NewBuilder("app")
	payments := b.From(in)
	payments.Merge(payments).Process("mark", processors.MarkDuplicates(word, seen), seen).To(checked)
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	d := streamtest.New(t, topology)
	d.Pipe(in, "k", "x", second(1))
	want := []processors.Checked[string]{{Value: "x"}, {Value: "x"}}
	if diff := cmp.Diff(want, d.Values(checked)); diff != "" {
		t.Errorf("read twice (-want +got):\n%s", diff)
	}
}
