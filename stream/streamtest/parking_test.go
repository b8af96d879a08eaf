package streamtest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// parked is a topology that parks keys; it fails the values that bad has. Its store counts.
func parked(t streamtest.TB, bad map[string]bool) *stream.Topology {
	t.Helper()
	b := stream.NewBuilder("app")
	b.OnError(stream.Errors{ParkKeys: true})
	n := state.NewKeyValueStore("n", serde.String, serde.Int64)
	b.From(leftTopic).Process("count", func(c *stream.Context[string, string], r stream.Record[string, string]) error {
		i, _, err := n.In(c).Get(r.Key)
		if err != nil {
			return err
		}
		if err := n.In(c).Put(r.Key, i+1); err != nil {
			return err
		}
		if err := c.Forward(r.Key, fmt.Sprintf("%d:%s", i+1, r.Value)); err != nil {
			return err
		}
		for _, h := range r.Headers {
			if h.Key == stream.HeaderReplayed {
				return errors.New("a function sees the header of a replay")
			}
		}
		if bad[r.Value] {
			return errors.New("bad")
		}
		return nil
	}, n).To(outTopic)
	topology, err := b.Build()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return topology
}

// TestParkingScripts runs a topology that parks keys. The one command is
//
//	run bad=(VALUE,...)
//	KEY VALUE
//
// which prints what each record brings about. Further lines are
//
//	mend VALUE       from now on it does not fail
//	replay           put all dead letters back
//	discard          the same, but give up those that failed
//	forge KEY VALUE N    a record that claims to be letter N of its key
//	restart
func TestParkingScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/parking", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			bad := make(map[string]bool)
			for _, arg := range d.CmdArgs {
				for _, v := range arg.Vals {
					bad[v] = true
				}
			}
			topology := parked(t, bad)
			p := &parkingScript{driver: streamtest.New(t, topology), bad: bad}
			var out strings.Builder
			if d.Cmd == "text" {
				return topology.String()
			}
			for line := range strings.Lines(d.Input) {
				p.line(strings.Fields(line))
				fmt.Fprintf(&out, "%s: %s\n", strings.TrimSpace(line), p.outcome())
			}
			return out.String()
		})
	})
}

type parkingScript struct {
	driver  *streamtest.Driver
	bad     map[string]bool
	letters []streamtest.DeadLetter
	millis  int64
}

func (p *parkingScript) line(fields []string) {
	letters := p.letters
	switch fields[0] {
	case "restart":
		p.driver.Restart()
	case "mend":
		delete(p.bad, fields[1])
	case "replay":
		p.letters = nil
		p.driver.Replay(letters...)
	case "discard":
		p.letters = nil
		for _, l := range letters {
			if l.Stage == stream.Waiting {
				p.driver.Replay(l)
			} else {
				p.driver.Discard(l)
			}
		}
	case "forge":
		p.pipe(fields[1], fields[2], stream.Header{Key: stream.HeaderReplayed, Value: []byte(fields[3])})
	default:
		p.pipe(fields[0], fields[1])
	}
}

func (p *parkingScript) pipe(key, value string, headers ...stream.Header) {
	p.millis++
	r := stream.Record[string, string]{Key: key, Value: value, Time: time.UnixMilli(p.millis), Headers: headers}
	p.driver.PipeRecord(leftTopic, r)
}

func (p *parkingScript) outcome() string {
	var got []string
	for _, r := range p.driver.Read(outTopic) {
		got = append(got, r.Key+"="+r.Value)
	}
	for _, l := range p.driver.DeadLetters() {
		p.letters = append(p.letters, l)
		got = append(got, fmt.Sprintf("%s %s: %v", l.Value, l.Stage, l.Cause))
	}
	return strings.Join(got, ", ")
}

// The model of parking: whatever fails, is mended, replayed and restarted, each record passes once, and those of a key pass in
// the order in which they came.
func TestParkingKeepsOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		bad := make(map[string]bool)
		d := streamtest.New(rt, parked(rt, bad))
		var letters []streamtest.DeadLetter
		want, got := make(map[string][]string), make(map[string][]string)
		look := func() {
			for _, r := range d.Read(outTopic) {
				got[r.Key] = append(got[r.Key], r.Value)
			}
			letters = append(letters, d.DeadLetters()...)
		}
		replay := func() {
			back := letters
			letters = nil
			d.Replay(back...)
			look()
		}
		for i := range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				d.Restart()
			case 1:
				replay()
			case 2:
				clear(bad)
			default:
				key, value := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key"), fmt.Sprint("v", i)
				bad[value] = rapid.IntRange(0, 3).Draw(rt, "bad") == 0
				want[key] = append(want[key], fmt.Sprintf("%d:%s", len(want[key])+1, value))
				d.Pipe(leftTopic, key, value, time.UnixMilli(int64(i)))
				look()
			}
		}
		clear(bad)
		replay()
		if len(letters) > 0 {
			rt.Fatalf("%d dead letters after all was mended and put back", len(letters))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("what passed, by key (-want +got):\n%s", diff)
		}
	})
}
